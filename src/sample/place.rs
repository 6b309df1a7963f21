//! Where an expression is used, and what a fetch needs there.

/// Sources of information: a bit set. A fetch lists those it reads; a place lists those it has. The
/// fetch is valid when the place has at least one of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Needs(pub u32);

#[allow(missing_docs)]
impl Needs {
    pub const INTERNAL: Needs = Needs(0x1);
    pub const CLIENT: Needs = Needs(0x2);
    pub const SESSION: Needs = Needs(0x4);
    pub const FRONTEND: Needs = Needs(0x8);
    pub const REQ_PAYLOAD: Needs = Needs(0x10);
    pub const REQ_HEAD: Needs = Needs(0x20);
    /// The request line and what else stays until the transaction ends.
    pub const REQ_LINE: Needs = Needs(0x40);
    pub const REQ_BODY: Needs = Needs(0x80);
    pub const BACKEND: Needs = Needs(0x100);
    pub const SERVER: Needs = Needs(0x200);
    pub const SERVER_CONN: Needs = Needs(0x400);
    pub const RES_PAYLOAD: Needs = Needs(0x800);
    pub const RES_HEAD: Needs = Needs(0x1000);
    /// The status and what else stays until the transaction ends.
    pub const RES_LINE: Needs = Needs(0x2000);
    pub const RES_BODY: Needs = Needs(0x4000);
    pub const TXN_END: Needs = Needs(0x8000);
    pub const SESSION_END: Needs = Needs(0x1_0000);
    pub const CHECK: Needs = Needs(0x2_0000);

    pub const fn or(self, o: Needs) -> Needs {
        Needs(self.0 | o.0)
    }
    pub const fn has(self, o: Needs) -> bool {
        self.0 & o.0 != 0
    }

    /// Names for messages, joined by commas.
    pub fn names(self) -> String {
        const NAMES: [(Needs, &str); 18] = [
            (Needs::INTERNAL, "internal states"),
            (Needs::CLIENT, "client address or connection"),
            (Needs::SESSION, "client session"),
            (Needs::FRONTEND, "frontend"),
            (Needs::REQ_PAYLOAD, "request buffer"),
            (Needs::REQ_HEAD, "HTTP request headers"),
            (Needs::REQ_LINE, "HTTP request meta-data"),
            (Needs::REQ_BODY, "HTTP request body"),
            (Needs::BACKEND, "backend"),
            (Needs::SERVER, "server"),
            (Needs::SERVER_CONN, "server connection"),
            (Needs::RES_PAYLOAD, "response buffer"),
            (Needs::RES_HEAD, "HTTP response headers"),
            (Needs::RES_LINE, "HTTP response meta-data"),
            (Needs::RES_BODY, "HTTP response body"),
            (Needs::TXN_END, "end of the transaction"),
            (Needs::SESSION_END, "end of the session"),
            (Needs::CHECK, "health check"),
        ];
        let list: Vec<_> = NAMES.iter().filter(|(n, _)| self.has(*n)).map(|(_, s)| *s).collect();
        list.join(", ")
    }
}

/// A place in the configuration where expressions are evaluated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// As it is named in messages: `'http-request' rule`.
    pub name: &'static str,
    /// What is available when the expression is evaluated.
    pub has: Needs,
}

const CONN: Needs = Needs::INTERNAL.or(Needs::CLIENT);
const SESS: Needs = CONN.or(Needs::SESSION).or(Needs::FRONTEND);
const REQ: Needs = SESS
    .or(Needs::REQ_PAYLOAD)
    .or(Needs::REQ_HEAD)
    .or(Needs::REQ_LINE)
    .or(Needs::REQ_BODY)
    .or(Needs::BACKEND);
const RES: Needs = SESS
    .or(Needs::REQ_LINE)
    .or(Needs::BACKEND)
    .or(Needs::SERVER)
    .or(Needs::SERVER_CONN)
    .or(Needs::RES_PAYLOAD)
    .or(Needs::RES_HEAD)
    .or(Needs::RES_LINE)
    .or(Needs::RES_BODY);

#[allow(missing_docs)]
impl Place {
    /// An `acl` line: what it needs is checked where it is used.
    pub const ACL: Place = Place { name: "'acl' line", has: Needs(u32::MAX) };
    pub const TCP_CONNECTION: Place =
        Place { name: "'tcp-request connection' rule", has: CONN.or(Needs::FRONTEND) };
    pub const TCP_SESSION: Place = Place { name: "'tcp-request session' rule", has: SESS };
    pub const TCP_CONTENT: Place = Place { name: "'tcp-request content' rule", has: REQ };
    pub const TCP_RESPONSE: Place = Place { name: "'tcp-response content' rule", has: RES };
    pub const HTTP_REQUEST: Place = Place { name: "'http-request' rule", has: REQ };
    pub const HTTP_RESPONSE: Place = Place { name: "'http-response' rule", has: RES };
    pub const HTTP_AFTER_RESPONSE: Place = Place { name: "'http-after-response' rule", has: RES };
    pub const USE_BACKEND: Place = Place { name: "'use_backend' rule", has: REQ };
    pub const USE_SERVER: Place = Place { name: "'use-server' rule", has: REQ };
    pub const BALANCE: Place = Place { name: "'balance' expression", has: REQ };
    pub const MONITOR: Place = Place { name: "'monitor fail' rule", has: REQ };
    pub const STICK_REQUEST: Place = Place { name: "'stick' request rule", has: REQ };
    pub const STICK_RESPONSE: Place = Place { name: "'stick store-response' rule", has: RES };
    /// Options of the connection to a server: `source usesrc`, `sni`, `pool-conn-name`.
    pub const SERVER_OPTION: Place = Place { name: "'server' option", has: REQ.or(Needs::SERVER) };
    /// `log-format` and `unique-id-format`: head fields are gone unless captured.
    pub const LOG: Place = Place {
        name: "'log-format'",
        has: SESS
            .or(Needs::REQ_LINE)
            .or(Needs::BACKEND)
            .or(Needs::SERVER)
            .or(Needs::SERVER_CONN)
            .or(Needs::RES_LINE)
            .or(Needs::TXN_END)
            .or(Needs::SESSION_END),
    };
    pub const UNIQUE_ID: Place = Place { name: "'unique-id-format'", has: REQ };
    pub const CHECK: Place = Place {
        name: "health check",
        has: Needs::INTERNAL.or(Needs::CHECK).or(Needs::BACKEND).or(Needs::SERVER),
    };
    /// `http-check expect`, `tcp-check expect`.
    pub const CHECK_EXPECT: Place = Place {
        name: "health check response",
        has: Needs::INTERNAL
            .or(Needs::CHECK)
            .or(Needs::BACKEND)
            .or(Needs::SERVER)
            .or(Needs::RES_PAYLOAD)
            .or(Needs::RES_HEAD)
            .or(Needs::RES_LINE)
            .or(Needs::RES_BODY),
    };
    /// `stats admin`, and everything else that runs on a request without being a rule of its own.
    pub const STATS_ADMIN: Place = Place { name: "'stats admin' rule", has: REQ };
    /// `global`: `set-var proc.x`.
    pub const GLOBAL: Place = Place { name: "'global' section", has: Needs::INTERNAL };
}
