//! Tests of the queues, with threads.

use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering::SeqCst};
use std::task::Wake;
use std::thread::Thread;

use super::*;
use crate::base::time::Mono;
use crate::proxy::live::ServerStatus;
use crate::proxy::testing::backend;

fn queues(lines: &[&str]) -> (Arc<Queues>, Arc<Snapshot>, Arc<Live>) {
    let (snapshot, live) = backend(lines);
    let (snapshot, live) = (Arc::new(snapshot), Arc::new(live));
    (Queues::new(Arc::clone(&snapshot), Arc::clone(&live)), snapshot, live)
}

fn px(s: &Snapshot) -> &Proxy {
    s.backend("b").expect("declared")
}

/// Counts wake-ups, and unparks a thread.
struct Bell {
    rings: AtomicUsize,
    thread: Thread,
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.rings.fetch_add(1, SeqCst);
        self.thread.unpark();
    }
}

fn bell() -> Arc<Bell> {
    Arc::new(Bell { rings: AtomicUsize::new(0), thread: std::thread::current() })
}

fn poll(t: &mut Ticket, bell: &Arc<Bell>) -> Option<Granted> {
    let waker = Waker::from(Arc::clone(bell));
    match t.poll_granted(&mut Context::from_waker(&waker)) {
        Poll::Ready(g) => Some(g),
        Poll::Pending => None,
    }
}

fn now(e: Entered) -> Slot {
    match e {
        Entered::Now(s) => s,
        _ => panic!("there was room"),
    }
}

fn wait(e: Entered) -> Ticket {
    match e {
        Entered::Wait(t) => t,
        _ => panic!("there was no room"),
    }
}

fn slot(g: Option<Granted>) -> Slot {
    match g {
        Some(Granted::Slot(s)) => s,
        _ => panic!("a session was free"),
    }
}

#[test]
fn in_the_order_of_arrival() {
    let (q, s, live) = queues(&["server s 127.0.0.1:80 maxconn 1"]);
    let (px, b) = (px(&s), bell());
    let first = now(q.enter(px, Some(0), false));
    let mut one = wait(q.enter(px, Some(0), false));
    let mut two = wait(q.enter(px, None, false));
    let mut three = wait(q.enter(px, Some(0), true));
    assert_eq!((one.place_in_server, two.place_in_backend, three.place_in_server), (1, 1, 2));
    assert_eq!((live.server(ServerId(0)).queued.get(), live.backend(px.id).queued.get()), (2, 1));
    assert!(poll(&mut one, &b).is_none() && poll(&mut two, &b).is_none() && poll(&mut three, &b).is_none());
    drop(first);
    assert_eq!(b.rings.load(SeqCst), 1, "exactly one is woken");
    let first = slot(poll(&mut one, &b));
    assert!(poll(&mut two, &b).is_none());
    drop(first);
    let first = slot(poll(&mut two, &b));
    drop(first);
    let first = slot(poll(&mut three, &b));
    assert_eq!(live.server(ServerId(0)).sessions.get(), 1);
    drop(first);
    assert_eq!(live.server(ServerId(0)).sessions.get(), 0);
    drop(now(q.enter(px, Some(0), false)));
}

#[test]
fn lower_classes_go_first() {
    let (q, s, _) = queues(&["server s 127.0.0.1:80 maxconn 1"]);
    let (px, b) = (px(&s), bell());
    let first = now(q.enter(px, Some(0), false));
    let mut late = wait(q.enter_class(px, Some(0), false, 5));
    let mut early = wait(q.enter_class(px, None, false, -5));
    drop(first);
    assert!(poll(&mut late, &b).is_none());
    drop(slot(poll(&mut early, &b)));
    drop(slot(poll(&mut late, &b)));
}

#[test]
fn leaving_passes_the_session_on() {
    let (q, s, live) = queues(&["server s 127.0.0.1:80 maxconn 1"]);
    let (px, b) = (px(&s), bell());
    let first = now(q.enter(px, Some(0), false));
    let one = wait(q.enter(px, Some(0), false));
    let two = wait(q.enter(px, Some(0), false));
    let mut three = wait(q.enter(px, Some(0), false));
    drop(two);
    drop(first);
    // Granted to the first one, who never looks.
    assert!(poll(&mut three, &b).is_none());
    drop(one);
    drop(slot(poll(&mut three, &b)));
    assert_eq!((live.server(ServerId(0)).queued.get(), live.server(ServerId(0)).sessions.get()), (0, 0));
}

#[test]
fn the_queue_has_a_limit() {
    let (q, s, _) = queues(&["server s 127.0.0.1:80 maxconn 1 maxqueue 1"]);
    let px = px(&s);
    let _first = now(q.enter(px, Some(0), false));
    let _one = wait(q.enter(px, Some(0), false));
    assert!(matches!(q.enter(px, Some(0), false), Entered::QueueFull));
}

#[test]
fn a_server_that_goes_down_gives_its_waiters_away() {
    let (q, s, live) =
        queues(&["option redispatch", "server s 127.0.0.1:80 maxconn 1", "server t 127.0.0.1:80 maxconn 1"]);
    let (px, b) = (px(&s), bell());
    let _s = now(q.enter(px, Some(0), false));
    let mut sticky = wait(q.enter(px, Some(0), true));
    let mut free = wait(q.enter(px, Some(0), false));
    live.set_status(px, 0, ServerStatus::Stopped, Mono(1));
    q.server_changed(px, 0);
    assert!(matches!(poll(&mut sticky, &b), Some(Granted::Redispatch)));
    assert_eq!(slot(poll(&mut free, &b)).index(), 1, "the other server has room");
}

