//! `show sess`, `shutdown session`, `shutdown sessions server` (management manual, 9.3).

use std::fmt::Write;
use std::sync::Arc;
use std::time::Duration;

use super::Context;
use super::commands::{Call, Next, find_server};
use super::gather::gather;
use super::sink::PIECE;
use crate::base::duration::{Unit, parse};
use crate::base::time::Mono;
use crate::proxy::{Mode, Proxy, Server};
use crate::runtime;
use crate::stream::{self, Shown};

/// A session's id as `show sess` prints it.
fn id_of(text: &str) -> Option<u64> {
    u64::from_str_radix(text.strip_prefix("0x").unwrap_or(text), 16).ok()
}

fn mode(px: &Proxy) -> &'static str {
    match px.mode {
        Mode::Tcp => "tcp",
        Mode::Http => "http",
        Mode::Health => "health",
    }
}

fn proto(s: &Shown) -> (&'static str, String) {
    match s.src {
        Some(src) if src.is_ipv4() => ("tcpv4", src.to_string()),
        Some(src) => ("tcpv6", src.to_string()),
        None => ("unix_stream", "unix:1".to_owned()),
    }
}

/// `49s`, `2m05s`: the two largest units.
fn short(d: Duration) -> String {
    let s = d.as_secs();
    match s {
        0..60 => format!("{s}s"),
        60..3600 => format!("{}m{:02}s", s / 60, s % 60),
        3600..86400 => format!("{}h{:02}m", s / 3600, s / 60 % 60),
        _ => format!("{}d{:02}h", s / 86400, s / 3600 % 24),
    }
}

fn expiry(s: &Shown, now: Mono) -> String {
    if s.deadline == Mono::NEVER { String::new() } else { short(s.deadline.since(now)) }
}

struct Named<'c> {
    frontend: &'c Proxy,
    backend: Option<&'c Proxy>,
    server: Option<&'c Server>,
}

fn named<'c>(cx: &'c Context, s: &Shown) -> Named<'c> {
    let backend = Some(cx.snapshot.proxy(s.backend)).filter(|p| p.backend.is_some());
    let server = s.server.map(|id| {
        let (px, at) = cx.snapshot.servers[id.index()];
        &cx.snapshot.proxy(px).backend().servers[at]
    });
    Named { frontend: cx.snapshot.proxy(s.frontend), backend, server }
}

fn line(cx: &Context, s: &Shown, now: Mono, out: &mut String) {
    let n = named(cx, s);
    let (proto, src) = proto(s);
    // Writing to a String cannot fail.
    let _ = writeln!(
        out,
        "0x{:x}: proto={proto} src={src} fe={} be={} srv={} ts=00 age={} calls={} exp={}",
        s.id,
        n.frontend.name,
        n.backend.map_or("<NONE>", |p| p.name.as_str()),
        n.server.map_or("<none>", |v| v.name.as_str()),
        short(now.since(s.start)),
        s.waits,
        expiry(s, now),
    );
}

fn details(cx: &Context, s: &Shown, now: Mono, out: &mut String) {
    let n = named(cx, s);
    let (proto, src) = proto(s);
    let listener = cx.snapshot.listener(s.listener);
    let _ = writeln!(
        out,
        "0x{:x}: [{}.{:06}] id={} proto={proto} source={src}",
        s.id,
        crate::log::local_date(s.start_wall),
        s.start_wall.0 % 1_000_000,
        s.number
    );
    let _ = writeln!(
        out,
        "  frontend={} (id={} mode={}), listener={} (id={}) addr={}",
        n.frontend.name,
        n.frontend.uuid,
        mode(n.frontend),
        listener.name.as_deref().unwrap_or("?"),
        listener.uuid,
        listener.addr,
    );
    match n.backend {
        Some(p) => writeln!(out, "  backend={} (id={} mode={})", p.name, p.uuid, mode(p)),
        None => writeln!(out, "  backend=<NONE> (id=-1 mode=-)"),
    }
    .unwrap_or(());
    match n.server {
        Some(v) => {
            let addr = cx.live.server_inet(v).map_or("-".to_owned(), |a| a.to_string());
            writeln!(out, "  server={} (id={}) addr={addr}", v.name, v.uuid)
        }
        None => writeln!(out, "  server=<NONE> (id=-1)"),
    }
    .unwrap_or(());
    let _ = writeln!(
        out,
        "  task: thread={} calls={} exp={} age={}",
        s.thread + 1,
        s.waits,
        Some(expiry(s, now)).filter(|e| !e.is_empty()).unwrap_or_else(|| "<NEVER>".to_owned()),
        short(now.since(s.start))
    );
}

