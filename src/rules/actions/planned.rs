//! Actions that are known and not implemented yet: an error says so, with its place.

use crate::rules::action::{Action, Sets};

const REQ: Sets = Sets::TCP_REQ.or(Sets::HTTP_REQ);
const CONTENT: Sets = Sets::TCP_REQ.or(Sets::TCP_RES).or(Sets::HTTP_REQ).or(Sets::HTTP_RES);

/// The table.
pub const ACTIONS: &[Action] = &[
    Action::planned("attach-srv", Sets::TCP_SESS, "attach-srv <srv> [name <expr>]"),
    Action::planned("cache-store", Sets::HTTP_RES, "cache-store <name>"),
    Action::planned("cache-use", Sets::HTTP_REQ, "cache-use <name>"),
    Action::planned("do-log", Sets::ANY, "do-log [profile <log_profile>]"),
    Action::planned("do-resolve", REQ, "do-resolve(<var>,<resolvers>[,ipv4|ipv6]) <expr>"),
    Action::planned("expect-netscaler-cip", Sets::TCP_CONN, "expect-netscaler-cip layer4"),
    Action::planned("send-spoe-group", CONTENT, "send-spoe-group <engine-name> <group-name>"),
    Action::planned("set-bandwidth-limit", CONTENT, "set-bandwidth-limit <name> [limit ...] [period ...]"),
    Action::planned("set-bc-mark", REQ, "set-bc-mark { <mark> | <expr> }"),
    Action::planned("set-bc-tos", REQ, "set-bc-tos { <tos> | <expr> }"),
];
