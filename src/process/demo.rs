//! What runs without `-f`: two small servers of our own behind a frontend, to see cookies, checks and balancing,
//! and a page that shows the statistics.

use std::cell::Cell;
use std::fmt::Write as _;
use std::net::TcpListener;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use crate::base::time::Mono;
use crate::cli::Context;
use crate::config::Env;
use crate::http::RequestHead;
use crate::http1::{Limits, Parsed, Relax, parse_request};
use crate::net::{Listener, Socket};
use crate::proxy::live::ServerStatus;
use crate::runtime;
use crate::stats::{self, FieldId};

/// Name of the built-in configuration in messages.
pub const NAME: &str = "built-in demonstration";
/// Where the demonstration listens.
const FRONTEND: &str = "127.0.0.1:8080";
/// Where its statistics are.
const MONITOR: &str = "127.0.0.1:8404";

/// The built-in configuration.
pub const CONFIG: &str = "\
# haring without -f runs this; copy it to start your own
global
    maxconn 2000

defaults
    mode http
    option forwardfor
    timeout connect 1s
    timeout client 30s
    timeout server 30s
    timeout http-request 5s
    timeout http-keep-alive 10s
    timeout check 1s

frontend demo
    bind 127.0.0.1:8080
    default_backend demo-servers

backend demo-servers
    balance roundrobin
    cookie SERVERID insert indirect nocache
    option httpchk GET /health
    default-server inter 1s rise 2 fall 2 check
    server red \"127.0.0.1:${HARING_DEMO_RED}\" cookie red
    server blue \"127.0.0.1:${HARING_DEMO_BLUE}\" cookie blue
";

/// Which of the demonstration's pages a listener serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Page {
    Server { name: &'static str, color: &'static str },
    Monitor,
}

/// The demonstration's listening sockets.
pub struct Servers {
    sockets: Vec<(TcpListener, Page)>,
}

impl Servers {
    /// Listen on loopback ports that the kernel chooses (and a fixed one for the statistics); the configuration finds
    /// them in the environment.
    pub fn bind(env: &mut Env) -> Result<Servers, String> {
        let mut sockets = Vec::new();
        for (variable, name, color) in
            [("HARING_DEMO_RED", "red", "#c0392b"), ("HARING_DEMO_BLUE", "blue", "#2471a3")]
        {
            let listener = TcpListener::bind("127.0.0.1:0").map_err(|e| format!("demonstration: {e}"))?;
            let port = listener.local_addr().map_err(|e| format!("demonstration: {e}"))?.port();
            env.set(variable, port.to_string());
            sockets.push((listener, Page::Server { name, color }));
        }
        match TcpListener::bind(MONITOR) {
            Ok(listener) => sockets.push((listener, Page::Monitor)),
            Err(error) => {
                super::messages::warning(&format!("demonstration: no statistics on {MONITOR}: {error}"))
            }
        }
        Ok(Servers { sockets })
    }

    /// What to open, for the terminal.
    pub fn announcement(&self) -> String {
        let monitor = self.sockets.iter().any(|(_, page)| *page == Page::Monitor);
        let mut out = format!(
            "{}\nNo configuration was given: this is the built-in demonstration.\n\n  http://{FRONTEND}/   two servers, one cookie: reload, then delete the cookie and reload again\n",
            super::version::first_line()
        );
        if monitor {
            let _ = writeln!(out, "  http://{MONITOR}/   what the proxy counts");
        }
        out.push_str("\nRun your own configuration with: haring -f /path/to/haproxy.cfg   (check it: haring -c -f ...)\nStop with Ctrl-C.\n");
        out
    }

    /// Serve on this thread.
    pub fn spawn(self, context: &Arc<Context>) {
        for (socket, page) in self.sockets {
            let context = context.clone();
            runtime::spawn(async move {
                match Listener::from_fd(socket.into()) {
                    Ok(listener) => serve(listener, page, context).await,
                    Err(error) => super::messages::alert(&format!("demonstration: {error}")),
                }
            });
        }
    }
}

async fn serve(listener: Listener, page: Page, context: Arc<Context>) {
    let site = Rc::new(Site { page, context, ill_until: Cell::new(Mono(0)) });
    while let Ok((socket, _)) = listener.accept().await {
        let site = site.clone();
        runtime::spawn(async move { connection(&socket, &site).await });
    }
}

/// One of the demonstration's servers.
struct Site {
    page: Page,
    context: Arc<Context>,
    /// Its health checks fail until then.
    ill_until: Cell<Mono>,
}

/// How long a visitor's click makes a server fail its checks.
const ILLNESS: Duration = Duration::from_secs(10);

/// Longest silence of a client.
const IDLE: Duration = Duration::from_secs(60);

async fn connection(socket: &Socket, site: &Site) {
    let mut received = Vec::new();
    let mut head = RequestHead::new();
    loop {
        head.clear();
        let head_len = loop {
            match parse_request(&received, &Limits::default(), Relax::Strict, &mut head) {
                Ok(Parsed::Complete { head_len }) => break head_len,
                Ok(Parsed::Partial) => {}
                Err(_) => return,
            }
            match runtime::timeout_at(runtime::now() + IDLE, socket.recv()).await {
                Some(Ok(buf)) if !buf.is_empty() => received.extend_from_slice(&buf),
                _ => return,
            }
        };
        received.drain(..head_len);
        // A body would have to be read before the next request: close instead.
        let last = !head.framing().is_empty() || head.connection().close;
        socket.send(answer(site, &head, last));
        if socket.flushed().await.is_err() || last {
            return;
        }
    }
}

