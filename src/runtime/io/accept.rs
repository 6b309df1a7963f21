//! Listening sockets: accepting, backing off, pausing.

use super::*;

impl Io {
    pub(crate) fn insert_acceptor(&mut self, fd: i32) -> u32 {
        self.acceptors.insert(Acceptor {
            fd,
            armed: 0,
            multishot: false,
            cancelling: false,
            room: u32::MAX,
            paused: false,
            closed: false,
            error: 0,
            queue: VecDeque::new(),
            task: TaskId::NONE,
        }) as u32
    }

    pub(super) fn arm_accept(&mut self, slot: u32) {
        let at_a_time = if self.driver.is_sim() { 1 } else { ACCEPTS };
        let acceptor = &mut self.acceptors[slot as usize];
        let held = acceptor.queue.len();
        if acceptor.cancelling || acceptor.paused || acceptor.error != 0 || held >= ACCEPT_QUEUE / 2 {
            return;
        }
        let multishot = acceptor.room >= ACCEPT_BURST;
        if acceptor.armed == 0 {
            acceptor.multishot = multishot;
        } else if acceptor.multishot && !multishot {
            return self.cancel_accept(slot);
        }
        let wanted = match acceptor.multishot {
            true => 1,
            false => acceptor.room.min(at_a_time).saturating_sub(held as u32),
        };
        let (fd, multishot) = (acceptor.fd, acceptor.multishot);
        while self.acceptors[slot as usize].armed < wanted {
            self.acceptors[slot as usize].armed += 1;
            self.driver.accept(fd, token(Kind::Accept, slot), multishot);
        }
    }

    pub(super) fn cancel_accept(&mut self, slot: u32) {
        let acceptor = &mut self.acceptors[slot as usize];
        if acceptor.armed > 0 && !acceptor.cancelling {
            acceptor.cancelling = true;
            self.driver.cancel_each(OpKey::token(token(Kind::Accept, slot)));
        }
    }

    /// How many more connections are wanted.
    pub(crate) fn accept_room(&mut self, slot: u32, room: u32) {
        self.acceptors[slot as usize].room = room;
    }

    /// An accepted descriptor that waits, even while accepting is paused.
    pub(crate) fn take_accepted(&mut self, slot: u32) -> Option<i32> {
        self.acceptors[slot as usize].queue.pop_front()
    }

    /// The next accepted descriptor. An error is reported once, and accepting goes on with the next call.
    pub(crate) fn poll_accept(&mut self, slot: u32, task: TaskId) -> Poll<io::Result<i32>> {
        let acceptor = &mut self.acceptors[slot as usize];
        acceptor.task = task;
        if acceptor.paused {
            return Poll::Pending;
        }
        let next = acceptor.queue.pop_front();
        if next.is_none() && acceptor.error != 0 {
            return Poll::Ready(Err(errno(std::mem::take(&mut acceptor.error))));
        }
        if next.is_some() && acceptor.room < ACCEPT_BURST {
            acceptor.room = acceptor.room.saturating_sub(1);
        }
        self.arm_accept(slot);
        match next {
            Some(fd) => Poll::Ready(Ok(fd)),
            None => Poll::Pending,
        }
    }

    /// Nothing is being accepted.
    pub(crate) fn accepts_nothing(&self, slot: u32) -> bool {
        self.acceptors[slot as usize].armed == 0
    }

    /// Pauses or resumes; returns the task to wake.
    pub(crate) fn pause_accept(&mut self, slot: u32, pause: bool) -> TaskId {
        self.acceptors[slot as usize].paused = pause;
        if pause {
            self.cancel_accept(slot);
        } else {
            self.arm_accept(slot);
        }
        self.acceptors[slot as usize].task
    }

    /// Ends a listener.
    pub(crate) fn remove_acceptor(&mut self, slot: u32) {
        self.cancel_accept(slot);
        let acceptor = &mut self.acceptors[slot as usize];
        acceptor.closed = true;
        let fd = acceptor.fd;
        let armed = acceptor.armed > 0;
        for fd in std::mem::take(&mut acceptor.queue) {
            self.driver.close(fd);
        }
        self.driver.close(fd);
        if !armed {
            self.acceptors.remove(slot as usize);
        }
    }

    pub(super) fn accepted(&mut self, slot: u32, c: &Completion, exec: &mut Exec) {
        let acceptor = &mut self.acceptors[slot as usize];
        if c.res >= 0 {
            if acceptor.closed {
                self.driver.close(c.res);
            } else {
                acceptor.queue.push_back(c.res);
            }
        } else if !matches!(-c.res, libc::ECANCELED | libc::ECONNABORTED | libc::EINTR | libc::EAGAIN) {
            acceptor.error = -c.res;
        }
        if !c.more {
            acceptor.armed -= 1;
        }
        if acceptor.armed == 0 {
            acceptor.cancelling = false;
            if acceptor.closed {
                self.acceptors.remove(slot as usize);
                return;
            }
        }
        exec.wake(std::mem::replace(&mut acceptor.task, TaskId::NONE));
        if acceptor.queue.len() >= ACCEPT_QUEUE {
            self.cancel_accept(slot);
        } else {
            self.arm_accept(slot);
        }
    }

    // ---- completions
}
