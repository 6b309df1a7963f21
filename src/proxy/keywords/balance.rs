//! `balance`, `hash-type`, `hash-balance-factor`.

use crate::base::hash::HashFn;
use crate::config::{Keyword, ParseCx, Sections, Status, Word};
use crate::sample::{Expr, ExprCx, Place};

use super::super::balance::{Affinity, Algorithm, HashExpr, HashMethod};
use super::super::raw::At;
use super::raw;

const BACK: Sections = Sections::DEFAULTS.or(Sections::BACKEND);

/// Keywords of this file.
pub static KEYWORDS: &[Keyword] = &[
    Keyword {
        name: "balance",
        sections: BACK,
        syntax: "balance <algorithm> [ <arguments> ]",
        doc: "How the next server is chosen.",
        status: Status::Full,
        parse: balance,
    },
    Keyword {
        name: "hash-type",
        sections: BACK,
        syntax: "hash-type <method> <function> <modifier>",
        doc: "How keys are mapped to servers.",
        status: Status::Full,
        parse: hash_type,
    },
    Keyword {
        name: "hash-balance-factor",
        sections: BACK,
        syntax: "hash-balance-factor <factor>",
        doc: "Most load of a server in percent of the mean, with consistent hashing.",
        status: Status::Full,
        parse: |cx| {
            let Some(w) = cx.peek() else {
                cx.expect("0 or an integer greater than 100");
                return;
            };
            let Some(n) = cx.expect_int("0 or an integer greater than 100", 0..=65535) else { return };
            if n != 0 && n <= 100 {
                cx.error(w.loc, "'hash-balance-factor' must be 0 or greater than 100.");
                return;
            }
            raw(cx).back.balance_conf.balance_factor = n as u32;
            cx.end();
        },
    },
    Keyword {
        name: "hash-preserve-affinity",
        sections: BACK,
        syntax: "hash-preserve-affinity { always | maxconn | maxqueue }",
        doc: "When a full server makes hashing choose another one.",
        status: Status::Full,
        parse: |cx| {
            const MODES: [Affinity; 3] = [Affinity::Always, Affinity::MaxConn, Affinity::MaxQueue];
            let Some(i) = cx.expect_one_of("a mode", &["always", "maxconn", "maxqueue"]) else { return };
            raw(cx).back.balance_conf.affinity = MODES[i];
            cx.end();
        },
    },
];

fn balance(cx: &mut ParseCx<'_>) {
    let loc = cx.dir.loc;
    let algorithm = match cx.next() {
        // HAProxy takes a bare `balance` as round robin.
        None => Some(Algorithm::RoundRobin),
        Some(w) => algorithm(cx, w),
    };
    let Some(algorithm) = algorithm else { return };
    let back = &mut raw(cx).back;
    back.balance_conf.algorithm = algorithm;
    back.balance = Some(At::new((), loc));
    cx.end();
}

fn algorithm(cx: &mut ParseCx<'_>, w: &Word) -> Option<Algorithm> {
    let text = w.text();
    let (name, arg) = match text.split_once('(') {
        None => (text.as_ref(), None),
        Some((name, rest)) => match rest.strip_suffix(')') {
            Some(arg) => (name, Some(arg)),
            None => {
                cx.error(w.loc, format!("balance {name} : missing closing parenthesis."));
                return None;
            }
        },
    };
    match (name, arg) {
        ("roundrobin", None) => Some(Algorithm::RoundRobin),
        ("static-rr", None) => Some(Algorithm::StaticRr),
        ("leastconn", None) => Some(Algorithm::LeastConn),
        ("first", None) => Some(Algorithm::First),
        ("source", None) => Some(Algorithm::Source),
        ("sticky", None) => Some(Algorithm::Sticky),
        ("uri", None) => uri(cx),
        ("url_param", None) => url_param(cx),
        ("hdr", Some(name)) if !name.is_empty() => {
            let domain_only = cx.accept("use_domain_only");
            Some(Algorithm::Header { name: name.as_bytes().to_vec(), domain_only })
        }
        ("hdr", _) => {
            cx.error(w.loc, "balance hdr requires an http header field name.").help("balance hdr(Host)");
            None
        }
        ("random", arg) => match arg.map(str::parse::<u32>) {
            None => Some(Algorithm::Random { draws: 2 }),
            Some(Ok(draws)) if draws >= 1 => Some(Algorithm::Random { draws }),
            _ => {
                cx.error(w.loc, "balance random : number of draws must be at least 1.");
                None
            }
        },
        ("hash", None) => hash(cx),
        ("rdp-cookie", Some("")) => {
            cx.error(w.loc, "balance rdp-cookie : missing cookie name.").help("balance rdp-cookie(mstshash)");
            None
        }
        ("rdp-cookie", name) => rdp_cookie(cx, w, name.unwrap_or("mstshash")),
        ("log-hash", _) => {
            cx.error(w.loc, format!("'balance {name}' is not implemented yet"));
            cx.rest();
            None
        }
        _ => unknown_algorithm(cx, w, name),
    }
}

