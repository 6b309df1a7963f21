//! `show errors`: the last invalid message of each proxy.

use std::fmt::Write;

use super::commands::{Call, Next};
use crate::base::time::Wall;
use crate::log::local_date;
use crate::proxy::{Capture, Proxy};
use crate::runtime;

/// Widest line of a dump.
const WIDTH: usize = 79;

/// `show errors [<iid>|<proxy>] [request|response]`.
pub fn show(call: &mut Call<'_>) -> Next {
    let cx = call.cx;
    let mut only: Option<&Proxy> = None;
    if let Some(name) = call.args.first().filter(|n| *n != "-1") {
        let by_id = name.parse::<u32>().ok();
        only = cx.snapshot.proxies.iter().find(|p| by_id.map_or(p.name == **name, |id| p.uuid == id));
        if only.is_none() {
            call.out.push_str("No such proxy.\n");
            return Next::Continue;
        }
    }
    let sides: &[bool] = match call.args.get(1).map(String::as_str) {
        Some("request") => &[false],
        Some("response") => &[true],
        _ => &[false, true],
    };
    let events = cx.captures.events();
    let _ = writeln!(call.out, "Total events captured on [{}] : {events}", date(runtime::wall()));
    // Both sides of an exchange are concerned.
    let concerns = |c: &Capture| only.is_none_or(|o| c.frontend == o.id || c.backend == Some(o.id));
    for px in &cx.snapshot.proxies {
        for &response in sides {
            if let Some(capture) = cx.captures.last(px.id, response).filter(concerns) {
                one(call, px, response, &capture);
            }
        }
    }
    Next::Continue
}

fn one(call: &mut Call<'_>, px: &Proxy, response: bool, c: &Capture) {
    let snapshot = &call.cx.snapshot;
    let backend = c.backend.map(|id| snapshot.proxy(id)).filter(|b| b.backend.is_some());
    let named = |name: Option<(&str, u32)>| match name {
        Some((name, number)) => format!("{name} (#{number})"),
        None => "<NONE> (#-1)".to_owned(),
    };
    let server = c.server.map(|id| snapshot.server(id));
    let server = named(server.map(|s| (s.name.as_str(), s.uuid)));
    let (date, out) = (date(c.at), &mut *call.out);
    if response {
        let fe = snapshot.proxy(c.frontend);
        let _ = writeln!(out, " \n[{date}] backend {} (#{}): invalid response", px.name, px.uuid);
        let _ = write!(out, "  frontend {} (#{})", fe.name, fe.uuid);
    } else {
        let _ = writeln!(out, " \n[{date}] frontend {} (#{}): invalid request", px.name, px.uuid);
        let _ = write!(out, "  backend {}", named(backend.map(|b| (b.name.as_str(), b.uuid))));
    }
    let src = c.src.map_or("unix:1".to_owned(), |a| a.to_string());
    let _ = writeln!(out, ", server {server}, event #{}, src {src}", c.event);
    let free = crate::proxy::CAPTURE_MAX.saturating_sub(c.len);
    let _ = writeln!(out, "  buffer starts at 0 (including 0 out), {free} free,");
    let _ = writeln!(
        out,
        "  len {}, wraps at {}, error at position {}",
        c.len,
        crate::proxy::CAPTURE_MAX,
        c.position
    );
    let _ = writeln!(out, "  reason: {} :\n  ", c.reason);
    dump(&c.bytes, out);
}

fn date(t: Wall) -> String {
    format!("{}.{:03}", local_date(t), t.0 / 1000 % 1000)
}

/// The bytes, one line of the message per line of text, long ones broken.
fn dump(bytes: &[u8], out: &mut String) {
    let mut begins_line = true;
    let mut at = 0;
    while at < bytes.len() {
        let mut line = format!("  {at:05}{} ", if begins_line { ' ' } else { '+' });
        begins_line = false;
        while let Some(&b) = bytes.get(at) {
            let shown = escaped(b);
            if line.len() + shown.len() > WIDTH {
                break;
            }
            line.push_str(&shown);
            at += 1;
            if b == b'\n' {
                begins_line = true;
                break;
            }
        }
        out.push_str(&line);
        out.push('\n');
    }
}

fn escaped(b: u8) -> String {
    match b {
        b'\t' => "\\t".to_owned(),
        b'\n' => "\\n".to_owned(),
        b'\r' => "\\r".to_owned(),
        0x1b => "\\e".to_owned(),
        b'\\' => "\\\\".to_owned(),
        b' '..=b'~' => char::from(b).to_string(),
        _ => format!("\\x{b:02X}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn dump_looks_like_haproxys() {
        let mut text = b"HTTP/1.1 200 OK\r\nBad header: ".to_vec();
        text.extend([b'x'; 100]);
        text.extend(b"\r\n\\ \t\x1b\x01\r\n\r\n");
        let mut out = String::new();
        dump(&text, &mut out);
        let x = |n| "x".repeat(n);
        let lines = [
            "  00000  HTTP/1.1 200 OK\\r\\n".to_owned(),
            format!("  00017  Bad header: {}", x(58)),
            format!("  00087+ {}\\r\\n", x(42)),
            "  00131  \\\\ \\t\\e\\x01\\r\\n".to_owned(),
            "  00138  \\r\\n".to_owned(),
        ];
        assert_eq!(out, lines.join("\n") + "\n");
    }

    proptest! {
        #[test]
        fn every_byte_is_shown_within_the_width(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
            let mut out = String::new();
            dump(&bytes, &mut out);
            prop_assert!(out.lines().all(|l| l.len() <= WIDTH && l.is_ascii()));
            let shown: String = out.lines().map(|l| &l[9..]).collect();
            prop_assert_eq!(shown, bytes.iter().map(|b| escaped(*b)).collect::<String>());
        }
    }
}
