//! A thread's balancing tables, and the choice itself.

use std::sync::atomic::Ordering::{Relaxed, SeqCst};

use super::super::{Backend, Live, Proxy, ProxyId, Server};
use super::ring::{Member, Ring};
use super::{Affinity, Algorithm, HashMethod, Pick, Request, is_full, wrr};

/// A thread's view of all backends: tables derived from weights and states, rebuilt when a backend's epoch
/// changes. The order of round robin comes from a cursor in [`Live`] that all threads share; all threads compute
/// the same tables from the same weights.
#[derive(Default)]
pub struct Balancer {
    tables: Vec<Option<Box<Table>>>,
}

/// What is derived from the states and weights of one backend's servers.
struct Table {
    epoch: u32,
    /// Servers in use: usable active ones, else backups. Positions in `Backend::servers`, with weights.
    members: Vec<(u32, u32)>,
    /// Sum of the weights.
    total: u64,
    kind: Kind,
}

enum Kind {
    /// Positions in the order of use.
    Schedule(Vec<u32>),
    /// The ring, and a schedule for requests without a key.
    Ring(Ring, Vec<u32>),
    /// Members only.
    Members,
}

/// One choice: everything that the algorithms look at.
struct Choice<'a> {
    px: &'a Proxy,
    be: &'a Backend,
    live: &'a Live,
    req: &'a Request,
}

impl Balancer {
    /// Nothing is built until it is needed.
    pub fn new() -> Balancer {
        Balancer::default()
    }

    /// Choose a server of backend `px`.
    pub fn pick(&mut self, px: &Proxy, live: &Live, req: &Request) -> Pick {
        let table = self.table(px, live);
        let c = Choice { px, be: px.backend(), live, req };
        if table.members.is_empty() {
            return Pick::None;
        }
        if let Some(last) = c.preferred() {
            return Pick::Server(last);
        }
        c.pick(table)
    }

    fn table(&mut self, px: &Proxy, live: &Live) -> &Table {
        let i = px.id.index();
        if self.tables.len() <= i {
            self.tables.resize_with(i + 1, || None);
        }
        // Read before the states: a change stores its state first and the epoch after it.
        let epoch = live.backend(ProxyId(i as u32)).epoch.load(SeqCst);
        let slot = &mut self.tables[i];
        if slot.as_ref().is_none_or(|t| t.epoch != epoch) {
            *slot = Some(Box::new(Table::build(px.backend(), live, epoch)));
        }
        slot.as_ref().expect("filled just above")
    }
}

impl Table {
    fn build(be: &Backend, live: &Live, epoch: u32) -> Table {
        let is_static = matches!(be.balance.algorithm, Algorithm::StaticRr) || uses_map(be);
        let weight = |s: &Server| match is_static {
            true => s.weight,
            false => live.server(s.id).eweight(),
        };
        let usable = |backup: bool| {
            let list = be.servers.iter().filter(move |s| s.backup == backup && live.server(s.id).is_usable());
            list.map(|s| (s.index as u32, weight(s))).filter(|(_, w)| *w > 0)
        };
        let mut members: Vec<(u32, u32)> = usable(false).collect();
        if members.is_empty() {
            members = usable(true).collect();
            if !be.allbackups {
                members.truncate(1);
            }
        }
        if matches!(be.balance.algorithm, Algorithm::First) {
            members.sort_by_key(|(i, _)| be.servers[*i as usize].uuid);
        }
        let total = members.iter().map(|m| u64::from(m.1)).sum();
        let kind = Table::kind(be, &members);
        Table { epoch, members, total, kind }
    }

    fn kind(be: &Backend, members: &[(u32, u32)]) -> Kind {
        let weights: Vec<u32> = members.iter().map(|m| m.1).collect();
        let positions = |slots: Vec<u32>| slots.into_iter().map(|i| members[i as usize].0).collect();
        match be.balance.algorithm {
            Algorithm::LeastConn | Algorithm::First | Algorithm::Random { .. } | Algorithm::Sticky => {
                Kind::Members
            }
            Algorithm::RoundRobin => Kind::Schedule(positions(wrr::schedule(&weights))),
            Algorithm::StaticRr => Kind::Schedule(positions(wrr::static_map(&weights))),
            _ if uses_map(be) => Kind::Schedule(positions(wrr::static_map(&weights))),
            _ => {
                let ring = Ring::new(members.iter().map(|(i, w)| Member {
                    server: *i,
                    uuid: be.servers[*i as usize].uuid,
                    points: *w,
                }));
                Kind::Ring(ring, positions(wrr::schedule(&weights)))
            }
        }
    }
}

/// Hashing over a static map.
fn uses_map(be: &Backend) -> bool {
    be.balance.algorithm.is_hash() && be.balance.method == HashMethod::MapBased
}

