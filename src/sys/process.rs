//! What a process does to itself: fork, descriptors that it was given by number, dying of a signal.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use nix::sys::signal::{SigHandler, Signal};
use nix::unistd::ForkResult;

/// Splits the process in two: the child gets `None`, the parent the child's id. Only before any thread was
/// started (threads do not survive a fork).
pub fn fork() -> io::Result<Option<i32>> {
    // SAFETY: the caller is single-threaded, so the child may go on with everything.
    match unsafe { nix::unistd::fork() }? {
        ForkResult::Child => Ok(None),
        ForkResult::Parent { child } => Ok(Some(child.as_raw())),
    }
}

/// Takes over a descriptor that the parent process handed to us by its number (`fd@N`). It must be used once
/// only; nothing else in the process may own it.
pub fn adopt_fd(fd: RawFd) -> io::Result<OwnedFd> {
    // SAFETY: F_GETFD has no effect; the kernel checks the number.
    if fd < 0 || unsafe { libc::fcntl(fd, libc::F_GETFD) } < 0 {
        return Err(io::Error::from_raw_os_error(libc::EBADF));
    }
    // SAFETY: the descriptor is open, and by this function's contract nobody else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// A second descriptor for what another process handed to us by number: the number itself stays open and belongs
/// to nobody, so that several `bind` lines may name it.
pub fn duplicate_fd(fd: RawFd) -> io::Result<OwnedFd> {
    if fd < 0 {
        return Err(io::Error::from_raw_os_error(libc::EBADF));
    }
    // SAFETY: borrowed for this call only; a number that is not open makes the kernel answer EBADF.
    let borrowed = unsafe { BorrowedFd::borrow_raw(fd) };
    borrowed.try_clone_to_owned()
}

/// Whether a descriptor is closed when this process executes another program.
pub fn close_on_exec(fd: impl AsFd, closed: bool) -> io::Result<()> {
    let flags = if closed { nix::fcntl::FdFlag::FD_CLOEXEC } else { nix::fcntl::FdFlag::empty() };
    nix::fcntl::fcntl(fd, nix::fcntl::FcntlArg::F_SETFD(flags))?;
    Ok(())
}

/// Ends the process as the signal would by default: the parent sees which one it was.
pub fn die_of(signal: Signal) -> ! {
    // SAFETY: the default action needs no handler; nothing else runs in this thread afterwards.
    let _ = unsafe { nix::sys::signal::signal(signal, SigHandler::SigDfl) };
    let mut set = nix::sys::signal::SigSet::empty();
    set.add(signal);
    let _ = set.thread_unblock();
    let _ = nix::sys::signal::raise(signal);
    std::process::exit(128 + signal as i32)
}

/// Whether the kernel may write a core file although the user was changed (`set-dumpable`).
pub fn set_dumpable() -> io::Result<()> {
    // SAFETY: PR_SET_DUMPABLE takes integers only.
    if unsafe { libc::prctl(libc::PR_SET_DUMPABLE, 1, 0, 0, 0) } < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// The program that the command starts has no signals blocked, though this process has.
pub fn unblock_signals(command: &mut std::process::Command) {
    use std::os::unix::process::CommandExt;
    // SAFETY: between fork and exec; one system call, no memory is allocated, no lock is taken.
    unsafe { command.pre_exec(|| Ok(nix::sys::signal::SigSet::empty().thread_set_mask()?)) };
}

/// The program that the command starts gets SIGTERM when this process ends, however it ends. To be called by a process
/// with one thread only: for the kernel the parent is the thread that started it.
pub fn die_with_parent(command: &mut std::process::Command) {
    use std::os::unix::process::CommandExt;
    let parent = nix::unistd::getpid();
    let ask = move || {
        nix::sys::prctl::set_pdeathsig(Signal::SIGTERM)?;
        // It may have ended in between.
        if nix::unistd::getppid() != parent {
            return Err(io::Error::from_raw_os_error(libc::ESRCH));
        }
        Ok(())
    };
    // SAFETY: between fork and exec; two system calls, no memory is allocated, no lock is taken.
    unsafe { command.pre_exec(ask) };
}
