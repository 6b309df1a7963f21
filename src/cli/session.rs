//! One connection to the admin socket.

use std::cell::Cell;
use std::fmt::Write;
use std::io;
use std::os::fd::AsFd;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use super::commands::{self, Mode, Next, State};
use super::line::{self, Target};
use super::sink::Sink;
use super::{Access, Context, SocketConf};
use crate::net::{Channel, Listener, SockAddr, Socket, send_over};
use crate::runtime::{self, Notify};

/// Longest command line.
const LINE_MAX: usize = 16 << 10;
/// Longest payload.
const PAYLOAD_MAX: usize = 1 << 20;
/// With so many bytes on their way to a client that does not read, a payload's lines are not prompted for any more.
const PROMPTS_MAX: usize = 1 << 10;
/// Answers of one line are gathered up to this many bytes.
const ANSWERS_MAX: usize = 64 << 10;
const TOO_LONG: &str = "The command line is too long: 16384 bytes at most. A payload (<<) may be longer.\n";
const PAYLOAD_TOO_LONG: &str = "The payload is too long: 1048576 bytes at most.\n";

/// What the client of `hand over` reads, besides the descriptor of a channel.
pub const HANDED: &str = "handed over\n";

/// Accept until the listener dies.
pub async fn serve(listener: &Listener, conf: &SocketConf, context: Arc<Context>) {
    let most = context.maxconn.max(1);
    loop {
        // What does not fit stays in the kernel's queue: here it would hold descriptors that clients need.
        wait_for_place(listener, most).await;
        let Ok((socket, _)) = listener.accept().await else { return };
        // Another socket may have given the last place away meanwhile.
        wait_for_place(listener, most).await;
        let place = Place::take();
        let context = context.clone();
        let access = Access::from(conf.level).exposing(conf.exposes());
        runtime::spawn(async move {
            session(Rc::new(socket), access, &context).await;
            drop(place);
        });
    }
}

/// Serve one connection that somebody else has accepted. It counts, and is never refused.
pub fn serve_one(socket: Socket, access: Access, context: Arc<Context>) -> impl Future<Output = ()> {
    // Counted before its first turn: a process that stops waits for it.
    let place = Place::take();
    async move {
        session(Rc::new(socket), access, &context).await;
        drop(place);
    }
}

/// Accepts nothing as long as `most` sessions are open.
async fn wait_for_place(listener: &Listener, most: usize) {
    if OPEN.get() >= most {
        listener.pause();
        let freed = FREED.with(Rc::clone);
        while OPEN.get() >= most {
            freed.notified().await;
        }
        listener.resume();
    }
    listener.set_room(u32::try_from(most - OPEN.get()).unwrap_or(u32::MAX));
}

/// Sessions that are open on this thread.
pub fn open_sessions() -> usize {
    OPEN.get()
}

thread_local! {
    /// Open sessions of all sockets: one thread serves them all.
    static OPEN: Cell<usize> = const { Cell::new(0) };
    /// A session has ended.
    static FREED: Rc<Notify> = Rc::default();
}

/// One of the sessions that `stats maxconn` counts.
struct Place;

impl Place {
    fn take() -> Place {
        OPEN.set(OPEN.get() + 1);
        Place
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        OPEN.set(OPEN.get() - 1);
        // Nobody waits any longer when the thread ends.
        let _ = FREED.try_with(|freed| freed.notify_all());
    }
}

/// First words of commands that change nothing.
const LOOKS: [&str; 5] = ["show", "get", "help", "prompt", "quit"];

/// What was read and not used yet.
#[derive(Default)]
struct Input {
    bytes: Vec<u8>,
    /// Where the next line begins.
    start: usize,
    /// How far it was searched for the end of a line.
    searched: usize,
}

/// What reading gave.
enum Read {
    Line(String),
    /// More than the limit.
    TooLong,
    /// The peer left, or was too slow.
    End,
}

impl Input {
    /// The next line without its end, of at most `max` bytes. What lacks a line feed at the end of the stream may be
    /// half a command, and is none.
    async fn line(&mut self, socket: &Socket, timeout: Duration, max: usize) -> Read {
        loop {
            let end =
                self.bytes[self.searched..].iter().position(|b| *b == b'\n').map(|at| at + self.searched);
            if end.unwrap_or(self.bytes.len()) - self.start > max {
                return Read::TooLong;
            }
            if let Some(end) = end {
                let line = &self.bytes[self.start..end];
                let line = String::from_utf8_lossy(line.strip_suffix(b"\r").unwrap_or(line)).into_owned();
                (self.start, self.searched) = (end + 1, end + 1);
                return Read::Line(line);
            }
            // Only the beginning of a line is left.
            self.bytes.drain(..std::mem::take(&mut self.start));
            self.searched = self.bytes.len();
            match runtime::timeout_at(runtime::now() + timeout, socket.recv()).await {
                Some(Ok(buf)) if !buf.is_empty() => self.bytes.extend_from_slice(&buf),
                _ => return Read::End,
            }
        }
    }

    /// The lines up to `mark`.
    async fn payload(&mut self, socket: &Socket, state: &State, mark: &str) -> Read {
        let mut out = String::new();
        loop {
            // Not waited for: who sends all lines before he reads would wait for us as well.
            if state.mode == Mode::Prompt && socket.send_pending() < PROMPTS_MAX {
                socket.send(b"+ ".to_vec());
            }
            match self.line(socket, state.timeout, PAYLOAD_MAX).await {
                Read::Line(line) if line == mark => return Read::Line(out),
                Read::Line(line) if out.len() + line.len() > PAYLOAD_MAX => return Read::TooLong,
                Read::Line(line) => {
                    out.push_str(&line);
                    out.push('\n');
                }
                other => return other,
            }
        }
    }
}

