//! The executor, timers and the mailbox.

use std::cell::{Cell, RefCell};
use std::collections::BinaryHeap;
use std::future::Future;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;

use super::sim::Faults;
use super::*;

fn real<F: Future>(f: F) -> F::Output {
    Builder::new(0, Config { survive_panics: false, ..Config::default() }).run(f).expect("io_uring")
}

fn simulated<F: Future>(f: F) -> F::Output {
    sim::run(1, Faults::default(), f)
}

#[test]
fn work_posted_before_the_start_finds_the_root_set_up() {
    thread_local!(static READY: Cell<bool> = const { Cell::new(false) });
    let found = Arc::new(AtomicUsize::new(0));
    let builder = Builder::new(0, Config { survive_panics: false, ..Config::default() });
    let seen = found.clone();
    builder.handle().post(Box::new(move || {
        seen.store(1 + usize::from(READY.get()), Ordering::Relaxed);
    }));
    let until = found.clone();
    builder
        .run(async move {
            READY.set(true);
            while until.load(Ordering::Relaxed) == 0 {
                yield_now().await;
            }
        })
        .expect("io_uring");
    assert_eq!(found.load(Ordering::Relaxed), 2, "the work ran before the root");
}

#[test]
fn timers_fire_in_order_and_never_early() {
    simulated(async {
        let log = Rc::new(RefCell::new(Vec::new()));
        let start = now();
        let mut naive = BinaryHeap::new();
        let mut x = 12345u64;
        for _ in 0..2000 {
            x = x.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let t = start + Duration::from_micros(x >> 34);
            naive.push(std::cmp::Reverse(t));
            let log = log.clone();
            spawn(async move {
                sleep_until(t).await;
                assert!(now() >= t, "early");
                assert!(now().0 - t.0 < 1_100_000, "{} ns late", now().0 - t.0);
                log.borrow_mut().push(t);
            });
        }
        sleep(Duration::from_secs(3000)).await;
        assert_eq!(log.borrow().len(), 2000);
        // In the order of their milliseconds.
        let ms: Vec<u64> = log.borrow().iter().map(|t| t.0.div_ceil(1_000_000)).collect();
        assert!(ms.is_sorted());
        let sorted: Vec<u64> =
            std::iter::from_fn(|| naive.pop()).map(|t| t.0.0.div_ceil(1_000_000)).collect();
        assert_eq!(ms, sorted);
    });
}

#[test]
fn a_timer_can_be_moved_both_ways() {
    simulated(async {
        let start = now();
        let mut timer = Timer::at(start + Duration::from_secs(10));
        timer.set(start + Duration::from_secs(20));
        std::future::poll_fn(|cx| timer.poll_expired(cx)).await;
        assert_eq!(now().ms_since(start) / 1000, 20);
        timer.set(now() + Duration::from_secs(100));
        timer.set(now() + Duration::from_secs(1));
        std::future::poll_fn(|cx| timer.poll_expired(cx)).await;
        assert_eq!(now().ms_since(start) / 1000, 21);
        timer.clear();
        assert_eq!(timer.deadline(), Mono::NEVER);
        let never = std::future::poll_fn(|cx| timer.poll_expired(cx));
        assert!(timeout_at(now() + Duration::from_secs(1000), never).await.is_none());
    });
}

#[test]
fn real_time_passes_on_the_real_driver() {
    real(async {
        let (mono, wall) = (now(), super::wall());
        sleep(Duration::from_millis(20)).await;
        let passed = now().since(mono);
        assert!(passed >= Duration::from_millis(20) && passed < Duration::from_millis(2000), "{passed:?}");
        assert!(super::wall().0 - wall.0 >= 19_000);
    });
}

#[test]
fn posting_between_threads() {
    let builders: Vec<Builder> = (0..2).map(|i| Builder::new(i, Config::default())).collect();
    let handles: Vec<ThreadHandle> = builders.iter().map(Builder::handle).collect();
    let count = Arc::new(AtomicUsize::new(0));
    // Posted before the thread runs.
    let early = count.clone();
    handles[0].post(Box::new(move || {
        early.fetch_add(1, Ordering::Relaxed);
    }));
    fn bounce(left: usize, handles: Vec<ThreadHandle>, count: Arc<AtomicUsize>) {
        if left == 0 {
            return;
        }
        assert_eq!(thread_index(), left % 2, "on the wrong thread");
        count.fetch_add(1, Ordering::Relaxed);
        handles[(left + 1) % 2].clone().post(Box::new(move || bounce(left - 1, handles, count)));
    }
    let threads: Vec<_> = builders
        .into_iter()
        .map(|builder| {
            let count = count.clone();
            std::thread::spawn(move || {
                builder.run(async move {
                    while count.load(Ordering::Relaxed) < 2001 {
                        sleep(Duration::from_millis(1)).await;
                    }
                })
            })
        })
        .collect();
    // This thread has no ring: it wakes through the eventfd.
    let (all, counter) = (handles.clone(), count.clone());
    handles[0].post(Box::new(move || bounce(2000, all, counter)));
    for thread in threads {
        thread.join().unwrap().unwrap();
    }
    assert_eq!(count.load(Ordering::Relaxed), 2001);
}

