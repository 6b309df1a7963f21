//! A socket becomes quiet and changes hands while bytes arrive: none is lost, none comes twice.

use std::os::fd::AsFd;

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

/// What the peer sends, and how long it waits before each part.
type Parts = Vec<(usize, u64)>;

/// Goes over to another descriptor for the same connection, as a process that hands it over.
fn change_hands(socket: Socket, simulated: bool) -> Socket {
    let fd = socket.lend(|fd| match simulated {
        true => runtime::sim::share(&fd),
        false => fd.as_fd().try_clone_to_owned().expect("a descriptor"),
    });
    drop(socket);
    Socket::from_fd(fd).expect("a socket")
}

/// Echoes what comes, and becomes quiet each time that one of `pauses` (in µs) is over.
async fn echo(mut socket: Socket, pauses: Vec<u64>, simulated: bool) {
    let mut pauses = pauses.into_iter().cycle();
    loop {
        let pause = Duration::from_micros(pauses.next().expect("endless"));
        match timeout_at(now() + pause, socket.recv()).await {
            Some(buf) => {
                let buf = buf.expect("no error");
                if buf.is_empty() {
                    return socket.flushed().await.expect("the peer reads");
                }
                socket.send(buf);
            }
            None => {
                std::future::poll_fn(|cx| socket.poll_quiet(cx)).await;
                assert_eq!(socket.send_pending(), 0);
                while let Some(buf) = socket.try_recv() {
                    let buf = buf.expect("no error");
                    if buf.is_empty() {
                        break;
                    }
                    socket.send(buf);
                }
                // What is sent now is on its way when it is to be quiet again.
                std::future::poll_fn(|cx| socket.poll_quiet(cx)).await;
                assert_eq!((socket.send_pending(), socket.recv_queued()), (0, 0));
                // The other process has it from now on, and what arrives now is for that one.
                sleep(pause / 3).await;
                socket = change_hands(socket, simulated);
            }
        }
    }
}

async fn send(client: Rc<Socket>, parts: Parts) {
    let all = pattern(parts.iter().map(|p| p.0).sum());
    let mut rest = &all[..];
    for (len, wait) in parts {
        sleep(Duration::from_micros(wait)).await;
        let (part, more) = rest.split_at(len);
        client.send(part.to_vec());
        rest = more;
    }
    client.flushed().await.expect("it reads");
    client.shutdown_write().expect("it is open");
}

async fn conversation(parts: Parts, pauses: Vec<u64>, simulated: bool) {
    let listener = listen();
    let (client, server) = pair(&listener).await;
    spawn(echo(server, pauses, simulated));
    let sent = pattern(parts.iter().map(|p| p.0).sum());
    let client = Rc::new(client);
    spawn(send(client.clone(), parts));
    let received = timeout_at(now() + Duration::from_secs(20), read_all(&client)).await;
    let received = received.expect("bytes were lost").expect("no error");
    assert!(received == sent, "other bytes came back");
    drop(client);
    assert_clean(1).await;
}

fn parts() -> impl Strategy<Value = Parts> {
    vec((prop_oneof![1_usize..100, 1_usize..70_000], 0_u64..400), 1..20)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn nothing_is_lost_while_a_connection_changes_hands(parts in parts(), pauses in vec(0_u64..300, 1..5)) {
        real(conversation(parts.clone(), pauses.clone(), false));
        let config = Config { oldest_kernel: true, survive_panics: false, ..Config::default() };
        Builder::new(0, config).run(conversation(parts, pauses, false)).expect("io_uring");
    }

    #[test]
    fn nothing_is_lost_in_the_simulation(
        parts in parts(),
        pauses in vec(0_u64..300, 1..5),
        seed: u64,
        enobufs in 0_u16..300,
    ) {
        let faults = Faults { short_recv: 300, short_send: 300, delay: 100, enobufs, ..Faults::default() };
        runtime::sim::run(seed, faults, conversation(parts, pauses, true));
    }
}
