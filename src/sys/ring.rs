//! One io_uring with provided buffers, behind a safe face.
//!
//! Safety rests on one rule: memory that the kernel may touch is owned by the ring until the operation's last
//! completion. Buffers to send and addresses to connect to sit in `ops`, received data arrives in the
//! `Pool`. Descriptors are plain numbers: a wrong one is a bug, but not a memory error.

use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::rc::Rc;
use std::time::Duration;

use io_uring::{IoUring, squeue};
use slab::Slab;
use smallvec::SmallVec;

use super::addr::{RawAddr, SockAddr};
use super::buf::{Pool, RecvBuf, SendBuf};

/// The only group of provided buffers.
const GROUP: u16 = 0;
/// `user_data` bit: the low half indexes `Ring::ops`.
const MEMORY: u64 = 1 << 63;
/// Parts that one SENDMSG takes.
pub const GATHER: usize = 16;
/// Bytes that one send takes at most (more than one part): progress stays visible to timeouts.
pub const SEND_BYTES: usize = 256 << 10;
/// Sends up to this size are retried by the kernel until complete; larger ones report what went out.
const WAITALL_BYTES: usize = 16 << 10;

/// Parts queued for sending.
pub type Parts = SmallVec<[SendBuf; 2]>;

// Values of the kernel's interface (include/uapi/linux/io_uring.h) that the crate does not export.
const OP_POLL_ADD: u8 = 6;
const OP_SENDMSG: u8 = 9;
const OP_ACCEPT: u8 = 13;
const OP_ASYNC_CANCEL: u8 = 14;
const OP_CONNECT: u8 = 16;
const OP_CLOSE: u8 = 19;
const OP_SEND: u8 = 26;
const OP_RECV: u8 = 27;
const OP_MSG_RING: u8 = 40;
const SQE_BUFFER_SELECT: u8 = 1 << 5;
const SQE_CQE_SKIP_SUCCESS: u8 = 1 << 6;
const RECV_MULTISHOT: u16 = 1 << 1;
const ACCEPT_MULTISHOT: u16 = 1;
const POLL_ADD_MULTI: u32 = 1;
const CANCEL_ALL: u32 = 1;
const CANCEL_ANY: u32 = 1 << 2;
const CQE_F_BUFFER: u32 = 1;
const CQE_F_MORE: u32 = 2;
const ENTER_GETEVENTS: u32 = 1;
const ENTER_EXT_ARG: u32 = 1 << 3;
const ENTER_REGISTERED_RING: u32 = 1 << 4;
const ENTER_NO_IOWAIT: u32 = 1 << 7;
const REGISTER_RING_FDS: u32 = 20;

/// One submission queue entry, as the kernel lays it out. The crate's builders lack some fields (`optlen`).
#[repr(C)]
#[derive(Clone, Copy, Default)]
struct Sqe {
    opcode: u8,
    flags: u8,
    ioprio: u16,
    fd: i32,
    off: u64,
    addr: u64,
    len: u32,
    op_flags: u32,
    user_data: u64,
    buf_index: u16,
    personality: u16,
    /// `file_index`, or `optlen` of a multishot receive (6.17).
    file_index: u32,
    addr3: u64,
    pad: u64,
}
const _: () = assert!(size_of::<Sqe>() == 64 && size_of::<squeue::Entry>() == 64);

/// `struct io_uring_getevents_arg`.
#[repr(C)]
struct WaitArg {
    sigmask: u64,
    sigmask_len: u32,
    min_wait_usec: u32,
    ts: u64,
}

/// What a completion brings along.
#[derive(Debug)]
pub enum Data {
    /// Nothing.
    None,
    /// Received bytes.
    Buf(RecvBuf),
    /// Parts of a send that the kernel did not take.
    Unsent(Box<Parts>),
}

/// One completion.
#[derive(Debug)]
pub struct Completion {
    /// The token given at submission.
    pub token: u64,
    /// Result, a negated errno when negative.
    pub res: i32,
    /// Further completions of this operation follow.
    pub more: bool,
    /// What it brings along.
    pub data: Data,
}

