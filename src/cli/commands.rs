//! The commands.

use std::fmt::Write;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

use super::patterns::{self, Kind};
use super::server_checks::{self, Which};
use super::sink::{Gone, Sink};
use super::{
    Context, Level, counters, errors, frontends, info, internals, peers, server_lists, servers, sessions,
    stat, tables, vars,
};
use crate::proxy::live::FrontendMode;
use crate::proxy::{Proxy, Server};

/// State of a session.
#[derive(Clone, Debug)]
pub struct State {
    /// What it may do.
    pub level: Level,
    /// How long the session lasts, and whether it shows a prompt.
    pub mode: Mode,
    /// The prompt shows how long the process has run (`prompt timed`).
    pub timed: bool,
    /// Longest silence.
    pub timeout: Duration,
    /// `expert-mode on`.
    pub expert: bool,
    /// `experimental-mode on`.
    pub experimental: bool,
    /// The socket hands over what this process has (`expose-fd listeners`).
    pub exposes: bool,
}

/// `prompt`: how a session goes on after a line of commands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Mode {
    /// It ends (`n`).
    #[default]
    Single,
    /// It waits for the next line (`i`).
    Interactive,
    /// The same, with a prompt (`p`).
    Prompt,
}

/// What happens after a command.
pub enum Next {
    /// The next command.
    Continue,
    /// The end of the session.
    Quit,
    /// The rest of the answer: it comes in pieces, or from other threads.
    Job(Job),
    /// The client is a process that is to serve instead of this one: it gets what this one has.
    HandOver,
}

/// Writes the rest of an answer.
pub type Job = Box<dyn FnOnce(Sink) -> Pin<Box<dyn Future<Output = Result<(), Gone>>>>>;

/// What a command gets.
pub struct Call<'a> {
    /// Everything it can reach.
    pub cx: &'a Arc<Context>,
    /// The session.
    pub state: &'a mut State,
    /// The words behind the command's own.
    pub args: &'a [String],
    /// What followed `<<`.
    pub payload: Option<&'a str>,
    /// The answer.
    pub out: &'a mut String,
}

/// One command.
pub struct Command {
    /// Its words.
    pub words: &'static [&'static str],
    /// The words with arguments, for `help`.
    pub usage: &'static str,
    /// What it does, for `help`.
    pub help: &'static str,
    /// Who may use it.
    pub level: Level,
    /// Writes the answer.
    pub run: fn(&mut Call<'_>) -> Next,
}

const fn entry(
    words: &'static [&'static str],
    usage: &'static str,
    help: &'static str,
    level: Level,
    run: fn(&mut Call<'_>) -> Next,
) -> Command {
    Command { words, usage, help, level, run }
}

