//! `peers` sections: who is who, where this node listens, which tables are replicated.

use std::collections::HashSet;
use std::sync::Arc;

use crate::base::SockAddr;
use crate::base::addr::{AddrSpec, Host};
use crate::config::{Loc, Section, SectionKind};
use crate::log;
use crate::net::{self, BindOpts, ConnectOpts, UnixOwner};
use crate::peers::{ListenConf, MemberConf, SectionConf, TUNE_UPDATES};
use crate::stick::TableId;

use super::super::Snapshot;
use super::super::global::{GlobalConf, PeersGlobal};
use super::super::keywords::peers::host_name;
use super::super::listener::ListenerSocket;
use super::super::raw::{RawMember, RawPeers};
use super::{Cx, proxies};

/// Fills `Snapshot::peers`. The tables are known by now.
pub(super) fn resolve(cx: &mut Cx<'_>, snapshot: &mut Snapshot) {
    let global = snapshot.global.get::<GlobalConf>().map(|g| g.peers.clone()).unwrap_or_default();
    let named = global.command_line.clone().or(global.local.as_ref().map(|l| l.value.clone()));
    let local = named.unwrap_or_else(host_name);
    if let (Some(_), Some(line)) = (&global.command_line, &global.local) {
        let message = format!("'localpeer' has no effect: the command line says '-L {local}'");
        cx.diags.warning(line.loc, message);
    }
    let mut seen: HashSet<&str> = HashSet::new();
    let mut all = Vec::new();
    for section in snapshot.sections.iter().filter(|s| s.kind == SectionKind::Peers) {
        // A second section of a name was reported by the loader.
        if !seen.insert(&section.name) {
            continue;
        }
        let tables = tables_of(snapshot, &section.name);
        all.extend(one(cx, section, snapshot, (&local, &global), tables).map(Arc::new));
    }
    snapshot.peers = all;
}

/// The tables of the section, and those of proxies that say `peers <section>`.
fn tables_of(snapshot: &Snapshot, section: &str) -> Vec<TableId> {
    let replicated = |t: &crate::stick::TableDef| t.peers.as_ref().is_some_and(|(name, _)| name == section);
    let all = snapshot.tables.iter().enumerate();
    all.filter(|(_, t)| replicated(t)).map(|(i, _)| TableId(i as u32)).collect()
}

fn one(
    cx: &mut Cx<'_>,
    section: &Section,
    snapshot: &Snapshot,
    (local_name, global): (&str, &PeersGlobal),
    tables: Vec<TableId>,
) -> Option<SectionConf> {
    let raw = section.get::<RawPeers>().cloned().unwrap_or_default();
    let shards = raw.shards.as_ref().map_or(0, |s| s.value);
    let members: Vec<MemberConf> = raw.members.iter().map(|m| member(cx, m, shards)).collect();
    let local = members.iter().position(|m| m.name == local_name);
    if local.is_none() && !raw.disabled {
        no_local_member(cx, section, local_name, &raw, !tables.is_empty());
    }
    let mut conf = SectionConf {
        name: section.name.clone(),
        loc: section.loc,
        disabled: raw.disabled || local.is_none(),
        members,
        local: local.unwrap_or(0),
        listen: None,
        shards,
        tables,
        log: log::resolve(section, &snapshot.global),
        max_updates: global.max_updates.unwrap_or(TUNE_UPDATES),
        predecessor: global.predecessor,
    };
    let Some(local) = local else { return Some(conf) };
    conf.listen = listen(cx, &raw, &raw.members[local]);
    if let Some(listen) = &conf.listen {
        conf.members[local].addr = net::SockAddr::configured(&listen.addr);
    }
    for (member, raw) in conf.members.iter().zip(&raw.members) {
        if member.addr.is_none() && member.name != local_name && !raw.wrong_addr {
            let message =
                format!("'server {}' : a member that is not this node needs an address", member.name);
            cx.diags.error(raw.loc, message).help(format!("write 'server {} <address>:<port>'", member.name));
        }
    }
    Some(conf)
}

/// Entries would be replicated with nobody. HAProxy drops the section with a warning and goes on without.
fn no_local_member(cx: &mut Cx<'_>, section: &Section, local: &str, raw: &RawPeers, used: bool) {
    let names: Vec<&str> = raw.members.iter().map(|m| m.name.value.as_str()).collect();
    let list = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
    let message = format!("'peers {}' : no member is called '{local}', the name of this node", section.name);
    let help = format!("start with '-L <name>' or write 'localpeer <name>' in 'global'; members: {list}");
    if used {
        cx.diags.error(section.loc, message).help(help);
    } else {
        cx.diags
            .warning(section.loc, format!("{message}; no table uses the section, it is ignored"))
            .help(help);
    }
}