/// Names an operation that holds memory, for `cancel`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OpKey(u64);

impl OpKey {
    /// The key of an operation without memory: its token.
    pub fn token(token: u64) -> OpKey {
        debug_assert_eq!(token & MEMORY, 0);
        OpKey(token)
    }

    /// A key as another driver numbers it.
    pub fn raw(bits: u64) -> OpKey {
        OpKey(bits)
    }

    /// The number behind it.
    pub fn bits(self) -> u64 {
        self.0
    }
}

/// Memory that an operation in flight holds.
enum Op {
    Send { token: u64, part: SendBuf },
    Gather { token: u64, msg: Box<Message> },
    Connect { token: u64, _addr: Box<RawAddr> },
}

/// A gathering send in flight. Boxed and recycled; `hdr` points into `iov`.
struct Message {
    hdr: libc::msghdr,
    iov: [libc::iovec; GATHER],
    parts: SmallVec<[SendBuf; GATHER]>,
}

/// How long `enter` may sleep.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Wait {
    /// Not at all.
    No,
    /// Until the first completion, or this long.
    For(Duration),
    /// Until the first completion.
    Forever,
}

/// Set-up values of a ring.
#[derive(Clone, Debug)]
pub struct RingConfig {
    /// Submission queue entries; the completion queue gets eight times as many.
    pub entries: u32,
    /// Bytes of one receive buffer.
    pub buf_size: usize,
    /// Receive buffers at the start.
    pub bufs_initial: u32,
    /// Receive buffers at most.
    pub bufs_max: u32,
    /// Use nothing newer than kernel 6.1, to test what it does without.
    pub oldest_kernel: bool,
}

/// One thread's io_uring. Must be made and used on one thread (`SINGLE_ISSUER`).
pub struct Ring {
    uring: IoUring,
    /// What to pass to `io_uring_enter`: the registered index, or the descriptor.
    enter_fd: i32,
    enter_flags: u32,
    pool: Rc<Pool>,
    ops: Slab<Op>,
    #[expect(
        clippy::vec_box,
        reason = "the boxes' addresses are what the kernel knows; they are recycled whole"
    )]
    messages: Vec<Box<Message>>,
    /// Operations whose last completion is still to come.
    inflight: usize,
    /// Completions copied out of the ring: the next one is at `reaped_at`.
    reaped: Vec<(u64, i32, u32)>,
    reaped_at: usize,
    /// Multishot receives can be bounded (6.17).
    recv_limit: bool,
    messages_work: bool,
    /// `io_uring_enter` calls made.
    enters: u64,
}

impl Ring {
    /// Sets up the ring and its buffers.
    pub fn new(config: &RingConfig) -> io::Result<Ring> {
        // Memory may be short for a moment only (many processes starting, or one that has just ended and whose rings
        // the kernel takes down behind its back): a thread that does not start is worse than one that starts late.
        let mut attempt = 0;
        loop {
            match Ring::try_new(config) {
                Err(e) if attempt < 20 && matches!(e.raw_os_error(), Some(libc::ENOMEM | libc::EAGAIN)) => {
                    attempt += 1;
                    super::thread::pause(Duration::from_millis(10));
                }
                other => return other,
            }
        }
    }

    fn try_new(config: &RingConfig) -> io::Result<Ring> {
        let uring = setup(config.entries, config.oldest_kernel)?;
        let pool = Pool::new(config.buf_size, config.bufs_initial, config.bufs_max)?;
        let (addr, entries) = pool.ring();
        // SAFETY: the mapping holds `entries` entries and lives until after the ring is closed: `pool` is
        // dropped after `uring` (see `Drop`), or leaked.
        unsafe { uring.submitter().register_buf_ring_with_flags(addr, entries, GROUP, 0)? };
        let fd = uring.as_raw_fd();
        let (enter_fd, registered) = match register_ring_fd(fd) {
            Some(index) => (index, ENTER_REGISTERED_RING),
            None => (fd, 0),
        };
        let no_iowait = if uring.params().is_feature_no_iowait() { ENTER_NO_IOWAIT } else { 0 };
        let mut ring = Ring {
            uring,
            enter_fd,
            enter_flags: ENTER_GETEVENTS | ENTER_EXT_ARG | registered | no_iowait,
            pool,
            ops: Slab::new(),
            messages: Vec::new(),
            inflight: 0,
            reaped: Vec::new(),
            reaped_at: 0,
            recv_limit: false,
            messages_work: false,
            enters: 0,
        };
        ring.recv_limit = !config.oldest_kernel && ring.probe_recv_limit();
        // Messages to rings with DEFER_TASKRUN were mended several times up to 6.6.
        ring.messages_work = !config.oldest_kernel && kernel_version() >= (6, 6);
        Ok(ring)
    }

