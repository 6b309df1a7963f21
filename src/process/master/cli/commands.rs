//! The commands of the master.

use std::collections::VecDeque;
use std::fmt::Write;
use std::time::Duration;

use super::input::{Piece, Prefix, pieces, prefix};
use super::relay::Relay;
use super::session::{Mode, State, Target, written_prefix};
use super::show;
use crate::cli::{Level, line};
use crate::process::control::mono;
use crate::process::master::supervisor::Master;
use crate::process::master::worker::Worker;
use crate::process::version;

/// What happens after a command.
#[derive(Debug)]
pub enum Next {
    /// The next command.
    Continue,
    /// The end of the session.
    Quit,
    /// These commands instead.
    Again(VecDeque<Piece>),
    /// What a worker answers.
    Relay(Relay),
    /// A reload.
    Reload {
        /// Workers before are not to finish what they have.
        hard: bool,
    },
}

/// What a command gets.
struct Call<'a> {
    master: &'a Master,
    state: &'a mut State,
    args: &'a [String],
    out: &'a mut String,
}

struct Command {
    words: &'static [&'static str],
    usage: &'static str,
    help: &'static str,
    level: Level,
    /// It is about the session, whatever process other commands go to, and has an answer only when something is wrong.
    session: bool,
    /// Only with `mcli-debug-mode on`.
    debug: bool,
    run: fn(&mut Call<'_>) -> Next,
}

const fn entry(
    words: &'static [&'static str],
    usage: &'static str,
    help: &'static str,
    level: Level,
    run: fn(&mut Call<'_>) -> Next,
) -> Command {
    Command { words, usage, help, level, session: false, debug: false, run }
}

const fn session(
    words: &'static [&'static str],
    usage: &'static str,
    help: &'static str,
    run: fn(&mut Call<'_>) -> Next,
) -> Command {
    Command { session: true, ..entry(words, usage, help, Level::User, run) }
}

/// What is no command, for `help`.
const PREFIXES: [(&str, &str); 5] = [
    ("@!<pid>", "send a command to the <pid> process"),
    ("@<relative pid>", "send a command to the <relative pid> process"),
    ("@master", "send a command to the master process"),
    ("@@<[!]pid> [<command>[; <command>]*]", "send the whole line, or have a session with that process"),
    ("<command> <<[<mark>]", "the lines up to one with the mark are the payload"),
];

/// The table, in the order of `help`.
const COMMANDS: &[Command] = &[
    entry(&["echo"], "echo <text>", "print a text", Level::User, echo),
    entry(
        &["hard-reload"],
        "hard-reload",
        "reload, and stop the worker before at once",
        Level::Operator,
        |c| reload(c, true),
    ),
    entry(&["hardreload"], "hardreload", "the same", Level::Operator, |c| reload(c, true)),
    session(&["operator"], "operator", "lower the level of this session to operator", |c| {
        lower(c, Level::Operator)
    }),
    entry(
        &["reload"],
        "reload",
        "replace the worker by one with the present configuration",
        Level::Operator,
        |c| reload(c, false),
    ),
    entry(&["show", "cli", "level"], "show cli level", "show the level of this session", Level::User, |c| {
        c.out.push_str(c.state.level.name());
        Next::Continue
    }),
    entry(
        &["show", "cli", "sockets"],
        "show cli sockets",
        "list the master's admin socket",
        Level::User,
        sockets,
    ),
    entry(&["show", "env"], "show env [<var>]", "list environment variables", Level::Operator, env),
    Command {
        debug: true,
        ..entry(&["show", "fd"], "show fd", "list what is held for workers", Level::Operator, |c| {
            show::held(c.master, c.out);
            Next::Continue
        })
    },
    entry(&["show", "proc"], "show proc [debug]", "list the processes", Level::Operator, |c| match c.args {
        [] => shown(show::processes(c.master, false), c),
        [word] if word == "debug" => shown(show::processes(c.master, true), c),
        _ => shown("'show proc' only supports 'debug' as argument\n".to_owned(), c),
    }),
    entry(
        &["show", "startup-logs"],
        "show startup-logs",
        "show what the last start of a worker said",
        Level::Operator,
        |c| {
            let log = c.master.loads.last.as_ref().map(|load| load.log.clone());
            shown(log.unwrap_or_default(), c)
        },
    ),
    entry(&["show", "version"], "show version", "show the version", Level::User, |c| {
        shown(version::VERSION.to_owned(), c)
    }),
    session(&["user"], "user", "lower the level of this session to user", |c| lower(c, Level::User)),
    session(&["expert-mode"], "expert-mode [on|off]", "allow commands for experts in workers", |c| {
        switch(c, "expert-mode", |s| &mut s.expert)
    }),
    session(
        &["experimental-mode"],
        "experimental-mode [on|off]",
        "allow experimental commands in workers",
        |c| switch(c, "experimental-mode", |s| &mut s.experimental),
    ),
    session(
        &["mcli-debug-mode"],
        "mcli-debug-mode [on|off]",
        "allow commands that look into the master",
        |c| switch(c, "mcli-debug-mode", |s| &mut s.debug),
    ),
    entry(&["help"], "help [<command>]", "list commands", Level::User, help),
    session(
        &["prompt"],
        "prompt [help | n | i | p | timed]*",
        "change the interactive mode and the prompt",
        prompt,
    ),
    session(&["quit"], "quit", "end the session", |_| Next::Quit),
];