fn member(cx: &mut Cx<'_>, raw: &RawMember, shards: u32) -> MemberConf {
    let o = &raw.options;
    let source = o.source.clone().and_then(|s| proxies::source(cx, s, raw.loc));
    let shard = o.shard.as_ref().map_or(0, |s| s.value);
    if shard > shards
        && let Some(at) = &o.shard
    {
        let message =
            format!("'shard' : {shard} is above the number of 'shards' ({shards}) and has no effect");
        cx.diags.warning(at.loc, message);
    }
    MemberConf {
        name: raw.name.value.clone(),
        addr: raw
            .addr
            .as_ref()
            .and_then(|a| address(cx, &a.value, a.loc))
            .and_then(|a| net::SockAddr::configured(&a)),
        connect: ConnectOpts {
            source: source.as_ref().and_then(|s| s.fixed()),
            interface: source.as_ref().and_then(|s| s.interface.clone()),
            tfo: o.tfo,
            nodelay: true,
            user_timeout_ms: o.tcp_user_timeout.map(ms),
            ..ConnectOpts::default()
        },
        shard: if shard > shards { 0 } else { shard },
    }
}

fn ms(d: std::time::Duration) -> u32 {
    u32::try_from(d.as_millis()).unwrap_or(u32::MAX)
}

/// Where this node listens: its `bind` line, or the address of its `peer` line.
fn listen(cx: &mut Cx<'_>, raw: &RawPeers, local: &RawMember) -> Option<ListenConf> {
    match (&raw.bind, &local.addr) {
        (Some(bind), Some(addr)) => {
            let message = format!("'{}' : this node listens at its 'bind' line already", local.name.value);
            cx.diags.error(addr.loc, message).help(format!(
                "write 'server {}' without an address, or remove the 'bind' of line {}",
                local.name.value, bind.loc.line
            ));
            None
        }
        (Some(bind), None) => {
            if let Some(peer) = raw.members.iter().find(|m| m.is_peer) {
                let message = "'peer' and 'bind' do not go together in a 'peers' section";
                cx.diags.error(bind.loc, message).help(format!("write 'server' in line {}", peer.loc.line));
            }
            let addr = address(cx, bind.addrs.first()?, bind.loc)?;
            Some(ListenConf { addr, opts: bind_opts(&bind.options.socket), loc: bind.loc })
        }
        (None, Some(at)) => {
            let addr = address(cx, &at.value, at.loc)?;
            Some(ListenConf { addr, opts: bind_opts(&raw.bind_options.socket), loc: at.loc })
        }
        (None, None) => {
            if !local.wrong_addr {
                let message = format!("'{}' is this node and has no address to listen at", local.name.value);
                cx.diags.error(local.loc, message).help("write 'bind [<address>]:<port>' in the section");
            }
            None
        }
    }
}

fn address(cx: &mut Cx<'_>, spec: &AddrSpec, loc: Loc) -> Option<SockAddr> {
    let addrs = match (spec.sock_addrs(), &spec.host) {
        (Some(list), _) => list,
        (None, Host::Name(name, family)) => match cx.hosts.lookup(name, *family) {
            Some(ip) => spec.with_ip(ip),
            None => {
                cx.diags.error(loc, format!("invalid address: '{name}' does not resolve"));
                return None;
            }
        },
        (None, _) => Vec::new(),
    };
    addrs.into_iter().next()
}

fn bind_opts(socket: &ListenerSocket) -> BindOpts {
    BindOpts {
        backlog: socket.backlog,
        v6only: socket.v6only,
        v4v6: socket.v4v6,
        mss: socket.mss.and_then(|m| u32::try_from(m).ok()),
        interface: socket.interface.clone(),
        transparent: socket.transparent,
        freebind: socket.transparent,
        tfo: socket.tfo.then(|| socket.backlog.unwrap_or(64)),
        user_timeout_ms: socket.tcp_user_timeout.map(ms),
        nodelay: true,
        unix: UnixOwner { mode: socket.unix.mode, uid: socket.unix.uid, gid: socket.unix.gid },
        ..BindOpts::default()
    }
}