    /// Whether this kernel takes `optlen` on a multishot receive: older ones refuse it with EINVAL before they look
    /// at the descriptor, newer ones get as far as EBADF.
    fn probe_recv_limit(&mut self) -> bool {
        self.push(Sqe { file_index: 4096, ..recv_multi(-1, 0) });
        self.inflight += 1;
        let _ = self.enter(Wait::No);
        self.next().is_some_and(|c| c.res == -libc::EBADF)
    }

    /// The descriptor, for `msg_ring` from other threads.
    pub fn fd(&self) -> RawFd {
        self.uring.as_raw_fd()
    }

    /// The receive buffers.
    pub fn pool(&self) -> &Rc<Pool> {
        &self.pool
    }

    /// Operations whose last completion is still to come.
    pub fn inflight(&self) -> usize {
        self.inflight
    }

    /// Operations that own memory now.
    pub fn held_ops(&self) -> usize {
        self.ops.len()
    }

    /// `io_uring_enter` calls made.
    pub fn enters(&self) -> u64 {
        self.enters
    }

    fn push(&mut self, sqe: Sqe) {
        loop {
            // SAFETY: `Sqe` has the layout of the kernel's entry, and so has the crate's (checked above; both
            // repr(C), plain integers).
            let entry: squeue::Entry = unsafe { std::mem::transmute(sqe) };
            // SAFETY: every pointer in the entry refers to memory that `ops` or `pool` keeps until the last
            // completion, which is this type's rule.
            if unsafe { self.uring.submission().push(&entry) }.is_ok() {
                return;
            }
            // The queue is full: hand it over. An error here (EBUSY, EAGAIN) passes once completions are
            // taken, and they are kept aside for `next`.
            let _ = self.enter(Wait::No);
        }
    }

    /// Receives into provided buffers until error, end, or `window` bytes. Before kernel 6.17 a multishot receive cannot
    /// be bounded: it would move up to 64 buffers for one client before a cancel comes through, so there it is a single
    /// receive of one buffer (half a microsecond more per request).
    pub fn recv(&mut self, fd: RawFd, token: u64, window: u32) {
        let sqe = recv_multi(fd, token);
        if self.recv_limit {
            self.push(Sqe { file_index: window, ..sqe });
        } else {
            self.push(Sqe { ioprio: 0, ..sqe });
        }
        self.inflight += 1;
    }

    /// Sends the first parts of `queue` (at least one, at most `GATHER` and about `SEND_BYTES`), taking them out. The
    /// completion's `res` is the number of bytes sent, parts not sent come back with it.
    pub fn send(&mut self, fd: RawFd, token: u64, queue: &mut Parts) -> OpKey {
        self.send_with(fd, token, queue, 0)
    }

    /// Like `send`, for the last bytes before a close in the same submission: they wait for the FIN (`MSG_MORE`), and
    /// leave with it as one segment.
    pub fn send_last(&mut self, fd: RawFd, token: u64, queue: &mut Parts) -> OpKey {
        self.send_with(fd, token, queue, libc::MSG_MORE as u32)
    }

