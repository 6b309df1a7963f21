//! One connection to the admin socket.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use super::commands::{self, Next, State};
use super::{Context, Level, line};
use crate::net::{Listener, Socket};
use crate::runtime;

/// Longest command line, with its payload.
const INPUT_MAX: usize = 1 << 20;
/// Bytes that may wait for a slow reader before the session waits for it.
const OUTPUT_LOW_WATER: usize = 1 << 20;
/// Wait for a free place when `stats maxconn` sessions are open.
const FULL_WAIT: Duration = Duration::from_millis(50);

/// Accept until the listener is dropped or dies.
pub async fn serve(listener: Listener, level: Level, context: Arc<Context>) {
    let open = Rc::new(Cell::new(0usize));
    loop {
        while open.get() >= context.maxconn.max(1) {
            listener.pause();
            runtime::sleep(FULL_WAIT).await;
            listener.resume();
        }
        let Ok((socket, _)) = listener.accept().await else { return };
        open.set(open.get() + 1);
        let place = Place(open.clone());
        let context = context.clone();
        runtime::spawn(async move {
            session(&socket, level, &context).await;
            drop(place);
        });
    }
}

/// One of the sessions that `stats maxconn` counts.
struct Place(Rc<Cell<usize>>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

/// What was read and not used yet.
#[derive(Default)]
struct Input {
    bytes: Vec<u8>,
    ended: bool,
}

impl Input {
    /// The next line without its end; at the end of the stream also one without a line feed. `None`: the peer left,
    /// was too slow, or sent too much.
    async fn line(&mut self, socket: &Socket, timeout: Duration) -> Option<String> {
        loop {
            if let Some(end) = self.bytes.iter().position(|b| *b == b'\n') {
                let rest = self.bytes.split_off(end + 1);
                let mut line = std::mem::replace(&mut self.bytes, rest);
                line.truncate(end);
                if line.last() == Some(&b'\r') {
                    line.pop();
                }
                return Some(String::from_utf8_lossy(&line).into_owned());
            }
            if self.ended {
                let rest = std::mem::take(&mut self.bytes);
                return (!rest.is_empty()).then(|| String::from_utf8_lossy(&rest).into_owned());
            }
            if self.bytes.len() > INPUT_MAX {
                return None;
            }
            match runtime::timeout_at(runtime::now() + timeout, socket.recv()).await {
                Some(Ok(buf)) if buf.is_empty() => self.ended = true,
                Some(Ok(buf)) => self.bytes.extend_from_slice(&buf),
                Some(Err(_)) | None => return None,
            }
        }
    }

    /// The lines up to `mark` (or the end of the stream).
    async fn payload(&mut self, socket: &Socket, timeout: Duration, mark: &str) -> Option<String> {
        let mut out = String::new();
        while let Some(line) = self.line(socket, timeout).await {
            if line == mark {
                return Some(out);
            }
            if out.len() + line.len() > INPUT_MAX {
                return None;
            }
            out.push_str(&line);
            out.push('\n');
        }
        self.ended.then_some(out)
    }
}

async fn session(socket: &Socket, level: Level, context: &Arc<Context>) {
    let mut state = State { level, prompt: false, timeout: context.timeout, experimental: false };
    let mut input = Input::default();
    loop {
        let Some(line) = input.line(socket, state.timeout).await else { return };
        let (line, payload) = match line::payload_mark(&line) {
            Some((head, mark)) => {
                let Some(payload) = input.payload(socket, state.timeout, mark).await else { return };
                (head.to_owned(), Some(payload))
            }
            None => (line, None),
        };
        let mut out = String::new();
        let mut next = Next::Continue;
        for words in line::commands(&line) {
            next = commands::run(context, &mut state, &words, payload.as_deref(), &mut out);
            end_answer(&mut out);
            if next == Next::Quit {
                break;
            }
        }
        if state.prompt && next != Next::Quit {
            out.push_str(if payload.is_some() { "+ " } else { "> " });
        }
        socket.send(out.into_bytes());
        // A large answer must not pile up for a reader that does not read.
        let sent = std::future::poll_fn(|cx| socket.poll_sent(cx, OUTPUT_LOW_WATER));
        if !matches!(runtime::timeout_at(runtime::now() + state.timeout, sent).await, Some(Ok(()))) {
            return;
        }
        if !state.prompt || next == Next::Quit {
            let _ = runtime::timeout_at(runtime::now() + state.timeout, socket.flushed()).await;
            return;
        }
    }
}

/// An answer ends with an empty line.
fn end_answer(out: &mut String) {
    if !out.is_empty() && !out.ends_with('\n') {
        out.push('\n');
    }
    out.push('\n');
}