/// The table, in the order of `help`.
pub const COMMANDS: &[Command] = &[
    entry(
        &["add", "acl"],
        "add acl [@<ver>] <acl> <pattern>",
        "add a pattern to an ACL",
        Level::Operator,
        |c| patterns::add(c, Kind::Acl),
    ),
    entry(
        &["add", "map"],
        "add map [@<ver>] <map> <key> <value>",
        "add entries to a map (payload: several)",
        Level::Operator,
        |c| patterns::add(c, Kind::Map),
    ),
    entry(&["clear", "acl"], "clear acl [@<ver>] <acl>", "empty an ACL", Level::Operator, |c| {
        patterns::clear(c, Kind::Acl)
    }),
    entry(&["clear", "map"], "clear map [@<ver>] <map>", "empty a map", Level::Operator, |c| {
        patterns::clear(c, Kind::Map)
    }),
    entry(
        &["commit", "acl"],
        "commit acl @<ver> <acl>",
        "put a version of an ACL into use",
        Level::Operator,
        |c| patterns::commit(c, Kind::Acl),
    ),
    entry(
        &["commit", "map"],
        "commit map @<ver> <map>",
        "put a version of a map into use",
        Level::Operator,
        |c| patterns::commit(c, Kind::Map),
    ),
    entry(
        &["del", "acl"],
        "del acl <acl> [<key>|#<ref>]",
        "delete patterns of an ACL",
        Level::Operator,
        |c| patterns::del(c, Kind::Acl),
    ),
    entry(&["del", "map"], "del map <map> [<key>|#<ref>]", "delete entries of a map", Level::Operator, |c| {
        patterns::del(c, Kind::Map)
    }),
    entry(
        &["expert-mode"],
        "expert-mode [on|off]",
        "accepted for scripts: no command here is for experts only",
        Level::Admin,
        vars::expert_mode,
    ),
    entry(
        &["experimental-mode"],
        "experimental-mode [on|off]",
        "allow experimental commands on this connection",
        Level::User,
        vars::experimental_mode,
    ),
    entry(&["get", "acl"], "get acl <acl> <value>", "look a value up in an ACL", Level::User, |c| {
        patterns::get(c, Kind::Acl)
    }),
    entry(&["get", "map"], "get map <map> <value>", "look a value up in a map", Level::User, |c| {
        patterns::get(c, Kind::Map)
    }),
    entry(&["get", "var"], "get var <name>", "show a variable of the process", Level::Operator, vars::get),
    entry(&["prepare", "acl"], "prepare acl <acl>", "begin a new version of an ACL", Level::Operator, |c| {
        patterns::prepare(c, Kind::Acl)
    }),
    entry(&["prepare", "map"], "prepare map <map>", "begin a new version of a map", Level::Operator, |c| {
        patterns::prepare(c, Kind::Map)
    }),
    entry(
        &["set", "map"],
        "set map <map> [<key>|#<ref>] <value>",
        "change the value of map entries",
        Level::Operator,
        patterns::set,
    ),
    entry(
        &["set", "var"],
        "set var <name> [expr|fmt] <value>",
        "set a variable of the process",
        Level::Operator,
        vars::set,
    ),
    entry(
        &["show", "acl"],
        "show acl [[@<ver>] <acl>]",
        "list the ACLs, or the patterns of one",
        Level::User,
        |c| patterns::show(c, Kind::Acl),
    ),
    entry(
        &["show", "map"],
        "show map [[@<ver>] <map>]",
        "list the maps, or the entries of one",
        Level::User,
        |c| patterns::show(c, Kind::Map),
    ),
    entry(
        &["disable", "frontend"],
        "disable frontend <frontend>",
        "release a frontend's ports until it is enabled again",
        Level::Admin,
        |c| frontends::change(c, FrontendMode::Paused),
    ),
    entry(
        &["enable", "frontend"],
        "enable frontend <frontend>",
        "take a disabled frontend's ports again",
        Level::Admin,
        |c| frontends::change(c, FrontendMode::Open),
    ),
    entry(
        &["shutdown", "frontend"],
        "shutdown frontend <frontend>",
        "stop a frontend for good; running sessions go on",
        Level::Admin,
        |c| frontends::change(c, FrontendMode::Shut),
    ),
    entry(
        &["set", "maxconn", "global"],
        "set maxconn global <value>",
        "change the process's maxconn",
        Level::Admin,
        frontends::maxconn,
    ),
    entry(
        &["set", "rate-limit"],
        "set rate-limit {connections|sessions} global <value>",
        "change a limit per second; 0 for none",
        Level::Admin,
        frontends::rate_limit,
    ),
    entry(
        &["show", "sess"],
        "show sess [<id> | older <age> | all]",
        "list the running sessions, or show details",
        Level::Operator,
        sessions::show,
    ),
    entry(
        &["shutdown", "session"],
        "shutdown session <id>",
        "end one session",
        Level::Admin,
        sessions::shutdown,
    ),
    entry(
        &["shutdown", "sessions", "server"],
        "shutdown sessions server <bk>/<srv>",
        "end the sessions of a server",
        Level::Admin,
        sessions::shutdown_server,
    ),
    entry(
        &["clear", "table"],
        "clear table <table> [<filter> | key <key> | ptr <ptr>]",
        "remove entries of a stick table: all, those that match, or one",
        Level::Operator,
        tables::clear,
    ),
    entry(
        &["set", "table"],
        "set table <table> {key <key> | ptr <ptr>} [data.<type> <value>]*",
        "create an entry of a stick table, or change its data",
        Level::Operator,
        tables::set,
    ),
    entry(
        &["show", "table"],
        "show table [<table> [<filter> | key <key> | ptr <ptr>]]",
        "list the stick tables, or the entries of one; filters are data.<type> <op> <value>",
        Level::User,
        tables::show,
    ),
    entry(
        &["clear", "counters", "all"],
        "clear counters all",
        "set all counters of the statistics to zero",
        Level::Admin,
        counters::clear_all,
    ),
    entry(
        &["clear", "counters", "server"],
        "clear counters server <bk>/<srv> [force]",
        "set a server's counters to zero",
        Level::Admin,
        counters::clear_server,
    ),
    entry(
        &["clear", "counters"],
        "clear counters",
        "forget the maxima of the statistics",
        Level::Operator,
        counters::clear,
    ),
    entry(&["debug", "dev"], "debug dev ...", "refused", Level::User, internals::debug),
    entry(
        &["disable", "agent"],
        "disable agent <bk>/<srv>",
        "stop asking a server's agent",
        Level::Admin,
        |c| server_checks::disable(c, Which::Agent),
    ),
    entry(
        &["disable", "health"],
        "disable health <bk>/<srv>",
        "stop a server's health checks",
        Level::Admin,
        |c| server_checks::disable(c, Which::Health),
    ),
    entry(&["enable", "agent"], "enable agent <bk>/<srv>", "ask a server's agent again", Level::Admin, |c| {
        server_checks::enable(c, Which::Agent)
    }),
    entry(
        &["enable", "health"],
        "enable health <bk>/<srv>",
        "check a server's health again",
        Level::Admin,
        |c| server_checks::enable(c, Which::Health),
    ),
    entry(
        &["disable", "server"],
        "disable server <bk>/<srv>",
        "put a server into maintenance",
        Level::Admin,
        servers::disable,
    ),
    entry(
        &["enable", "server"],
        "enable server <bk>/<srv>",
        "end a server's maintenance",
        Level::Admin,
        servers::enable,
    ),
    entry(
        &["get", "weight"],
        "get weight <bk>/<srv>",
        "report a server's weight",
        Level::User,
        servers::get_weight,
    ),
    entry(
        &["publish", "backend"],
        "publish backend <backend>",
        "let routing rules choose a backend again",
        Level::Operator,
        |c| publish(c, true),
    ),
    entry(
        &["unpublish", "backend"],
        "unpublish backend <backend>",
        "let routing rules pass a backend over",
        Level::Operator,
        |c| publish(c, false),
    ),
    entry(&["operator"], "operator", "lower the level of this session to operator", Level::User, |c| {
        lower(c, Level::Operator)
    }),
    entry(
        &["set", "maxconn", "frontend"],
        "set maxconn frontend <frontend> <value>",
        "change a frontend's maxconn",
        Level::Admin,
        servers::set_maxconn_frontend,
    ),
    entry(
        &["set", "maxconn", "server"],
        "set maxconn server <bk>/<srv> <value>",
        "change a server's maxconn",
        Level::Admin,
        servers::set_maxconn_server,
    ),
    entry(
        &["set", "server"],
        "set server <bk>/<srv> <what> <value>",
        "change a server's state, weight, address or checks",
        Level::Admin,
        servers::set_server,
    ),
    entry(
        &["set", "timeout"],
        "set timeout cli <delay>",
        "change this session's timeout",
        Level::User,
        set_timeout,
    ),
    entry(
        &["set", "weight"],
        "set weight <bk>/<srv> <weight>[%]",
        "change a server's weight",
        Level::Admin,
        servers::set_weight,
    ),
    entry(
        &["show", "activity"],
        "show activity",
        "report each thread's counters",
        Level::User,
        info::activity,
    ),
    entry(&["show", "backend"], "show backend", "list the backends", Level::User, show_backend),
    entry(
        &["show", "cli", "level"],
        "show cli level",
        "show the level of this session",
        Level::User,
        show_level,
    ),
    entry(
        &["show", "cli", "sockets"],
        "show cli sockets",
        "list the admin sockets",
        Level::User,
        show_sockets,
    ),
    entry(&["show", "env"], "show env [<var>]", "list environment variables", Level::Operator, show_env),
    entry(
        &["show", "errors"],
        "show errors [<iid>|<proxy>] [request|response]",
        "show the last invalid messages",
        Level::Operator,
        errors::show,
    ),
    entry(
        &["show", "fd"],
        "show fd [<fd>]",
        "list the open file descriptors",
        Level::Operator,
        internals::fds,
    ),
    entry(&["show", "pools"], "show pools", "report the use of pools", Level::User, internals::pools),
    entry(
        &["show", "schema", "json"],
        "show schema json",
        "show the schema of the JSON answers",
        Level::User,
        stat::schema,
    ),
    entry(
        &["show", "threads"],
        "show threads",
        "report what each thread did",
        Level::User,
        internals::threads,
    ),
    entry(
        &["show", "info"],
        "show info [desc|json|typed]*",
        "report about the process",
        Level::User,
        info::info,
    ),
    entry(
        &["show", "peers"],
        "show peers [dict|-] [<section>]",
        "report the sessions of peers sections",
        Level::User,
        peers::show,
    ),
    entry(
        &["show", "servers", "state"],
        "show servers state [<backend>]",
        "list the servers' state",
        Level::User,
        server_lists::state,
    ),
    entry(
        &["show", "servers", "conn"],
        "show servers conn [<backend>]",
        "list the servers' connections",
        Level::User,
        server_lists::connections,
    ),
    entry(
        &["show", "stat"],
        "show stat [<iid>|<proxy> <type> <sid>] [desc|json|no-maint|typed|up]*",
        "report the counters of proxies and servers",
        Level::User,
        stat::show,
    ),
    entry(&["show", "version"], "show version", "show the version", Level::User, show_version),
    entry(&["user"], "user", "lower the level of this session to user", Level::User, |c| {
        lower(c, Level::User)
    }),
    entry(
        &["hand", "over"],
        "hand over",
        "give the listening sockets to a process that was started with -x",
        Level::Admin,
        hand_over,
    ),
    entry(&["help"], "help [<command>]", "list commands", Level::User, help),
    entry(
        &["prompt"],
        "prompt [help | n | i | p | timed]*",
        "change the interactive mode and the prompt",
        Level::User,
        prompt,
    ),
    entry(&["quit"], "quit", "end the session", Level::User, |_| Next::Quit),
];

