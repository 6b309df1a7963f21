//! What a proxy section says about checks, as written, and the rule set that comes of it.

use crate::config::Loc;
use crate::sample::Ctx;

use super::computed::{Text, VarStep};
use super::protocols;
use super::rules::{Connect, Expect, Match, Payload, Ruleset, Send, Step};

/// Which dialogue a check holds (`option httpchk`, `option mysql-check`, ...).
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub enum CheckKind {
    /// Connect, and that is all.
    #[default]
    Tcp,
    /// `option tcp-check`: the rules of [`ProxyCheck::tcp_rules`].
    TcpRules,
    /// `option httpchk`: request line as in 1.5, and the rules of [`ProxyCheck::http_rules`].
    Http,
    /// `option smtpchk`, with the command sent (`HELO localhost`).
    Smtp(String),
    /// `option mysql-check [user NAME [post-41|pre-41]]`.
    Mysql {
        /// User to log in as; without one only the greeting is read.
        user: Option<String>,
        /// Use the protocol of 4.1 and later.
        post_41: bool,
    },
    /// `option pgsql-check user NAME`.
    Pgsql(String),
    /// `option redis-check`.
    Redis,
    /// `option ldap-check`.
    Ldap,
    /// `option ssl-hello-chk`.
    SslHello,
}

/// The request of `option httpchk` or `http-check send`; what is `None` was not written.
#[derive(Clone, Debug, Default)]
pub struct HttpSend {
    /// Method.
    pub method: Option<Vec<u8>>,
    /// URI.
    pub uri: Option<Text>,
    /// Version.
    pub version: Option<Vec<u8>>,
    /// Fields.
    pub fields: Vec<(Vec<u8>, Text)>,
    /// Body.
    pub body: Option<Text>,
    /// `comment`.
    pub comment: Option<String>,
}

/// One `http-check` rule.
#[derive(Clone, Debug)]
pub enum HttpRule {
    /// `connect`.
    Connect(Connect),
    /// `send`.
    Send(HttpSend),
    /// `expect`.
    Expect(Expect),
    /// `set-var`, `set-var-fmt`, `unset-var`.
    Var(VarStep),
}

/// What a proxy section says about checks.
#[derive(Clone, Debug, Default)]
pub struct ProxyCheck {
    /// The dialogue.
    pub kind: CheckKind,
    /// Request line of `option httpchk`.
    pub http_request: HttpSend,
    /// `http-check` rules in order.
    pub http_rules: Vec<HttpRule>,
    /// `tcp-check` rules in order.
    pub tcp_rules: Vec<Step>,
    /// The section that wrote the rules: another one that writes its own drops those it got from `defaults`.
    pub http_owner: Option<Loc>,
    /// The same for `tcp_rules`.
    pub tcp_owner: Option<Loc>,
    /// The last `http-check comment` or `tcp-check comment`.
    pub comment: Option<String>,
    /// `http-check disable-on-404`.
    pub disable_on_404: bool,
    /// `http-check send-state`.
    pub send_state: bool,
}

impl ProxyCheck {
    /// The rule set of the section's servers.
    pub fn ruleset(&self) -> Ruleset {
        match &self.kind {
            CheckKind::Tcp => protocols::tcp(),
            CheckKind::TcpRules => self.tcp_ruleset(),
            CheckKind::Http => self.http_ruleset(),
            CheckKind::Smtp(hello) => protocols::smtp(hello),
            CheckKind::Mysql { user, post_41 } => protocols::mysql(user.as_deref(), *post_41),
            CheckKind::Pgsql(user) => protocols::pgsql(user),
            CheckKind::Redis => protocols::redis(),
            CheckKind::Ldap => protocols::ldap(),
            CheckKind::SslHello => protocols::ssl_hello(),
        }
    }

    fn implicit_connect() -> Step {
        Step::Connect(Connect { implicit: true, default_options: true, ..Connect::default() })
    }

