//! Settings of the running stream: addresses, timeouts, log level, marks, captures.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use crate::base::duration::{self, Unit};
use crate::log::LevelOverride;
use crate::log::keywords::{declare_capture, declared_captures};
use crate::rules::action::{Action, ActionCx, Parsed, Sets, effect};
use crate::rules::{MessageCx, TimeoutKind};
use crate::sample::{CaptureSide, Expr, Sample, Type, to_int, to_str};

const ADDR: Sets = Sets::TCP_CONN.or(Sets::TCP_SESS).or(Sets::TCP_REQ).or(Sets::HTTP_REQ);
const MARK: Sets = Sets::TCP.or(Sets::HTTP_REQ).or(Sets::HTTP_RES);
const QUEUE: Sets = Sets::TCP_REQ.or(Sets::HTTP_REQ);

/// The table.
pub const ACTIONS: &[Action] = &[
    Action::new("set-src", ADDR, "set-src <expr>", |cx| address(cx, true, false))
        .doc("changes the client's address"),
    Action::new("set-src-port", ADDR, "set-src-port <expr>", |cx| address(cx, true, true))
        .doc("changes the client's port"),
    Action::new("set-dst", ADDR, "set-dst <expr>", |cx| address(cx, false, false))
        .doc("changes the destination address"),
    Action::new("set-dst-port", ADDR, "set-dst-port <expr>", |cx| address(cx, false, true))
        .doc("changes the destination port"),
    Action::new("set-log-level", Sets::CONTENT, "set-log-level <level>", log_level)
        .doc("changes the level of the log line, or silences it"),
    Action::new(
        "set-timeout",
        Sets::HTTP_REQ.or(Sets::HTTP_RES),
        "set-timeout { client | connect | queue | server | tarpit | tunnel } { <timeout> | <expr> }",
        timeout,
    )
    .doc("changes a timeout of this stream"),
    Action::new("set-retries", QUEUE, "set-retries <int> | <expr>", |cx| {
        number(cx, 0, 100, |cx, n| cx.set_retries(n as u32))
    })
    .doc("changes the number of connection retries"),
    Action::new("set-mark", MARK, "set-mark <mark>", |cx| mark(cx, u32::MAX, |cx, v| cx.set_mark(v)))
        .doc("sets the netfilter mark of packets to the client"),
    Action::new("set-fc-mark", MARK, "set-fc-mark <mark>", |cx| mark(cx, u32::MAX, |cx, v| cx.set_mark(v)))
        .doc("sets the netfilter mark of packets to the client"),
    Action::new("set-tos", MARK, "set-tos <tos>", |cx| mark(cx, 255, |cx, v| cx.set_tos(v as u8)))
        .doc("sets the TOS or DSCP field of packets to the client"),
    Action::new("set-fc-tos", MARK, "set-fc-tos <tos>", |cx| mark(cx, 255, |cx, v| cx.set_tos(v as u8)))
        .doc("sets the TOS or DSCP field of packets to the client"),
    Action::new("set-priority-class", QUEUE, "set-priority-class <expr>", |cx| {
        number(cx, -2047, 2047, |cx, n| cx.set_priority_class(n as i32))
    })
    .doc("sets the queue class; lower ones go first"),
    Action::new("set-priority-offset", QUEUE, "set-priority-offset <expr>", |cx| {
        number(cx, -524_287, 524_287, |cx, n| cx.set_priority_offset(n as i32))
    })
    .doc("sets the time by which the request goes ahead in the queue, in milliseconds"),
    Action::new(
        "capture",
        Sets::TCP_REQ.or(Sets::HTTP),
        "capture <sample> [ len <length> | id <id> ]",
        capture,
    )
    .doc("keeps a sample for the log"),
];

fn address(cx: &mut ActionCx<'_, '_>, source: bool, port: bool) -> Parsed {
    let e = cx.expr("an expression")?;
    let ty = if port { Type::Int } else { Type::Addr };
    if !e.out().casts_to(ty) {
        return cx
            .error(e.loc(), format_args!("'{}' is no {}", e.text(), if port { "port" } else { "address" }));
    }
    effect(move |cx| {
        let Some(s) = e.eval_as(cx.ctx(), ty) else { return };
        let old = if source { cx.ctx().src() } else { cx.ctx().dst() };
        let old = old.unwrap_or(SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0));
        let new = match s {
            Sample::Ip(ip) => SocketAddr::new(ip, old.port()),
            Sample::Int(p) => SocketAddr::new(old.ip(), (p & 0xffff) as u16),
            _ => return,
        };
        if source {
            cx.set_src(new);
        } else {
            cx.set_dst(new);
        }
    })
}

