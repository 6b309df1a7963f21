//! Files with the states of servers, as `show servers state` gives them (`load-server-state-from-file`).

use std::collections::HashMap;
use std::fs;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering::Relaxed;

use crate::base::time::Mono;

use super::live::{AdminFlags, ServerState, ServerStatus};
use super::{Live, Proxy, Server, Snapshot};

/// `server-state-base`, `server-state-file`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StateDir {
    /// Prefix of names that begin with no `/`.
    pub base: Option<PathBuf>,
    /// The file for all backends.
    pub file: Option<PathBuf>,
}

/// Which file a backend's states come from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum StateFrom {
    /// None.
    #[default]
    Nowhere,
    /// That of `server-state-file`.
    Global,
    /// Its own.
    Local,
}

/// `load-server-state-from-file`, `server-state-file-name`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StateFile {
    /// Which file.
    pub from: StateFrom,
    /// The name of its own file; its own name when `None`.
    pub name: Option<String>,
}

/// What a file says about one server.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Saved {
    backend: String,
    server: String,
    addr: Option<IpAddr>,
    port: Option<u16>,
    status: ServerStatus,
    admin: u8,
    weight: u32,
    configured_weight: u32,
    changed_s: u64,
    check_port: u16,
    check_addr: Option<IpAddr>,
    agent_addr: Option<IpAddr>,
    agent_port: u16,
}

/// States that were read, for servers of the configuration.
#[derive(Debug, Default)]
pub struct SavedStates {
    servers: HashMap<(String, String), Saved>,
}

/// Fields of the first version that every line has; more came later, and are used when they are there.
const FIELDS_MIN: usize = 15;

/// One line. `None`: it is none of the format's first version.
fn line(text: &str) -> Option<Saved> {
    let f: Vec<&str> = text.split_ascii_whitespace().collect();
    if f.len() < FIELDS_MIN {
        return None;
    }
    let ip = |at: usize| f.get(at).and_then(|text| text.parse().ok());
    let port = |at: usize| f.get(at).and_then(|text| text.parse::<u16>().ok());
    let status = match f[5] {
        "0" => ServerStatus::Stopped,
        "1" => ServerStatus::Starting,
        "2" => ServerStatus::Running,
        "3" => ServerStatus::Stopping,
        _ => return None,
    };
    Some(Saved {
        backend: f[1].to_owned(),
        server: f[3].to_owned(),
        addr: ip(4),
        port: port(18),
        status,
        admin: f[6].parse().ok()?,
        weight: f[7].parse().ok().filter(|w| *w <= crate::base::limits::MAX_WEIGHT)?,
        configured_weight: f[8].parse().ok()?,
        changed_s: f[9].parse().ok()?,
        check_port: port(21).unwrap_or(0),
        check_addr: ip(22),
        agent_addr: ip(23),
        agent_port: port(24).unwrap_or(0),
    })
}

/// All lines of a file; the number of the line that cannot be understood.
fn parse(text: &str) -> Result<Vec<Saved>, usize> {
    let mut lines = text.lines().enumerate();
    if lines.next().is_none_or(|(_, first)| first.trim() != "1") {
        return Err(1);
    }
    let mut all = Vec::new();
    for (n, text) in lines.filter(|(_, l)| !l.trim_start().starts_with('#') && !l.trim().is_empty()) {
        all.push(line(text).ok_or(n + 1)?);
    }
    Ok(all)
}

impl SavedStates {
    /// Read the files that the configuration names. What is wrong with them goes to `say`: it is no reason not to start.
    pub fn read(snapshot: &Snapshot, mut say: impl FnMut(String)) -> SavedStates {
        let dir = snapshot.global.get::<StateDir>().cloned().unwrap_or_default();
        let place = |name: &Path| dir.base.as_deref().unwrap_or(Path::new("")).join(name);
        let mut states = SavedStates::default();
        let wants = |px: &Proxy, from: StateFrom| {
            px.backend.is_some() && px.section.get::<StateFile>().is_some_and(|f| f.from == from)
        };
        let mut load = |path: &Path, of: &dyn Fn(&str) -> bool| {
            let text = match fs::read_to_string(path) {
                Ok(text) => text,
                Err(error) => return say(format!("server states: '{}': {error}", path.display())),
            };
            match parse(&text) {
                Ok(all) => {
                    let all = all.into_iter().filter(|saved| of(&saved.backend));
                    states.servers.extend(all.map(|s| ((s.backend.clone(), s.server.clone()), s)));
                }
                Err(n) => say(format!(
                    "server states: '{}' line {n}: not as 'show servers state' writes it (version 1); nothing is taken \
                     from this file",
                    path.display()
                )),
            }
        };
        let global: Vec<&str> = snapshot
            .proxies
            .iter()
            .filter(|px| wants(px, StateFrom::Global))
            .map(|px| px.name.as_str())
            .collect();
        if let Some(file) = dir.file.as_deref().filter(|_| !global.is_empty()) {
            load(&place(file), &|backend| global.contains(&backend));
        }
        for px in snapshot.proxies.iter().filter(|px| wants(px, StateFrom::Local)) {
            let name = px.section.get::<StateFile>().and_then(|f| f.name.as_deref()).unwrap_or(&px.name);
            load(&place(Path::new(name)), &|backend| backend == px.name);
        }
        states
    }

