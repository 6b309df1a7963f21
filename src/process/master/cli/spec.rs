//! `-S <address>[,<option>[,<value>]]*`: where the master's admin socket listens, and who may do what there.

use std::io;
use std::net::ToSocketAddrs;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};

use crate::base::SockAddr;
use crate::base::addr::{AddrRules, AddrSpec};
use crate::cli::Level;
use crate::config::{Loc, suggest};
use crate::net::{self, BindOpts, Listener, UnixOwner};
use crate::process::privileges::{group_id, user_id};
use crate::proxy::check::error_words;
use crate::proxy::global::Account;
use crate::sys::process::{adopt_fd, close_on_exec, duplicate_fd};
use crate::sys::socket::{is_listening, set_nonblock};

/// What was asked for.
#[derive(Clone, Debug)]
pub struct Spec {
    /// The address as written.
    pub written: String,
    /// What connections may do at first.
    pub level: Level,
    addr: SockAddr,
    mode: Option<u32>,
    user: Option<Account>,
    group: Option<Account>,
    backlog: Option<u32>,
    v6only: bool,
    v4v6: bool,
}

/// Where connections come from.
#[derive(Debug)]
pub enum Source {
    /// A listening socket.
    Listener(OwnedFd),
    /// A unix socket over which connections are passed (`sockpair@`).
    Pair(net::Channel),
}

/// Options with a value.
const WITH_VALUE: [&str; 11] = [
    "level",
    "mode",
    "user",
    "uid",
    "group",
    "gid",
    "backlog",
    "maxconn",
    "name",
    "severity-output",
    "expose-fd",
];
/// Options without one.
const ALONE: [&str; 2] = ["v4v6", "v6only"];

impl Spec {
    /// Parse the value of `-S`.
    ///
    /// # Errors
    /// One line: what is wrong, and what to write instead.
    pub fn parse(text: &str) -> Result<Spec, String> {
        let mut words = text.split(',');
        let written = words.next().unwrap_or_default().to_owned();
        let mut spec = Spec {
            addr: address(&written)?,
            written,
            level: Level::Admin,
            mode: None,
            user: None,
            group: None,
            backlog: None,
            v6only: false,
            v4v6: false,
        };
        while let Some(name) = words.next() {
            if ALONE.contains(&name) {
                spec.v4v6 = name == "v4v6";
                spec.v6only = name == "v6only";
            } else if WITH_VALUE.contains(&name) {
                let value = words.next().filter(|v| !v.is_empty());
                let value =
                    value.ok_or_else(|| format!("'-S {text}': '{name}' needs a value: '{name},<value>'"))?;
                spec.apply(name, value)
                    .map_err(|what| format!("'-S {text}': '{name}' expects {what}, got '{value}'"))?;
            } else {
                return Err(unknown(text, name));
            }
        }
        Ok(spec)
    }

