//! `cookie`, `dynamic-cookie-key`, `persist rdp-cookie`.

use crate::base::duration::Unit;
use crate::config::{Keyword, ParseCx, Sections, Status, Word};

use super::super::cookie::{CookieConf, CookieMode};
use super::super::raw::At;
use super::{option_arg, option_duration, raw};

const BACK: Sections = Sections::DEFAULTS.or(Sections::BACKEND);

/// Keywords of this file.
pub static KEYWORDS: &[Keyword] = &[
    Keyword {
        name: "cookie",
        sections: BACK,
        syntax: "cookie <name> [ rewrite | insert | prefix ] [ indirect ] [ nocache ] [ postonly ] \
                 [ preserve ] [ httponly ] [ secure ] [ domain <domain> ]* [ maxidle <idle> ] \
                 [ maxlife <life> ] [ dynamic ] [ attr <value> ]*",
        doc: "Persistence by a cookie.",
        status: Status::Full,
        parse: cookie,
    },
    Keyword {
        name: "dynamic-cookie-key",
        sections: BACK,
        syntax: "dynamic-cookie-key <string>",
        doc: "Secret of dynamic cookies.",
        status: Status::Full,
        parse: |cx| {
            let Some(w) = cx.expect("a key") else { return };
            raw(cx).back.dynamic_cookie_key = Some(w.bytes.clone());
            cx.end();
        },
    },
    Keyword {
        name: "persist rdp-cookie",
        sections: BACK,
        syntax: "persist rdp-cookie",
        doc: "Persistence by the cookie of the RDP protocol.",
        status: Status::Planned,
        parse: Keyword::nothing,
    },
];

fn cookie(cx: &mut ParseCx<'_>) {
    let loc = cx.dir.loc;
    let Some(name) = cx.expect("<cookie_name> as argument") else { return };
    let mut conf = CookieConf { name: name.bytes.clone(), ..CookieConf::default() };
    let mut modes = Vec::new();
    while let Some(w) = cx.next() {
        match w.text().as_ref() {
            "rewrite" => modes.push(CookieMode::Rewrite),
            "insert" => modes.push(CookieMode::Insert),
            "prefix" => modes.push(CookieMode::Prefix),
            "indirect" => conf.indirect = true,
            "nocache" => conf.nocache = true,
            "postonly" => conf.postonly = true,
            "preserve" => conf.preserve = true,
            "httponly" => conf.httponly = true,
            "secure" => conf.secure = true,
            "dynamic" => conf.dynamic = true,
            "domain" => {
                let Some(d) = domain(cx, w) else { return };
                conf.domains.push(d);
            }
            "maxidle" => {
                let Some(d) = option_duration(cx, w, Unit::S) else { return };
                conf.maxidle = Some(d);
            }
            "maxlife" => {
                let Some(d) = option_duration(cx, w, Unit::S) else { return };
                conf.maxlife = Some(d);
            }
            "attr" => {
                let Some(a) = attribute(cx, w) else { return };
                conf.attrs.push(a);
            }
            _ => return unknown(cx, w),
        }
    }
    modes.dedup();
    if modes.len() > 1 {
        cx.error(loc, "cookie 'rewrite', 'insert' and 'prefix' modes are incompatible.");
        return;
    }
    conf.mode = modes.first().copied().unwrap_or_default();
    if conf.mode == CookieMode::Rewrite && conf.indirect {
        cx.error(loc, "cookie 'rewrite' and 'indirect' modes are incompatible.");
        return;
    }
    if conf.preserve && conf.mode != CookieMode::Insert && !conf.indirect {
        cx.error(loc, "cookie 'preserve' requires at least 'insert' or 'indirect'.");
        return;
    }
    raw(cx).back.cookie = Some(At::new(conf, loc));
}

fn unknown(cx: &mut ParseCx<'_>, w: &Word) {
    const KNOWN: [&str; 13] = [
        "rewrite", "insert", "prefix", "indirect", "nocache", "postonly", "preserve", "httponly", "secure",
        "domain", "maxidle", "maxlife", "dynamic",
    ];
    let text = w.text();
    let message = format!("'cookie' : unknown option '{text}'; known ones are {}, attr", KNOWN.join(", "));
    let d = cx.diags.error(w.loc, message);
    if let Some(best) = crate::config::suggest::closest(&text, KNOWN.into_iter()) {
        d.help(format!("did you mean '{best}'?"));
    }
}

fn domain(cx: &mut ParseCx<'_>, opt: &Word) -> Option<Vec<u8>> {
    let w = option_arg(cx, opt, "<domain> as argument")?;
    let text = w.text();
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_' | ':');
    if let Some(bad) = text.chars().find(|c| !allowed(*c)) {
        cx.error(w.loc, format!("domain '{text}': character '{bad}' is not permitted in a cookie domain."));
        return None;
    }
    let dotted = text.get(1..).is_some_and(|t| t.contains('.'));
    if !dotted {
        let message = format!(
            "domain '{text}' contains no embedded dot, this configuration may not work properly (see RFC6265#5.2.3)."
        );
        cx.warning(w.loc, message);
    }
    Some(w.bytes.clone())
}

fn attribute(cx: &mut ParseCx<'_>, opt: &Word) -> Option<Vec<u8>> {
    let w = option_arg(cx, opt, "<value> as argument")?;
    if let Some(bad) = w.bytes.iter().find(|c| c.is_ascii_control() || **c == b';') {
        cx.error(w.loc, format!("character '%x{bad:02X}' is not permitted in attribute value."));
        return None;
    }
    Some(w.bytes.clone())
}