    fn send_with(&mut self, fd: RawFd, token: u64, queue: &mut Parts, more: u32) -> OpKey {
        let (mut n, mut bytes) = (0, 0);
        for part in queue.iter().take(GATHER) {
            n += 1;
            bytes += part.len();
            if bytes >= SEND_BYTES {
                break;
            }
        }
        debug_assert!(n > 0, "nothing to send");
        if n > 1 {
            return self.gather(fd, token, queue, n, more);
        }
        let part = if queue.len() == 1 { queue.pop().expect("one part") } else { queue.remove(0) };
        let (addr, len) = (part.as_slice().as_ptr() as u64, part.len());
        // Moving the part into the slab leaves its bytes where they are: they are on the heap, in the pool, or
        // static.
        let index = self.ops.insert(Op::Send { token, part });
        let op_flags = send_flags(len) | more;
        let len = len.min(1 << 30) as u32;
        self.submit_op(index, Sqe { opcode: OP_SEND, fd, addr, len, op_flags, ..Sqe::default() })
    }

    fn gather(&mut self, fd: RawFd, token: u64, queue: &mut Parts, n: usize, more: u32) -> OpKey {
        let mut msg = self.messages.pop().unwrap_or_else(Message::new);
        msg.parts.extend(queue.drain(..n));
        let mut len = 0;
        for (iov, part) in msg.iov.iter_mut().zip(&msg.parts) {
            let bytes = part.as_slice();
            len += bytes.len();
            *iov = libc::iovec { iov_base: bytes.as_ptr().cast_mut().cast(), iov_len: bytes.len() };
        }
        msg.hdr.msg_iov = msg.iov.as_mut_ptr();
        msg.hdr.msg_iovlen = n;
        let addr = &raw const msg.hdr as u64;
        let index = self.ops.insert(Op::Gather { token, msg });
        let op_flags = send_flags(len) | more;
        self.submit_op(index, Sqe { opcode: OP_SENDMSG, fd, addr, len: 1, op_flags, ..Sqe::default() })
    }

    fn submit_op(&mut self, index: usize, sqe: Sqe) -> OpKey {
        let user_data = MEMORY | index as u64;
        self.push(Sqe { user_data, ..sqe });
        self.inflight += 1;
        OpKey(user_data)
    }

    /// Connects; `res` is 0 or a negated errno.
    pub fn connect(&mut self, fd: RawFd, token: u64, addr: &SockAddr) -> OpKey {
        let raw = Box::new(RawAddr::new(addr));
        let (ptr, len) = raw.as_ptr();
        let index = self.ops.insert(Op::Connect { token, _addr: raw });
        let (addr, off) = (ptr as u64, u64::from(len));
        self.submit_op(index, Sqe { opcode: OP_CONNECT, fd, addr, off, ..Sqe::default() })
    }

    /// Accepts one connection, or all until an error; each completion's `res` is a new descriptor (close-on-exec).
    pub fn accept(&mut self, fd: RawFd, token: u64, multishot: bool) {
        self.push(Sqe {
            opcode: OP_ACCEPT,
            fd,
            ioprio: if multishot { ACCEPT_MULTISHOT } else { 0 },
            op_flags: libc::SOCK_CLOEXEC as u32,
            user_data: token,
            ..Sqe::default()
        });
        self.inflight += 1;
    }

    /// Waits for `events` (`POLLIN`...); repeats when `multi`, on every new event (edge-triggered).
    pub fn poll(&mut self, fd: RawFd, token: u64, events: u32, multi: bool) {
        let len = if multi { POLL_ADD_MULTI } else { 0 };
        let sqe = Sqe { opcode: OP_POLL_ADD, fd, len, op_flags: events, user_data: token, ..Sqe::default() };
        self.push(sqe);
        self.inflight += 1;
    }

    /// Asks for the end of an operation; its last completion still comes.
    pub fn cancel(&mut self, key: OpKey, token: u64) {
        // A cancel that finds nothing (the operation has just completed) posts ENOENT with this token: ignored.
        self.push(Sqe {
            opcode: OP_ASYNC_CANCEL,
            flags: SQE_CQE_SKIP_SUCCESS,
            fd: -1,
            addr: key.0,
            user_data: token,
            ..Sqe::default()
        });
    }

