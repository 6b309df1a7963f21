//! Keywords of proxies that are known and not implemented yet.

use crate::config::{Keyword, Sections, Status};

const FRONT: Sections = Sections::DEFAULTS.or(Sections::FRONTEND);
const BACK: Sections = Sections::DEFAULTS.or(Sections::BACKEND);
const ANY: Sections = Sections::PROXY;

macro_rules! planned {
    ($name:literal, $sections:expr, $syntax:literal, $doc:literal) => {
        Keyword {
            name: $name,
            sections: $sections,
            syntax: $syntax,
            doc: $doc,
            status: Status::Planned,
            parse: Keyword::nothing,
        }
    };
}

/// Keywords of this file.
pub static KEYWORDS: &[Keyword] = &[
    planned!("compression", ANY, "compression algo <algorithm> ...", "Compress responses."),
    planned!("crt", FRONT, "crt <cert>", "Certificates of the frontend."),
    planned!(
        "email-alert",
        ANY,
        "email-alert from|to|level|mailers|myhostname <value>",
        "Mail about state changes."
    ),
    planned!("external-check", BACK, "external-check command|path <value>", "Checks by a program."),
    planned!("filter", ANY, "filter <name> [param*]", "Stream filters."),
    planned!(
        "filter-sequence",
        ANY,
        "filter-sequence { request | response } <filter_list>",
        "Order of filters."
    ),
    planned!("quic-initial", FRONT, "quic-initial <action>", "Rules on QUIC packets."),
    planned!("ssl-f-use", FRONT, "ssl-f-use [<sslbindconf> ...]*", "Certificates of the frontend."),
    planned!("use-fcgi-app", BACK, "use-fcgi-app <name>", "FastCGI application."),
];