    fn tcp_ruleset(&self) -> Ruleset {
        let mut steps = self.tcp_rules.clone();
        if !matches!(steps.iter().find(|s| !matches!(s, Step::Var(_))), Some(Step::Connect(_))) {
            steps.insert(0, Self::implicit_connect());
        }
        Ruleset { steps, numbered: true, ..Ruleset::default() }
    }

    fn http_ruleset(&self) -> Ruleset {
        let mut steps = Vec::new();
        let mut sent = false;
        let mut answered = true;
        let mut others = self.http_rules.iter().filter(|r| !matches!(r, HttpRule::Var(_)));
        if !matches!(others.next(), Some(HttpRule::Connect(_))) {
            steps.push(Self::implicit_connect());
        }
        for rule in &self.http_rules {
            match rule {
                HttpRule::Var(var) => steps.push(Step::Var(var.clone())),
                HttpRule::Connect(connect) => steps.push(Step::Connect(connect.clone())),
                HttpRule::Send(send) => {
                    // The first request takes what it does not say from `option httpchk`.
                    let base = if sent { HttpSend::default() } else { self.http_request.clone() };
                    steps.push(send.over(base).step());
                    sent = true;
                    answered = false;
                }
                HttpRule::Expect(expect) => {
                    if !sent {
                        steps.push(self.http_request.clone().step());
                        sent = true;
                    }
                    steps.push(Step::Expect(expect.clone()));
                    answered = true;
                }
            }
        }
        if !sent {
            steps.push(self.http_request.clone().step());
            answered = false;
        }
        if !answered {
            steps.push(Step::Expect(Expect::new(Match::Status(vec![(200, 399)]))));
        }
        Ruleset { steps, numbered: false, disable_on_404: self.disable_on_404, send_state: self.send_state }
    }
}

impl HttpSend {
    /// This request, with what it leaves open taken from `base`.
    fn over(&self, base: HttpSend) -> HttpSend {
        HttpSend {
            method: self.method.clone().or(base.method),
            uri: self.uri.clone().or(base.uri),
            version: self.version.clone().or(base.version),
            fields: base.fields.into_iter().chain(self.fields.iter().cloned()).collect(),
            body: self.body.clone().or(base.body),
            comment: self.comment.clone().or(base.comment),
        }
    }

    fn step(self) -> Step {
        let comment = self.comment.clone();
        Step::Send(Send { payload: Payload::Http(Box::new(self)), comment })
    }

    /// The request in bytes, with `state` in the field of `send-state`. `Connection: close` is added to requests whose
    /// version would keep the connection.
    pub fn bytes(&self, cx: &dyn Ctx, state: Option<&str>) -> Vec<u8> {
        let version = self.version.as_deref().unwrap_or(b"HTTP/1.0");
        let mut out = self.method.as_deref().unwrap_or(b"OPTIONS").to_vec();
        out.push(b' ');
        match &self.uri {
            Some(uri) => uri.write(cx, &mut out),
            None => out.push(b'/'),
        }
        out.extend_from_slice(&[b" ", version, b"\r\n"].concat());
        let mut has_connection = false;
        for (name, value) in &self.fields {
            let framing = name.eq_ignore_ascii_case(b"content-length")
                || name.eq_ignore_ascii_case(b"transfer-encoding");
            if framing && self.body.is_some() {
                continue;
            }
            has_connection |= name.eq_ignore_ascii_case(b"connection");
            out.extend_from_slice(&[name.as_slice(), b": "].concat());
            value.write(cx, &mut out);
            out.extend_from_slice(b"\r\n");
        }
        if let Some(state) = state {
            out.extend_from_slice(format!("x-haproxy-server-state: {state}\r\n").as_bytes());
        }
        let body = self.body.as_ref().map(|b| b.bytes(cx));
        if let Some(body) = &body {
            out.extend_from_slice(format!("content-length: {}\r\n", body.len()).as_bytes());
        }
        if version == b"HTTP/1.1" && !has_connection {
            out.extend_from_slice(b"connection: close\r\n");
        }
        out.extend_from_slice(b"\r\n");
        out.extend_from_slice(&body.unwrap_or_default());
        out
    }
}