    /// Cancels all the operations that share a key: `cancel` finds the same first one again and again.
    pub fn cancel_each(&mut self, key: OpKey, token: u64) {
        self.push(Sqe {
            opcode: OP_ASYNC_CANCEL,
            flags: SQE_CQE_SKIP_SUCCESS,
            fd: -1,
            addr: key.0,
            op_flags: CANCEL_ALL,
            user_data: token,
            ..Sqe::default()
        });
    }

    /// Closes a descriptor with the next submission. No completion unless it fails.
    pub fn close(&mut self, fd: RawFd, token: u64) {
        self.push(Sqe {
            opcode: OP_CLOSE,
            flags: SQE_CQE_SKIP_SUCCESS,
            fd,
            user_data: token,
            ..Sqe::default()
        });
    }

    /// Posts a completion with `remote` as token into another ring. Our own completion carries `token`; both must be
    /// quiet. False when this kernel cannot.
    pub fn msg_ring(&mut self, fd: RawFd, remote: u64, token: u64) -> bool {
        debug_assert!(is_quiet(token) && is_quiet(remote));
        if !self.messages_work {
            return false;
        }
        self.push(Sqe { opcode: OP_MSG_RING, fd, off: remote, user_data: token, ..Sqe::default() });
        true
    }

    /// Submits what was queued, sleeps as `wait` says and takes over the completions. Interruption by a signal and
    /// the end of the wait are not errors.
    pub fn enter(&mut self, wait: Wait) -> io::Result<()> {
        let to_submit = self.uring.submission().len() as u32;
        let error = self.enter_raw(to_submit, wait).err();
        self.reap();
        let Some(error) = error else { return Ok(()) };
        match error.raw_os_error() {
            // EBUSY: the completion queue had overflowed. What was not submitted stays queued for the next call.
            Some(libc::EINTR | libc::ETIME | libc::EBUSY) => Ok(()),
            // No memory for requests right now: do not spin until there is.
            Some(libc::EAGAIN | libc::ENOMEM) => {
                let _ = self.enter_raw(0, Wait::For(Duration::from_millis(1)));
                self.reap();
                Ok(())
            }
            _ => Err(io::Error::new(error.kind(), format!("io_uring_enter: {error}"))),
        }
    }

    fn enter_raw(&mut self, to_submit: u32, wait: Wait) -> io::Result<()> {
        let ts;
        let mut arg = WaitArg { sigmask: 0, sigmask_len: 8, min_wait_usec: 0, ts: 0 };
        let want = match wait {
            Wait::No => 0,
            Wait::Forever => 1,
            Wait::For(d) => {
                ts = [d.as_secs().min(i64::MAX as u64) as i64, i64::from(d.subsec_nanos())];
                arg.ts = ts.as_ptr() as u64;
                1
            }
        };
        self.enters += 1;
        // SAFETY: the descriptor is our ring's (or its registered index, with the flag that says so), `arg` and
        // `ts` outlive the call. Queued entries obey `push`'s promise.
        let r = unsafe {
            libc::syscall(
                libc::SYS_io_uring_enter,
                self.enter_fd,
                to_submit,
                want,
                self.enter_flags,
                &raw const arg,
                size_of::<WaitArg>(),
            )
        };
        if r < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
    }

    fn reap(&mut self) {
        if self.reaped_at == self.reaped.len() {
            self.reaped.clear();
            self.reaped_at = 0;
        }
        for cqe in self.uring.completion() {
            self.reaped.push((cqe.user_data(), cqe.result(), cqe.flags()));
        }
    }

    /// The next completion that `enter` has taken over.
    #[expect(clippy::should_implement_trait, reason = "not an iterator: pushing is allowed in between")]
    pub fn next(&mut self) -> Option<Completion> {
        let &(user_data, res, flags) = self.reaped.get(self.reaped_at)?;
        self.reaped_at += 1;
        let more = flags & CQE_F_MORE != 0;
        if user_data & MEMORY != 0 {
            self.inflight -= 1;
            return Some(self.finish_op(user_data, res));
        }
        let data = if flags & CQE_F_BUFFER != 0 {
            // A buffer comes with every flagged completion, an empty one at the end of the stream on some
            // kernels: taking and dropping it gives it back.
            Data::Buf(self.pool.taken((flags >> 16) as u16, res.max(0) as usize))
        } else {
            Data::None
        };
        if !more && !is_quiet(user_data) {
            self.inflight -= 1;
        }
        Some(Completion { token: user_data, res, more, data })
    }

