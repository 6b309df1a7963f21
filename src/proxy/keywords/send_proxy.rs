//! The header that connections to a server begin with: `send-proxy` and its relatives.

use crate::config::{ParseCx, Status, Word};
use crate::log::{LogFormat, Usage};
use crate::proxy_protocol::Type;
use crate::sample::{ExprCx, Place};

use super::super::raw::{At, ServerOptions};
use super::option_arg;
use super::server_option::ServerOption;

macro_rules! option {
    ($name:literal, $syntax:literal, $doc:literal, $parse:expr) => {
        ServerOption {
            name: $name,
            syntax: $syntax,
            doc: $doc,
            status: Status::Full,
            server_only: false,
            parse: $parse,
        }
    };
}

/// The table.
pub static OPTIONS: &[ServerOption] = &[
    option!("send-proxy", "send-proxy", "Send a PROXY header, version 1.", |_, _, o| o.send_proxy.v1 = true),
    option!("no-send-proxy", "no-send-proxy", "Undo send-proxy.", |_, _, o| o.send_proxy.v1 = false),
    option!("send-proxy-v2", "send-proxy-v2", "Send a PROXY header, version 2.", |_, _, o| {
        o.send_proxy.v2 = true;
    }),
    option!("no-send-proxy-v2", "no-send-proxy-v2", "Undo send-proxy-v2.", |_, _, o| o.send_proxy.v2 = false),
    option!("send-proxy-v2-ssl", "send-proxy-v2-ssl", "Send a PROXY header with TLS facts.", with_tls),
    option!(
        "send-proxy-v2-ssl-cn",
        "send-proxy-v2-ssl-cn",
        "Send a PROXY header with TLS facts and the client's name.",
        with_tls
    ),
    option!("no-send-proxy-v2-ssl", "no-send-proxy-v2-ssl", "Undo send-proxy-v2-ssl.", without_tls),
    option!("no-send-proxy-v2-ssl-cn", "no-send-proxy-v2-ssl-cn", "Undo send-proxy-v2-ssl-cn.", without_tls),
    option!(
        "proxy-v2-options",
        "proxy-v2-options <option>[,<option>]*",
        "What the PROXY header says.",
        options
    ),
    option!("set-proxy-v2-tlv-fmt", "set-proxy-v2-tlv-fmt(<id>) <fmt>", "A field of the PROXY header.", tlv),
];

fn with_tls(_: &mut ParseCx<'_>, _: &Word, o: &mut ServerOptions) {
    (o.send_proxy.v2, o.send_proxy.ssl) = (true, true);
}

fn without_tls(_: &mut ParseCx<'_>, _: &Word, o: &mut ServerOptions) {
    (o.send_proxy.v2, o.send_proxy.ssl) = (false, false);
}

const NAMES: [&str; 8] =
    ["ssl", "cert-cn", "ssl-cipher", "cert-sig", "cert-key", "authority", "crc32c", "unique-id"];

fn options(cx: &mut ParseCx<'_>, w: &Word, o: &mut ServerOptions) {
    let Some(a) = option_arg(cx, w, "a list of options") else { return };
    let send = &mut o.send_proxy;
    send.v2_only = Some(At::new("proxy-v2-options", w.loc));
    let text = a.text();
    for name in text.split(',') {
        match name {
            "ssl" | "cert-cn" | "ssl-cipher" | "cert-sig" | "cert-key" => send.ssl = true,
            // Only a name that was asked for in TLS counts as one: there is none.
            "authority" => {}
            "crc32c" => send.checksum = true,
            "unique-id" => send.unique_id = true,
            _ => {
                let message = format!("'{}' : '{}' : unknown option '{name}'", cx.keyword(), w.text());
                cx.error(a.loc, message).help(format!("one of {}", NAMES.join(", ")));
                return;
            }
        }
    }
}

fn tlv(cx: &mut ParseCx<'_>, w: &Word, o: &mut ServerOptions) {
    o.send_proxy.v2_only = Some(At::new("set-proxy-v2-tlv-fmt", w.loc));
    let text = w.text();
    let id = text.split_once('(').and_then(|(_, rest)| rest.strip_suffix(')')).and_then(number);
    let Some(id) = id else {
        let message =
            format!("'{}' : '{text}' : a number from 0 to 255 is expected in parentheses", cx.keyword());
        cx.error(w.loc, message).help("for example set-proxy-v2-tlv-fmt(0xE1) %[src]");
        return;
    };
    let format = match cx.next() {
        // Nothing behind it: a field without a value.
        None => None,
        Some(word) => match LogFormat::parse(&mut ExprCx::of(cx, Place::SERVER_OPTION), word, Usage::Bytes) {
            Some(format) => Some(format),
            None => return,
        },
    };
    o.send_proxy.tlvs.push((Type(id), format));
}

/// Says what has no effect: fields of a header that is not sent.
pub(super) fn check(cx: &mut ParseCx<'_>, o: &ServerOptions) {
    if let Some(lonely) = o.send_proxy.v2_only.as_ref().filter(|_| !o.send_proxy.v2) {
        let message =
            format!("'{}' : '{}' has no effect without 'send-proxy-v2'", cx.keyword(), lonely.value);
        cx.warning(lonely.loc, message);
    }
}

fn number(text: &str) -> Option<u8> {
    match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        Some(hex) => u8::from_str_radix(hex, 16).ok(),
        None => text.parse().ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::number;

    #[test]
    fn numbers_of_fields() {
        assert_eq!(number("0xE1"), Some(0xe1));
        assert_eq!(number("255"), Some(255));
        assert_eq!(number("0"), Some(0));
        for text in ["", "0x", "256", "0x100", "-1", "E1", "0xG"] {
            assert_eq!(number(text), None, "{text}");
        }
    }
}
