//! One connection to the master's admin socket.

use std::collections::VecDeque;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use nix::poll::PollFlags;
use nix::sys::socket::{Shutdown, shutdown};

use super::commands::{self, Next};
use super::input::{Event, Input, Piece, Prefix, prefix};
use super::relay::{Io, Outgoing, Relay, read};
use crate::cli::Level;
use crate::process::master::Ns;
use crate::process::master::state::Record;
use crate::process::master::supervisor::Master;

/// Steps of one session in a row, so that others have their turn.
const STEPS: usize = 64;
/// With so many bytes on their way to a client that does not read, a payload's lines are not prompted for any more.
const PROMPTS_MAX: usize = 1 << 10;
/// How long the end of a client is awaited that has its last answer.
const LINGER_MAX: Duration = Duration::from_secs(5);

/// Where commands without a prefix go.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Target {
    /// This process.
    #[default]
    Master,
    /// Whatever worker serves.
    Serving,
    /// That worker.
    Pid(i32),
}

/// How a session goes on after a line of commands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// It ends.
    Single,
    /// It waits for the next line.
    #[default]
    Interactive,
    /// The same, with a prompt.
    Prompt,
}

/// What commands change.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct State {
    /// What it may do.
    pub level: Level,
    /// How it goes on.
    pub mode: Mode,
    /// The prompt shows how long the master has run.
    pub timed: bool,
    /// `expert-mode on`.
    pub expert: bool,
    /// `experimental-mode on`.
    pub experimental: bool,
    /// `mcli-debug-mode on`.
    pub debug: bool,
    /// Where commands go.
    pub target: Target,
}

impl State {
    /// What a worker is told about a connection that it is given.
    pub fn access(&self, interactive: bool) -> String {
        let mut text = self.level.name().to_owned();
        let prompt = interactive && self.mode == Mode::Prompt;
        let words = [
            (self.expert, " expert"),
            (self.experimental, " experimental"),
            (prompt, " prompt"),
            (interactive && !prompt, " interactive"),
        ];
        words.into_iter().filter(|(on, _)| *on).for_each(|(_, word)| text.push_str(word));
        text
    }

    fn save(&self) -> [String; 4] {
        let mode = match self.mode {
            Mode::Single => 'n',
            Mode::Interactive => 'i',
            Mode::Prompt => 'p',
        };
        let flags = [
            (true, mode),
            (self.timed, 't'),
            (self.expert, 'e'),
            (self.experimental, 'x'),
            (self.debug, 'd'),
        ];
        let target = match self.target {
            Target::Master => "master".to_owned(),
            Target::Serving => "serving".to_owned(),
            Target::Pid(pid) => pid.to_string(),
        };
        let flags = flags.into_iter().filter(|(on, _)| *on).map(|(_, c)| c).collect();
        [self.level.name().to_owned(), flags, target, String::new()]
    }

    fn restore(level: &str, flags: &str, target: &str) -> State {
        let has = |c| flags.contains(c);
        State {
            // Nobody may do more than before.
            level: Level::parse(level).unwrap_or(Level::User),
            mode: match (has('p'), has('n')) {
                (true, _) => Mode::Prompt,
                (_, true) => Mode::Single,
                _ => Mode::Interactive,
            },
            timed: has('t'),
            expert: has('e'),
            experimental: has('x'),
            debug: has('d'),
            target: match target {
                "serving" => Target::Serving,
                pid => pid.parse().map_or(Target::Master, Target::Pid),
            },
        }
    }
}

/// What it waits for.
#[derive(Debug)]
enum Job {
    /// The client.
    None,
    /// A worker's answer.
    Relay(Relay),
    /// The end of a reload; `put_off`: of the one after the start that runs now.
    Reload { put_off: bool },
}

/// What became of a turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// It waits.
    Wait,
    /// It can go on.
    Busy,
    /// A reload is wanted.
    Reload {
        /// Workers before are not to finish what they have.
        hard: bool,
    },
    /// It is over.
    Over,
}

/// A session.
#[derive(Debug)]
pub struct Session {
    client: OwnedFd,
    /// Its settings.
    state: State,
    input: Input,
    out: Outgoing,
    /// The rest of the line.
    queue: VecDeque<Piece>,
    in_line: bool,
    job: Job,
    /// The client sends no more.
    eof: bool,
    /// The client reads no more: what it has sent is done all the same.
    gone: bool,
    /// It ends when everything is written.
    closing: bool,
    /// It has said all, and waits for the client's end until then.
    pub linger_ns: Option<Ns>,
    /// Nothing has moved since.
    pub quiet_since: Ns,
}

