//! `stats socket` lines: where to listen and what a connection may do.

use crate::base::SockAddr;
use crate::base::addr::{AddrRules, AddrSpec};
use crate::config::{Diagnostics, Env, Loc, Word, suggest, words};
use crate::proxy::GlobalConf;
use crate::proxy::global::{Account, StatsSocket};

/// What a connection may do (`level`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Level {
    /// Look at what is not sensitive.
    User,
    /// Look at everything.
    #[default]
    Operator,
    /// Change things.
    Admin,
}

impl Level {
    /// The level of that name.
    pub fn parse(name: &str) -> Option<Level> {
        match name {
            "user" => Some(Level::User),
            "operator" => Some(Level::Operator),
            "admin" => Some(Level::Admin),
            _ => None,
        }
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Level::User => "user",
            Level::Operator => "operator",
            Level::Admin => "admin",
        }
    }
}

/// One listening admin socket.
#[derive(Clone, Debug)]
pub struct SocketConf {
    /// Where.
    pub addr: SockAddr,
    /// What connections may do at first.
    pub level: Level,
    /// `mode`.
    pub mode: Option<u32>,
    /// `user` or `uid`.
    pub user: Option<Account>,
    /// `group` or `gid`.
    pub group: Option<Account>,
    /// `expose-fd listeners`.
    pub expose_fd: bool,
    /// The line.
    pub loc: Loc,
}

impl SocketConf {
    /// Whether other processes may ask for this one's listening sockets here.
    pub fn exposes(&self) -> bool {
        self.expose_fd && self.level == Level::Admin
    }
}

/// Every admin socket that the `global` section asks for. What is wrong goes to `diags`.
pub fn sockets(global: &GlobalConf, env: &Env, diags: &mut Diagnostics) -> Vec<SocketConf> {
    global.stats.sockets.iter().flat_map(|s| socket(global, s, env, diags)).collect()
}

fn socket(global: &GlobalConf, line: &StatsSocket, env: &Env, diags: &mut Diagnostics) -> Vec<SocketConf> {
    let text = words::expand_in_address(&line.address.text(), env);
    let mut addrs = Vec::new();
    for part in text.split(',') {
        let spec = match AddrSpec::parse(part, AddrRules::BIND) {
            Ok(spec) => spec,
            Err(error) => {
                diags.error(line.address.loc, format!("'stats socket' : {}", error.message));
                return Vec::new();
            }
        };
        let Some(some) = spec.sock_addrs() else {
            diags
                .error(line.address.loc, "'stats socket' : host names are not resolved here")
                .help("write an address");
            return Vec::new();
        };
        addrs.extend(some);
    }
    let Some(base) = options(global, line, diags) else { return Vec::new() };
    addrs.into_iter().map(|addr| SocketConf { addr, ..base.clone() }).collect()
}

const OPTIONS: [&str; 14] = [
    "mode",
    "user",
    "uid",
    "group",
    "gid",
    "level",
    "expose-fd",
    "name",
    "maxconn",
    "backlog",
    "severity-output",
    "accept-proxy",
    "process",
    "thread",
];

fn options(global: &GlobalConf, line: &StatsSocket, diags: &mut Diagnostics) -> Option<SocketConf> {
    let mut conf = SocketConf {
        addr: SockAddr::Fd(-1),
        level: Level::Operator,
        mode: global.unix_bind.mode,
        user: global.unix_bind.user.clone(),
        group: global.unix_bind.group.clone(),
        expose_fd: false,
        loc: line.address.loc,
    };
    let mut words = line.params.iter();
    while let Some(word) = words.next() {
        let name = word.text();
        if !OPTIONS.contains(&name.as_ref()) {
            let d = diags.error(word.loc, format!("'stats socket' : unknown option '{name}'"));
            if let Some(best) = suggest::closest(&name, OPTIONS.into_iter()) {
                d.help(format!("did you mean '{best}'?"));
            }
            return None;
        }
        if name == "accept-proxy" {
            diags.error(word.loc, "'stats socket' : 'accept-proxy' is not implemented for admin sockets");
            return None;
        }
        let Some(value) = words.next() else {
            diags.error(word.loc, format!("'stats socket' : '{name}' needs a value"));
            return None;
        };
        apply(&mut conf, &name, value, diags)?;
    }
    Some(conf)
}