    fn apply(&mut self, name: &str, value: &str) -> Result<(), &'static str> {
        let number = || value.parse::<u32>().map_err(|_| "a number");
        match name {
            "level" => self.level = Level::parse(value).ok_or("'user', 'operator' or 'admin'")?,
            "mode" => {
                let mode = u32::from_str_radix(value, 8).ok().filter(|mode| *mode <= 0o7777);
                self.mode = Some(mode.ok_or("octal permission bits")?);
            }
            "user" => self.user = Some(Account::Name(value.to_owned(), Loc::default())),
            "group" => self.group = Some(Account::Name(value.to_owned(), Loc::default())),
            "uid" => self.user = Some(Account::Id(number()?)),
            "gid" => self.group = Some(Account::Id(number()?)),
            "backlog" => self.backlog = Some(number()?),
            // The number of sessions is bounded all the same.
            "maxconn" => drop(number()?),
            "expose-fd" if value != "listeners" => return Err("'listeners'"),
            // Listeners are asked for at a worker's socket; names are shown nowhere; answers have no severity.
            _ => {}
        }
        Ok(())
    }

    /// Open it.
    ///
    /// # Errors
    /// One line.
    pub fn open(&self) -> Result<Source, String> {
        self.try_open().map_err(|e| {
            let help = match (&self.addr, e.kind()) {
                (SockAddr::Unix(_), io::ErrorKind::NotFound) => ": its directory must exist",
                (SockAddr::Fd(_), _) => ": it must be a listening socket that the caller has left open",
                (SockAddr::SockPair(_), _) => {
                    ": it must be one end of a socket pair that the caller has left open"
                }
                _ => "",
            };
            format!("cannot open the master's admin socket [{}] ({}){help}", self.written, error_words(&e))
        })
    }

    fn try_open(&self) -> io::Result<Source> {
        match self.addr {
            SockAddr::Fd(number) if is_listening(number) => listening(own(number)?),
            SockAddr::Fd(number) => {
                // The kernel's own words when it is not open at all.
                duplicate_fd(number)?;
                Err(io::Error::other("it does not listen"))
            }
            SockAddr::SockPair(number) => Ok(Source::Pair(net::Channel::from_fd(own(number)?))),
            _ => listening(self.bind()?),
        }
    }

    fn bind(&self) -> io::Result<OwnedFd> {
        let addr = net::SockAddr::configured(&self.addr).ok_or(io::ErrorKind::Unsupported)?;
        let unix = UnixOwner {
            mode: self.mode,
            uid: self.user.as_ref().map(user_id).transpose().map_err(io::Error::other)?,
            gid: self.group.as_ref().map(group_id).transpose().map_err(io::Error::other)?,
        };
        let opts = BindOpts {
            backlog: self.backlog,
            v6only: self.v6only,
            v4v6: self.v4v6,
            nodelay: true,
            no_reuseport: true,
            unix,
            ..BindOpts::default()
        };
        Listener::open(&addr, &opts)
    }

    /// Go on with a descriptor that was opened before.
    ///
    /// # Errors
    /// The system's.
    pub fn go_on(&self, fd: OwnedFd) -> io::Result<Source> {
        match self.addr {
            SockAddr::SockPair(_) => Ok(Source::Pair(net::Channel::from_fd(fd))),
            _ => listening(fd),
        }
    }

    /// A listening socket that was kept from before can still be reached.
    pub fn is_reachable(&self) -> bool {
        use std::os::unix::ffi::OsStrExt;
        match &self.addr {
            SockAddr::Unix(path) => std::path::Path::new(std::ffi::OsStr::from_bytes(path)).exists(),
            _ => true,
        }
    }
}

/// The descriptor of that number. It is ours alone from now on, and not for those that we start.
fn own(number: RawFd) -> io::Result<OwnedFd> {
    // The first three are everybody's.
    let fd = if number > 2 { adopt_fd(number)? } else { duplicate_fd(number)? };
    close_on_exec(&fd, true)?;
    Ok(fd)
}

/// Take a listening socket into use.
///
/// # Errors
/// The system's.
fn listening(fd: OwnedFd) -> io::Result<Source> {
    set_nonblock(fd.as_raw_fd(), true)?;
    Ok(Source::Listener(fd))
}

fn unknown(text: &str, name: &str) -> String {
    let help = match suggest::closest(name, WITH_VALUE.into_iter().chain(ALONE)) {
        Some(best) => format!(": did you mean '{best}'?"),
        None => format!(": it knows {}", [&WITH_VALUE[..], &ALONE].concat().join(", ")),
    };
    format!("'-S {text}': unknown option '{name}'{help}")
}