fn answer(site: &Site, head: &RequestHead, last: bool) -> Vec<u8> {
    let path = head.path().unwrap_or(b"/");
    let html = "text/html; charset=utf-8";
    let (status, kind, body) = match (site.page, path) {
        (Page::Server { .. }, b"/health") if runtime::now() < site.ill_until.get() => {
            ("503 Service Unavailable", "text/plain", "not well\n".to_owned())
        }
        (Page::Server { .. }, b"/health") => ("200 OK", "text/plain", "alive\n".to_owned()),
        (Page::Server { name, color }, b"/") => ("200 OK", html, server_page(name, color, head)),
        (Page::Server { name, .. }, b"/fail") => {
            site.ill_until.set(runtime::now() + ILLNESS);
            ("200 OK", html, fail_page(name))
        }
        (Page::Monitor, b"/") => ("200 OK", html, monitor_page(&site.context)),
        _ => ("404 Not Found", "text/plain", "There is only / here.\n".to_owned()),
    };
    let connection = if last { "close" } else { "keep-alive" };
    let mut out = format!(
        "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\nCache-Control: no-store\r\nConnection: {connection}\r\n\r\n",
        body.len()
    );
    if head.method_token() != b"HEAD" {
        out.push_str(&body);
    }
    out.into_bytes()
}

fn escaped(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

const STYLE: &str = "<style>body{font:16px/1.5 system-ui,sans-serif;margin:0;color:#222;background:#f6f6f4}\
main{max-width:60em;margin:2em auto;padding:0 1em}h1{color:#fff;padding:.6em .8em;border-radius:.3em;margin:0 0 1em}\
table{border-collapse:collapse;background:#fff;width:100%}td,th{padding:.3em .7em;border:1px solid #ddd;text-align:left;\
font-size:14px}th{background:#eee}td.n{text-align:right}code{background:#eee;padding:.1em .3em}.up{background:#dff5e0}\
.down{background:#f9d9d6}.other{background:#fdf3d0}</style>";

fn server_page(name: &str, color: &str, head: &RequestHead) -> String {
    let mut out = format!(
        "<!doctype html><html lang=\"en\"><title>Haring: {name}</title>{STYLE}<main>\
         <h1 style=\"background:{color}\">Answered by server \u{201c}{name}\u{201d}</h1>\
         <p>The first request was balanced. The answer set the cookie <code>SERVERID={name}</code>, and as long as your \
         browser sends it, you stay with this server. Delete the cookie (or open a private window) to be balanced \
         again.</p><p><a href=\"/fail\">Let this server fail its health checks for ten seconds</a>: you will be sent to the \
         other one.</p><h2>What this server received</h2><p><code>{}</code></p><table><tr><th>Header<th>Value</tr>",
        escaped(head.request_line())
    );
    for (field, value) in head.fields.iter() {
        let _ = write!(out, "<tr><td>{}<td>{}</tr>", escaped(field), escaped(value));
    }
    out.push_str(
        "</table><p>The cookie is not among them: the proxy took it out (<code>indirect</code>), and it added \
         <code>X-Forwarded-For</code>.</p></main></html>",
    );
    out
}

fn fail_page(name: &str) -> String {
    format!(
        "<!doctype html><html lang=\"en\"><title>Haring: {name}</title>{STYLE}<main><h1 style=\"background:#444\">Server \
         \u{201c}{name}\u{201d} fails its health checks</h1><p>After two failed checks it is down, and the cookie that names it \
         is not followed any more: <a href=\"/\">go back</a> in two seconds. In ten it begins to come up again.</p></main></html>"
    )
}

fn monitor_page(context: &Context) -> String {
    let maxconn = u32::try_from(context.facts.limits.maxconn).unwrap_or(u32::MAX);
    let filter = stats::Filter::default();
    let rows =
        stats::rows(&context.snapshot, &context.live, &context.watch.notes, maxconn, runtime::now(), &filter);
    let columns = [
        ("Proxy", FieldId::Pxname),
        ("Service", FieldId::Svname),
        ("Status", FieldId::Status),
        ("Check", FieldId::CheckStatus),
        ("Sessions now", FieldId::Scur),
        ("Max", FieldId::Smax),
        ("Total", FieldId::Stot),
        ("Bytes in", FieldId::Bin),
        ("Bytes out", FieldId::Bout),
        ("2xx", FieldId::Hrsp2xx),
        ("5xx", FieldId::Hrsp5xx),
    ];
    let mut out = format!(
        "<!doctype html><html lang=\"en\"><meta http-equiv=\"refresh\" content=\"2\"><title>Haring: statistics</title>{STYLE}\
         <main><h1 style=\"background:#444\">Statistics</h1><table><tr>"
    );
    for (title, _) in columns {
        let _ = write!(out, "<th>{title}");
    }
    for row in &rows {
        let server = context.snapshot.proxies.iter().flat_map(|p| &p.backend).flat_map(|b| &b.servers);
        let state = server
            .filter(|s| row.object == stats::Object::Server && s.uuid == row.sid)
            .find(|s| context.snapshot.proxy(s.proxy).uuid == row.iid)
            .map(|s| context.live.server(s.id).status());
        let class = match state {
            Some(ServerStatus::Stopped) => "down",
            Some(ServerStatus::Running) => "up",
            Some(_) => "other",
            None => "",
        };
        let _ = write!(out, "<tr class=\"{class}\">");
        for (_, field) in columns {
            let (class, text) = match row.get(field) {
                Some(stats::Value::Text(text)) => ("", text.clone()),
                Some(value) => ("n", value.to_string()),
                None => ("", String::new()),
            };
            let _ = write!(out, "<td class=\"{class}\">{}", escaped(text.as_bytes()));
        }
    }
    out.push_str("</table><p>This page reloads itself every two seconds.</p></main></html>");
    out
}
