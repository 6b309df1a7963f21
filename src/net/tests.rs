//! Sockets on both drivers: what holds on the real kernel must hold in the simulation.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::rc::Rc;
use std::time::Duration;

use super::*;
use crate::runtime::sim::Faults;
use crate::runtime::{self, Builder, Config, now, sleep, spawn, stats, timeout_at};

mod quiet;

fn local() -> SockAddr {
    SockAddr::Ip("127.0.0.1:0".parse().unwrap())
}

fn real<F: Future>(f: F) -> F::Output {
    let config = Config { survive_panics: false, ..Config::default() };
    Builder::new(0, config).run(f).expect("io_uring")
}

/// Runs a test on the real kernel, as it is and as 6.1 is, and on some simulated networks.
fn both<F: Future<Output = ()>>(test: impl Fn() -> F) {
    real(test());
    let config = Config { oldest_kernel: true, survive_panics: false, ..Config::default() };
    Builder::new(0, config).run(test()).expect("io_uring");
    for seed in 0..8 {
        runtime::sim::run(seed, Faults::default(), test());
        let hard = Faults {
            short_recv: 300,
            short_send: 200,
            delay: 50,
            enobufs: 50,
            emfile: 100,
            ..Faults::default()
        };
        runtime::sim::run(seed, hard, test());
    }
}

/// Nothing is left in flight, and no buffer is held.
async fn assert_clean(listeners: usize) {
    for _ in 0..100 {
        let s = stats();
        if s.sockets == 0 && s.bufs_in_use == 0 && s.inflight <= listeners + 1 {
            assert_eq!(s.listeners, listeners);
            return;
        }
        sleep(Duration::from_millis(20)).await;
    }
    panic!("left behind: {:?}", stats());
}

async fn pair(listener: &Listener) -> (Socket, Socket) {
    let addr = listener.local_addr().unwrap();
    let client = Socket::connect(&addr, &ConnectOpts::default()).await.unwrap();
    let (server, peer) = listener.accept().await.unwrap();
    assert_eq!(peer, client.local_addr().unwrap());
    (client, server)
}

fn listen() -> Listener {
    Listener::bind(&local(), &BindOpts::default()).unwrap()
}

/// Everything until the end.
async fn read_all(socket: &Socket) -> std::io::Result<Vec<u8>> {
    let mut all = Vec::new();
    loop {
        let buf = socket.recv().await?;
        if buf.is_empty() {
            return Ok(all);
        }
        all.extend_from_slice(&buf);
    }
}

