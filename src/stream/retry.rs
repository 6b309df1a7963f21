//! What to do after a failed attempt: again, elsewhere, or give up. Pure.

use crate::proxy::balance::Algorithm;

/// What the decision needs to know.
#[derive(Clone, Copy, Debug)]
pub struct Failed {
    /// Retries made so far.
    pub retries: u32,
    /// `retries`.
    pub max: u32,
    /// `option redispatch`: 0: off; n: every n-th retry; -n: the n-th last retry.
    pub redispatch: i32,
    /// A cookie or a rule chose the server.
    pub persistent: bool,
    /// `force-persist` holds the request to its server.
    pub forced: bool,
    /// The server is (still) up.
    pub server_up: bool,
    /// The algorithm does not care which server it is.
    pub any_server: bool,
    /// Usable servers.
    pub usable: u32,
}

/// The decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retry {
    /// No retry is left.
    GiveUp,
    /// The same server once more.
    Same,
    /// Choose a server anew.
    Elsewhere,
}

/// Manual: `retries`, `option redispatch`. A request that is not persistent goes elsewhere at once when the
/// algorithm knows no affinity and there is another server.
pub fn decide(f: &Failed) -> Retry {
    if f.retries >= f.max {
        return Retry::GiveUp;
    }
    if f.redispatch == 0 || f.forced {
        return Retry::Same;
    }
    let next = i64::from(f.retries) + 1;
    let due = if f.redispatch > 0 {
        next % i64::from(f.redispatch) == 0
    } else {
        let every = i64::from(f.max) + 1 + i64::from(f.redispatch);
        every > 0 && next % every == 0
    };
    let indifferent = !f.persistent && f.any_server && f.usable > 1;
    if !f.server_up || due || indifferent { Retry::Elsewhere } else { Retry::Same }
}

/// True when the algorithm has no affinity at all.
pub fn any_server(algorithm: &Algorithm) -> bool {
    matches!(algorithm, Algorithm::RoundRobin | Algorithm::StaticRr | Algorithm::Random { .. })
}

#[cfg(test)]
mod tests {
    use super::*;

    const BASE: Failed = Failed {
        retries: 0,
        max: 3,
        redispatch: 0,
        persistent: false,
        forced: false,
        server_up: true,
        any_server: true,
        usable: 2,
    };

    fn sequence(f: Failed) -> Vec<Retry> {
        (0..=f.max).map(|retries| decide(&Failed { retries, ..f })).collect()
    }

    #[test]
    fn without_redispatch_the_same_server_is_retried() {
        use Retry::*;
        assert_eq!(sequence(BASE), [Same, Same, Same, GiveUp]);
        assert_eq!(sequence(Failed { max: 0, ..BASE }), [GiveUp]);
    }

    #[test]
    fn the_default_redispatch_is_on_the_last_retry() {
        use Retry::*;
        let f = Failed { redispatch: -1, persistent: true, ..BASE };
        assert_eq!(sequence(f), [Same, Same, Elsewhere, GiveUp]);
        assert_eq!(sequence(Failed { redispatch: -2, ..f }), [Same, Elsewhere, Same, GiveUp]);
        assert_eq!(sequence(Failed { redispatch: 1, ..f }), [Elsewhere, Elsewhere, Elsewhere, GiveUp]);
        assert_eq!(sequence(Failed { redispatch: 2, ..f }), [Same, Elsewhere, Same, GiveUp]);
        // More than there are retries: never.
        assert_eq!(sequence(Failed { redispatch: -9, ..f }), [Same, Same, Same, GiveUp]);
    }

    #[test]
    fn who_does_not_care_goes_elsewhere_at_once() {
        let f = Failed { redispatch: -1, ..BASE };
        assert_eq!(decide(&f), Retry::Elsewhere);
        assert_eq!(decide(&Failed { usable: 1, ..f }), Retry::Same);
        assert_eq!(decide(&Failed { any_server: false, ..f }), Retry::Same);
    }

    #[test]
    fn a_server_that_went_down_is_left_unless_forced() {
        let f = Failed { redispatch: -1, persistent: true, server_up: false, ..BASE };
        assert_eq!(decide(&f), Retry::Elsewhere);
        assert_eq!(decide(&Failed { forced: true, ..f }), Retry::Same);
        assert_eq!(decide(&Failed { redispatch: 0, ..f }), Retry::Same);
    }
}
