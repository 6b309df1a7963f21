//! Runs a rule set: tells its caller what to do next and takes in what came of it. Knows no socket, no clock.

use std::io;

use memchr::memmem;

use super::computed::CheckCx;
use super::rules::{Connect, Expect, FormatKind, Look, Match, Outcome, Payload, Ruleset, Step, unhex};
use super::{CheckStatus, http_answer};
use crate::base::time::{Mono, Wall};
use crate::sample::VarStore;

/// Bytes of an answer that are looked at (`tune.bufsize`, `tune.chksize`).
pub const ANSWER_BYTES_MAX: usize = 16384;

/// Failures to connect that are ours, not the server's.
const OWN_TROUBLE: [i32; 7] = [
    libc::EMFILE,
    libc::ENFILE,
    libc::ENOMEM,
    libc::ENOBUFS,
    libc::EADDRINUSE,
    libc::EADDRNOTAVAIL,
    libc::EACCES,
];

/// Errors that have a name of their own in the manual (3.5, `fc_err_str`); it stands before the system's words,
/// which is all that 2.6 shows.
const KNOWN_ERRORS: [(i32, &str); 5] = [
    (libc::ENETUNREACH, "General socket error"),
    (libc::EPERM, "General socket error"),
    (libc::ECONNREFUSED, "ECONNREFUSED returned by OS"),
    (libc::ECONNRESET, "ECONNRESET returned by OS"),
    (libc::EPIPE, "EPIPE returned by OS"),
];

/// What to do next.
#[derive(Debug)]
pub enum Todo<'r> {
    /// Open a connection (and drop the one there is); then [`Dialogue::connected`] or [`Dialogue::io_error`].
    Connect(&'r Connect),
    /// Send these bytes; then ask again.
    Send(Vec<u8>),
    /// Wait for bytes: [`Dialogue::received`], [`Dialogue::ended`], [`Dialogue::io_error`] or
    /// [`Dialogue::timed_out`].
    Receive,
    /// It is over.
    Finish(Outcome),
}

/// One run of a rule set.
#[derive(Debug)]
pub struct Dialogue<'r> {
    rules: &'r Ruleset,
    at: usize,
    received: Vec<u8>,
    ended: bool,
    connected: bool,
    /// Result to report if this was the last step.
    good: Outcome,
    state_field: String,
    vars: VarStore,
    clock: (Mono, Wall),
}

impl<'r> Dialogue<'r> {
    /// Start. `state_field` is the value of `X-Haproxy-Server-State`; used with `send-state` only.
    pub fn new(rules: &'r Ruleset, state_field: String) -> Dialogue<'r> {
        Dialogue {
            rules,
            at: 0,
            received: Vec::new(),
            ended: false,
            connected: false,
            good: Outcome::new(CheckStatus::L4Ok, ""),
            state_field,
            vars: VarStore::new(),
            clock: (Mono::default(), Wall::default()),
        }
    }

    /// When it begins: what expressions take for the time.
    pub fn at(self, now: Mono, wall: Wall) -> Dialogue<'r> {
        Dialogue { clock: (now, wall), ..self }
    }