/// Bytes that show where they belong.
fn pattern(len: usize) -> Vec<u8> {
    (0..len as u64).map(|i| (i.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as u8).collect()
}

fn zeros(len: usize) -> Vec<u8> {
    vec![0; len]
}

async fn echo(socket: Socket) {
    loop {
        match socket.recv().await {
            Ok(buf) if buf.is_empty() => break,
            Ok(buf) => socket.send(buf),
            Err(_) => return,
        }
        if socket.flushed().await.is_err() {
            return;
        }
    }
    let _ = socket.shutdown_write();
    // Until the client has closed, too.
    let _ = socket.recv().await;
}

#[test]
fn echo_and_half_close() {
    both(|| async {
        let listener = listen();
        let (client, server) = pair(&listener).await;
        spawn(echo(server));
        client.send(b"hello ".to_vec());
        client.send(&b"world"[..]);
        client.flushed().await.unwrap();
        client.shutdown_write().unwrap();
        assert_eq!(read_all(&client).await.unwrap(), b"hello world");
        assert!(client.recv().await.unwrap().is_empty(), "the end stays");
        drop(client);
        assert_clean(1).await;
    });
}

#[test]
fn many_parts_arrive_in_order() {
    both(|| async {
        let listener = listen();
        let (client, server) = pair(&listener).await;
        let all = pattern(700_000);
        let expected = all.clone();
        let sender = async {
            let mut rest = &all[..];
            let mut n = 1;
            while !rest.is_empty() {
                let part;
                (part, rest) = rest.split_at(n.min(rest.len()));
                match n % 3 {
                    0 => client.send(RecvBuf::from_vec(part.to_vec())),
                    1 => client.send(std::sync::Arc::<[u8]>::from(part)),
                    _ => client.send(part.to_vec()),
                }
                n = (n * 7 + 3) % 20_011 + 1;
                std::future::poll_fn(|cx| client.poll_sent(cx, 300_000)).await.unwrap();
            }
            client.flushed().await.unwrap();
            client.shutdown_write().unwrap();
        };
        let (got, ()) = join(read_all(&server), sender).await;
        assert!(got.unwrap() == expected);
    });
}

/// Both to the end.
async fn join<A: Future, B: Future>(a: A, b: B) -> (A::Output, B::Output) {
    let (mut a, mut b) = (std::pin::pin!(a), std::pin::pin!(b));
    let (mut x, mut y) = (None, None);
    std::future::poll_fn(move |cx| {
        if x.is_none()
            && let std::task::Poll::Ready(v) = a.as_mut().poll(cx)
        {
            x = Some(v);
        }
        if y.is_none()
            && let std::task::Poll::Ready(v) = b.as_mut().poll(cx)
        {
            y = Some(v);
        }
        match (x.take(), y.take()) {
            (Some(v), Some(w)) => std::task::Poll::Ready((v, w)),
            (v, w) => {
                (x, y) = (v, w);
                std::task::Poll::Pending
            }
        }
    })
    .await
}

#[test]
fn abort_is_a_reset() {
    both(|| async {
        let listener = listen();
        let (client, server) = pair(&listener).await;
        server.send(b"lost or not".to_vec());
        client.arm_recv();
        server.abort();
        let error = loop {
            match client.recv().await {
                Ok(buf) if buf.is_empty() => panic!("an orderly end"),
                Ok(_) => {}
                Err(e) => break e,
            }
        };
        assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
        assert!(!client.is_idle_alive());
        drop(client);
        assert_clean(1).await;
    });
}

#[test]
fn refused() {
    both(|| async {
        let listener = listen();
        let addr = listener.local_addr().unwrap();
        drop(listener);
        sleep(Duration::from_millis(5)).await;
        let e = Socket::connect(&addr, &ConnectOpts::default()).await.unwrap_err();
        assert_eq!(e.kind(), std::io::ErrorKind::ConnectionRefused);
        assert_clean(0).await;
    });
}

#[test]
fn idle_close_is_noticed_without_polling() {
    both(|| async {
        let listener = listen();
        let (client, server) = pair(&listener).await;
        assert!(client.is_idle_alive());
        sleep(Duration::from_millis(300)).await;
        assert!(client.is_idle_alive());
        drop(server);
        sleep(Duration::from_millis(300)).await;
        assert!(!client.is_idle_alive());
    });
}

#[test]
fn hang_up_behind_queued_data() {
    both(|| async {
        let listener = listen();
        let (client, server) = pair(&listener).await;
        server.send(b"data".to_vec());
        server.flushed().await.unwrap();
        drop(server);
        let hup = std::future::poll_fn(|cx| client.poll_hup(cx));
        timeout_at(now() + Duration::from_secs(5), hup).await.expect("noticed");
        assert_eq!(read_all(&client).await.unwrap(), b"data");
    });
}

#[test]
fn a_slow_reader_holds_a_window_at_most() {
    both(|| async {
        let listener = listen();
        let (client, server) = pair(&listener).await;
        let total = 6 << 20;
        client.send(zeros(total));
        // Armed, but nothing is taken for a while.
        server.arm_recv();
        sleep(Duration::from_millis(200)).await;
        let queued = server.recv_queued();
        assert!(queued > 0 && queued <= Config::default().recv_window, "{queued} bytes are queued");
        assert!(stats().bufs_in_use <= 5, "{:?}", stats());
        let mut got = 0;
        while got < total {
            let buf = server.recv().await.unwrap();
            assert!(!buf.is_empty());
            got += buf.len();
        }
        client.flushed().await.unwrap();
        assert_eq!(got, total);
    });
}

#[test]
fn tiny_segments_share_buffers() {
    real(async {
        let listener = listen();
        let (client, server) = pair(&listener).await;
        client.set_nodelay(true).unwrap();
        server.arm_recv();
        for i in 0..1000u32 {
            client.send(vec![i as u8]);
            client.flushed().await.unwrap();
        }
        sleep(Duration::from_millis(20)).await;
        assert_eq!(server.recv_queued(), 1000);
        assert!(stats().bufs_in_use <= 2, "{:?}", stats());
        let expected: Vec<u8> = (0..1000u32).map(|i| i as u8).collect();
        assert_eq!(&*server.recv().await.unwrap(), expected);
    });
}

#[test]
fn a_thousand_sockets() {
    both(|| async {
        let listener = Rc::new(listen());
        let addr = listener.local_addr().unwrap();
        let acceptor = {
            let listener = listener.clone();
            spawn(async move {
                while let Ok((socket, _)) = listener.accept().await {
                    spawn(echo(socket));
                }
            })
        };
        let done = Rc::new(Cell::new(0));
        for i in 0..1000u32 {
            let (done, addr) = (done.clone(), addr.clone());
            spawn(async move {
                let socket = Socket::connect(&addr, &ConnectOpts::default()).await.unwrap();
                for round in 0..3u32 {
                    let message = format!("{i}:{round};").repeat(50);
                    socket.send(message.clone().into_bytes());
                    let mut got = Vec::new();
                    while got.len() < message.len() {
                        let buf = socket.recv().await.unwrap();
                        assert!(!buf.is_empty());
                        got.extend_from_slice(&buf);
                    }
                    assert_eq!(got, message.as_bytes());
                }
                done.set(done.get() + 1);
            });
        }
        while done.get() < 1000 {
            sleep(Duration::from_millis(10)).await;
        }
        runtime::abort(acceptor);
        assert_clean(1).await;
        drop(listener);
        sleep(Duration::from_millis(5)).await;
        assert_clean(0).await;
    });
}

/// Relays one direction by splice, as a tunnel does.
async fn splice_all(from: &Socket, to: &Socket) -> usize {
    from.pause_recv().await;
    let mut total = 0;
    while let Some(Ok(buf)) = from.try_recv() {
        if buf.is_empty() {
            break;
        }
        total += buf.len();
        to.send(buf);
    }
    to.flushed().await.unwrap();
    let mut pipe = Pipe::take().expect("a pipe");
    loop {
        match from.splice_in(&mut pipe, 1 << 20) {
            Ok(0) => break,
            Ok(n) => total += n,
            Err(e) => {
                assert_eq!(e.kind(), std::io::ErrorKind::WouldBlock, "{e}");
                std::future::poll_fn(|cx| from.poll_readable(cx)).await.unwrap();
                continue;
            }
        }
        while pipe.held() > 0 {
            if let Err(e) = to.splice_out(&mut pipe, 1 << 20, false) {
                assert_eq!(e.kind(), std::io::ErrorKind::WouldBlock, "{e}");
                std::future::poll_fn(|cx| to.poll_writable(cx)).await.unwrap();
            }
        }
    }
    to.shutdown_write().unwrap();
    total
}

async fn splice_through(bytes: usize) {
    let listener = listen();
    let (client, near) = pair(&listener).await;
    let (far, server) = pair(&listener).await;
    let all = pattern(bytes);
    let expected = all.clone();
    let relay = spawn({
        async move {
            // A little comes through buffers first.
            near.arm_recv();
            sleep(Duration::from_millis(2)).await;
            assert_eq!(splice_all(&near, &far).await, bytes);
            let _ = far.recv().await;
        }
    });
    let sender = async {
        for chunk in all.chunks(1 << 20) {
            client.send(chunk.to_vec());
            std::future::poll_fn(|cx| client.poll_sent(cx, 2 << 20)).await.unwrap();
        }
        client.flushed().await.unwrap();
        client.shutdown_write().unwrap();
    };
    let (got, ()) = join(read_all(&server), sender).await;
    assert!(got.unwrap() == expected);
    drop((client, server));
    runtime::abort(relay);
    assert_clean(1).await;
}

#[test]
fn splice_keeps_every_byte() {
    real(splice_through(64 << 20));
    for seed in 0..5 {
        let faults = Faults { short_recv: 100, short_send: 100, delay: 20, ..Faults::default() };
        runtime::sim::run(seed, faults, splice_through(1 << 20));
    }
}

/// Drops every kind of operation while it is in flight.
#[test]
fn dropping_what_is_in_flight_leaks_nothing() {
    both(|| async {
        let listener = listen();
        for round in 0..10u64 {
            let mut held = Vec::new();
            for _ in 0..8 {
                held.push(pair(&listener).await);
            }
            for (i, (a, b)) in held.iter().enumerate() {
                match i {
                    0 => a.arm_recv(),
                    1 => a.send(zeros(8 << 20)),
                    2 => (0..12).for_each(|_| a.send(RecvBuf::from_vec(zeros(1 << 20)))),
                    3 => a.pause_recv().await,
                    4 => {
                        a.pause_recv().await;
                        let poll = std::future::poll_fn(|cx| a.poll_readable(cx));
                        let _ = timeout_at(now() + Duration::from_millis(round), poll).await;
                    }
                    5 => {
                        a.send(zeros(8 << 20));
                        let poll = std::future::poll_fn(|cx| a.poll_hup(cx));
                        let _ = timeout_at(now() + Duration::from_millis(round), poll).await;
                    }
                    6 => {
                        // Data that nobody takes.
                        a.send(zeros(1 << 20));
                        b.arm_recv();
                    }
                    _ => {
                        a.send(b"x".to_vec());
                        let read = timeout_at(now() + Duration::from_millis(50), b.recv()).await;
                        drop(read);
                    }
                }
            }
            if round % 2 == 1 {
                sleep(Duration::from_millis(3)).await;
            }
            drop(held);
        }
        // A connect that will never be answered (TEST-NET-1), where the network allows it to hang.
        let nowhere = SockAddr::Ip("192.0.2.1:9".parse().unwrap());
        let options = ConnectOpts::default();
        let connect = Socket::connect(&nowhere, &options);
        let _ = timeout_at(now() + Duration::from_millis(20), connect).await;
        assert_clean(1).await;
    });
    let fds = || std::fs::read_dir("/proc/self/fd").unwrap().count();
    // Other tests of this process open descriptors, too: only a leak grows from run to run.
    let counts: Vec<usize> = (0..3)
        .map(|_| {
            real(async {
                let listener = listen();
                for _ in 0..300 {
                    let (a, b) = pair(&listener).await;
                    a.send(zeros(4 << 20));
                    b.arm_recv();
                }
                assert_clean(1).await;
            });
            fds()
        })
        .collect();
    assert!(counts[2] < counts[0] + 250, "descriptors leak: {counts:?}");
}

#[test]
fn buffers_grow_when_slow_readers_hold_them() {
    let config = Config { bufs_initial: 64, bufs_max: 1024, survive_panics: false, ..Config::default() };
    let run = Builder::new(0, config).run(async {
        let listener = listen();
        let mut held = Vec::new();
        for _ in 0..400 {
            let (a, b) = pair(&listener).await;
            a.send(pattern(200_000));
            b.arm_recv();
            held.push((a, b));
        }
        sleep(Duration::from_millis(200)).await;
        let s = stats();
        // 400 windows of 64 KiB need 1,600 buffers: more than there may be. The rest is on the heap.
        assert!(s.bufs > 64 && s.bufs <= 1024, "{s:?}");
        let queued: usize = held.iter().map(|(_, b)| b.recv_queued()).sum();
        assert!(queued >= 400 * 60_000, "{queued} bytes are queued");
        for (_, b) in &held {
            let mut got = 0;
            while got < 200_000 {
                let buf = b.recv().await.unwrap();
                assert!(!buf.is_empty());
                got += buf.len();
            }
        }
        held.clear();
        assert_clean(1).await;
        let most = stats().bufs;
        // A few requests later the surplus has gone.
        let (a, b) = pair(&listener).await;
        for _ in 0..12 {
            for _ in 0..300 {
                a.send(b"ping".to_vec());
                b.recv().await.unwrap();
            }
            sleep(Duration::from_millis(200)).await;
        }
        assert!(stats().bufs < most, "{} buffers, {most} at most", stats().bufs);
    });
    run.unwrap();
}

#[test]
fn handed_listener_deals_to_other_threads() {
    let fd = Listener::open(&local(), &BindOpts { no_reuseport: true, ..BindOpts::default() }).unwrap();
    let config = Config { survive_panics: false, ..Config::default() };
    let builders: Vec<Builder> = (0..2).map(|i| Builder::new(i, config.clone())).collect();
    let handles: Vec<_> = builders.iter().map(Builder::handle).collect();
    let stop = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let served = std::sync::Arc::new([const { std::sync::atomic::AtomicUsize::new(0) }; 2]);
    let threads: Vec<_> = builders
        .into_iter()
        .zip([Some(fd), None])
        .map(|(builder, fd)| {
            let (handles, stop, served) = (handles.clone(), stop.clone(), served.clone());
            std::thread::spawn(move || {
                builder.run(async move {
                    if let Some(fd) = fd {
                        let listener = Listener::from_fd(fd).unwrap();
                        let addr = listener.local_addr().unwrap();
                        let counts = served.clone();
                        spawn(async move {
                            let serve = move |socket: Socket, _: SockAddr| {
                                counts[runtime::thread_index()]
                                    .fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                                spawn(echo(socket));
                            };
                            let _ = listener.deal(handles, serve).await;
                        });
                        for i in 0..20u8 {
                            let socket = Socket::connect(&addr, &ConnectOpts::default()).await.unwrap();
                            socket.send(vec![i]);
                            assert_eq!(&*socket.recv().await.unwrap(), &[i]);
                        }
                        stop.store(true, std::sync::atomic::Ordering::Release);
                    }
                    while !stop.load(std::sync::atomic::Ordering::Acquire) {
                        sleep(Duration::from_millis(1)).await;
                    }
                })
            })
        })
        .collect();
    for thread in threads {
        thread.join().unwrap().unwrap();
    }
    let counts: Vec<usize> = served.iter().map(|c| c.load(std::sync::atomic::Ordering::Relaxed)).collect();
    assert_eq!(counts, [10, 10]);
}

#[test]
fn pause_and_resume_accepting() {
    both(|| async {
        let listener = listen();
        let addr = listener.local_addr().unwrap();
        drop(pair(&listener).await);
        listener.pause();
        sleep(Duration::from_millis(1)).await;
        let client = Socket::connect(&addr, &ConnectOpts::default()).await.unwrap();
        let early = timeout_at(now() + Duration::from_millis(50), listener.accept()).await;
        assert!(early.is_none(), "accepted while paused");
        listener.resume();
        let (server, _) = listener.accept().await.unwrap();
        client.send(b"x".to_vec());
        assert_eq!(&*server.recv().await.unwrap(), b"x");
    });
}

#[test]
fn no_more_is_accepted_than_there_is_room_for() {
    both(|| async {
        let listener = listen();
        let addr = listener.local_addr().unwrap();
        listener.set_room(4);
        let mut clients = Vec::new();
        for _ in 0..40 {
            clients.push(Socket::connect(&addr, &ConnectOpts::default()).await.unwrap());
        }
        drop(listener.accept().await.unwrap());
        sleep(Duration::from_millis(30)).await;
        listener.pause();
        sleep(Duration::from_millis(30)).await;
        // What the kernel handed over is not lost by the pause.
        let held = std::iter::from_fn(|| listener.take_accepted()).count();
        assert!(held <= 3, "{held} more were accepted");
        listener.set_room(100);
        listener.resume();
        for _ in held + 1..40 {
            drop(listener.accept().await.unwrap());
        }
    });
}

#[test]
fn room_that_shrinks_ends_the_accept_of_everything() {
    real(async {
        let listener = listen();
        let addr = listener.local_addr().unwrap();
        drop(pair(&listener).await);
        listener.set_room(2);
        let early = timeout_at(now() + Duration::from_millis(20), listener.accept()).await;
        assert!(early.is_none(), "nobody connected");
        let mut clients = Vec::new();
        for _ in 0..20 {
            clients.push(Socket::connect(&addr, &ConnectOpts::default()).await.unwrap());
        }
        sleep(Duration::from_millis(20)).await;
        listener.pause();
        sleep(Duration::from_millis(20)).await;
        let held = std::iter::from_fn(|| listener.take_accepted()).count();
        assert!(held <= 2, "{held} were accepted");
    });
}

#[test]
fn unix_and_abstract() {
    real(async {
        let path = std::env::temp_dir().join(format!("haring-net-{}.sock", std::process::id()));
        std::fs::write(&path, "stale").unwrap();
        let name = format!("haring-{}", std::process::id());
        let addrs = [SockAddr::unix(path.to_str().unwrap()), SockAddr::Abstract(name.as_bytes().into())];
        for addr in addrs {
            let unix = UnixOwner { mode: Some(0o600), ..UnixOwner::default() };
            let listener = Listener::bind(&addr, &BindOpts { unix, ..BindOpts::default() }).unwrap();
            let client = Socket::connect(&addr, &ConnectOpts::default()).await.unwrap();
            let (server, peer) = listener.accept().await.unwrap();
            assert!(peer.is_unix());
            spawn(echo(server));
            client.set_nodelay(true).unwrap();
            client.send(b"over unix".to_vec());
            assert_eq!(&*client.recv().await.unwrap(), b"over unix");
            assert!(client.peer_addr().unwrap().is_unix());
        }
        let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&path).unwrap().permissions());
        assert_eq!(mode & 0o777, 0o600);
        std::fs::remove_file(path).unwrap();
    });
}