    /// Into the live state, before any thread runs.
    pub fn apply(&self, live: &Live, snapshot: &Snapshot, now: Mono) {
        if self.servers.is_empty() {
            return;
        }
        for px in &snapshot.proxies {
            for srv in px.backend.iter().flat_map(|b| &b.servers) {
                if let Some(saved) = self.servers.get(&(px.name.clone(), srv.name.clone())) {
                    saved.apply(live, srv, now);
                }
            }
        }
        live.inherit_from_tracked(snapshot);
    }
}

impl Saved {
    fn apply(&self, live: &Live, srv: &Server, now: Mono) {
        let state = live.server(srv.id);
        if self.configured_weight == srv.weight {
            state.store_weight(self.weight, self.weight * ServerState::WEIGHT_SCALE);
        }
        state.store_admin(AdminFlags(self.admin_now(srv, state.admin())));
        // Its weight does not climb on: the file does not say how far it has come.
        let climbs = self.status == ServerStatus::Starting;
        state.store_status(if climbs { ServerStatus::Running } else { self.status });
        let full = srv.check.rise() + srv.check.fall() - 1;
        state.check_health.store(if self.status == ServerStatus::Stopped { 0 } else { full }, Relaxed);
        state.changed_ns.store(now.0.saturating_sub(self.changed_s.saturating_mul(1_000_000_000)), Relaxed);
        self.apply_addresses(live, srv);
    }

    /// Maintenance that only the configuration had asked for ends with its `disabled`.
    fn admin_now(&self, srv: &Server, now: AdminFlags) -> u8 {
        let of_configuration = self.admin & AdminFlags::CONFIG_MAINT.0 != 0;
        let maint = match (srv.disabled, of_configuration) {
            (true, _) => AdminFlags::FORCED_MAINT.0 | AdminFlags::CONFIG_MAINT.0,
            (false, true) => 0,
            (false, false) => self.admin & AdminFlags::FORCED_MAINT.0,
        };
        maint | (self.admin & AdminFlags::FORCED_DRAIN.0) | (now.0 & AdminFlags::RESOLVE_MAINT.0)
    }

    /// The address of a server that is configured by name, the port of any; those of checks.
    fn apply_addresses(&self, live: &Live, srv: &Server) {
        let state = live.server(srv.id);
        if let Some(own) = live.server_inet(srv).filter(|_| srv.port_offset.is_none()) {
            let ip = self.addr.filter(|_| srv.hostname.is_some()).unwrap_or(own.ip());
            let port = self.port.filter(|port| *port != 0).unwrap_or(own.port());
            if (ip, port) != (own.ip(), own.port()) {
                state.address.set((ip, port).into());
            }
        }
        let check = &srv.check;
        if self.check_port != 0 && Some(self.check_port) != check.port.or(check.addr_port) {
            state.check_control.set_port(self.check_port);
        }
        if let Some(ip) = self.check_addr.filter(|ip| Some(*ip) != check.addr) {
            state.check_control.set_ip(ip);
        }
        if self.agent_port != 0 && Some(self.agent_port) != check.agent_port {
            state.agent_control.set_port(self.agent_port);
        }
        if let Some(ip) = self.agent_addr.filter(|ip| Some(*ip) != check.agent_addr) {
            state.agent_control.set_ip(ip);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const HEAD: &str = "1\n# be_id be_name srv_id srv_name ...\n";

    #[test]
    fn a_file_is_understood() {
        let text = format!(
            "{HEAD}3 bk 1 s1 127.0.0.9 2 8 5 11 100 1 0 0 0 0 0 0 - 99 - 0 77 ::1 - 0\n\n3 bk 2 s2 - 0 1 0 1 9 6 3 4 6 0\n"
        );
        let all = parse(&text).expect("it is as it should be");
        assert_eq!((all[0].port, all[0].check_port, all[0].agent_port), (Some(99), 77, 0));
        assert_eq!(
            (all[0].weight, all[0].configured_weight, all[0].admin, all[0].changed_s),
            (5, 11, 8, 100)
        );
        assert_eq!((all[0].addr.map(|a| a.to_string()), all[1].addr), (Some("127.0.0.9".to_owned()), None));
        assert_eq!((all[1].status, all[1].port, all[1].check_addr), (ServerStatus::Stopped, None, None));
    }

    #[test]
    fn what_is_none_names_its_line() {
        for (text, line) in [("", 1), ("2\n", 1), ("# a\n", 1)] {
            assert_eq!(parse(text), Err(line), "{text:?}");
        }
        for bad in ["3 bk 1 s1 - 2", "3 b 1 s - 9 0 5 11 1 1 0 0 0 0", "3 b 1 s - 2 0 257 11 1 1 0 0 0 0"] {
            assert_eq!(parse(&format!("{HEAD}{bad}\n")), Err(3), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_a_file_or_none(text in "\\PC*", fields in "([0-9]{1,9}|[a-z.-]{1,9}| ){0,40}") {
            let _ = parse(&text);
            let _ = parse(&format!("{HEAD}{fields}"));
        }
    }
}