fn unknown_algorithm(cx: &mut ParseCx<'_>, w: &Word, name: &str) -> Option<Algorithm> {
    let text = w.text();
    let known = [
        "roundrobin",
        "static-rr",
        "leastconn",
        "first",
        "source",
        "uri",
        "url_param",
        "hdr(name)",
        "hash",
        "rdp-cookie",
        "random",
        "sticky",
    ];
    let message = format!("'balance' : unknown algorithm '{text}', known ones are {}", known.join(", "));
    let d = cx.diags.error(w.loc, message);
    if let Some(best) = crate::config::suggest::closest(name, known.into_iter()) {
        d.help(format!("did you mean '{best}'?"));
    }
    cx.rest();
    None
}

fn uri(cx: &mut ParseCx<'_>) -> Option<Algorithm> {
    let (mut whole, mut path_only, mut len, mut depth) = (false, false, 0, 0);
    while let Some(w) = cx.next() {
        match w.text().as_ref() {
            "whole" => whole = true,
            "path-only" => path_only = true,
            "len" => len = positive(cx, "len")?,
            "depth" => depth = positive(cx, "depth")?,
            other => {
                let message = format!(
                    "balance uri only accepts parameters 'len', 'depth', 'path-only', and 'whole' (got '{other}')."
                );
                cx.error(w.loc, message);
                return None;
            }
        }
    }
    Some(Algorithm::Uri { whole, path_only, len, depth })
}

fn hash(cx: &mut ParseCx<'_>) -> Option<Algorithm> {
    if cx.peek().is_none() {
        let loc = cx.end_loc();
        cx.error(loc, "balance hash requires a sample expression.").help("balance hash req.cook(id)");
        return None;
    }
    let words = cx.rest();
    let (expr, used) = Expr::parse_words(&mut ExprCx::of(cx, Place::BALANCE), words)?;
    if let Some(w) = words.get(used) {
        cx.error(w.loc, format!("balance hash : unexpected '{}' after the expression", w.text()));
        return None;
    }
    Some(Algorithm::Hash(HashExpr(expr)))
}

fn rdp_cookie(cx: &mut ParseCx<'_>, w: &Word, name: &str) -> Option<Algorithm> {
    let fetch = Word { bytes: format!("req.rdp_cookie({name})").into_bytes(), loc: w.loc };
    let expr = Expr::parse(&mut ExprCx::of(cx, Place::BALANCE), &fetch)?;
    Some(Algorithm::RdpCookie(HashExpr(expr)))
}

fn positive(cx: &mut ParseCx<'_>, name: &str) -> Option<usize> {
    let (loc, text) = match cx.next() {
        Some(w) => (w.loc, w.text().into_owned()),
        None => (cx.end_loc(), String::new()),
    };
    match text.parse::<usize>() {
        Ok(n) if n > 0 => Some(n),
        _ => {
            cx.error(loc, format!("balance uri : '{name}' expects a positive integer (got '{text}')."));
            None
        }
    }
}

fn url_param(cx: &mut ParseCx<'_>) -> Option<Algorithm> {
    let Some(name) = cx.next() else {
        let loc = cx.end_loc();
        cx.error(loc, "balance url_param requires an URL parameter name.");
        return None;
    };
    let check_post = cx.accept("check_post");
    if check_post {
        // 1.x took the number of bytes to wait for; later versions ignore it, and so do we.
        if cx.peek().is_some_and(|w| w.bytes.iter().all(u8::is_ascii_digit)) {
            cx.next();
        }
    }
    Some(Algorithm::UrlParam { name: name.bytes.clone(), check_post })
}

fn hash_type(cx: &mut ParseCx<'_>) {
    const METHODS: [&str; 2] = ["map-based", "consistent"];
    let Some(method) = cx.expect_one_of("a method", &METHODS) else { return };
    let method = if method == 0 { HashMethod::MapBased } else { HashMethod::Consistent };
    let mut function = HashFn::Sdbm;
    // The ring without a named function mixes the keys; with one, only when asked to.
    let mut avalanche = method == HashMethod::Consistent;
    if cx.peek().is_some() {
        let names: Vec<&str> = HashFn::ALL.iter().map(|f| f.0).collect();
        let Some(i) = cx.expect_one_of("a hash function", &names) else { return };
        function = HashFn::ALL[i].1;
        avalanche = false;
        if cx.peek().is_some() {
            if cx.expect_one_of("a modifier", &["avalanche"]).is_none() {
                return;
            }
            avalanche = true;
        }
    }
    let conf = &mut raw(cx).back.balance_conf;
    conf.method = method;
    conf.function = function;
    conf.avalanche = avalanche;
    cx.end();
}