impl Choice<'_> {
    fn full(&self, i: u32) -> bool {
        is_full(self.px, &self.be.servers[i as usize], self.live)
    }

    fn avoided(&self, i: u32) -> bool {
        self.req.avoid == Some(i as usize)
    }

    /// Sessions and waiters.
    fn load(&self, i: u32) -> u64 {
        let s = self.live.server(self.be.servers[i as usize].id);
        u64::from(s.sessions.get()) + u64::from(s.queued.get())
    }

    /// `option prefer-last-server`: not for algorithms that decide by the request's content.
    fn preferred(&self) -> Option<usize> {
        let last =
            self.req.last.filter(|_| self.be.prefer_last_server && !self.be.balance.algorithm.is_hash())?;
        let srv = self.be.servers.get(last)?;
        let state = self.live.server(srv.id);
        // `max-keep-alive-queue`: how long a queue may be and the client still waits for its server.
        let queued = state.queued.get();
        let worth_it = self.be.max_keep_alive_queue.is_none_or(|max| !self.full(last as u32) || queued < max);
        (state.is_usable() && worth_it && !self.avoided(last as u32)).then_some(last)
    }

    fn pick(&self, table: &Table) -> Pick {
        match (&table.kind, self.req.key) {
            (Kind::Schedule(map), Some(key)) if uses_map(self.be) => self.map(map, key),
            (Kind::Schedule(slots), _) => self.round_robin(slots),
            (Kind::Ring(ring, _), Some(key)) => self.ring(table, ring, key),
            (Kind::Ring(_, slots), None) => self.round_robin(slots),
            (Kind::Members, _) => match self.be.balance.algorithm {
                Algorithm::First => self.first(table),
                Algorithm::Random { draws } => self.random(table, draws),
                Algorithm::Sticky => self.sticky(table),
                _ => self.least_loaded(table),
            },
        }
    }

    /// The server of the next slot; full ones (and the one to avoid) leave their turn to those behind.
    fn round_robin(&self, slots: &[u32]) -> Pick {
        let len = slots.len() as u64;
        let at = (self.live.backend(self.px.id).cursor.fetch_add(1, Relaxed) % len) as usize;
        let first = slots[at];
        if !self.avoided(first) && !self.full(first) {
            return Pick::Server(first as usize);
        }
        self.first_free(slots[at..].iter().chain(&slots[..at]).copied())
    }

    /// The first in this order that is neither full nor to be avoided; then one that is only to be avoided.
    fn first_free(&self, order: impl Iterator<Item = u32>) -> Pick {
        let mut looked_at = vec![false; self.be.servers.len()];
        let mut fallback = None;
        for i in order {
            if std::mem::replace(&mut looked_at[i as usize], true) || self.full(i) {
                continue;
            }
            if !self.avoided(i) {
                return Pick::Server(i as usize);
            }
            fallback = Some(i as usize);
        }
        fallback.map_or(Pick::Full, Pick::Server)
    }

    /// The key's slot, or the next one whose server takes it.
    fn map(&self, map: &[u32], key: u32) -> Pick {
        let at = key as usize % map.len();
        self.by_key(|_| true, map[at..].iter().chain(&map[..at]).copied())
    }

    /// The nearest point's server, or the next one around that takes the key and is not over its share.
    fn ring(&self, table: &Table, ring: &Ring, key: u32) -> Pick {
        match ring.nearest(key) {
            Some(at) => self.by_key(|i| self.within_bound(table, i), ring.from(at)),
            None => Pick::None,
        }
    }

    /// The first server in this order that takes the key: a busy one may do so too, as its keys wait for it.
    fn by_key(&self, within_bound: impl Fn(u32) -> bool, mut order: impl Iterator<Item = u32>) -> Pick {
        let Some(first) = order.next() else { return Pick::None };
        if !self.passed_over(first) && within_bound(first) {
            return Pick::Server(first as usize);
        }
        let mut looked_at = vec![false; self.be.servers.len()];
        looked_at[first as usize] = true;
        let mut last = first;
        for i in order {
            if std::mem::replace(&mut looked_at[i as usize], true) {
                continue;
            }
            if !self.passed_over(i) && within_bound(i) {
                return Pick::Server(i as usize);
            }
            last = i;
        }
        // Nobody: the manual sends it to the end of the line when all are saturated.
        let all_busy = self.be.balance.affinity != Affinity::Always && !self.avoided(last);
        Pick::Server(if all_busy { last } else { first } as usize)
    }

    /// The server to avoid, and a busy one that `hash-preserve-affinity` says to leave.
    fn passed_over(&self, i: u32) -> bool {
        let srv = &self.be.servers[i as usize];
        self.avoided(i)
            || match self.be.balance.affinity {
                Affinity::Always => false,
                Affinity::MaxConn => self.full(i),
                Affinity::MaxQueue => srv.maxqueue > 0 && self.no_room(i),
            }
    }

    fn is_bounded(&self) -> bool {
        self.be.balance.balance_factor > 0
    }

    /// `hash-balance-factor`: at most that many percent of the load that the server's weight stands for.
    fn within_bound(&self, table: &Table, i: u32) -> bool {
        if !self.is_bounded() {
            return true;
        }
        let members = table.members.iter();
        let load: u64 = members
            .map(|m| u64::from(self.live.server(self.be.servers[m.0 as usize].id).sessions.get()))
            .sum();
        let slots = ((load + 1) * u64::from(self.be.balance.balance_factor)).div_ceil(100);
        let weight = u64::from(self.live.server(self.be.servers[i as usize].id).eweight());
        let bound = (slots * weight).div_ceil(table.total.max(1));
        u64::from(self.live.server(self.be.servers[i as usize].id).sessions.get()) < bound
    }

    /// The smallest load for its weight; in turns among equals. Waiters count as load.
    fn least_loaded(&self, table: &Table) -> Pick {
        let cursor = &self.live.backend(self.px.id).cursor;
        let start = cursor.load(Relaxed) as usize % table.members.len();
        let mut best: Option<(u128, usize)> = None;
        let mut avoided = None;
        for n in 0..table.members.len() {
            let at = (start + n) % table.members.len();
            let (i, weight) = table.members[at];
            if self.no_room(i) {
                continue;
            }
            if self.avoided(i) {
                avoided = Some(at);
                continue;
            }
            // An idle server is as good as any other idle one, whatever its weight.
            let load = self.load(i);
            let cost = if load == 0 { 0 } else { (u128::from(load + 1) << 32) / u128::from(weight) };
            if best.is_none_or(|(least, _)| cost < least) {
                best = Some((cost, at));
            }
        }
        let Some(at) = best.map(|b| b.1).or(avoided) else { return Pick::Full };
        cursor.store(at as u64 + 1, Relaxed);
        Pick::Server(table.members[at].0 as usize)
    }

    /// No session and no place in the server's queue left.
    fn no_room(&self, i: u32) -> bool {
        let srv = &self.be.servers[i as usize];
        let limit = u64::from(super::dynamic_limit(self.px, srv, self.live));
        limit > 0 && self.load(i) >= limit + u64::from(srv.maxqueue)
    }

    fn first(&self, table: &Table) -> Pick {
        self.first_free(table.members.iter().map(|m| m.0))
    }

    /// The least loaded of some servers drawn by weight.
    fn random(&self, table: &Table, draws: u32) -> Pick {
        let mut best: Option<(u128, u32)> = None;
        let mut state = self.req.random;
        for _ in 0..draws.max(1) {
            state = splitmix(state);
            let (i, weight) = table.draw(state);
            if self.avoided(i) && table.members.len() > 1 {
                continue;
            }
            let cost = (u128::from(self.load(i)) << 32) / u128::from(weight.max(1));
            if best.is_none_or(|(least, _)| cost < least) {
                best = Some((cost, i));
            }
        }
        let drawn = match best {
            Some((_, i)) => i,
            // Every draw hit the server to avoid.
            None => match table.members.iter().find(|m| !self.avoided(m.0)) {
                Some(m) => m.0,
                None => return Pick::Full,
            },
        };
        if self.full(drawn) { Pick::Full } else { Pick::Server(drawn as usize) }
    }

    /// Stay with the current server while it is in use.
    fn sticky(&self, table: &Table) -> Pick {
        let cursor = &self.live.backend(self.px.id).cursor;
        let current = cursor.load(Relaxed);
        let stay = table.members.iter().find(|m| u64::from(m.0) + 1 == current && !self.avoided(m.0));
        let m =
            stay.or_else(|| table.members.iter().find(|m| !self.avoided(m.0))).unwrap_or(&table.members[0]);
        cursor.store(u64::from(m.0) + 1, Relaxed);
        Pick::Server(m.0 as usize)
    }
}

impl Table {
    /// The member that a random number falls on.
    fn draw(&self, random: u64) -> (u32, u32) {
        let mut left = ((u128::from(random) * u128::from(self.total)) >> 64) as u64;
        for m in &self.members {
            if left < u64::from(m.1) {
                return *m;
            }
            left -= u64::from(m.1);
        }
        self.members[self.members.len() - 1]
    }
}

/// The next of a sequence of well mixed numbers (SplitMix64).
fn splitmix(state: u64) -> u64 {
    let z = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