#[test]
fn source_address_and_options() {
    real(async {
        let listener = listen();
        let addr = listener.local_addr().unwrap();
        let opts = ConnectOpts {
            source: Some(Source { ip: "127.0.0.9".parse().unwrap(), ports: None, transparent: false }),
            nodelay: true,
            keepalive: Some(Keepalive { idle_s: Some(10), interval_s: Some(5), count: Some(3) }),
            user_timeout_ms: Some(1000),
            ..ConnectOpts::default()
        };
        let client = Socket::connect(&addr, &opts).await.unwrap();
        let (server, peer) = listener.accept().await.unwrap();
        assert_eq!(peer.ip().unwrap().ip().to_string(), "127.0.0.9");
        server.send(b"x".to_vec());
        client.recv().await.unwrap();
        assert!(client.rtt().unwrap().0 > Duration::ZERO);
        // A range of ports, all of which get used.
        let base = 20_000 + (std::process::id() % 10_000) as u16;
        let mut ports: Vec<u16> = Vec::new();
        let mut open = Vec::new();
        for _ in 0..4 {
            let ip = "127.0.0.9".parse().unwrap();
            let source = Source { ip, ports: Some(base..=base + 3), transparent: false };
            let opts = ConnectOpts { source: Some(source), ..ConnectOpts::default() };
            let client = Socket::connect(&addr, &opts).await.unwrap();
            ports.push(client.local_addr().unwrap().ip().unwrap().port());
            open.push(client);
        }
        ports.sort_unstable();
        assert_eq!(ports, [base, base + 1, base + 2, base + 3]);
    });
}

