//! A wait list between tasks of one thread.

use std::cell::RefCell;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use slab::Slab;

use super::exec::TaskId;

const NIL: usize = usize::MAX;

struct Waiter {
    task: TaskId,
    notified: bool,
    prev: usize,
    next: usize,
}

struct List {
    waiters: Slab<Waiter>,
    head: usize,
    tail: usize,
}

/// A list of waiting tasks of one thread, in order of arrival. A permit is never stored: check the condition,
/// then wait.
pub struct Notify {
    list: RefCell<List>,
}

impl Default for Notify {
    fn default() -> Self {
        Notify::new()
    }
}

impl Notify {
    /// An empty list.
    pub const fn new() -> Notify {
        Notify { list: RefCell::new(List { waiters: Slab::new(), head: NIL, tail: NIL }) }
    }

    /// Wakes the task that waits longest; false when there is none.
    pub fn notify_one(&self) -> bool {
        let task = self.list.borrow_mut().pop();
        if let Some(task) = task {
            super::wake(task);
        }
        task.is_some()
    }

    /// Wakes all that wait now.
    pub fn notify_all(&self) {
        loop {
            let Some(task) = self.list.borrow_mut().pop() else { return };
            super::wake(task);
        }
    }

    /// True when nobody waits.
    pub fn is_empty(&self) -> bool {
        self.list.borrow().head == NIL
    }

    /// Waits for a notification that comes after this call.
    pub fn notified(&self) -> Notified<'_> {
        let key = self.list.borrow_mut().push(super::current_task());
        Notified { notify: self, key }
    }
}

impl List {
    fn push(&mut self, task: TaskId) -> usize {
        let key = self.waiters.insert(Waiter { task, notified: false, prev: self.tail, next: NIL });
        match self.tail {
            NIL => self.head = key,
            tail => self.waiters[tail].next = key,
        }
        self.tail = key;
        key
    }

    fn unlink(&mut self, key: usize) {
        let (prev, next) = (self.waiters[key].prev, self.waiters[key].next);
        match prev {
            NIL => self.head = next,
            prev => self.waiters[prev].next = next,
        }
        match next {
            NIL => self.tail = prev,
            next => self.waiters[next].prev = prev,
        }
    }

    fn pop(&mut self) -> Option<TaskId> {
        if self.head == NIL {
            return None;
        }
        let key = self.head;
        self.unlink(key);
        let waiter = &mut self.waiters[key];
        waiter.notified = true;
        Some(waiter.task)
    }
}

/// The future of `Notify::notified`. Dropping it leaves the list; a notification that it has got but not
/// consumed goes to the next in line.
pub struct Notified<'a> {
    notify: &'a Notify,
    /// `NIL` once it is done.
    key: usize,
}

impl Future for Notified<'_> {
    type Output = ();
    fn poll(mut self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<()> {
        if self.key == NIL {
            return Poll::Ready(());
        }
        let mut list = self.notify.list.borrow_mut();
        if list.waiters[self.key].notified {
            list.waiters.remove(self.key);
            drop(list);
            self.key = NIL;
            return Poll::Ready(());
        }
        list.waiters[self.key].task = super::current_task();
        Poll::Pending
    }
}

impl Drop for Notified<'_> {
    fn drop(&mut self) {
        if self.key == NIL {
            return;
        }
        let mut list = self.notify.list.borrow_mut();
        if !list.waiters[self.key].notified {
            list.unlink(self.key);
            list.waiters.remove(self.key);
            return;
        }
        list.waiters.remove(self.key);
        drop(list);
        self.notify.notify_one();
    }
}