/// The next line of commands, with the payload that it announces. `None`: the session is over, and was told why.
async fn request(socket: &Socket, state: &State, input: &mut Input) -> Option<(String, Option<String>)> {
    let too_long = match input.line(socket, state.timeout, LINE_MAX).await {
        Read::Line(line) => match line::payload_mark(&line) {
            None => return Some((line, None)),
            Some((head, mark)) => match input.payload(socket, state, mark).await {
                Read::Line(payload) => return Some((head.to_owned(), Some(payload))),
                Read::TooLong => PAYLOAD_TOO_LONG,
                Read::End => return None,
            },
        },
        Read::TooLong => TOO_LONG,
        Read::End => return None,
    };
    refuse(socket, too_long, state.timeout).await;
    None
}

/// Run one command, unless its prefix is for another process.
fn run(
    context: &Arc<Context>,
    state: &mut State,
    words: &[String],
    payload: Option<&str>,
    out: &mut String,
) -> Next {
    match line::target(words) {
        Target::Here([]) => Next::Continue,
        Target::Here(words) => commands::run(context, state, words, payload, out),
        Target::Process(name) if name == context.facts.pid.to_string() => match &words[1..] {
            [] => Next::Continue,
            words => commands::run(context, state, words, payload, out),
        },
        Target::Process(_) => {
            out.push_str("This socket belongs to the only worker: '@1', or no prefix.\n");
            Next::Continue
        }
    }
}

async fn session(socket: Rc<Socket>, access: Access, context: &Arc<Context>) {
    let mut state = access.state(context.timeout);
    if access.begins_with_prompt() {
        socket.send(prompt(&state, context).into_bytes());
    }
    let mut input = Input::default();
    loop {
        let Some((line, payload)) = request(&socket, &state, &mut input).await else { return };
        let mut out = String::new();
        let mut next = Next::Continue;
        let commands = line::commands(&line);
        if commands.is_empty() {
            end_answer(&mut out);
        }
        let last = commands.len().saturating_sub(1);
        for (n, words) in commands.iter().enumerate() {
            let from = out.len();
            // The payload belongs to the command before `<<`.
            let payload = payload.as_deref().filter(|_| n == last);
            next = run(context, &mut state, words, payload, &mut out);
            if !words.first().is_some_and(|word| LOOKS.contains(&word.as_str())) {
                (context.on_change)();
            }
            match next {
                Next::Quit => break,
                Next::HandOver => {
                    if let Err(error) = hand_over(&socket, context) {
                        let _ = writeln!(out, "Nothing can be handed over here: {error}.");
                    }
                    next = Next::Quit;
                    break;
                }
                Next::Continue => {
                    end_answer_from(&mut out, from);
                    // A line may hold many commands with long answers.
                    if out.len() > ANSWERS_MAX
                        && Sink::new(socket.clone(), state.timeout).put(&mut out).await.is_err()
                    {
                        return;
                    }
                }
                Next::Job(job) => {
                    let sink = Sink::new(socket.clone(), state.timeout);
                    if sink.put(&mut out).await.is_err() || job(sink).await.is_err() {
                        return;
                    }
                    out.push('\n');
                    next = Next::Continue;
                }
            }
        }
        if state.mode == Mode::Prompt && !matches!(next, Next::Quit) {
            out.push_str(&prompt(&state, context));
        }
        // A large answer must not pile up for a reader that does not read.
        if Sink::new(socket.clone(), state.timeout).put(&mut out).await.is_err() {
            return;
        }
        if state.mode == Mode::Single || matches!(next, Next::Quit) {
            let _ = runtime::timeout_at(runtime::now() + state.timeout, socket.flushed()).await;
            return;
        }
    }
}

/// Gives the client one end of a channel, and the control thread the other: those two go on there.
fn hand_over(socket: &Socket, context: &Context) -> io::Result<()> {
    let Some(control) = &context.heirs else { return Err(io::ErrorKind::Unsupported.into()) };
    if !matches!(socket.local_addr()?, SockAddr::Unix(_) | SockAddr::Abstract(_)) {
        return Err(io::Error::other("it takes a Unix socket"));
    }
    let (ours, theirs) = Channel::pair()?;
    socket.lend(|fd| send_over(fd, HANDED.as_bytes(), &[theirs.as_fd()]))?;
    control.send(HANDED.as_bytes(), &[ours.as_fd()])
}

/// `> `, with the uptime before it when that was asked for.
fn prompt(state: &State, context: &Context) -> String {
    if !state.timed {
        return "> ".to_owned();
    }
    let s = runtime::now().since(context.facts.since).as_secs();
    format!("[{}:{:02}:{:02}:{:02}]> ", s / 86400, s / 3600 % 24, s / 60 % 60, s % 60)
}

/// Say why the session ends here.
async fn refuse(socket: &Socket, why: &str, timeout: Duration) {
    socket.send(why.as_bytes().to_vec());
    let _ = runtime::timeout_at(runtime::now() + timeout, socket.flushed()).await;
}

/// An answer ends with an empty line.
fn end_answer(out: &mut String) {
    end_answer_from(out, 0);
}

fn end_answer_from(out: &mut String, from: usize) {
    if out.len() > from && !out.ends_with('\n') {
        out.push('\n');
    }
    out.push('\n');
}