/// Run one command, here or elsewhere.
pub fn run(master: &Master, state: &mut State, piece: &Piece, out: &mut String) -> Next {
    let (prefix, rest) = prefix(&piece.text);
    let target = match prefix {
        Prefix::None => Some(state.target),
        Prefix::At(name) | Prefix::AtAt(name) => target(master, name),
    };
    let target = match target {
        Some(target) => target,
        None => return unreachable_target(written_prefix(&piece.text), out),
    };
    let words = line::commands(rest).into_iter().next().unwrap_or_default();
    match prefix {
        Prefix::At(_) if words.is_empty() => {
            state.target = target;
            return Next::Continue;
        }
        Prefix::AtAt(_) if target == Target::Master => return Next::Again(pieces(rest)),
        Prefix::None if find(&words, state).is_some_and(|c| c.session) => {
            return run_here(master, state, &words, out);
        }
        _ if target == Target::Master => return run_here(master, state, &words, out),
        _ => {}
    }
    let Some(worker) = worker(master, target) else {
        return unreachable_target(&shown_target(master, target), out);
    };
    let interactive = matches!(prefix, Prefix::AtAt(_)) && words.is_empty();
    match Relay::open(worker, &state.access(interactive), &to_send(rest, piece, interactive), interactive) {
        Ok(relay) => Next::Relay(relay),
        Err(error) => {
            let _ = writeln!(out, "Process {} cannot be reached: {error}\n", worker.pid);
            Next::Continue
        }
    }
}

/// The text for a worker.
fn to_send(command: &str, piece: &Piece, interactive: bool) -> String {
    match &piece.payload {
        _ if interactive => String::new(),
        None => format!("{command}\n"),
        Some((mark, text)) => format!("{command} <<{mark}\n{text}{mark}\n"),
    }
}

/// The process that a prefix means.
fn target(master: &Master, name: &str) -> Option<Target> {
    match name {
        "" | "master" | "0" => return Some(Target::Master),
        "1" => return master.serving().map(|_| Target::Serving),
        _ => {}
    }
    let pid: i32 = name.strip_prefix('!')?.parse().ok()?;
    if u32::try_from(pid) == Ok(std::process::id()) {
        return Some(Target::Master);
    }
    worker(master, Target::Pid(pid)).map(|w| Target::Pid(w.pid))
}

fn worker(master: &Master, target: Target) -> Option<&Worker> {
    match target {
        Target::Master => None,
        Target::Serving => master.serving(),
        Target::Pid(pid) => master.workers.iter().find(|w| w.pid == pid),
    }
}

fn shown_target(master: &Master, target: Target) -> String {
    match target {
        Target::Master => "master".to_owned(),
        Target::Serving => master.serving().map_or("@1".to_owned(), |w| w.pid.to_string()),
        Target::Pid(pid) => format!("@!{pid}"),
    }
}

