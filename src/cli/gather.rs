//! Asking every worker thread something.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};

use crate::runtime::{self, ThreadHandle};

struct Answers<T> {
    list: Vec<T>,
    missing: usize,
    waker: Option<Waker>,
}

/// Counts down when the thread has answered, and also when it ended before.
struct Part<T: Send + 'static> {
    answers: Arc<Mutex<Answers<T>>>,
    origin: ThreadHandle,
    answer: Option<T>,
}

fn lock<T>(answers: &Mutex<Answers<T>>) -> MutexGuard<'_, Answers<T>> {
    // Nothing that is done under the lock leaves it half done.
    answers.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<T: Send + 'static> Drop for Part<T> {
    fn drop(&mut self) {
        let mut all = lock(&self.answers);
        all.list.extend(self.answer.take());
        all.missing -= 1;
        if all.missing == 0 {
            let answers = self.answers.clone();
            drop(all);
            self.origin.post(Box::new(move || {
                let waker = lock(&answers).waker.take();
                if let Some(waker) = waker {
                    waker.wake();
                }
            }));
        }
    }
}

/// Runs `ask` on each of the threads and gives their answers, in no order. Threads that end meanwhile give none.
pub async fn gather<T: Send + 'static>(
    threads: &[ThreadHandle],
    ask: impl Fn() -> T + Send + Clone + 'static,
) -> Vec<T> {
    let answers = Arc::new(Mutex::new(Answers { list: Vec::new(), missing: threads.len(), waker: None }));
    for thread in threads {
        let mut part = Part { answers: answers.clone(), origin: runtime::handle(), answer: None };
        let ask = ask.clone();
        thread.post(Box::new(move || {
            part.answer = Some(ask());
            drop(part);
        }));
    }
    std::future::poll_fn(|cx| {
        let mut all = lock(&answers);
        if all.missing == 0 {
            return Poll::Ready(std::mem::take(&mut all.list));
        }
        all.waker = Some(cx.waker().clone());
        Poll::Pending
    })
    .await
}
