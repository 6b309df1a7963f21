//! The log variables (manual section 8.2.6): their names, from when on they are known, what they print.

use super::Step;

/// A variable.
#[allow(missing_docs)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Var {
    BytesRead,
    RequestCookie,
    ResponseCookie,
    Hostname,
    Method,
    UriNoQuery,
    Path,
    Query,
    Uri,
    Version,
    UniqueId,
    Status,
    AcceptGmt,
    ActiveTime,
    ConnectTime,
    DataTime,
    HandshakeTime,
    IdleTime,
    AcceptLocal,
    RequestTime,
    ResponseTime,
    QueryTime,
    Timestamp,
    TotalTime,
    UserTime,
    QueueTime,
    BytesUploaded,
    ActConn,
    Backend,
    BeConn,
    BackendIp,
    BackendPort,
    BackendQueue,
    ClientIp,
    ClientPort,
    Frontend,
    FeConn,
    FrontendIp,
    FrontendPort,
    FrontendTransport,
    RequestCaptures,
    RequestCapturesClf,
    ResponseCaptures,
    ResponseCapturesClf,
    LogCounter,
    Millis,
    Origin,
    Pid,
    Request,
    Retries,
    RequestCounter,
    Server,
    SrvConn,
    ServerIp,
    ServerPort,
    ServerQueue,
    TlsCipher,
    TlsVersion,
    AcceptDate,
    RequestDate,
    RequestGmt,
    RequestLocal,
    Termination,
    TerminationCookie,
    /// The default line's mode (`TCP`, `HTTP`): no name in the configuration.
    Mode,
}

/// One row of the table.
pub(super) struct VarEntry {
    /// Name after the `%`.
    pub name: &'static str,
    /// Which.
    pub var: Var,
    /// From when on its value is final.
    pub known: Step,
    /// Only in HTTP frontends.
    pub http: bool,
}

const fn v(name: &'static str, var: Var, known: Step) -> VarEntry {
    VarEntry { name, var, known, http: false }
}

const fn h(name: &'static str, var: Var, known: Step) -> VarEntry {
    VarEntry { name, var, known, http: true }
}

/// Every variable, in the manual's order.
pub(super) static VARS: &[VarEntry] = &[
    v("B", Var::BytesRead, Step::Close),
    h("CC", Var::RequestCookie, Step::Request),
    h("CS", Var::ResponseCookie, Step::Response),
    v("H", Var::Hostname, Step::Accept),
    h("HM", Var::Method, Step::Request),
    h("HP", Var::UriNoQuery, Step::Request),
    h("HPO", Var::Path, Step::Request),
    h("HQ", Var::Query, Step::Request),
    h("HU", Var::Uri, Step::Request),
    h("HV", Var::Version, Step::Request),
    v("ID", Var::UniqueId, Step::Close),
    v("OG", Var::Origin, Step::Accept),
    v("ST", Var::Status, Step::Response),
    v("T", Var::AcceptGmt, Step::Accept),
    h("Ta", Var::ActiveTime, Step::Close),
    v("Tc", Var::ConnectTime, Step::Close),
    v("Td", Var::DataTime, Step::Close),
    v("Th", Var::HandshakeTime, Step::Close),
    h("Ti", Var::IdleTime, Step::Close),
    v("Tl", Var::AcceptLocal, Step::Accept),
    h("TR", Var::RequestTime, Step::Close),
    h("Tr", Var::ResponseTime, Step::Close),
    h("Tq", Var::QueryTime, Step::Close),
    v("Ts", Var::Timestamp, Step::Accept),
    v("Tt", Var::TotalTime, Step::Close),
    v("Tu", Var::UserTime, Step::Close),
    v("Tw", Var::QueueTime, Step::Close),
    v("U", Var::BytesUploaded, Step::Close),
    v("ac", Var::ActConn, Step::Close),
    v("b", Var::Backend, Step::Connect),
    v("bc", Var::BeConn, Step::Close),
    v("bi", Var::BackendIp, Step::Connect),
    v("bp", Var::BackendPort, Step::Connect),
    v("bq", Var::BackendQueue, Step::Close),
    v("ci", Var::ClientIp, Step::Accept),
    v("cp", Var::ClientPort, Step::Accept),
    v("f", Var::Frontend, Step::Accept),
    v("fc", Var::FeConn, Step::Close),
    v("fi", Var::FrontendIp, Step::Accept),
    v("fp", Var::FrontendPort, Step::Accept),
    v("ft", Var::FrontendTransport, Step::Accept),
    v("hr", Var::RequestCaptures, Step::Request),
    v("hrl", Var::RequestCapturesClf, Step::Request),
    v("hs", Var::ResponseCaptures, Step::Response),
    v("hsl", Var::ResponseCapturesClf, Step::Response),
    v("lc", Var::LogCounter, Step::Accept),
    v("ms", Var::Millis, Step::Accept),
    v("pid", Var::Pid, Step::Accept),
    h("r", Var::Request, Step::Request),
    v("rc", Var::Retries, Step::Close),
    v("rt", Var::RequestCounter, Step::Accept),
    v("s", Var::Server, Step::Connect),
    v("sc", Var::SrvConn, Step::Close),
    v("si", Var::ServerIp, Step::Connect),
    v("sp", Var::ServerPort, Step::Connect),
    v("sq", Var::ServerQueue, Step::Close),
    v("sslc", Var::TlsCipher, Step::Accept),
    v("sslv", Var::TlsVersion, Step::Accept),
    v("t", Var::AcceptDate, Step::Accept),
    h("tr", Var::RequestDate, Step::Request),
    h("trg", Var::RequestGmt, Step::Request),
    h("trl", Var::RequestLocal, Step::Request),
    v("ts", Var::Termination, Step::Close),
    h("tsc", Var::TerminationCookie, Step::Close),
];

/// Names of the 1.5 development versions, and what they are called now.
pub(super) static OLD_NAMES: &[(&str, &str)] = &[
    ("Bi", "bi"),
    ("Bp", "bp"),
    ("Ci", "ci"),
    ("Cp", "cp"),
    ("Fi", "fi"),
    ("Fp", "fp"),
    ("Si", "si"),
    ("Sp", "sp"),
    ("cc", "CC"),
    ("cs", "CS"),
    ("st", "ST"),
];

/// The variable called `name`.
pub(super) fn find(name: &str) -> Option<&'static VarEntry> {
    VARS.iter().find(|e| e.name == name)
}

/// The variable that `written` was probably meant to be: another case, text glued behind it, or the closest name.
pub(super) fn near(written: &str) -> Option<&'static str> {
    let names = || VARS.iter().map(|e| e.name);
    let same = names().find(|n| n.eq_ignore_ascii_case(written));
    let begins = || names().filter(|n| n.len() > 1 && written.starts_with(n)).max_by_key(|n| n.len());
    same.or_else(begins).or_else(|| crate::config::suggest::closest(written, names()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_old_names_lead_to_new_ones() {
        for (i, e) in VARS.iter().enumerate() {
            assert!(VARS[..i].iter().all(|o| o.name != e.name), "{} twice", e.name);
        }
        for (old, new) in OLD_NAMES {
            assert!(find(old).is_none() && find(new).is_some(), "{old} -> {new}");
        }
    }
}
