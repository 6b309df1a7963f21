//! Termination states: who ended a session, and what it was doing then (manual section 8.5).

/// The first event that ended the session: the first character of the termination state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Cause {
    /// Both sides closed with nothing left to send.
    #[default]
    Normal,
    /// The client aborted.
    Client,
    /// The server aborted or refused.
    Server,
    /// The proxy refused: a limit, a rule, an invalid message.
    Proxy,
    /// Answered by the proxy itself: redirects, statistics.
    Local,
    /// A resource of the proxy ran out.
    Resource,
    /// An internal error.
    Internal,
    /// The server went down and its sessions are killed.
    Down,
    /// An active server came up and the sessions of the backup are killed.
    Up,
    /// Killed by an administrator.
    Killed,
    /// The client's timeout struck.
    ClientTimeout,
    /// The server's timeout struck.
    ServerTimeout,
}

impl Cause {
    /// The character in the log line.
    pub fn letter(self) -> u8 {
        match self {
            Cause::Normal => b'-',
            Cause::Client => b'C',
            Cause::Server => b'S',
            Cause::Proxy => b'P',
            Cause::Local => b'L',
            Cause::Resource => b'R',
            Cause::Internal => b'I',
            Cause::Down => b'D',
            Cause::Up => b'U',
            Cause::Killed => b'K',
            Cause::ClientTimeout => b'c',
            Cause::ServerTimeout => b's',
        }
    }
}

/// What the session was doing when it ended: the second character.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Phase {
    /// It was over.
    #[default]
    Over,
    /// Waiting for a complete request.
    Request,
    /// Waiting in a queue for a connection slot.
    Queue,
    /// Connecting to the server.
    Connect,
    /// Waiting for a complete response head.
    Headers,
    /// Transferring data.
    Data,
    /// Sending the last data to the client; the server had finished.
    Last,
    /// Tarpitted.
    Tarpit,
}

impl Phase {
    /// The character in the log line.
    pub fn letter(self) -> u8 {
        match self {
            Phase::Over => b'-',
            Phase::Request => b'R',
            Phase::Queue => b'Q',
            Phase::Connect => b'C',
            Phase::Headers => b'H',
            Phase::Data => b'D',
            Phase::Last => b'L',
            Phase::Tarpit => b'T',
        }
    }
}

/// Cause and phase. Only the first event counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Termination {
    cause: Cause,
    phase: Phase,
}

impl Termination {
    /// Note what ended the session, unless something did so before.
    pub fn note(&mut self, cause: Cause, phase: Phase) {
        if self.cause == Cause::Normal {
            *self = Termination { cause, phase };
        }
    }

    /// The first cause noted.
    pub fn cause(&self) -> Cause {
        self.cause
    }

    /// True while nothing was noted.
    pub fn is_normal(&self) -> bool {
        self.cause == Cause::Normal
    }

    /// The four characters; `cookie` are the last two (`--` where they do not apply).
    pub fn letters(&self, cookie: [u8; 2]) -> [u8; 4] {
        [self.cause.letter(), self.phase.letter(), cookie[0], cookie[1]]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_first_event_counts() {
        let mut t = Termination::default();
        assert_eq!(&t.letters(*b"--"), b"----");
        t.note(Cause::ServerTimeout, Phase::Headers);
        t.note(Cause::Client, Phase::Data);
        assert_eq!(&t.letters(*b"NI"), b"sHNI");
        assert!(!t.is_normal());
    }
}