fn address(text: &str) -> Result<SockAddr, String> {
    let failed = |why: &str, help: &str| Err(format!("'-S {text}': {why}{help}"));
    let spec = match AddrSpec::parse(text, AddrRules { range: false, ..AddrRules::BIND }) {
        Ok(spec) => spec,
        Err(error) => {
            let help = match error.help {
                _ if !text.is_empty() && !text.contains(['@', ':', '/']) => {
                    ": write '<address>:<port>', or a path that starts with '/'".to_owned()
                }
                Some(help) => format!(": {help}"),
                None => String::new(),
            };
            return failed(&error.message, &help);
        }
    };
    if let Some(addr) = spec.sock_addrs().and_then(|all| all.into_iter().next()) {
        return Ok(addr);
    }
    // A name: resolved once, at start.
    match text.to_socket_addrs().map(|mut all| all.next()) {
        Ok(Some(addr)) => Ok(SockAddr::Inet(addr)),
        _ => failed("the name cannot be resolved", ": write an address"),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn ok(text: &str) -> Spec {
        Spec::parse(text).unwrap_or_else(|why| panic!("{text}: {why}"))
    }

    #[test]
    fn what_manuals_and_test_drivers_write() {
        let spec = ok("127.0.0.1:1234");
        assert_eq!((spec.level, spec.addr.port()), (Level::Admin, Some(1234)));
        let spec = ok("/tmp/master-socket,uid,1000,gid,1001,mode,600");
        assert_eq!(spec.addr, SockAddr::Unix((*b"/tmp/master-socket").into()));
        assert_eq!((spec.user, spec.group), (Some(Account::Id(1000)), Some(Account::Id(1001))));
        assert_eq!((spec.mode, spec.written.as_str()), (Some(0o600), "/tmp/master-socket"));
        assert_eq!(ok("/tmp/master-socket,level,user").level, Level::User);
        assert_eq!(ok("fd@5").addr, SockAddr::Fd(5));
        assert_eq!(ok("sockpair@6,level,operator").addr, SockAddr::SockPair(6));
        assert_eq!(ok("abns@x,backlog,5").addr, SockAddr::Abstract((*b"x").into()));
        assert!(ok("ipv6@::1:99,v6only").v6only && ok("[::]:99,v4v6").v4v6);
        assert!(ok("localhost:99").addr.inet().is_some_and(|a| a.ip().is_loopback()));
        ok("/x,name,a,maxconn,5,severity-output,none,expose-fd,listeners,user,nobody,group,nogroup");
    }

    #[test]
    fn mistakes_are_said_with_what_to_write() {
        for (text, what) in [
            ("", "an address is missing"),
            ("127.0.0.1", "write '<address>:<port>'"),
            ("master.sock", "a path that starts with '/'"),
            ("udp@127.0.0.1:1", "-S udp@127.0.0.1:1"),
            ("/x,levle,admin", "did you mean 'level'?"),
            ("/x,ssl", "it knows level, mode"),
            ("/x,level", "'level' needs a value: 'level,<value>'"),
            ("/x,level,", "needs a value"),
            ("/x,level,god", "'user', 'operator' or 'admin', got 'god'"),
            ("/x,mode,999", "octal"),
            ("/x,uid,me", "a number"),
            ("/x,,", "unknown option ''"),
            ("127.0.0.1:1-5", "-S 127.0.0.1:1-5"),
        ] {
            let why = Spec::parse(text).expect_err(text);
            assert!(why.contains(what) && !why.contains('\n'), "{text}: {why}");
        }
    }

    #[test]
    fn descriptors_must_be_what_they_are_said_to_be() {
        let why = ok("fd@9999").open().expect_err("not open");
        assert!(why.contains("fd@9999") && why.contains("left open"), "{why}");
        let why = ok("/nonexistent/dir/x").open().expect_err("no directory");
        assert!(why.contains("its directory must exist"), "{why}");
        let udp = std::net::UdpSocket::bind("127.0.0.1:0").expect("loopback");
        let why = ok(&format!("fd@{}", udp.as_raw_fd())).open().expect_err("no listener");
        assert!(why.contains("it does not listen"), "{why}");
        udp.local_addr().expect("it is still open");
        let why = ok("/x,user,nosuchuser").open().expect_err("nobody");
        assert!(why.contains("nosuchuser"), "{why}");
    }

    proptest! {
        #[test]
        fn any_text_is_understood_or_refused(text in "[a-z0-9@/:.,\\-\\[\\]\\PC]{0,40}") {
            // Names would be looked up.
            if !text.contains(':') || text.starts_with('/') {
                let _ = Spec::parse(&text);
            }
        }
    }
}