    fn cx(&self) -> CheckCx<'_> {
        CheckCx::new(self.clock, &self.vars, &self.received, self.ended)
    }

    /// What to do now.
    pub fn todo(&mut self) -> Todo<'r> {
        let rules = self.rules;
        loop {
            let Some(step) = rules.steps.get(self.at) else { return Todo::Finish(self.good.clone()) };
            match step {
                Step::Connect(_) if self.connected => {
                    self.connected = false;
                    self.at += 1;
                }
                Step::Connect(connect) => {
                    self.received.clear();
                    self.ended = false;
                    return Todo::Connect(connect);
                }
                Step::Send(send) => {
                    self.at += 1;
                    self.received.clear();
                    self.good = Outcome::new(CheckStatus::L7Ok, self.default_words());
                    return Todo::Send(self.payload(&send.payload));
                }
                Step::Var(var) => {
                    self.at += 1;
                    var.run(&self.cx());
                }
                Step::Expect(expect) => match self.look(expect) {
                    Look::More if self.ended || self.received.len() >= ANSWER_BYTES_MAX => {
                        return Todo::Finish(self.no_match(expect));
                    }
                    Look::More => return Todo::Receive,
                    Look::Good { code, info } => {
                        let status = expect.ok_status.unwrap_or(CheckStatus::L7Ok);
                        let info = expect.on_success.clone().unwrap_or(info);
                        self.good = Outcome { status, code, info };
                        self.at += 1;
                    }
                    Look::Bad { status, code, info } => {
                        return Todo::Finish(self.bad(expect, status, code, info));
                    }
                },
            }
        }
    }

    /// The connection that [`Todo::Connect`] asked for is there.
    pub fn connected(&mut self) {
        self.connected = true;
        self.good = match self.rules.numbered && self.rules.steps.len() > 1 {
            true => Outcome::new(CheckStatus::L4Ok, "(tcp-check)"),
            false => Outcome::new(CheckStatus::L4Ok, ""),
        };
    }

    /// Bytes came.
    pub fn received(&mut self, bytes: &[u8]) {
        let room = ANSWER_BYTES_MAX.saturating_sub(self.received.len());
        self.received.extend_from_slice(&bytes[..bytes.len().min(room)]);
    }

    /// The server closed its side.
    pub fn ended(&mut self) {
        self.ended = true;
    }

    /// The time is up.
    pub fn timed_out(&self) -> Outcome {
        let status = match self.rules.steps.get(self.at) {
            Some(Step::Expect(e)) => e.timeout_status.unwrap_or(CheckStatus::L7Timeout),
            Some(Step::Send(_)) => CheckStatus::L7Timeout,
            _ => CheckStatus::L4Timeout,
        };
        Outcome::new(status, self.place())
    }

    /// The system refused something. Returns `None` when the bytes received before it are still to be judged.
    pub fn io_error(&mut self, error: &io::Error) -> Option<Outcome> {
        let waits_for_connection = matches!(self.rules.steps.get(self.at), Some(Step::Connect(_)));
        if !waits_for_connection && !self.received.is_empty() {
            self.ended = true;
            return None;
        }
        let status = match error.raw_os_error() {
            Some(code) if OWN_TROUBLE.contains(&code) => CheckStatus::SocketError,
            _ if waits_for_connection => CheckStatus::L4Conn,
            _ => CheckStatus::SocketError,
        };
        let words = match error.raw_os_error().and_then(|code| KNOWN_ERRORS.iter().find(|(c, _)| *c == code))
        {
            Some((_, name)) => format!("{name} ({})", error_words(error)),
            None => error_words(error),
        };
        Some(Outcome::new(status, format!("{words}{}", self.place())))
    }

    fn default_words(&self) -> &'static str {
        if self.rules.numbered { "(tcp-check)" } else { "" }
    }

    fn payload(&self, payload: &Payload) -> Vec<u8> {
        match payload {
            Payload::Bytes(bytes) => bytes.clone(),
            Payload::Text { text, hex: false } => text.bytes(&self.cx()),
            // What is no digits sends nothing; the answer will show it.
            Payload::Text { text, hex: true } => unhex(&text.bytes(&self.cx())).unwrap_or_default(),
            Payload::Http(request) => {
                let state = self.rules.send_state.then_some(self.state_field.as_str());
                request.bytes(&self.cx(), state)
            }
        }
    }

    /// Which step is the current one, counted as the configuration counts them.
    fn step_number(&self) -> usize {
        let implicit = matches!(self.rules.steps.first(), Some(Step::Connect(c)) if c.implicit);
        self.at + 1 - usize::from(implicit)
    }

    /// " at step 2 of tcp-check (expect string 'x') comment: 'y'".
    fn place(&self) -> String {
        let Some(step) = self.rules.steps.get(self.at) else { return String::new() };
        let (what, comment) = match step {
            Step::Connect(c) if c.implicit => return String::new(),
            Step::Connect(c) => {
                (c.port.map_or("connect".to_owned(), |p| format!("connect port {p}")), &c.comment)
            }
            Step::Send(s) => ("send".to_owned(), &s.comment),
            Step::Var(_) => ("set-var".to_owned(), &None),
            Step::Expect(e) => (describe(&e.what), &e.comment),
        };
        let mut out = String::new();
        if self.rules.numbered {
            out = format!(" at step {} of tcp-check ({what})", self.step_number());
            if let Some(comment) = comment {
                out.push_str(&format!(" comment: '{comment}'"));
            }
        }
        out
    }

    fn look(&self, expect: &Expect) -> Look {
        if !expect.what.is_computed() {
            return self.look_for(expect);
        }
        match expect.what.computed(&self.cx()) {
            Some(what) => self.look_for(&Expect { what, ..expect.clone() }),
            None => Look::invalid("the computed pattern is invalid"),
        }
    }

    fn look_for(&self, expect: &Expect) -> Look {
        let data = self.received.as_slice();
        let found = match &expect.what {
            Match::Codec(codec) => {
                if data.is_empty() && self.ended {
                    return self.empty_answer();
                }
                return codec(data, self.ended);
            }
            Match::Status(_)
            | Match::StatusRegex(_)
            | Match::Body(_)
            | Match::BodyRegex(_)
            | Match::Header(_) => {
                return http_answer::look(expect, data, self.ended, self.rules.disable_on_404);
            }
            Match::Str(p) | Match::Binary(p) => memmem::find(data, p).is_some(),
            Match::Regex(r) => r.is_match(data),
            Match::BinaryRegex(r) => r.is_match(hex_upper(data).as_bytes()),
            // Computed before.
            Match::Format(..) => false,
        };
        if data.is_empty() {
            return if self.ended { self.empty_answer() } else { Look::More };
        }
        if data.len() < expect.min_recv.unwrap_or(0) && !self.ended {
            return Look::More;
        }
        match (found, expect.negated) {
            (true, false) => Look::Good { code: 0, info: self.default_words().to_owned() },
            (true, true) => self.unwanted(expect),
            (false, _) if !self.ended && expect.min_recv.is_none() => Look::More,
            (false, true) => Look::Good { code: 0, info: self.default_words().to_owned() },
            (false, false) => self.missing(expect),
        }
    }

    fn empty_answer(&self) -> Look {
        // A protocol's own rule set counts its implicit connect, as HAProxy's generated ones do.
        let step = if self.rules.numbered { self.step_number() } else { self.at + 1 };
        Look::invalid(&format!("TCPCHK got an empty response at step {step}"))
    }

    fn unwanted(&self, expect: &Expect) -> Look {
        let what = quoted(&expect.what);
        Look::invalid(&format!("TCPCHK matched unwanted content {what} at step {}", self.step_number()))
    }

    fn missing(&self, expect: &Expect) -> Look {
        let what = quoted(&expect.what);
        Look::invalid(&format!("TCPCHK did not match content {what} at step {}", self.step_number()))
    }

    /// Nothing more will come and the rule never matched.
    fn no_match(&self, expect: &Expect) -> Outcome {
        let look = match &expect.what {
            Match::Codec(_) => Look::invalid(""),
            _ if expect.negated => Look::Good { code: 0, info: self.default_words().to_owned() },
            _ => self.missing(expect),
        };
        match look {
            Look::Bad { status, code, info } => self.bad(expect, status, code, info),
            _ => self.good.clone(),
        }
    }

    fn bad(&self, expect: &Expect, status: CheckStatus, code: u32, info: String) -> Outcome {
        let status = expect.error_status.unwrap_or(status);
        let mut info = expect.on_error.clone().unwrap_or(info);
        if let (Some(comment), None) = (&expect.comment, &expect.on_error) {
            info.push_str(&match self.rules.numbered {
                true => format!(" comment: '{comment}'"),
                false => format!(" comment: {comment}"),
            });
        }
        Outcome { status, code, info }
    }
}

