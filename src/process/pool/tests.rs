use std::net::{TcpListener, TcpStream};

use super::*;

fn addr(text: &str) -> Configured {
    Configured::Inet(text.parse().expect("an address"))
}

fn free() -> TcpListener {
    TcpListener::bind("127.0.0.1:0").expect("loopback")
}

fn inherited(all: Vec<(&str, OwnedFd)>) -> Inherited {
    let mut inherited = Inherited::default();
    inherited.fds.extend(all.into_iter().map(|(key, fd)| (key.to_owned(), fd)));
    inherited
}

fn keys_of(sockets: &[Named]) -> Vec<&str> {
    sockets.iter().map(|s| s.key.as_str()).collect()
}

fn single() -> BindOpts {
    BindOpts { no_reuseport: true, ..BindOpts::default() }
}

#[test]
fn what_cannot_be_changed_is_in_the_name() {
    let name = |addr: &str, opts: BindOpts| group(&SockAddr::Ip(addr.parse().expect("an address")), &opts);
    let options = || BindOpts { v6only: true, ..BindOpts::default() };
    assert_eq!(name("127.0.0.1:80", options()), "listener/127.0.0.1%3A80");
    assert_eq!(name("[::1]:80", options()), "listener/%5B%3A%3A1%5D%3A80");
    assert_eq!(name("[::]:80", options()), "listener/%5B%3A%3A%5D%3A80/v6only");
    let opts = BindOpts { interface: Some("lo".into()), transparent: true, ..options() };
    assert_eq!(name("1.2.3.4:80", opts), "listener/1.2.3.4%3A80/dev%3Dlo/transparent");
    let unix = |path: &[u8]| group(&SockAddr::Unix(path.into()), &BindOpts::default());
    assert_eq!(unix(b"/run/a b"), "listener/unix%40%2Frun%2Fa%20b");
    assert_ne!(unix(b"/\xff"), unix(b"/\xfe"));
    let mut padded = b"name".to_vec();
    padded.resize(107, 0);
    let padded = group(&SockAddr::Abstract(padded.into()), &BindOpts::default());
    assert_eq!(padded, "listener/abns107%40name");
    assert_ne!(padded, group(&SockAddr::Abstract(b"name"[..].into()), &BindOpts::default()));
    assert!(unix(&[b'/'; 100]).len() <= GROUP_MAX && unix(&[b'/'; 100]) != unix(&[b'/'; 99]));
}

#[test]
fn a_group_is_taken_whole_and_grows() {
    let (socket, other) = (free(), free());
    let at = socket.local_addr().expect("bound").to_string();
    let group = numberless(&at);
    let key = |n: u32| format!("{group}/{n}");
    let mut from = inherited(vec![(&key(3), socket.into()), ("listener/gone/0", other.into())]);
    let mut pool = Pool::of(&mut from);
    assert!(from.fds.is_empty());
    let mut sockets = pool.open(&addr(&at), &BindOpts::default(), 3).expect("it grows");
    assert_eq!(keys_of(&sockets), [key(3), key(0), key(1)]);
    assert!(pool.rest(&addr(&at), &BindOpts::default()).is_empty());
    let client = TcpStream::connect(&at).expect("the first one listens");
    let listening: Vec<(OwnedFd, Arc<Fate>)> =
        sockets.drain(..).map(|s| s.listen(&mut from).expect("they listen")).collect();
    assert_eq!(listening.len(), 3);
    drop(client);
    pool.leave(&mut from);
    // The next one needs fewer: none is left out.
    let named: Vec<(String, OwnedFd)> =
        listening.into_iter().map(|(fd, fate)| (fate.key.clone(), fd)).collect();
    let mut next =
        inherited(named.iter().map(|(k, fd)| (k.as_str(), fd.try_clone().expect("cloned"))).collect());
    let mut pool = Pool::of(&mut next);
    let one = pool.open(&addr(&at), &single(), 1).expect("taken");
    assert_eq!(keys_of(&one), [key(0)]);
    assert_eq!(keys_of(&pool.rest(&addr(&at), &single())), [key(1), key(3)]);
}

/// The group of an address without properties.
fn numberless(at: &str) -> String {
    group(&SockAddr::Ip(at.parse().expect("an address")), &BindOpts::default())
}

#[test]
fn sockets_say_what_they_are() {
    let socket = free();
    let at = socket.local_addr().expect("bound").to_string();
    // A key that claims something else is of no account.
    let mut from = inherited(vec![("listener/1.2.3.4%3A5/0", socket.into())]);
    let mut pool = Pool::of(&mut from);
    assert_eq!(keys_of(&pool.open(&addr(&at), &single(), 1).expect("taken")), ["listener/1.2.3.4%3A5/0"]);
    let connected = free();
    let client = TcpStream::connect(connected.local_addr().expect("bound")).expect("it listens");
    let datagram = std::net::UdpSocket::bind("127.0.0.1:0").expect("loopback");
    let null: OwnedFd = std::fs::File::open("/dev/null").expect("it exists").into();
    let mut from = inherited(vec![
        ("listener/a/0", client.into()),
        ("listener/b/0", datagram.into()),
        ("listener/c/0", null.try_clone().expect("cloned")),
        ("table/x", null),
    ]);
    let pool = Pool::of(&mut from);
    assert_eq!(from.fds.keys().collect::<Vec<_>>(), ["table/x"]);
    assert!(pool.groups.is_empty());
    let mut broken = pool.broken.clone();
    broken.sort();
    assert_eq!(broken, ["listener/a/0", "listener/b/0", "listener/c/0"]);
}

#[test]
fn sockets_of_the_service_manager_are_used_as_they_are() {
    let socket = free();
    let at = socket.local_addr().expect("bound").to_string();
    let mut from = inherited(vec![("haring.socket", socket.into())]);
    let mut pool = Pool::of(&mut from);
    let mut sockets = pool.open(&addr(&at), &BindOpts::default(), 4).expect("taken");
    assert_eq!(keys_of(&sockets), ["haring.socket"]);
    let (_, fate) = sockets.remove(0).listen(&mut from).expect("it listens");
    fate.leave_to_us();
    assert!(!fate.is_alone(), "clients may wait until somebody serves them again");
}

#[test]
fn a_number_means_what_it_meant_to_the_first_process() {
    let socket = free();
    let given = Configured::Fd(socket.as_raw_fd());
    let at = socket.local_addr().expect("bound");
    let mut from = inherited(vec![]);
    let mut pool = Pool::of(&mut from);
    let named = pool.open_one(&given, &single()).expect("it is open");
    let key = named.key.clone();
    assert_eq!(key, format!("listener/fd%40{}/0", socket.as_raw_fd()));
    let (fd, _) = named.listen(&mut from).expect("it listens");
    let mut next = inherited(vec![(&key, fd)]);
    drop(socket);
    let again = Pool::of(&mut next).open_one(&given, &single()).expect("inherited");
    assert_eq!(again.key, key);
    let fd = again.opening.as_fd().as_raw_fd();
    assert_eq!(socket::local_addr(fd).expect("bound"), SockAddr::Ip(at));
    assert!(Pool::default().open_one(&Configured::Fd(-1), &single()).is_err());
}

#[test]
fn who_holds_another_socket_of_the_port_is_left_alone() {
    let socket = free();
    let at = addr(&socket.local_addr().expect("bound").to_string());
    let error = Pool::default().open(&at, &BindOpts::default(), 2).expect_err("in use");
    assert_eq!(error.raw_os_error(), Some(libc::EADDRINUSE));
}
