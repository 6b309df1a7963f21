//! System calls on sockets.

use std::io;
use std::os::fd::{BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::time::Duration;

use super::addr::{RawAddr, SockAddr};

/// An integer socket option: level and name.
#[derive(Clone, Copy, Debug)]
pub struct IntOpt(i32, i32);

macro_rules! int_opts {
    ($($(#[$doc:meta])* $name:ident = $level:ident, $opt:ident;)*) => {
        impl IntOpt { $($(#[$doc])* pub const $name: IntOpt = IntOpt(libc::$level, libc::$opt);)* }
    };
}

int_opts! {
    /// Bind although connections in TIME_WAIT use the address.
    REUSE_ADDR = SOL_SOCKET, SO_REUSEADDR;
    /// Several sockets on one address, connections spread over them.
    REUSE_PORT = SOL_SOCKET, SO_REUSEPORT;
    /// Send keep-alive probes.
    KEEP_ALIVE = SOL_SOCKET, SO_KEEPALIVE;
    /// Packet mark.
    MARK = SOL_SOCKET, SO_MARK;
    /// Send buffer in bytes.
    SEND_BUFFER = SOL_SOCKET, SO_SNDBUF;
    /// Receive buffer in bytes.
    RECV_BUFFER = SOL_SOCKET, SO_RCVBUF;
    /// No Nagle delay.
    NODELAY = IPPROTO_TCP, TCP_NODELAY;
    /// Immediate ACKs.
    QUICKACK = IPPROTO_TCP, TCP_QUICKACK;
    /// Largest segment.
    MAXSEG = IPPROTO_TCP, TCP_MAXSEG;
    /// Seconds to wait for data before accepting.
    DEFER_ACCEPT = IPPROTO_TCP, TCP_DEFER_ACCEPT;
    /// Fast-open queue of a listener.
    FASTOPEN = IPPROTO_TCP, TCP_FASTOPEN;
    /// Fast open on connect.
    FASTOPEN_CONNECT = IPPROTO_TCP, TCP_FASTOPEN_CONNECT;
    /// Milliseconds that sent data may stay unacknowledged.
    USER_TIMEOUT = IPPROTO_TCP, TCP_USER_TIMEOUT;
    /// Seconds before the first probe.
    KEEP_IDLE = IPPROTO_TCP, TCP_KEEPIDLE;
    /// Seconds between probes.
    KEEP_INTERVAL = IPPROTO_TCP, TCP_KEEPINTVL;
    /// Probes before giving up.
    KEEP_COUNT = IPPROTO_TCP, TCP_KEEPCNT;
    /// Foreign addresses.
    TRANSPARENT = SOL_IP, IP_TRANSPARENT;
    /// Foreign addresses, IPv6.
    TRANSPARENT6 = SOL_IPV6, IPV6_TRANSPARENT;
    /// Addresses that do not exist yet.
    FREEBIND = SOL_IP, IP_FREEBIND;
    /// Choose the port at connect time: 64 k ports per destination instead of in all.
    BIND_ADDRESS_NO_PORT = SOL_IP, IP_BIND_ADDRESS_NO_PORT;
    /// IPv6 without mapped IPv4.
    V6ONLY = IPPROTO_IPV6, IPV6_V6ONLY;
    /// What was set by hand of the two buffer sizes, and is not adapted to traffic: 1 sending, 2 receiving.
    BUFFER_LOCK = SOL_SOCKET, SO_BUF_LOCK;
    /// IPv4 type of service.
    TOS = SOL_IP, IP_TOS;
    /// IPv6 traffic class.
    TCLASS = IPPROTO_IPV6, IPV6_TCLASS;
}

fn check(r: libc::c_int) -> io::Result<libc::c_int> {
    if r < 0 { Err(io::Error::last_os_error()) } else { Ok(r) }
}

/// Opens a socket of the address's family. Blocking on purpose: io_uring does not wait for a socket with
/// `O_NONBLOCK`, it reports EAGAIN.
pub fn open(addr: &SockAddr, datagram: bool) -> io::Result<OwnedFd> {
    let kind = if datagram { libc::SOCK_DGRAM } else { libc::SOCK_STREAM };
    // SAFETY: no pointers; the result is checked and owned.
    let fd = check(unsafe { libc::socket(addr.family(), kind | libc::SOCK_CLOEXEC, 0) })?;
    // SAFETY: a fresh descriptor that nobody else owns.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Takes ownership of a descriptor that the ring has delivered.
pub fn own(fd: RawFd) -> OwnedFd {
    // SAFETY: callers pass a descriptor that a completed accept or socket call has just returned, or that they owned
    // as a number; nobody else owns it.
    unsafe { OwnedFd::from_raw_fd(fd) }
}

/// Shows a descriptor of the ring's for the time of a call.
pub fn lend<R>(fd: RawFd, f: impl FnOnce(BorrowedFd<'_>) -> R) -> R {
    // SAFETY: callers own the descriptor as a number, and it stays open during the call: they are borrowed for it.
    f(unsafe { BorrowedFd::borrow_raw(fd) })
}

/// Another descriptor for the same socket, close-on-exec.
pub fn dup(fd: RawFd) -> io::Result<OwnedFd> {
    // SAFETY: no pointers; the result is checked and owned.
    let new = check(unsafe { libc::fcntl(fd, libc::F_DUPFD_CLOEXEC, 3) })?;
    // SAFETY: a fresh descriptor that nobody else owns.
    Ok(unsafe { OwnedFd::from_raw_fd(new) })
}

/// Sets an integer option.
pub fn set(fd: RawFd, opt: IntOpt, value: i32) -> io::Result<()> {
    set_raw(fd, opt.0, opt.1, &value)
}

/// The value of an integer option.
pub fn get(fd: RawFd, opt: IntOpt) -> io::Result<i32> {
    let mut value = 0;
    get_raw(fd, opt.0, opt.1, &mut value)?;
    Ok(value)
}

fn set_raw<T: Copy>(fd: RawFd, level: i32, name: i32, value: &T) -> io::Result<()> {
    let len = size_of::<T>() as libc::socklen_t;
    // SAFETY: the kernel reads `len` bytes of `value`.
    check(unsafe { libc::setsockopt(fd, level, name, std::ptr::from_ref(value).cast(), len) })?;
    Ok(())
}

fn get_raw<T>(fd: RawFd, level: i32, name: i32, value: &mut T) -> io::Result<()> {
    let mut len = size_of::<T>() as libc::socklen_t;
    // SAFETY: the kernel writes at most `len` bytes; callers pass structures of plain integers.
    check(unsafe { libc::getsockopt(fd, level, name, std::ptr::from_mut(value).cast(), &raw mut len) })?;
    Ok(())
}

/// Binds to a network device.
pub fn bind_to_device(fd: RawFd, device: &str) -> io::Result<()> {
    let (len, ptr) = (device.len() as libc::socklen_t, device.as_ptr());
    // SAFETY: the kernel reads `len` bytes of the name.
    check(unsafe { libc::setsockopt(fd, libc::SOL_SOCKET, libc::SO_BINDTODEVICE, ptr.cast(), len) })?;
    Ok(())
}

/// The network device that a socket is bound to.
pub fn bound_device(fd: RawFd) -> Option<String> {
    let mut name = [0u8; libc::IFNAMSIZ];
    let mut len = name.len() as libc::socklen_t;
    let (level, option) = (libc::SOL_SOCKET, libc::SO_BINDTODEVICE);
    // SAFETY: the kernel writes at most `len` bytes to `name`.
    check(unsafe { libc::getsockopt(fd, level, option, name.as_mut_ptr().cast(), &raw mut len) }).ok()?;
    let end = name.iter().position(|b| *b == 0)?;
    (end > 0).then(|| String::from_utf8_lossy(&name[..end]).into_owned())
}

/// Binds to a local address.
pub fn bind(fd: RawFd, addr: &SockAddr) -> io::Result<()> {
    let raw = RawAddr::new(addr);
    let (ptr, len) = raw.as_ptr();
    // SAFETY: pointer and length describe `raw`.
    check(unsafe { libc::bind(fd, ptr, len) })?;
    Ok(())
}

/// Starts listening, or changes the backlog of a socket that listens.
pub fn listen(fd: RawFd, backlog: i32) -> io::Result<()> {
    // SAFETY: no pointers.
    check(unsafe { libc::listen(fd, backlog) })?;
    Ok(())
}

/// Connects without waiting: for datagram sockets.
pub fn connect(fd: RawFd, addr: &SockAddr) -> io::Result<()> {
    let raw = RawAddr::new(addr);
    let (ptr, len) = raw.as_ptr();
    // SAFETY: pointer and length describe `raw`.
    check(unsafe { libc::connect(fd, ptr, len) })?;
    Ok(())
}

fn unknown_family() -> io::Error {
    io::Error::from_raw_os_error(libc::EAFNOSUPPORT)
}

/// Our address.
pub fn local_addr(fd: RawFd) -> io::Result<SockAddr> {
    let mut raw = RawAddr::empty();
    let (ptr, len) = raw.as_mut_ptr();
    // SAFETY: pointer and length describe `raw`, which has room for any address.
    check(unsafe { libc::getsockname(fd, ptr, len) })?;
    raw.parse().ok_or_else(unknown_family)
}

/// The peer's address.
pub fn peer_addr(fd: RawFd) -> io::Result<SockAddr> {
    let mut raw = RawAddr::empty();
    let (ptr, len) = raw.as_mut_ptr();
    // SAFETY: pointer and length describe `raw`, which has room for any address.
    check(unsafe { libc::getpeername(fd, ptr, len) })?;
    raw.parse().ok_or_else(unknown_family)
}

/// The destination before a netfilter redirection.
pub fn original_dst(fd: RawFd, ipv6: bool) -> io::Result<SockAddr> {
    const SO_ORIGINAL_DST: i32 = 80; // also IP6T_SO_ORIGINAL_DST
    let level = if ipv6 { libc::SOL_IPV6 } else { libc::SOL_IP };
    let mut raw = RawAddr::empty();
    let (ptr, len) = raw.as_mut_ptr();
    // SAFETY: pointer and length describe `raw`, which has room for any address.
    check(unsafe { libc::getsockopt(fd, level, SO_ORIGINAL_DST, ptr.cast(), len) })?;
    raw.parse().ok_or_else(unknown_family)
}

/// Makes the close a reset: nothing lingers, unsent data is dropped.
pub fn reset_on_close(fd: RawFd) -> io::Result<()> {
    set_raw(fd, libc::SOL_SOCKET, libc::SO_LINGER, &libc::linger { l_onoff: 1, l_linger: 0 })
}

/// Ends the sending direction.
pub fn shutdown_write(fd: RawFd) -> io::Result<()> {
    // SAFETY: no pointers.
    check(unsafe { libc::shutdown(fd, libc::SHUT_WR) })?;
    Ok(())
}

/// shutdown(2) of the receiving side; a listening socket stops listening.
pub fn shutdown_read(fd: RawFd) -> io::Result<()> {
    // SAFETY: no pointers.
    check(unsafe { libc::shutdown(fd, libc::SHUT_RD) })?;
    Ok(())
}

/// A listening TCP socket answers no new connection request (SYN) any more, but completes those that it has answered,
/// and gives out what waits in its queue. Clients ask again after a second.
pub fn answer_no_more(fd: RawFd) -> io::Result<()> {
    // The filter sees the segment from the TCP header on; byte 13 holds the flags.
    const SYN: u32 = 0x02;
    let mut code = [
        filter(libc::BPF_LD | libc::BPF_B | libc::BPF_ABS, 0, 13),
        filter(libc::BPF_JMP | libc::BPF_JSET | libc::BPF_K, 1, SYN),
        filter(libc::BPF_RET | libc::BPF_K, 0, u32::MAX),
        filter(libc::BPF_RET | libc::BPF_K, 0, 0),
    ];
    let program = libc::sock_fprog { len: code.len() as u16, filter: code.as_mut_ptr() };
    // SAFETY of the pointer in it: the kernel copies `code` during the call, which it outlives.
    set_raw(fd, libc::SOL_SOCKET, libc::SO_ATTACH_FILTER, &program)
}

fn filter(code: u32, jump_if: u8, k: u32) -> libc::sock_filter {
    libc::sock_filter { code: code as u16, jt: jump_if, jf: 0, k }
}

/// Undoes `answer_no_more`, of whichever process.
pub fn answer_again(fd: RawFd) -> io::Result<()> {
    match set_raw(fd, libc::SOL_SOCKET, libc::SO_DETACH_FILTER, &0i32) {
        // There was none.
        Err(e) if e.raw_os_error() == Some(libc::ENOENT) => Ok(()),
        other => other,
    }
}

/// A connection that waits. `WouldBlock`: there is none. The socket does not block any more.
pub fn accept_now(fd: RawFd) -> io::Result<OwnedFd> {
    set_nonblock(fd, true)?;
    let accepted = nix::sys::socket::accept4(fd, nix::sys::socket::SockFlag::SOCK_CLOEXEC)?;
    // SAFETY: the kernel has just made it, for us alone.
    Ok(unsafe { OwnedFd::from_raw_fd(accepted) })
}

/// Whether a listening socket has a connection for `accept`.
pub fn has_waiting(fd: RawFd) -> bool {
    let mut p = libc::pollfd { fd, events: libc::POLLIN, revents: 0 };
    // SAFETY: `p` is one valid pollfd that outlives the call.
    (unsafe { libc::poll(&raw mut p, 1, 0) }) > 0 && p.revents & libc::POLLIN != 0
}

/// Sets or clears `O_NONBLOCK`.
pub fn set_nonblock(fd: RawFd, on: bool) -> io::Result<()> {
    let on = libc::c_int::from(on);
    // SAFETY: FIONBIO reads one int.
    check(unsafe { libc::ioctl(fd, libc::FIONBIO, &raw const on) })?;
    Ok(())
}

/// Smoothed round-trip time and its variance.
pub fn rtt(fd: RawFd) -> io::Result<(Duration, Duration)> {
    // SAFETY: plain integers; zero is valid.
    let mut info: libc::tcp_info = unsafe { std::mem::zeroed() };
    get_raw(fd, libc::IPPROTO_TCP, libc::TCP_INFO, &mut info)?;
    let us = |v: u32| Duration::from_micros(u64::from(v));
    Ok((us(info.tcpi_rtt), us(info.tcpi_rttvar)))
}

/// True when the descriptor is a stream socket: TCP or Unix.
pub fn is_stream(fd: RawFd) -> bool {
    let mut kind = 0i32;
    get_raw(fd, libc::SOL_SOCKET, libc::SO_TYPE, &mut kind).is_ok() && kind == libc::SOCK_STREAM
}

/// True when the descriptor is a listening socket.
pub fn is_listening(fd: RawFd) -> bool {
    let mut on = 0i32;
    get_raw(fd, libc::SOL_SOCKET, libc::SO_ACCEPTCONN, &mut on).is_ok() && on != 0
}

/// Datagrams that one `send_datagrams` call takes.
pub const DATAGRAMS: usize = 64;

/// Sends up to `DATAGRAMS` messages to `addr` without blocking; how many the kernel took.
pub fn send_datagrams(fd: RawFd, addr: &RawAddr, messages: &[&[u8]]) -> io::Result<usize> {
    let n = messages.len().min(DATAGRAMS);
    let (ptr, len) = addr.as_ptr();
    // SAFETY: plain integers and pointers; zero is valid.
    let (mut iovs, mut hdrs): ([libc::iovec; DATAGRAMS], [libc::mmsghdr; DATAGRAMS]) =
        unsafe { (std::mem::zeroed(), std::mem::zeroed()) };
    for (i, message) in messages.iter().take(n).enumerate() {
        iovs[i] = libc::iovec { iov_base: message.as_ptr().cast_mut().cast(), iov_len: message.len() };
        hdrs[i].msg_hdr.msg_name = ptr.cast_mut().cast();
        hdrs[i].msg_hdr.msg_namelen = len;
        hdrs[i].msg_hdr.msg_iov = &raw mut iovs[i];
        hdrs[i].msg_hdr.msg_iovlen = 1;
    }
    let flags = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;
    // SAFETY: n headers, whose addresses and vectors point to memory that outlives the call; the kernel only reads
    // through them.
    let sent = unsafe { libc::sendmmsg(fd, hdrs.as_mut_ptr(), n as u32, flags) };
    Ok(check(sent)? as usize)
}

/// Whether data waits to be read (true) or the stream has ended (false); `WouldBlock` when neither.
pub fn peek(fd: RawFd) -> io::Result<bool> {
    let mut byte = 0u8;
    // SAFETY: room for the one byte asked for.
    let n = unsafe { libc::recv(fd, (&raw mut byte).cast(), 1, libc::MSG_PEEK | libc::MSG_DONTWAIT) };
    if n < 0 { Err(io::Error::last_os_error()) } else { Ok(n > 0) }
}

/// Runs `open` in the network namespace that is mounted as `/var/run/netns/NAME` (`ip netns`), or at `name` when that is
/// a path. A socket stays in the namespace that it was opened in. Needs CAP_SYS_ADMIN.
pub fn in_namespace<T>(name: &str, open: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
    use nix::sched::{CloneFlags, setns};
    let path = if name.contains('/') { name.to_owned() } else { format!("/var/run/netns/{name}") };
    let named = |e: io::Error| io::Error::new(e.kind(), format!("namespace '{name}': {e}"));
    let target = std::fs::File::open(path).map_err(named)?;
    let own = std::fs::File::open("/proc/thread-self/ns/net")?;
    setns(&target, CloneFlags::CLONE_NEWNET).map_err(|e| named(e.into()))?;
    let opened = open();
    // Nothing on this thread may go on in a foreign namespace. It was ours a moment ago, so coming back cannot fail for
    // want of rights.
    setns(&own, CloneFlags::CLONE_NEWNET).expect("back to the own namespace");
    opened
}