/// The words of `strerror(3)`: `io::Error` adds a number of its own behind them.
pub fn error_words(error: &io::Error) -> String {
    let text = error.to_string();
    match text.rfind(" (os error") {
        Some(cut) => text[..cut].to_owned(),
        None => text,
    }
}

fn hex_upper(data: &[u8]) -> String {
    data.iter().map(|b| format!("{b:02X}")).collect()
}

fn quoted(what: &Match) -> String {
    match what {
        Match::Str(p) | Match::Binary(p) => format!("'{}'", String::from_utf8_lossy(p)),
        Match::BinaryRegex(_) => "(binary regex)".to_owned(),
        _ => "(regex)".to_owned(),
    }
}

fn describe(what: &Match) -> String {
    match what {
        Match::Str(p) => format!("expect string '{}'", String::from_utf8_lossy(p)),
        Match::Binary(p) => format!("expect binary '{}'", String::from_utf8_lossy(p)),
        Match::Regex(_) => "expect regex".to_owned(),
        Match::BinaryRegex(_) => "expect binary regex".to_owned(),
        Match::Status(_) => "expect HTTP status codes".to_owned(),
        Match::StatusRegex(_) => "expect HTTP status regex".to_owned(),
        Match::Header(_) => "expect HTTP header pattern".to_owned(),
        Match::Body(p) => format!("expect HTTP body content '{}'", String::from_utf8_lossy(p)),
        Match::BodyRegex(_) => "expect HTTP body regex".to_owned(),
        Match::Format(FormatKind::Str, _) => "expect log-format string".to_owned(),
        Match::Format(FormatKind::Binary, _) => "expect log-format binary".to_owned(),
        Match::Format(FormatKind::Body, _) => "expect HTTP body log-format string".to_owned(),
        Match::Codec(_) => "expect custom function".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(steps: Vec<Step>) -> Ruleset {
        let mut all = vec![Step::Connect(Connect { implicit: true, ..Connect::default() })];
        all.extend(steps);
        Ruleset { steps: all, numbered: true, ..Ruleset::default() }
    }

    fn string(s: &str) -> Step {
        Step::Expect(Expect::new(Match::Str(s.into())))
    }

    /// Plays `answer` and an end against the rules.
    fn play(rules: &Ruleset, answer: &[u8], end: bool) -> Outcome {
        let mut d = Dialogue::new(rules, String::new());
        let mut fed = false;
        let mut over = false;
        for _ in 0..100 {
            match d.todo() {
                Todo::Connect(_) => d.connected(),
                Todo::Send(_) => {}
                Todo::Receive if !fed => {
                    fed = true;
                    d.received(answer);
                }
                Todo::Receive if end && !over => {
                    over = true;
                    d.ended();
                }
                Todo::Receive => return d.timed_out(),
                Todo::Finish(o) => return o,
            }
        }
        panic!("the dialogue does not end");
    }

    #[test]
    fn string_found() {
        let o = play(&rules(vec![string("hello")]), b"+OK hello\r\n", false);
        assert_eq!(o, Outcome { status: CheckStatus::L7Ok, code: 0, info: "(tcp-check)".into() });
    }

    #[test]
    fn string_missing_waits_until_the_end() {
        let r = rules(vec![string("nope")]);
        let o = play(&r, b"+OK hello\r\n", false);
        assert_eq!(o, Outcome::new(CheckStatus::L7Timeout, " at step 1 of tcp-check (expect string 'nope')"));
        let o = play(&r, b"+OK hello\r\n", true);
        assert_eq!(o, Outcome::new(CheckStatus::L7Response, "TCPCHK did not match content 'nope' at step 1"));
        let o = play(&r, b"", true);
        assert_eq!(o, Outcome::new(CheckStatus::L7Response, "TCPCHK got an empty response at step 1"));
    }

    #[test]
    fn negated_match_fails_at_once() {
        let mut e = Expect::new(Match::Str(b"hello".to_vec()));
        e.negated = true;
        let o = play(&rules(vec![Step::Expect(e)]), b"+OK hello\r\n", false);
        assert_eq!(
            o,
            Outcome::new(CheckStatus::L7Response, "TCPCHK matched unwanted content 'hello' at step 1")
        );
    }

    #[test]
    fn connect_failures_name_explicit_steps_only() {
        let refused = io::Error::from_raw_os_error(libc::ECONNREFUSED);
        let implicit = rules(vec![]);
        let mut d = Dialogue::new(&implicit, String::new());
        assert!(matches!(d.todo(), Todo::Connect(_)));
        assert_eq!(
            d.io_error(&refused),
            Some(Outcome::new(CheckStatus::L4Conn, "ECONNREFUSED returned by OS (Connection refused)"))
        );
        let explicit = Ruleset {
            steps: vec![Step::Connect(Connect {
                port: Some(1),
                comment: Some("my port".into()),
                ..Connect::default()
            })],
            numbered: true,
            ..Ruleset::default()
        };
        let mut d = Dialogue::new(&explicit, String::new());
        assert!(matches!(d.todo(), Todo::Connect(_)));
        let o = d.io_error(&refused).expect("nothing was received");
        assert_eq!(
            o.info,
            "ECONNREFUSED returned by OS (Connection refused) at step 1 of tcp-check (connect port 1) comment: 'my port'"
        );
    }

    #[test]
    fn connect_alone_is_layer_4() {
        assert_eq!(play(&rules(vec![]), b"", false).status, CheckStatus::L4Ok);
    }

    #[test]
    fn min_recv_makes_a_miss_conclusive() {
        let mut e = Expect::new(Match::Str(b"nope".to_vec()));
        e.min_recv = Some(0);
        let o = play(&rules(vec![Step::Expect(e)]), b"+OK", false);
        assert_eq!(o.info, "TCPCHK did not match content 'nope' at step 1");
    }
}