fn apply(conf: &mut SocketConf, name: &str, value: &Word, diags: &mut Diagnostics) -> Option<()> {
    let text = value.text();
    let mut bad = |what: &str| {
        diags.error(value.loc, format!("'stats socket' : '{name}' expects {what}, got '{text}'"));
        None
    };
    let number = text.parse::<u32>();
    match name {
        "mode" => match u32::from_str_radix(&text, 8) {
            Ok(mode) if mode <= 0o7777 => conf.mode = Some(mode),
            _ => return bad("octal permission bits"),
        },
        "user" => conf.user = Some(Account::Name(text.into_owned(), value.loc)),
        "group" => conf.group = Some(Account::Name(text.into_owned(), value.loc)),
        "uid" => match number {
            Ok(id) => conf.user = Some(Account::Id(id)),
            Err(_) => return bad("a number"),
        },
        "gid" => match number {
            Ok(id) => conf.group = Some(Account::Id(id)),
            Err(_) => return bad("a number"),
        },
        "level" => match Level::parse(&text) {
            Some(level) => conf.level = level,
            None => return bad("'user', 'operator' or 'admin'"),
        },
        "expose-fd" if text == "listeners" => conf.expose_fd = true,
        "expose-fd" => return bad("'listeners'"),
        "maxconn" | "backlog" if number.is_err() => return bad("a number"),
        "severity-output" if !matches!(text.as_ref(), "none" | "number" | "string") => {
            return bad("'none', 'number' or 'string'");
        }
        // Names, limits of a single socket and thread sets change nothing here: all admin connections are served
        // by one thread, within `stats maxconn`.
        _ => {}
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{LoadOptions, load_str};

    fn parse(lines: &str) -> (Vec<SocketConf>, Diagnostics) {
        let mut env = Env::empty();
        env.set("cli", "7");
        let options = LoadOptions { env, diag_mode: false };
        let mut loaded = load_str("t", &format!("global\n{lines}\n"), options, &crate::registry::tables());
        let global = GlobalConf::of(&loaded.sections);
        let sockets = sockets(&global, &loaded.env, &mut loaded.diags);
        (sockets, loaded.diags)
    }

    #[test]
    fn lines_of_test_drivers_and_manuals() {
        let (s, d) = parse(
            "stats socket \"/tmp/x/stats.sock\" level admin mode 600\nstats socket \"fd@${cli}\" level admin\n\
             stats socket ipv4@127.0.0.1:9999 level user\n stats socket /run/a.sock mode 660 user nobody gid 7 expose-fd listeners",
        );
        assert!(!d.has_errors(), "{:?}", d.list);
        assert_eq!(s[0].addr, SockAddr::Unix((*b"/tmp/x/stats.sock").into()));
        assert_eq!((s[0].level, s[0].mode), (Level::Admin, Some(0o600)));
        assert_eq!(s[1].addr, SockAddr::Fd(7));
        assert_eq!(s[2].addr.port(), Some(9999));
        assert_eq!(s[3].group, Some(Account::Id(7)));
        assert!(s[3].expose_fd);
        let (s, d) = parse("stats socket /tmp/a,127.0.0.1:1,abns@b level admin");
        assert!(!d.has_errors() && s.len() == 3 && s.iter().all(|s| s.level == Level::Admin), "{s:?}");
    }

    #[test]
    fn mistakes() {
        for line in [
            "/tmp/a mode 9",
            "/tmp/a levle admin",
            "/tmp/a level god",
            "/tmp/a level",
            "nohost:1",
            "127.0.0.1",
        ] {
            let (s, d) = parse(&format!("stats socket {line}"));
            assert!(s.is_empty() && d.has_errors(), "{line}");
        }
    }
}