#[test]
fn without_redispatch_sticky_ones_wait_on() {
    let (q, s, live) = queues(&["server s 127.0.0.1:80 maxconn 1"]);
    let (px, b) = (px(&s), bell());
    let first = now(q.enter(px, Some(0), false));
    let mut sticky = wait(q.enter(px, Some(0), true));
    live.set_status(px, 0, ServerStatus::Stopped, Mono(1));
    q.server_changed(px, 0);
    assert!(poll(&mut sticky, &b).is_none());
    drop(first);
    drop(slot(poll(&mut sticky, &b)));
}

#[test]
fn a_server_that_comes_up_takes_from_the_backends_queue() {
    let (q, s, live) = queues(&[
        "server s 127.0.0.1:80 maxconn 1",
        "server t 127.0.0.1:80 maxconn 1",
        "server u 127.0.0.1:80 maxconn 1 backup",
    ]);
    let (px, b) = (px(&s), bell());
    live.set_status(px, 1, ServerStatus::Stopped, Mono(1));
    let _s = now(q.enter(px, Some(0), false));
    let mut one = wait(q.enter(px, None, false));
    assert!(poll(&mut one, &b).is_none(), "neither a server that is down nor a backup takes it");
    live.set_status(px, 1, ServerStatus::Running, Mono(2));
    q.server_changed(px, 1);
    assert_eq!(slot(poll(&mut one, &b)).index(), 1);
}

#[test]
fn newcomers_do_not_overtake_the_backends_queue() {
    let (q, s, _) = queues(&["server s 127.0.0.1:80 maxconn 1", "server t 127.0.0.1:80 maxconn 1"]);
    let (px, b) = (px(&s), bell());
    let on_s = now(q.enter(px, Some(0), false));
    let _t = now(q.enter(px, Some(1), false));
    let mut one = wait(q.enter(px, None, false));
    let mut newcomer = wait(q.enter(px, Some(0), false));
    drop(on_s);
    assert!(poll(&mut newcomer, &b).is_none());
    drop(slot(poll(&mut one, &b)));
    drop(slot(poll(&mut newcomer, &b)));
}

#[test]
fn servers_without_limit_never_queue() {
    let (q, s, live) = queues(&["server s 127.0.0.1:80"]);
    let slots: Vec<Slot> = (0..100).map(|_| now(q.enter(px(&s), Some(0), false))).collect();
    assert_eq!(live.server(ServerId(0)).sessions.get(), 100);
    drop(slots);
    assert_eq!((live.server(ServerId(0)).sessions.get(), live.server(ServerId(0)).sessions.max()), (0, 100));
}

/// Many threads, two small servers of which one keeps going down and up: everyone is served in the end, the
/// limits hold all the time, and no count is left over.
#[test]
fn threads_lose_no_wake_up() {
    const THREADS: usize = 6;
    const ROUNDS: usize = 400;
    let (q, s, live) =
        queues(&["option redispatch", "server s 127.0.0.1:80 maxconn 2", "server t 127.0.0.1:80 maxconn 1"]);
    let served = Arc::new(AtomicU32::new(0));
    let busy: Arc<[AtomicU32; 2]> = Arc::default();
    let run = |seed: usize| {
        let (q, s) = (Arc::clone(&q), Arc::clone(&s));
        let (served, busy) = (Arc::clone(&served), Arc::clone(&busy));
        std::thread::spawn(move || {
            let px = px(&s);
            let bell = bell();
            let mut n = seed;
            while n < ROUNDS * THREADS {
                let server = [Some(0), Some(1), None][(n / THREADS + seed) % 3];
                let entered = q.enter(px, server, n.is_multiple_of(5));
                let slot = match entered {
                    Entered::Now(s) => s,
                    Entered::QueueFull => panic!("no maxqueue was set"),
                    Entered::Wait(mut t) => loop {
                        match poll(&mut t, &bell) {
                            Some(Granted::Slot(s)) => break s,
                            Some(Granted::Redispatch) => match q.enter(px, None, false) {
                                Entered::Wait(again) => t = again,
                                _ => panic!("the backend's queue only waits"),
                            },
                            None => std::thread::park(),
                        }
                    },
                };
                let limit = [2, 1][slot.index()];
                assert!(busy[slot.index()].fetch_add(1, SeqCst) < limit, "over the limit");
                std::thread::yield_now();
                busy[slot.index()].fetch_sub(1, SeqCst);
                drop(slot);
                served.fetch_add(1, SeqCst);
                n += THREADS;
            }
        })
    };
    let threads: Vec<_> = (0..THREADS).map(run).collect();
    let mut flips = 0;
    while threads.iter().any(|t| !t.is_finished()) {
        flips += 1;
        let status = if flips % 2 == 0 { ServerStatus::Running } else { ServerStatus::Stopped };
        live.set_status(px(&s), 1, status, Mono(flips));
        q.server_changed(px(&s), 1);
        std::thread::yield_now();
    }
    for t in threads {
        t.join().expect("no thread failed");
    }
    assert_eq!(served.load(SeqCst) as usize, THREADS * ROUNDS);
    for id in [ServerId(0), ServerId(1)] {
        assert_eq!((live.server(id).sessions.get(), live.server(id).queued.get()), (0, 0));
    }
    assert_eq!(live.backend(px(&s).id).queued.get(), 0);
}