/// No timer is set anywhere: a lost wake-up hangs this test. Thread 0 asks thread 1, which answers; the end is
/// posted by this thread, which has no ring.
#[test]
fn sleeping_threads_are_woken() {
    thread_local! {
        static RUNG: Rc<(Cell<u32>, Notify)> = Rc::new((Cell::new(0), Notify::new()));
    }
    fn ring() {
        RUNG.with(|r| {
            r.0.set(r.0.get() + 1);
            r.1.notify_all();
        });
    }
    let builders: Vec<Builder> = (0..2).map(|i| Builder::new(i, Config::default())).collect();
    let handles: Vec<ThreadHandle> = builders.iter().map(Builder::handle).collect();
    let threads: Vec<_> = builders
        .into_iter()
        .map(|builder| {
            let handles = handles.clone();
            std::thread::spawn(move || {
                builder.run(async move {
                    let rung = RUNG.with(Rc::clone);
                    if thread_index() == 0 {
                        for i in 0..100 {
                            let own = handles[0].clone();
                            handles[1].post(Box::new(move || own.post(Box::new(ring))));
                            while rung.0.get() <= i {
                                rung.1.notified().await;
                            }
                        }
                    } else {
                        while rung.0.get() == 0 {
                            rung.1.notified().await;
                        }
                    }
                })
            })
        })
        .collect();
    let mut threads = threads.into_iter();
    threads.next().expect("two").join().unwrap().unwrap();
    handles[1].post(Box::new(ring));
    threads.next().expect("two").join().unwrap().unwrap();
}

#[test]
fn wakers_work_from_other_threads() {
    real(async {
        let done = Arc::new(std::sync::atomic::AtomicBool::new(false));
        let mut thread = None;
        std::future::poll_fn(|cx| {
            if done.load(Ordering::Acquire) {
                return Poll::Ready(());
            }
            thread.get_or_insert_with(|| {
                let (waker, done) = (cx.waker().clone(), done.clone());
                std::thread::spawn(move || {
                    done.store(true, Ordering::Release);
                    waker.wake();
                })
            });
            Poll::Pending
        })
        .await;
        thread.expect("started").join().unwrap();
    });
}

#[test]
fn notify_is_fair_and_keeps_no_permit() {
    simulated(async {
        let notify = Rc::new(Notify::new());
        assert!(!notify.notify_one());
        let log = Rc::new(RefCell::new(Vec::new()));
        let mut tasks = Vec::new();
        for i in 0..4 {
            let (notify, log) = (notify.clone(), log.clone());
            tasks.push(spawn(async move {
                notify.notified().await;
                log.borrow_mut().push(i);
            }));
        }
        yield_now().await;
        abort(tasks[1]);
        assert!(notify.notify_one());
        // Notified, but dropped before it ran: the next in line gets it.
        abort(tasks[0]);
        yield_now().await;
        assert_eq!(*log.borrow(), [2]);
        notify.notify_all();
        yield_now().await;
        assert_eq!(*log.borrow(), [2, 3]);
        assert!(notify.is_empty());
    });
}

#[test]
fn panics_are_survived_when_asked() {
    let out = Builder::new(0, Config::default()).run(async {
        let dropped = Rc::new(Cell::new(false));
        struct Guard(Rc<Cell<bool>>);
        impl Drop for Guard {
            fn drop(&mut self) {
                self.0.set(true);
            }
        }
        let guard = Guard(dropped.clone());
        spawn(async move {
            let _guard = guard;
            std::panic::resume_unwind(Box::new("a bug"));
        });
        sleep(Duration::from_millis(1)).await;
        assert!(dropped.get());
        stats().tasks
    });
    assert_eq!(out.unwrap(), 1);
}

#[test]
#[should_panic(expected = "deadlock")]
fn the_simulation_finds_deadlocks() {
    simulated(std::future::pending::<()>());
}

#[test]
fn a_busy_task_does_not_starve_timers_or_io() {
    real(async {
        let stop = Rc::new(Cell::new(false));
        let spun = Rc::new(Cell::new(0u64));
        let (s, n) = (stop.clone(), spun.clone());
        spawn(async move {
            while !s.get() {
                n.set(n.get() + 1);
                yield_now().await;
            }
        });
        sleep(Duration::from_millis(20)).await;
        stop.set(true);
        assert!(spun.get() > 10);
    });
}

#[test]
fn end_of_turn_hooks_see_each_turn() {
    simulated(async {
        let n = Rc::new(Cell::new(0));
        let m = n.clone();
        at_turn_end(move || m.set(m.get() + 1));
        let before = n.get();
        yield_now().await;
        yield_now().await;
        assert_eq!(n.get(), before + 2);
    });
}

#[test]
fn what_outlives_the_run_is_harmless() {
    let timer = simulated(async { Timer::at(now() + Duration::from_secs(1)) });
    let other = simulated(async { Timer::at(now() + Duration::from_secs(5)) });
    simulated(async move {
        let mut mine = Timer::at(now() + Duration::from_secs(9));
        drop((timer, other));
        let start = now();
        std::future::poll_fn(|cx| mine.poll_expired(cx)).await;
        assert_eq!(now().ms_since(start) / 1000, 9);
    });
}

#[test]
fn what_is_posted_after_the_end_is_dropped() {
    struct Count(Arc<AtomicUsize>);
    impl Drop for Count {
        fn drop(&mut self) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }
    let dropped = Arc::new(AtomicUsize::new(0));
    let job = || {
        let count = Count(dropped.clone());
        Box::new(move || {
            let _count = count;
            panic!("must not run");
        })
    };
    let builder = Builder::new(3, Config::default());
    let handle = builder.handle();
    let other = handle.clone();
    // One comes in the last turn, one after it.
    let last = job();
    builder.run(async move { other.post(last) }).unwrap();
    handle.post(job());
    assert_eq!((handle.index(), dropped.load(Ordering::Relaxed)), (3, 2));
}