fn log_level(cx: &mut ActionCx<'_, '_>) -> Parsed {
    let w = cx.arg("a log level")?;
    match LevelOverride::parse(&w.text()) {
        Some(level) => effect(move |cx| cx.set_log_level(level)),
        None => cx.error(
            w.loc,
            format_args!(
                "'{}' is no log level; emerg, alert, crit, err, warning, notice, info, debug and silent are",
                w.text()
            ),
        ),
    }
}

fn timeout(cx: &mut ActionCx<'_, '_>) -> Parsed {
    const KINDS: [(&str, TimeoutKind); 6] = [
        ("client", TimeoutKind::Client),
        ("connect", TimeoutKind::Connect),
        ("queue", TimeoutKind::Queue),
        ("server", TimeoutKind::Server),
        ("tarpit", TimeoutKind::Tarpit),
        ("tunnel", TimeoutKind::Tunnel),
    ];
    let w = cx.arg("the name of a timeout")?;
    let Some((_, which)) = KINDS.iter().find(|(n, _)| w.is(n)) else {
        let known = KINDS.map(|(n, _)| n).join(", ");
        return cx.error(w.loc, format_args!("'{}' is none of the timeouts {known}", w.text()));
    };
    let which = *which;
    if let Some(v) = cx.peek()
        && let Ok(d) = duration::parse(&v.text(), Unit::Ms)
    {
        cx.pos += 1;
        return effect(move |cx| cx.set_timeout(which, d));
    }
    let e = cx.expr("a time or an expression")?;
    effect(move |cx| {
        if let Some(ms) = int(&e, cx)
            && let Ok(ms) = u64::try_from(ms)
            && ms > 0
        {
            cx.set_timeout(which, Duration::from_millis(ms));
        }
    })
}

fn int(e: &Expr, cx: &dyn MessageCx) -> Option<i64> {
    e.eval_as(cx.ctx(), Type::Int).and_then(|s| to_int(&s))
}

/// A constant or an expression, clamped into bounds.
fn number(cx: &mut ActionCx<'_, '_>, low: i64, high: i64, f: fn(&mut dyn MessageCx, i64)) -> Parsed {
    if let Some(w) = cx.peek()
        && let Ok(n) = w.text().parse::<i64>()
    {
        cx.pos += 1;
        if !(low..=high).contains(&n) {
            return cx.error(w.loc, format_args!("{n} is not between {low} and {high}"));
        }
        return effect(move |cx| f(cx, n));
    }
    let e = cx.expr("an integer or an expression")?;
    effect(move |cx| {
        if let Some(n) = int(&e, cx) {
            f(cx, n.clamp(low, high));
        }
    })
}

/// A constant in decimal or hexadecimal, or an expression.
fn mark(cx: &mut ActionCx<'_, '_>, max: u32, f: fn(&mut dyn MessageCx, u32)) -> Parsed {
    if let Some(w) = cx.peek() {
        let t = w.text();
        let v = match t.strip_prefix("0x") {
            Some(hex) => u32::from_str_radix(hex, 16).ok(),
            None => t.parse().ok(),
        };
        if let Some(v) = v {
            cx.pos += 1;
            if v > max {
                return cx.error(w.loc, format_args!("'{t}' is greater than {max}"));
            }
            return effect(move |cx| f(cx, v));
        }
    }
    let e = cx.expr("a number or an expression")?;
    effect(move |cx| {
        if let Some(v) = int(&e, cx).and_then(|v| u32::try_from(v).ok()).filter(|v| *v <= max) {
            f(cx, v);
        }
    })
}

fn capture(cx: &mut ActionCx<'_, '_>) -> Parsed {
    let e = cx.expr("an expression")?;
    if !e.out().casts_to(Type::Str) {
        return cx.error(e.loc(), format_args!("'{}' cannot be turned into a string", e.text()));
    }
    let response = cx.set.is_response();
    let side = if response { CaptureSide::Response } else { CaptureSide::Request };
    let slot = if cx.accept("len") {
        let len = cx.int("a length", 1, 65_535)?;
        if response {
            let loc = cx.loc;
            return cx.error(loc, "a response rule can only fill a declared slot: use 'id'");
        }
        declare_capture(cx.ex.section, false, len as usize)
    } else if cx.accept("id") {
        let id = cx.int("the number of a slot", 0, 1000)? as usize;
        let (requests, responses) = declared_captures(cx.ex.section);
        let known = if response { responses } else { requests };
        // In a backend the slots are those of the frontend, which is not known here.
        let has_frontend = cx.ex.section.kind != crate::config::SectionKind::Backend;
        if has_frontend && id >= known {
            let loc = cx.loc;
            return cx.error(
                loc,
                format_args!("there is no capture slot {id}; declare it with 'declare capture'"),
            );
        }
        id
    } else {
        let end = cx.end();
        return cx.error(end, "'len' or 'id' is missing");
    };
    effect(move |cx| {
        let c = cx.ctx();
        if let Some(v) = e.eval(c).and_then(to_str) {
            c.set_capture(side, slot, &v);
        }
    })
}