/// HAProxy's words: tools look for them.
fn unreachable_target(prefix: &str, out: &mut String) -> Next {
    let _ = writeln!(out, "Can't find the target PID matching the prefix '{prefix}'");
    Next::Continue
}

fn find(words: &[String], state: &State) -> Option<&'static Command> {
    let matches = |c: &&Command| {
        let same = words.len() >= c.words.len() && c.words.iter().zip(words).all(|(a, b)| a == b);
        same && (state.debug || !c.debug)
    };
    COMMANDS.iter().filter(matches).max_by_key(|c| c.words.len())
}

fn run_here(master: &Master, state: &mut State, words: &[String], out: &mut String) -> Next {
    let from = out.len();
    let Some(command) = find(words, state) else {
        unknown(words, state, out);
        out.push('\n');
        return Next::Continue;
    };
    if state.level < command.level {
        out.push_str("Permission denied\n\n");
        return Next::Continue;
    }
    let args = &words[command.words.len()..];
    let next = (command.run)(&mut Call { master, state, args, out });
    if matches!(next, Next::Continue) && (!command.session || out.len() > from) {
        if !out.ends_with('\n') {
            out.push('\n');
        }
        out.push('\n');
    }
    next
}

fn unknown(words: &[String], state: &State, out: &mut String) {
    let first = words.first().map_or("", String::as_str);
    let near = listed(state, |c| c.words[0] == first);
    if near.is_empty() {
        out.push_str("Unknown command. Please enter one of the following commands only:\n");
        list_all(state, out);
    } else {
        out.push_str("Unknown command, but maybe one of the following ones is a better match:\n");
        out.push_str(&near);
    }
}

fn listed(state: &State, wanted: impl Fn(&Command) -> bool) -> String {
    let mut text = String::new();
    let mine = COMMANDS.iter().filter(|c| c.level <= state.level && (state.debug || !c.debug));
    for c in mine.filter(|c| wanted(c)) {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "  {:<39} : {}", c.usage, c.help);
    }
    text
}

fn list_all(state: &State, out: &mut String) {
    for (usage, help) in PREFIXES {
        let _ = writeln!(out, "  {usage:<39} : {help}");
    }
    out.push_str(&listed(state, |_| true));
}

fn help(call: &mut Call<'_>) -> Next {
    call.out.push_str("The following commands are valid at this level:\n");
    if call.args.is_empty() {
        list_all(call.state, call.out);
    } else {
        let wanted = |c: &Command| call.args.iter().zip(c.words).all(|(a, b)| b.starts_with(a.as_str()));
        call.out.push_str(&listed(call.state, wanted));
    }
    Next::Continue
}

fn shown(text: String, call: &mut Call<'_>) -> Next {
    call.out.push_str(&text);
    Next::Continue
}

fn echo(call: &mut Call<'_>) -> Next {
    shown(call.args.join(" "), call)
}

fn env(call: &mut Call<'_>) -> Next {
    let wanted = call.args.first();
    for (name, value) in std::env::vars_os() {
        let name = name.to_string_lossy();
        if wanted.is_none_or(|w| *w == name) {
            let _ = writeln!(call.out, "{name}={}", value.to_string_lossy());
        }
    }
    if let (Some(_), true) = (wanted, call.out.is_empty()) {
        call.out.push_str("Variable not found\n");
    }
    Next::Continue
}

fn sockets(call: &mut Call<'_>) -> Next {
    call.out.push_str("# socket lvl processes\n");
    if let Some((address, level)) = call.master.cli.shown() {
        let _ = writeln!(call.out, "{address} {} master", level.name());
    }
    Next::Continue
}

fn reload(call: &mut Call<'_>, hard: bool) -> Next {
    if call.master.stop.is_some() {
        call.out.push_str("Success=0\n--\nEverything ends: nothing is started any more.\n");
        return Next::Continue;
    }
    Next::Reload { hard }
}

