//! TCP mode: bytes arrive whole and in order, ends of data are passed on.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use haring::runtime::{self, sim::Faults};

use crate::world::{Lines, Peer, connect, load, origin, run};

const PROXY: u16 = 1090;
const ORIGIN: u16 = 2002;

fn config(lines: &Lines, extra: &str) -> String {
    format!(
        "global\n log {} local2\ndefaults\n mode tcp\n log global\n option tcplog\n timeout client 2s\n timeout \
         server 3s\n timeout connect 1s\nlisten px\n bind 127.0.0.1:{PROXY}\n {extra}\n server t1 127.0.0.1:{ORIGIN}\n",
        lines.target()
    )
}

/// The termination state of a tcplog line.
fn state(line: &str) -> &str {
    line.split(' ').rev().nth(2).unwrap_or("")
}

fn one(
    extra: &str,
    faults: Faults,
    talk: impl AsyncFnOnce(Peer) + 'static,
    serve: impl AsyncFn(Peer) + 'static,
) -> String {
    let lines = Lines::new();
    let shared = load(&config(&lines, extra));
    run(1, faults, &shared, move |_| async move {
        let serve = Rc::new(serve);
        origin(ORIGIN, move |p| {
            let serve = serve.clone();
            async move { serve(p).await }
        });
        talk(Peer::new(connect(PROXY).await.expect("connect"))).await;
    });
    let mut lines = lines.take();
    assert_eq!(lines.len(), 1, "{lines:#?}");
    lines.remove(0)
}

async fn echo(mut p: Peer) {
    while p.more().await {
        let data = std::mem::take(&mut p.data);
        if !p.say(&data).await {
            return;
        }
    }
    let _ = p.socket.shutdown_write();
}

#[test]
fn half_a_close_is_passed_on() {
    let line = one(
        "",
        Faults::default(),
        async |mut p| {
            p.say(b"hello").await;
            p.socket.shutdown_write().expect("shutdown");
            assert_eq!(p.rest(Duration::from_secs(9)).await, b"after the end: hello");
        },
        async |mut p| {
            // Nothing is said before the client's end of data.
            let said = p.rest(Duration::from_secs(9)).await;
            p.say(&[b"after the end: ", said.as_slice()].concat()).await;
        },
    );
    assert_eq!(state(&line), "--", "{line}");
}

#[test]
fn bulk_goes_both_ways_at_once() {
    let faults = Faults { short_recv: 200, delay: 100, enobufs: 50, ..Faults::default() };
    let size = 3_000_000;
    let line = one(
        "",
        faults,
        async move |p| {
            let p = Rc::new(RefCell::new(p));
            let data: Vec<u8> = (0..size).map(|i| (i * 7 % 251) as u8).collect();
            p.borrow().socket.send(data.clone());
            let mut p = Rc::into_inner(p).expect("one owner").into_inner();
            while p.data.len() < size && p.more().await {}
            assert!(p.data == data, "{} of {size} bytes", p.data.len());
            let _ = p.socket.shutdown_write();
            p.rest(Duration::from_secs(5)).await;
        },
        echo,
    );
    assert_eq!(state(&line), "--", "{line}");
    assert!(line.contains(&format!(" {size} ")), "{line}");
}

#[test]
fn silence_is_ended_by_the_shorter_timeout() {
    let line = one(
        "",
        Faults::default(),
        async |mut p| {
            p.say(b"x").await;
            p.rest(Duration::from_secs(20)).await;
        },
        echo,
    );
    assert_eq!(state(&line), "cD", "{line}");
    let line = one(
        "timeout client 10s",
        Faults::default(),
        async |mut p| {
            p.say(b"x").await;
            p.rest(Duration::from_secs(20)).await;
        },
        echo,
    );
    assert_eq!(state(&line), "sD", "{line}");
}

#[test]
fn a_refusing_server_is_retried_and_reported() {
    let lines = Lines::new();
    let shared = load(&config(&lines, ""));
    run(1, Faults::default(), &shared, |_| async {
        let mut p = Peer::new(connect(PROXY).await.expect("connect"));
        assert_eq!(p.rest(Duration::from_secs(20)).await, b"");
    });
    let lines = lines.take();
    assert_eq!(lines.len(), 1, "{lines:#?}");
    assert_eq!(state(&lines[0]), "SC");
    assert!(lines[0].contains("/3 0/0"), "{}", lines[0]);
}

#[test]
fn resets_are_reported_by_their_side() {
    let line = one(
        "",
        Faults::default(),
        async |mut p| {
            p.say(b"x").await;
            p.rest(Duration::from_secs(20)).await;
        },
        async |mut p: Peer| {
            p.more().await;
            p.socket.abort();
        },
    );
    assert_eq!(state(&line), "SD", "{line}");
    let line = one(
        "",
        Faults::default(),
        async |p| {
            p.say(b"x").await;
            runtime::sleep(Duration::from_millis(100)).await;
            p.socket.abort();
        },
        echo,
    );
    assert_eq!(state(&line), "CD", "{line}");
}

#[test]
fn resets_anywhere_leave_nothing_behind() {
    for seed in 1..40 {
        let lines = Lines::new();
        let shared = load(&config(&lines, ""));
        let faults = Faults {
            short_recv: 200,
            delay: 100,
            reset: 30,
            connect_fail: 100,
            short_send: 200,
            emfile: 50,
            enobufs: 20,
        };
        run(seed, faults, &shared, move |_| async move {
            origin(ORIGIN, echo);
            for i in 0..5 {
                runtime::spawn(async move {
                    let Some(socket) = connect(PROXY).await else { return };
                    let mut p = Peer::new(socket);
                    p.socket.send(vec![b'x'; 1000 * (i + 1)]);
                    while p.data.len() < 1000 * (i + 1) && p.more().await {}
                });
            }
            runtime::sleep(Duration::from_secs(30)).await;
        });
        let connections = shared.live.process_totals().connections as usize;
        assert_eq!(lines.take().len(), connections, "seed {seed}: one line for each connection");
    }
}