impl Session {
    /// A new connection.
    pub fn new(client: OwnedFd, level: Level, now: Ns) -> Session {
        Session {
            client,
            state: State { level, ..State::default() },
            input: Input::default(),
            out: Outgoing::default(),
            queue: VecDeque::new(),
            in_line: false,
            job: Job::None,
            eof: false,
            gone: false,
            closing: false,
            linger_ns: None,
            quiet_since: now,
        }
    }

    /// It waits for the end of a reload.
    pub fn waits_for_reload(&self) -> bool {
        matches!(self.job, Job::Reload { .. })
    }

    fn wants_input(&self) -> bool {
        if self.eof {
            return false;
        }
        if self.closing {
            return self.linger_ns.is_some();
        }
        match &self.job {
            Job::None => self.out.is_empty() || self.input.is_collecting(),
            // Who does not read gets nothing done: what he sends waits in the kernel.
            Job::Relay(relay) => relay.wants_input() && self.out.is_empty(),
            Job::Reload { .. } => false,
        }
    }

    /// What to wait for.
    pub fn interests<'a>(&'a self, all: &mut Vec<(BorrowedFd<'a>, PollFlags)>) {
        let mut flags = PollFlags::empty();
        flags.set(PollFlags::POLLIN, self.wants_input());
        flags.set(PollFlags::POLLOUT, !self.out.is_empty());
        if !flags.is_empty() && !self.gone {
            all.push((self.client.as_fd(), flags));
        }
        if let Job::Relay(relay) = &self.job {
            all.extend(relay.interest(self.out.is_empty()));
        }
    }

    /// Go on as far as possible.
    pub fn turn(&mut self, master: &Master, now: Ns) -> Turn {
        for _ in 0..STEPS {
            if let Some(turn) = self.step(master, now) {
                return turn;
            }
        }
        Turn::Busy
    }

    /// One step; `None`: there is more to do.
    fn step(&mut self, master: &Master, now: Ns) -> Option<Turn> {
        match self.out.flush(self.client.as_fd()) {
            Io::Done(n) if n > 0 => self.quiet_since = now,
            Io::Gone => self.gone = true,
            _ => {}
        }
        if self.gone {
            self.out.clear();
        }
        let collecting = self.input.is_collecting() && matches!(self.job, Job::None);
        if !self.out.is_empty() && !collecting {
            if let Job::Relay(relay) = &mut self.job {
                relay.flush(false);
            }
            return Some(Turn::Wait);
        }
        match &mut self.job {
            Job::Reload { .. } => Some(Turn::Wait),
            Job::Relay(_) => self.relay(master, now),
            Job::None if self.closing => self.linger(now),
            Job::None => self.next(master, now),
        }
    }

    /// The next command, the next line, or more input.
    fn next(&mut self, master: &Master, now: Ns) -> Option<Turn> {
        if let Some(piece) = self.queue.pop_front() {
            self.quiet_since = now;
            return self.run(master, &piece);
        }
        if std::mem::take(&mut self.in_line) && self.state.mode == Mode::Single {
            self.closing = true;
            return None;
        }
        match self.input.next() {
            Event::Line(pieces) => {
                if pieces.is_empty() {
                    self.out.push(b"\n");
                    self.prompt(master);
                }
                self.queue = pieces;
                self.in_line = true;
                None
            }
            Event::Payload => {
                if self.state.mode == Mode::Prompt && self.out.len() < PROMPTS_MAX {
                    self.out.push(b"+ ");
                }
                None
            }
            Event::TooLong(why) => {
                self.out.push(why.as_bytes());
                self.closing = true;
                None
            }
            // What lacks a line feed at the end of the stream may be half a command, and is none.
            Event::Wait if self.eof => {
                self.closing = true;
                None
            }
            Event::Wait => self.read(now),
        }
    }

    fn read(&mut self, now: Ns) -> Option<Turn> {
        let mut bytes = Vec::new();
        match read(self.client.as_fd(), &mut bytes) {
            Io::Later => return Some(Turn::Wait),
            Io::Done(_) => {
                self.quiet_since = now;
                self.input.push(&bytes);
            }
            Io::End => self.eof = true,
            Io::Gone => (self.eof, self.gone) = (true, true),
        }
        None
    }