#[test]
fn reset_and_refusal_faults_come_out_as_errors() {
    for seed in 0..200 {
        let faults = Faults { reset: 100, connect_fail: 200, delay: 100, ..Faults::default() };
        runtime::sim::run(seed, faults, async {
            let listener = Rc::new(listen());
            let addr = listener.local_addr().unwrap();
            spawn(async move {
                while let Ok((socket, _)) = listener.accept().await {
                    spawn(echo(socket));
                }
            });
            let outcomes = Rc::new(RefCell::new(Vec::new()));
            for _ in 0..20 {
                let (addr, outcomes) = (addr.clone(), outcomes.clone());
                spawn(async move {
                    let attempt = async {
                        let socket = Socket::connect(&addr, &ConnectOpts::default()).await?;
                        socket.send(b"ping".to_vec());
                        let got = socket.recv().await?;
                        Ok::<bool, std::io::Error>(got.is_empty() || b"ping".starts_with(&got))
                    };
                    let outcome = timeout_at(now() + Duration::from_secs(3), attempt).await;
                    outcomes.borrow_mut().push(outcome);
                });
            }
            while outcomes.borrow().len() < 20 {
                sleep(Duration::from_millis(100)).await;
            }
            for outcome in outcomes.borrow().iter().flatten() {
                match outcome {
                    Ok(ok) => assert!(ok),
                    Err(e) => assert!(
                        matches!(e.raw_os_error(), Some(libc::ECONNRESET | libc::ECONNREFUSED | libc::EPIPE)),
                        "{e}"
                    ),
                }
            }
        });
    }
}