    fn finish_op(&mut self, user_data: u64, res: i32) -> Completion {
        let done = |token, data| Completion { token, res, more: false, data };
        match self.ops.remove((user_data & !MEMORY) as usize) {
            Op::Connect { token, .. } => done(token, Data::None),
            Op::Send { token, mut part } => {
                let sent = res.max(0) as usize;
                if sent == part.len() {
                    part.recycle();
                    return done(token, Data::None);
                }
                part.advance(sent);
                done(token, Data::Unsent(Box::new(smallvec::smallvec![part])))
            }
            Op::Gather { token, mut msg } => {
                let mut sent = res.max(0) as usize;
                let mut rest = Parts::new();
                for mut part in msg.parts.drain(..) {
                    let n = sent.min(part.len());
                    sent -= n;
                    if n == part.len() {
                        part.recycle();
                    } else {
                        part.advance(n);
                        rest.push(part);
                    }
                }
                self.messages.push(msg);
                done(token, if rest.is_empty() { Data::None } else { Data::Unsent(Box::new(rest)) })
            }
        }
    }

    /// Housekeeping of the buffers, about once per second and with all completions taken.
    pub fn tend(&mut self) {
        if self.reaped_at == self.reaped.len() && !self.uring.submission().cq_overflow() {
            self.pool.tend();
        }
    }

    /// Cancels everything and waits for the last completions, for up to `patience` turns of 100 ms; true when nothing
    /// is in flight any more.
    pub fn drain(&mut self, patience: u32) -> bool {
        let op_flags = CANCEL_ALL | CANCEL_ANY;
        self.push(Sqe { opcode: OP_ASYNC_CANCEL, fd: -1, op_flags, user_data: QUIET, ..Sqe::default() });
        for turn in 0..=patience {
            let wait = if turn == 0 { Wait::No } else { Wait::For(Duration::from_millis(100)) };
            let _ = self.enter(wait);
            while let Some(c) = self.next() {
                if c.res >= 0 && is_accept(c.token) {
                    self.close(c.res, QUIET);
                }
            }
            if self.inflight == 0 {
                break;
            }
        }
        // Closes that were queued just now.
        let _ = self.enter(Wait::No);
        self.inflight == 0
    }
}

/// Token bit of operations whose completion is optional: it is not counted as in flight.
pub const QUIET: u64 = 1 << 62;
/// Token bit of accepts: `drain` closes the descriptors that they still deliver.
pub const ACCEPT: u64 = 1 << 61;

fn is_quiet(token: u64) -> bool {
    token & QUIET != 0
}

fn is_accept(token: u64) -> bool {
    token & (MEMORY | QUIET | ACCEPT) == ACCEPT
}

fn recv_multi(fd: RawFd, token: u64) -> Sqe {
    Sqe {
        opcode: OP_RECV,
        flags: SQE_BUFFER_SELECT,
        ioprio: RECV_MULTISHOT,
        fd,
        user_data: token,
        buf_index: GROUP,
        ..Sqe::default()
    }
}

fn send_flags(len: usize) -> u32 {
    let all = if len <= WAITALL_BYTES { libc::MSG_WAITALL } else { 0 };
    (libc::MSG_NOSIGNAL | all) as u32
}

impl Message {
    fn new() -> Box<Message> {
        // SAFETY: msghdr and iovec are plain C structures of integers and pointers; zero is valid for both.
        let (hdr, iov) = unsafe { (std::mem::zeroed(), std::mem::zeroed()) };
        Box::new(Message { hdr, iov, parts: SmallVec::new() })
    }
}