    fn run(&mut self, master: &Master, piece: &Piece) -> Option<Turn> {
        let mut out = String::new();
        let next = commands::run(master, &mut self.state, piece, &mut out);
        self.out.push(out.as_bytes());
        match next {
            Next::Continue => self.prompt(master),
            Next::Quit => {
                self.queue.clear();
                self.closing = true;
            }
            Next::Again(pieces) => {
                for piece in pieces.into_iter().rev() {
                    self.queue.push_front(piece);
                }
            }
            Next::Relay(mut relay) => {
                if relay.both {
                    relay.push(&self.input.take_all());
                }
                self.job = Job::Relay(relay);
            }
            Next::Reload { hard } => {
                let put_off = master.workers.iter().any(|w| w.is_starting());
                self.job = Job::Reload { put_off };
                self.queue.clear();
                return Some(Turn::Reload { hard });
            }
        }
        None
    }

    fn relay(&mut self, master: &Master, now: Ns) -> Option<Turn> {
        let Job::Relay(relay) = &mut self.job else { return None };
        let mut moved = false;
        if relay.wants_input() && !self.eof {
            let mut bytes = Vec::new();
            match read(self.client.as_fd(), &mut bytes) {
                Io::Done(_) => {
                    moved = true;
                    relay.push(&bytes);
                }
                Io::Later => {}
                Io::End => self.eof = true,
                Io::Gone => (self.eof, self.gone) = (true, true),
            }
        }
        moved |= matches!(relay.flush(self.eof), Io::Done(n) if n > 0);
        let done = relay.read(&mut self.out);
        moved |= done != Io::Later;
        if moved {
            self.quiet_since = now;
        }
        if matches!(done, Io::End | Io::Gone) {
            if !relay.answered {
                let pid = relay.pid;
                self.out.push(format!("No answer: process {pid} has closed the connection.\n\n").as_bytes());
            }
            self.job = Job::None;
            self.prompt(master);
        }
        if moved { None } else { Some(Turn::Wait) }
    }

    fn prompt(&mut self, master: &Master) {
        if self.state.mode == Mode::Prompt {
            self.out.push(commands::prompt_text(master, &self.state).as_bytes());
        }
    }

    /// Tell the client that this was all, and read on for a while: with something unread left, the kernel would reset
    /// the connection, perhaps before the client has read its answer.
    fn linger(&mut self, now: Ns) -> Option<Turn> {
        if self.eof || self.gone {
            return Some(Turn::Over);
        }
        let until = *self.linger_ns.get_or_insert_with(|| {
            let _ = shutdown(self.client.as_raw_fd(), Shutdown::Write);
            now + LINGER_MAX.as_nanos() as Ns
        });
        if now >= until {
            return Some(Turn::Over);
        }
        match read(self.client.as_fd(), &mut Vec::new()) {
            Io::Done(_) => None,
            Io::Later => Some(Turn::Wait),
            Io::End | Io::Gone => Some(Turn::Over),
        }
    }

    /// A reload has ended.
    pub fn loaded(&mut self, master: &Master, ok: bool, log: &str) {
        if !matches!(self.job, Job::Reload { put_off: false }) {
            return;
        }
        self.job = Job::None;
        self.out.push(format!("Success={}\n--\n{log}", u8::from(ok)).as_bytes());
        self.out.push(if log.is_empty() || log.ends_with('\n') { b"\n" } else { b"\n\n" });
        // Clients of one command read up to the end.
        self.closing = self.state.mode != Mode::Prompt;
        self.prompt(master);
    }

    /// The reload begins that was put off.
    pub fn reload_begins(&mut self) {
        if let Job::Reload { put_off } = &mut self.job {
            *put_off = false;
        }
    }

    /// For the next image.
    pub fn save(&self) -> Record {
        let mut record = Record::new("cli-session").with(self.client.as_raw_fd());
        let (job, fd, words) = match &self.job {
            Job::None => ("none", -1, Default::default()),
            Job::Reload { put_off: true } => ("put-off", -1, Default::default()),
            Job::Reload { put_off: false } => ("reload", -1, Default::default()),
            Job::Relay(relay) => ("relay", relay.fd().as_raw_fd(), relay.save()),
        };
        record = record.with(job).with(fd);
        let flags = [(self.in_line, 'l'), (self.eof, 'e'), (self.gone, 'g'), (self.closing, 'c')];
        let flags: String = flags.into_iter().filter(|(on, _)| *on).map(|(_, c)| c).collect();
        record = record.with(flags).with(self.out.save());
        for word in self.state.save().into_iter().chain(self.input.save()).chain(words) {
            record = record.with(word);
        }
        for piece in &self.queue {
            let (mark, text) = piece.payload.clone().unzip();
            let kind = if mark.is_some() { "payload" } else { "plain" };
            record = record.with(kind).with(&piece.text);
            record = record.with(mark.unwrap_or_default()).with(text.unwrap_or_default());
        }
        record
    }