fn lower(call: &mut Call<'_>, level: Level) -> Next {
    if call.state.level < level {
        call.out.push_str("Permission denied!\n");
    } else {
        call.state.level = level;
    }
    Next::Continue
}

fn switch(call: &mut Call<'_>, name: &str, flag: fn(&mut State) -> &mut bool) -> Next {
    let flag = flag(call.state);
    match call.args {
        [] => {
            let _ = writeln!(call.out, "{name} is {}", if *flag { "ON" } else { "OFF" });
        }
        [word] if word == "on" => *flag = true,
        [word] if word == "off" => *flag = false,
        _ => {
            let _ = writeln!(call.out, "{name} expects 'on' or 'off'");
        }
    }
    Next::Continue
}

const PROMPT_USAGE: &str = "Usage: prompt [help | n | i | p | timed]*
  n      one line of commands, then the end
  i      line after line, no prompt
  p      line after line, with a prompt
  timed  show the uptime in the prompt, or no longer
Without a word: from p to i, and from the others to p.
";

fn prompt(call: &mut Call<'_>) -> Next {
    let state = &mut *call.state;
    if call.args.is_empty() {
        state.mode = if state.mode == Mode::Prompt { Mode::Interactive } else { Mode::Prompt };
    }
    for word in call.args {
        match word.as_str() {
            "n" => state.mode = Mode::Single,
            "i" => state.mode = Mode::Interactive,
            "p" => state.mode = Mode::Prompt,
            "timed" => {
                state.mode = Mode::Prompt;
                state.timed = !state.timed;
            }
            _ => {
                call.out.push_str(PROMPT_USAGE);
                break;
            }
        }
    }
    Next::Continue
}

/// `master> `, `4711> `, with what is to be seen at a glance.
pub fn prompt_text(master: &Master, state: &State) -> String {
    let mut text = String::new();
    if state.timed {
        let s = Duration::from_nanos(mono().0.saturating_sub(master.started_ns)).as_secs();
        let _ = write!(text, "[{}:{:02}:{:02}:{:02}] ", s / 86400, s / 3600 % 24, s / 60 % 60, s % 60);
    }
    match state.target {
        Target::Pid(pid) => text.push_str(&pid.to_string()),
        other => text.push_str(&shown_target(master, other)),
    }
    if state.target == Target::Master && master.loads.last.as_ref().is_some_and(|load| !load.ok) {
        text.push_str("[ReloadFailed]");
    }
    let flags = [(state.experimental, 'x'), (state.expert, 'e'), (state.debug, 'd')];
    let flags: String = flags.into_iter().filter(|(on, _)| *on).map(|(_, c)| c).collect();
    if !flags.is_empty() {
        let _ = write!(text, "({flags})");
    }
    text + "> "
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_has_no_twins_and_usages_begin_with_the_words() {
        for (i, c) in COMMANDS.iter().enumerate() {
            assert!(c.usage.starts_with(&c.words.join(" ")), "{}", c.usage);
            assert!(COMMANDS[..i].iter().all(|o| o.words != c.words), "{}", c.usage);
        }
    }

    #[test]
    fn commands_are_found_by_their_words() {
        let mut state = State::default();
        let found = |text: &str, state: &State| {
            find(&line::commands(text).remove(0), state).map(|c| c.words.join(" ")).unwrap_or_default()
        };
        assert_eq!(found("show proc debug", &state), "show proc");
        assert_eq!(found("show", &state), "");
        assert_eq!(found("reloa", &state), "");
        assert_eq!(found("show fd", &state), "");
        state.debug = true;
        assert_eq!(found("show fd", &state), "show fd");
    }

    #[test]
    fn a_payload_is_passed_on_as_it_was_sent() {
        let piece = Piece { text: "@1 add map #1 ".into(), payload: Some(("E".into(), "a b\n".into())) };
        let (_, rest) = prefix(&piece.text);
        assert_eq!(to_send(rest, &piece, false), "add map #1  <<E\na b\nE\n");
        let plain = Piece { payload: None, ..piece };
        assert_eq!(to_send("x\\ y", &plain, false), "x\\ y\n");
        assert_eq!(to_send("", &plain, true), "");
    }
}
