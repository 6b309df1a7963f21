//! Reuse of server connections: the policy. The sockets are the stream's.

use super::HttpReuse;

/// May a request travel on an idle connection?
///
/// `first`: it is the first request of its client connection; `proven`: the idle connection has already served
/// more than one request; `private`: the connection belongs to a client (authentication, `source usesrc`).
pub fn may_reuse(mode: HttpReuse, first: bool, proven: bool, private: bool) -> bool {
    if private {
        return false;
    }
    match mode {
        HttpReuse::Never => false,
        HttpReuse::Replayable | HttpReuse::Safe => !first,
        HttpReuse::Aggressive => !first || proven,
        HttpReuse::Always => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Manual, "http-reuse": a first request only goes where its loss is unlikely or accepted.
    #[test]
    fn modes() {
        use HttpReuse::{Aggressive, Always, Never, Safe};
        let rows = [
            // mode, later request, first on a fresh one, first on a proven one
            (Never, [false, false, false]),
            (Safe, [true, false, false]),
            (Aggressive, [true, false, true]),
            (Always, [true, true, true]),
        ];
        for (mode, want) in rows {
            let got = [
                may_reuse(mode, false, false, false),
                may_reuse(mode, true, false, false),
                may_reuse(mode, true, true, false),
            ];
            assert_eq!(got, want, "{mode:?}");
            assert!(!may_reuse(mode, false, true, true), "{mode:?}: private connections have an owner");
        }
    }
}