#[test]
fn the_same_seed_gives_the_same_run() {
    let run = |seed| {
        let faults = Faults { short_recv: 300, delay: 200, ..Faults::default() };
        runtime::sim::run(seed, faults, async {
            let listener = listen();
            let (client, server) = pair(&listener).await;
            spawn(echo(server));
            let mut log = Vec::new();
            for n in 1..50 {
                client.send(pattern(n * 100));
                let mut got = 0;
                while got < n * 100 {
                    let buf = client.recv().await.unwrap();
                    got += buf.len();
                    log.push((now(), buf.len()));
                }
            }
            log
        })
    };
    assert_eq!(run(7), run(7));
    assert_ne!(run(7), run(8));
}

/// 8 submissions and 64 completions at a time: both queues overflow all the time.
#[test]
fn tiny_queues_lose_nothing() {
    let config = Config { sq_entries: 8, bufs_initial: 64, survive_panics: false, ..Config::default() };
    let run = Builder::new(0, config).run(async {
        let listener = listen();
        let mut held = Vec::new();
        for _ in 0..300 {
            held.push(pair(&listener).await);
        }
        for round in 0..5u8 {
            for (a, b) in &held {
                a.send(vec![round; 100]);
                b.send(vec![round; 200]);
            }
            for (a, b) in &held {
                for (socket, len) in [(a, 200), (b, 100)] {
                    let buf = socket.recv().await.unwrap();
                    assert_eq!(&*buf, vec![round; len]);
                }
            }
        }
        drop(held);
        assert_clean(1).await;
    });
    run.unwrap();
}
