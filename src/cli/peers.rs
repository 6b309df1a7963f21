//! `show peers` (management manual, 9.3). Where HAProxy prints addresses in memory, numbers stand here that tell
//! objects apart.

use std::fmt::Write;
use std::rc::Rc;
use std::sync::Arc;

use super::commands::{Call, Next};
use crate::base::time::Mono;
use crate::log;
use crate::peers::{Link, MemberState, Section, with_sections};
use crate::runtime;

/// Names in a line of a dictionary.
const PER_LINE: usize = 4;

/// What one command prints.
struct Print<'a> {
    out: &'a mut String,
    dict: bool,
    now: Mono,
}

/// The command.
pub(super) fn show(call: &mut Call<'_>) -> Next {
    let mut args = call.args;
    let dict = args.first().is_some_and(|w| w == "dict");
    if dict || args.first().is_some_and(|w| w == "-") {
        args = &args[1..];
    }
    let wanted = args.first();
    let mut print = Print { out: call.out, dict, now: runtime::now() };
    let mut found = wanted.is_none();
    with_sections(|all| {
        for (at, section) in all.iter().enumerate() {
            if wanted.is_none_or(|w| *w == section.conf().name) {
                found = true;
                print.section((at as u64 + 1) << 32, section);
            }
        }
    });
    if !found {
        print.out.push_str("No such peers\n");
    }
    Next::Continue
}

/// Connections of peers: all, and those past the handshake.
pub(super) fn counts() -> (u64, u64) {
    let (mut all, mut open) = (0, 0);
    with_sections(|sections| {
        for section in sections {
            let links = (0..section.conf().members.len()).filter_map(|at| section.link_of(at));
            for link in links {
                all += 1;
                open += u64::from(link.is_open());
            }
        }
    });
    (all, open)
}