/// Run one command.
pub fn run(
    cx: &Arc<Context>,
    state: &mut State,
    words: &[String],
    payload: Option<&str>,
    out: &mut String,
) -> Next {
    let matches =
        |c: &&Command| words.len() >= c.words.len() && c.words.iter().zip(words).all(|(a, b)| a == b);
    // The longest one: `show servers state` is not `show servers`.
    let Some(command) = COMMANDS.iter().filter(matches).max_by_key(|c| c.words.len()) else {
        unknown(words, state.level, out);
        return Next::Continue;
    };
    if state.level < command.level {
        out.push_str("Permission denied\n");
        return Next::Continue;
    }
    let args = &words[command.words.len()..];
    (command.run)(&mut Call { cx, state, args, payload, out })
}

fn hand_over(c: &mut Call<'_>) -> Next {
    if c.state.exposes {
        return Next::HandOver;
    }
    c.out.push_str(
        "This socket gives nothing away: 'stats socket' needs 'level admin expose-fd listeners'.\n",
    );
    Next::Continue
}

fn unknown(words: &[String], level: Level, out: &mut String) {
    let first = words.first().map_or("", String::as_str);
    let close: Vec<&Command> = COMMANDS.iter().filter(|c| c.level <= level && c.words[0] == first).collect();
    if close.is_empty() {
        out.push_str("Unknown command. Please enter one of the following commands only:\n");
        list(COMMANDS.iter().filter(|c| c.level <= level), out);
    } else {
        out.push_str("Unknown command, but maybe one of the following ones is a better match:\n");
        list(close.into_iter(), out);
    }
}