/// `show sess [<id> | older <age> | all]`
pub fn show(call: &mut Call<'_>) -> Next {
    let words: Vec<&str> = call.args.iter().map(String::as_str).collect();
    let (mut wanted, mut older) = (None, Duration::ZERO);
    let all = match words[..] {
        [] => false,
        ["all"] => true,
        ["older", age] => match parse(age, Unit::S) {
            Ok(d) => {
                older = d;
                false
            }
            Err(e) => {
                let _ = writeln!(call.out, "Expects an age, like 10s: {e}");
                return Next::Continue;
            }
        },
        ["older"] => {
            call.out.push_str("Expects an age, like 10s.\n");
            return Next::Continue;
        }
        [id] if id_of(id).is_some() => {
            wanted = id_of(id);
            true
        }
        _ => {
            call.out.push_str("Session not found. (Usage: show sess [<id> | older <age> | all])\n");
            return Next::Continue;
        }
    };
    let cx: Arc<Context> = call.cx.clone();
    Next::Job(Box::new(move |sink| {
        Box::pin(async move {
            let ask = move || {
                let now = runtime::now();
                stream::running(|s| wanted.is_none_or(|id| s.id == id) && now.since(s.start) >= older)
            };
            let mut found: Vec<Shown> = gather(&cx.threads, ask).await.into_iter().flatten().collect();
            found.sort_by_key(|s| (s.start, s.id));
            let mut text = String::new();
            if found.is_empty() && wanted.is_some() {
                text.push_str("Session not found.\n");
            }
            for s in &found {
                let put = if all { details } else { line };
                put(&cx, s, runtime::now(), &mut text);
                if text.len() >= PIECE {
                    sink.put(&mut text).await?;
                }
            }
            sink.put(&mut text).await
        })
    }))
}

/// `shutdown session <id>`
pub fn shutdown(call: &mut Call<'_>) -> Next {
    let Some(text) = call.args.first() else {
        call.out.push_str("Session pointer expected (use 'show sess').\n");
        return Next::Continue;
    };
    let Some(id) = id_of(text) else {
        call.out.push_str("No such session (use 'show sess').\n");
        return Next::Continue;
    };
    let cx = call.cx.clone();
    Next::Job(Box::new(move |sink| {
        Box::pin(async move {
            let killed: usize =
                gather(&cx.threads, move || stream::kill(|s| s.id == id)).await.into_iter().sum();
            let mut text = String::new();
            if killed == 0 {
                text.push_str("No such session (use 'show sess').\n");
            }
            sink.put(&mut text).await
        })
    }))
}

/// `shutdown sessions server <backend>/<server>`
pub fn shutdown_server(call: &mut Call<'_>) -> Next {
    let cx = call.cx.clone();
    let Some((_, srv)) = find_server(call, &cx) else { return Next::Continue };
    let id = srv.id;
    Next::Job(Box::new(move |sink| {
        Box::pin(async move {
            gather(&cx.threads, move || stream::kill(|s| s.server == Some(id))).await;
            sink.put(&mut String::new()).await
        })
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_have_two_units() {
        for (s, text) in [(0, "0s"), (59, "59s"), (125, "2m05s"), (3725, "1h02m"), (90_000, "1d01h")] {
            assert_eq!(short(Duration::from_secs(s)), text);
        }
    }

    #[test]
    fn ids_are_hexadecimal() {
        assert_eq!(id_of("0x1f"), Some(31));
        assert_eq!(id_of("1f"), Some(31));
        for bad in ["", "0x", "zz", "0x1ffffffffffffffff"] {
            assert_eq!(id_of(bad), None, "{bad}");
        }
    }
}
