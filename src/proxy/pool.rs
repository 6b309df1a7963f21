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
        HttpReuse::Safe => !first,
        HttpReuse::Aggressive => !first || proven,
        HttpReuse::Always => true,
    }
}