impl Print<'_> {
    /// Writing to a string cannot fail.
    fn put(&mut self, args: std::fmt::Arguments<'_>) {
        let _ = self.out.write_fmt(args);
    }

    /// Time that is left, as HAProxy says it.
    fn left(&self, until: Mono) -> String {
        match until {
            Mono::NEVER => "<NEVER>".to_owned(),
            t if t <= self.now => "<PAST>".to_owned(),
            t => period(t.ms_since(self.now)),
        }
    }

    fn section(&mut self, id: u64, section: &Rc<Section>) {
        let conf = section.conf();
        let group = section.group();
        let date = log::local_date(runtime::wall());
        let flags = if group.is_up_to_date() { 0x3 } else { 0x0 };
        let timeout = self.left(group.resync_deadline());
        self.put(format_args!(
            "{id:#x}: [{date}] id={} disabled={} flags={flags:#x} resync_timeout={timeout} task_calls={}\n",
            conf.name,
            u8::from(conf.disabled),
            section.turns()
        ));
        drop(group);
        if conf.disabled || conf.tables.is_empty() {
            return;
        }
        for at in (0..conf.members.len()).rev() {
            self.member(id | (at as u64 + 1) << 16, section, at);
        }
    }

    fn member(&mut self, id: u64, section: &Section, at: usize) {
        let (conf, state) = (section.conf(), section.member(at));
        let member = &conf.members[at];
        let group = section.group();
        let link = section.link_of(at);
        let is_local = at == conf.local;
        let addr = member.addr.as_ref().map_or("-".to_owned(), ToString::to_string);
        let active = link.as_ref().is_some_and(|l| l.is_open());
        self.put(format_args!(
            "  {id:#x}: id={}({},{}) addr={addr} last_status={} last_hdshk={}\n",
            member.name,
            if is_local { "local" } else { "remote" },
            if active { "active" } else { "inactive" },
            state.status,
            state.changed.map_or("<NEVER>".to_owned(), |t| period(self.now.ms_since(t))),
        ));
        let reconnect = self.left(group.call_at(at));
        let counters =
            link.as_ref().and_then(|l| l.with_session(|s| (s.counters(), s.deadline(), s.is_teaching())));
        let (now_c, heartbeat, teaching) = counters.unwrap_or((Default::default(), Mono::NEVER, false));
        let heartbeat = self.left(heartbeat);
        let MemberState { connects, protocol_errors, silences, collisions, heartbeats, .. } = state;
        self.put(format_args!(
            "        reconnect={reconnect} heartbeat={heartbeat} confirm={} tx_hbt={} rx_hbt={} no_hbt={silences} \
             new_conn={connects} proto_err={protocol_errors} coll={collisions}\n",
            u8::from(teaching),
            heartbeats.0 + now_c.heartbeats_sent,
            heartbeats.1 + now_c.heartbeats_received,
        ));
        match &link {
            Some(l) => self.connection(id, l, active),
            None => self.put(format_args!("        flags=0x0\n")),
        }
        drop(group);
        self.tables(id, section, link.as_deref());
    }

    fn connection(&mut self, id: u64, link: &Link, active: bool) {
        let state = if active { "EST" } else { "CON" };
        self.put(format_args!(
            "        flags=0x0 appctx:{:#x} st0=0 st1=0 task_calls={} state={state}\n",
            id | 0x8000,
            link.turns()
        ));
        if let Some((own, peer)) = link.ends() {
            self.put(format_args!("        xprt=RAW src={peer} addr={own}\n"));
        }
    }

    fn tables(&mut self, id: u64, section: &Section, link: Option<&Link>) {
        let feeds = section.feeds();
        let table_id = |t: usize| id | (t as u64 + 1);
        let (lanes, last) = link
            .and_then(|l| l.with_session(|s| (s.lanes().collect::<Vec<_>>(), s.last_tables())))
            .unwrap_or_default();
        let remote = |t: usize| lanes.get(t).map_or(0, |l| l.remote_id);
        for (what, table) in [("remote_table", last.1), ("last_local_table", last.0)] {
            if let Some(t) = table {
                let name = &feeds[t].name();
                let (own, theirs) = (t + 1, remote(t));
                self.put(format_args!(
                    "        {what}:{:#x} id={name} local_id={own} remote_id={theirs}\n",
                    table_id(t)
                ));
            }
        }
        self.put(format_args!("        shared tables:\n"));
        let dictionaries = link.and_then(|l| l.with_session(|s| s.dictionaries()));
        for (t, feed) in feeds.iter().enumerate().rev() {
            let lane = lanes.get(t).copied().unwrap_or_default();
            self.put(format_args!(
                "          {:#x} local_id={} remote_id={} flags=0x0 remote_data={:#x}\n\
                 \x20             last_acked={} last_pushed={} last_get={} teaching_origin=0 update={}\n",
                table_id(t),
                t + 1,
                lane.remote_id,
                lane.remote_data,
                lane.last_get_acked,
                lane.last_pushed,
                lane.last_get,
                lane.last_acked,
            ));
            let newest = feed.newest();
            self.put(format_args!(
                "              table:{:#x} id={} update={newest} localupdate={newest} commitupdate={} refcnt=1\n",
                (t as u64 + 1) | 1 << 48,
                feed.name(),
                lane.position,
            ));
            match &dictionaries {
                _ if !self.dict => {
                    self.put(format_args!("        Dictionary cache not dumped (use \"show peers dict\")\n"))
                }
                found => {
                    let (sent, received) = found.clone().unwrap_or_default();
                    let sent: Vec<Option<Arc<str>>> = sent.into_iter().map(Some).collect();
                    self.dictionary("TX", &sent);
                    self.dictionary("RX", &received);
                }
            }
        }
    }

    fn dictionary(&mut self, which: &str, names: &[Option<Arc<str>>]) {
        self.put(format_args!("        {which} dictionary cache:\n"));
        for (line, chunk) in names.chunks(PER_LINE).enumerate() {
            self.out.push_str("          ");
            for (i, name) in chunk.iter().enumerate() {
                let name = name.as_deref().unwrap_or("-");
                self.put(format_args!("  {:>3} -> {name}", line * PER_LINE + i));
            }
            self.out.push('\n');
        }
    }
}

/// The two largest units of a duration.
fn period(ms: u64) -> String {
    let s = ms / 1000;
    match s {
        0..60 => format!("{s}s"),
        60..3600 => format!("{}m{:02}s", s / 60, s % 60),
        3600..86400 => format!("{}h{:02}m", s / 3600, s / 60 % 60),
        _ => format!("{}d{:02}h", s / 86400, s / 3600 % 24),
    }
}

#[cfg(test)]
mod tests {
    use super::period;

    #[test]
    fn periods_have_two_units() {
        for (ms, text) in
            [(999, "0s"), (59_000, "59s"), (61_000, "1m01s"), (3_660_000, "1h01m"), (90_000_000, "1d01h")]
        {
            assert_eq!(period(ms), text);
        }
    }
}