fn list<'a>(commands: impl Iterator<Item = &'a Command>, out: &mut String) {
    let mut commands: Vec<&Command> = commands.collect();
    commands.sort_unstable_by_key(|c| c.usage);
    for c in commands {
        // Writing to a String cannot fail.
        let _ = writeln!(out, "  {:<39} : {}", c.usage, c.help);
    }
}

fn help(call: &mut Call<'_>) -> Next {
    let level = call.state.level;
    let wanted = |c: &&Command| {
        c.level <= level && call.args.iter().zip(c.words).all(|(a, b)| b.starts_with(a.as_str()))
    };
    call.out.push_str("The following commands are valid at this level:\n");
    list(COMMANDS.iter().filter(wanted), call.out);
    Next::Continue
}

const PROMPT_USAGE: &str = "Usage: prompt [help | n | i | p | timed]*
  n      one line of commands, then the end
  i      line after line, no prompt
  p      line after line, with a prompt
  timed  show the uptime in the prompt, or no longer
Without a word: from p to n, and from the others to p.
";

fn prompt(call: &mut Call<'_>) -> Next {
    let state = &mut *call.state;
    let toggled = if state.mode == Mode::Prompt { Mode::Single } else { Mode::Prompt };
    if call.args.is_empty() {
        state.mode = toggled;
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

fn lower(call: &mut Call<'_>, level: Level) -> Next {
    if call.state.level < level {
        call.out.push_str("Permission denied\n");
    } else {
        call.state.level = level;
    }
    Next::Continue
}

fn show_version(call: &mut Call<'_>) -> Next {
    call.out.push_str(&call.cx.facts.version);
    Next::Continue
}

fn show_level(call: &mut Call<'_>) -> Next {
    call.out.push_str(call.state.level.name());
    Next::Continue
}

fn show_sockets(call: &mut Call<'_>) -> Next {
    call.out.push_str("# socket lvl processes\n");
    for (address, level) in &call.cx.facts.sockets {
        let family = match address.parse::<std::net::SocketAddr>() {
            Ok(a) if a.is_ipv4() => "ipv4@",
            Ok(_) => "ipv6@",
            Err(_) => "",
        };
        let _ = writeln!(call.out, "{family}{address} {} all", level.name());
    }
    Next::Continue
}

fn show_env(call: &mut Call<'_>) -> Next {
    let wanted = call.args.first();
    let mut found = false;
    for (name, value) in call.cx.facts.env.iter() {
        if wanted.is_some_and(|w| w.as_bytes() != name) {
            continue;
        }
        found = true;
        let _ = writeln!(call.out, "{}={}", String::from_utf8_lossy(name), String::from_utf8_lossy(value));
    }
    if !found && wanted.is_some() {
        call.out.push_str("Variable not found\n");
    }
    Next::Continue
}

fn show_backend(call: &mut Call<'_>) -> Next {
    call.out.push_str("# name\n");
    for px in call.cx.snapshot.proxies.iter().filter(|p| p.backend.is_some()) {
        let _ = writeln!(call.out, "{}", px.name);
    }
    Next::Continue
}

fn publish(call: &mut Call<'_>, published: bool) -> Next {
    let cx = call.cx;
    let name = call.args.first().map_or("", String::as_str);
    call.out.push_str(match cx.snapshot.backend(name) {
        None => "No such backend.\n",
        Some(px) if px.disabled => "No effect on a disabled backend.\n",
        Some(px) => {
            cx.live.backend(px.id).unpublished.store(u32::from(!published), SeqCst);
            if published { "Backend published.\n" } else { "Backend unpublished.\n" }
        }
    });
    Next::Continue
}

fn set_timeout(call: &mut Call<'_>) -> Next {
    use crate::base::duration::{Unit, parse};
    match (call.args.first().map(String::as_str), call.args.get(1)) {
        (Some("cli"), Some(text)) => match parse(text, Unit::S) {
            Ok(timeout) => call.state.timeout = timeout,
            Err(_) => call.out.push_str("Invalid timeout value.\n"),
        },
        _ => call.out.push_str("'set timeout' only supports 'cli'.\n"),
    }
    Next::Continue
}

/// The backend and the server of `backend/server`. Says what is wrong otherwise.
pub(super) fn find_server<'c>(call: &mut Call<'_>, cx: &'c Context) -> Option<(&'c Proxy, &'c Server)> {
    let Some((backend, server)) = call.args.first().and_then(|a| a.split_once('/')) else {
        call.out.push_str("Require 'backend/server'.\n");
        return None;
    };
    let Some(px) = cx.snapshot.backend(backend) else {
        call.out.push_str("No such backend.\n");
        return None;
    };
    let found = px.backend().server(server);
    if found.is_none() {
        call.out.push_str("No such server.\n");
    }
    found.map(|s| (px, s))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn table_has_no_twins_and_is_sorted_by_words() {
        for (i, c) in COMMANDS.iter().enumerate() {
            assert!(c.usage.starts_with(&c.words.join(" ")), "{}", c.usage);
            assert!(COMMANDS[..i].iter().all(|o| o.words != c.words), "{}", c.usage);
        }
    }
}
