//! The verdict machine: a server falls after `fall` bad results in a row and rises after `rise` good ones.

/// What one check (or the traffic observer, or the agent) says about a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Good.
    Passed,
    /// Good for known sessions only: no new ones please (404 with `disable-on-404`).
    Conditional,
    /// Bad.
    Failed,
}

/// A change of state that must be announced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// It became usable.
    Up,
    /// It became unusable.
    Down,
    /// It is up and asks for no new sessions.
    Stopping,
    /// It was stopping and takes new sessions again.
    Running,
}

/// The counter behind `rise` and `fall`, and whether the server asked to be left alone.
///
/// `count` runs from 0 to `rise + fall - 1`; the server is up from `rise` on. A server that is up starts at
/// `rise` (as HAProxy does): right after the start, the first bad result takes it down, and the first good
/// one makes it fully trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Health {
    count: u32,
    rise: u32,
    fall: u32,
    stopping: bool,
}

impl Health {
    /// A server at start. `rise` and `fall` below 1 count as 1.
    pub fn new(rise: u32, fall: u32, up: bool) -> Health {
        let rise = rise.max(1);
        Health { count: if up { rise } else { 0 }, rise, fall: fall.max(1), stopping: false }
    }

    /// Continue from stored state.
    pub fn restore(rise: u32, fall: u32, count: u32, stopping: bool) -> Health {
        let (rise, fall) = (rise.max(1), fall.max(1));
        let count = count.min(rise + fall - 1);
        Health { count, rise, fall, stopping: stopping && count >= rise }
    }

    /// Whether the server is up.
    pub fn is_up(&self) -> bool {
        self.count >= self.rise
    }

    /// Whether the server is up and asked for no new sessions.
    pub fn is_stopping(&self) -> bool {
        self.stopping
    }

    /// The raw counter.
    pub fn count(&self) -> u32 {
        self.count
    }

    /// True when another result of the same kind would change nothing: the slow, regular interval applies
    /// then, and `fastinter` in every other case (configuration manual, `fastinter`).
    pub fn is_settled(&self) -> bool {
        self.count == 0 || self.count == self.rise + self.fall - 1
    }

    /// The `n/m` of logs and statistics.
    pub fn fraction(&self) -> (u32, u32) {
        if self.is_up() { (self.count - self.rise + 1, self.fall) } else { (self.count, self.rise) }
    }

    /// Take one result in. Returns whether anything moved (which `log-health-checks` reports), and the
    /// change of state, if there is one.
    pub fn apply(&mut self, verdict: Verdict) -> (bool, Option<Change>) {
        let before = *self;
        let full = self.rise + self.fall - 1;
        let change = match verdict {
            Verdict::Failed if self.count > self.rise => {
                self.count -= 1;
                None
            }
            Verdict::Failed => {
                let was_up = self.is_up();
                self.count = 0;
                self.stopping = false;
                was_up.then_some(Change::Down)
            }
            // A server that is down does not come back just to be left alone.
            Verdict::Conditional if !self.is_up() => None,
            Verdict::Conditional => {
                self.count = full;
                let first = !self.stopping;
                self.stopping = true;
                first.then_some(Change::Stopping)
            }
            Verdict::Passed if self.is_up() => {
                self.count = full;
                let was = self.stopping;
                self.stopping = false;
                was.then_some(Change::Running)
            }
            Verdict::Passed => {
                self.count += 1;
                if self.count >= self.rise {
                    self.count = full;
                    Some(Change::Up)
                } else {
                    None
                }
            }
        };
        debug_assert!(self.count <= full);
        debug_assert!(!self.stopping || self.is_up());
        (before != *self, change)
    }

    /// Force the state, as an operator or `on-error mark-down` does. Returns the change.
    pub fn force(&mut self, up: bool) -> Option<Change> {
        let was_up = self.is_up();
        self.count = if up { self.rise + self.fall - 1 } else { 0 };
        self.stopping = false;
        (was_up != up).then_some(if up { Change::Up } else { Change::Down })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn first_failure_after_start_takes_down() {
        let mut h = Health::new(2, 3, true);
        assert_eq!(h.apply(Verdict::Failed), (true, Some(Change::Down)));
        assert_eq!(h.fraction(), (0, 2));
        assert_eq!(h.apply(Verdict::Failed), (false, None));
    }

    #[test]
    fn falls_after_fall_failures_and_rises_after_rise_successes() {
        let mut h = Health::new(2, 3, true);
        assert_eq!(h.apply(Verdict::Passed), (true, None));
        assert_eq!(h.fraction(), (3, 3));
        assert_eq!(h.apply(Verdict::Failed), (true, None));
        assert_eq!(h.fraction(), (2, 3));
        assert_eq!(h.apply(Verdict::Failed), (true, None));
        assert_eq!(h.fraction(), (1, 3));
        assert_eq!(h.apply(Verdict::Failed), (true, Some(Change::Down)));
        assert_eq!(h.apply(Verdict::Passed), (true, None));
        assert_eq!(h.fraction(), (1, 2));
        assert_eq!(h.apply(Verdict::Passed), (true, Some(Change::Up)));
        assert_eq!(h.fraction(), (3, 3));
    }

    #[test]
    fn conditional_stops_and_a_pass_runs_again() {
        let mut h = Health::new(1, 1, true);
        assert_eq!(h.apply(Verdict::Conditional).1, Some(Change::Stopping));
        assert_eq!(h.apply(Verdict::Conditional).1, None);
        assert_eq!(h.apply(Verdict::Passed).1, Some(Change::Running));
        h.apply(Verdict::Failed);
        assert_eq!(h.apply(Verdict::Conditional), (false, None));
    }

    /// The same rules, kept as run lengths instead of one counter.
    struct Oracle {
        up: bool,
        run: u32,
        trusted: bool,
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(200))]
        #[test]
        fn agrees_with_run_lengths(rise in 1u32..5, fall in 1u32..5, results in proptest::collection::vec(any::<bool>(), 0..60)) {
            let mut h = Health::new(rise, fall, true);
            let mut o = Oracle { up: true, run: 0, trusted: false };
            for good in results {
                let (_, change) = h.apply(if good { Verdict::Passed } else { Verdict::Failed });
                let mut expect = None;
                if good == o.up {
                    o.run = 0;
                    o.trusted = true;
                } else {
                    o.run += 1;
                    let need = if o.up { if o.trusted { fall } else { 1 } } else { rise };
                    if o.run >= need {
                        o.up = good;
                        o.run = 0;
                        o.trusted = true;
                        expect = Some(if good { Change::Up } else { Change::Down });
                    }
                }
                prop_assert_eq!(change, expect);
                prop_assert_eq!(h.is_up(), o.up);
            }
        }
    }
}