impl Drop for Ring {
    fn drop(&mut self) {
        self.pool.close();
        if !self.drain(20) {
            // The kernel may still touch this memory: better leaked than freed.
            std::mem::forget(std::mem::take(&mut self.ops));
            std::mem::forget(self.pool.clone());
        }
        // `uring` closes before the last reference to `pool` can go: fields drop in order of declaration.
    }
}

fn setup(entries: u32, oldest_kernel: bool) -> io::Result<IoUring> {
    let mut builder = IoUring::builder();
    builder
        .setup_single_issuer()
        .setup_defer_taskrun()
        .setup_coop_taskrun()
        .setup_submit_all()
        .setup_clamp()
        .setup_cqsize(entries * 8);
    let plain = builder.clone();
    if oldest_kernel {
        return plain.build(entries);
    }
    // NO_SQARRAY came with 6.6.
    match builder.setup_no_sqarray().build(entries) {
        Err(e) if e.raw_os_error() == Some(libc::EINVAL) => plain.build(entries),
        other => other,
    }
}

/// Registers the ring's descriptor with itself, which saves `io_uring_enter` a look-up. `None` when refused.
fn register_ring_fd(fd: RawFd) -> Option<i32> {
    #[repr(C)]
    struct RsrcUpdate {
        offset: u32,
        resv: u32,
        data: u64,
    }
    let mut arg = RsrcUpdate { offset: u32::MAX, resv: 0, data: fd as u64 };
    // SAFETY: `arg` is the structure that the call reads and writes, for one entry.
    let r = unsafe { libc::syscall(libc::SYS_io_uring_register, fd, REGISTER_RING_FDS, &raw mut arg, 1) };
    (r == 1).then_some(arg.offset as i32)
}

/// The kernel's version as (major, minor).
pub fn kernel_version() -> (u32, u32) {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(|n| n.parse().unwrap_or(0));
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0))
}

/// Checks that a ring as we need it can be set up. The error is one line that says what is missing and what to do.
pub fn probe() -> Result<(), String> {
    let (major, minor) = kernel_version();
    if (major, minor) < (6, 1) && major > 0 {
        return Err(format!("this kernel is {major}.{minor}: at least Linux 6.1 is needed (io_uring)"));
    }
    let config =
        RingConfig { entries: 8, buf_size: 4096, bufs_initial: 0, bufs_max: 64, oldest_kernel: false };
    match Ring::new(&config) {
        Ok(_ring) => Ok(()),
        Err(e) => Err(explain(&e)),
    }
}

/// Says what to do about a failure to set up a ring.
pub fn explain(e: &io::Error) -> String {
    match e.raw_os_error() {
        Some(libc::EPERM | libc::EACCES) => {
            let sysctl = std::fs::read_to_string("/proc/sys/kernel/io_uring_disabled").unwrap_or_default();
            match sysctl.trim() {
                "1" => "io_uring is reserved to a group: set kernel.io_uring_group to ours, or run \
                        'sysctl kernel.io_uring_disabled=0'"
                    .to_owned(),
                "2" => "io_uring is disabled: run 'sysctl kernel.io_uring_disabled=0'".to_owned(),
                _ => "io_uring is forbidden (EPERM), most likely by a seccomp profile of a container: allow \
                      io_uring_setup, io_uring_enter and io_uring_register (Docker: '--security-opt seccomp=...'; \
                      systemd: 'SystemCallFilter=@io-event @aio')"
                    .to_owned(),
            }
        }
        Some(libc::ENOSYS) => {
            "io_uring is missing (ENOSYS): the kernel is built without CONFIG_IO_URING, or a \
                               sandbox hides it"
                .to_owned()
        }
        Some(libc::ENOMEM) => {
            "io_uring cannot be set up (ENOMEM): raise the locked-memory limit (ulimit -l) or \
                               the memory limit"
                .to_owned()
        }
        Some(libc::EMFILE | libc::ENFILE) => "io_uring cannot be set up: out of file descriptors".to_owned(),
        _ => format!("io_uring cannot be set up: {e}"),
    }
}