    /// Every descriptor that [`Session::save`] names.
    pub fn saved_fds<'a>(&'a self, all: &mut Vec<BorrowedFd<'a>>) {
        all.push(self.client.as_fd());
        if let Job::Relay(relay) = &self.job {
            all.push(relay.fd());
        }
    }

    /// What [`Session::save`] has written.
    pub fn restore(record: &Record, now: Ns) -> Option<Session> {
        let text = |at| record.text(at);
        let mut session = Session::new(record.fd(1)?, Level::User, now);
        session.job = match text(2) {
            "reload" => Job::Reload { put_off: false },
            "put-off" => Job::Reload { put_off: true },
            "relay" => match record.fd(3) {
                Some(fd) => Job::Relay(Relay::restore(fd, [text(14), text(15), text(16)])),
                None => Job::None,
            },
            _ => Job::None,
        };
        let has = |c| text(4).contains(c);
        (session.in_line, session.eof, session.gone, session.closing) =
            (has('l'), has('e'), has('g'), has('c'));
        session.out = Outgoing::restore(text(5));
        session.state = State::restore(text(6), text(7), text(8));
        session.input = Input::restore([text(10), text(11), text(12), text(13)]);
        let mut at = 17;
        while !text(at).is_empty() {
            let payload = (text(at) == "payload").then(|| (text(at + 2).to_owned(), text(at + 3).to_owned()));
            session.queue.push_back(Piece { text: text(at + 1).to_owned(), payload });
            at += 4;
        }
        Some(session)
    }
}

/// The name behind the sign of a prefix, for messages.
pub fn written_prefix(text: &str) -> &str {
    match prefix(text) {
        (Prefix::None, _) => "",
        _ => text.split([' ', '\t']).next().unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::os::unix::net::UnixStream;

    use super::*;
    use crate::process::master::state;

    #[test]
    fn what_is_saved_comes_back() {
        let (ours, mut theirs) = UnixStream::pair().expect("a pair");
        let (_, worker) = UnixStream::pair().expect("a pair");
        let mut session = Session::new(ours.into(), Level::Operator, 5);
        session.state.mode = Mode::Prompt;
        session.state.target = Target::Pid(4711);
        (session.state.experimental, session.state.timed) = (true, true);
        session.out.push(b"\xff\x00 half");
        theirs.write_all(b"@1 x <<E\n\xffpay").expect("sent");
        session.read(6);
        assert_eq!(session.input.next(), Event::Payload);
        session
            .queue
            .push_back(Piece { text: "@1 a; b ".into(), payload: Some((String::new(), "p\n".into())) });
        session.queue.push_back(Piece { text: "show proc".into(), payload: None });
        (session.in_line, session.eof) = (true, true);
        session.job = Job::Relay(Relay::restore(worker.into(), ["12", "ba", "to worker"]));
        let text = state::write(&[session.save()]);
        // The next image has the descriptors by their numbers alone.
        let _ = std::os::fd::IntoRawFd::into_raw_fd(session.client);
        let Job::Relay(relay) = session.job else { panic!("a relay") };
        let words = relay.save();
        std::mem::forget(relay);
        let again = Session::restore(&state::parse(&text)[0], 7).expect("a session");
        assert_eq!((again.state, again.queue), (session.state, session.queue));
        assert_eq!(again.input.save(), session.input.save());
        assert_eq!(again.out.save(), session.out.save());
        assert!(again.in_line && again.eof && !again.gone && !again.closing);
        let Job::Relay(relay) = again.job else { panic!("a relay") };
        assert_eq!((relay.save(), relay.pid, relay.both), (words, 12, true));
    }

    #[test]
    fn a_record_that_is_damaged_makes_no_session_that_may_do_more() {
        let (ours, _theirs) = UnixStream::pair().expect("a pair");
        let number = std::os::fd::IntoRawFd::into_raw_fd(ours);
        let session = Session::restore(&Record::new("cli-session").with(number), 0).expect("a session");
        assert_eq!((session.state.level, session.state.target), (Level::User, Target::Master));
        assert!(Session::restore(&Record::new("cli-session").with(-1), 0).is_none());
    }

    #[test]
    fn workers_are_told_what_a_session_may_do() {
        let mut state = State { level: Level::Operator, ..State::default() };
        assert_eq!(state.access(false), "operator");
        (state.experimental, state.expert, state.mode) = (true, true, Mode::Prompt);
        assert_eq!(state.access(false), "operator expert experimental");
        assert_eq!(state.access(true), "operator expert experimental prompt");
        state.mode = Mode::Interactive;
        assert_eq!(state.access(true), "operator expert experimental interactive");
    }
}
