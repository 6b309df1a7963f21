//! The keywords of frontends, backends and listens, by topic; the options of `bind` and `server` lines.

use crate::base::duration::{self, Unit};
use crate::config::{Keyword, ParseCx, Status, Tables, Word};

use super::raw::RawProxy;

mod backend;
mod balance;
mod bind;
mod cookie;
mod errors;
mod frontend;
mod general;
mod legacy;
mod options;
pub mod peers;
mod persist;
mod planned;
pub mod program;
mod send_proxy;
mod server;
mod server_check;
mod server_option;
mod server_state;
mod source;
mod timeouts;

pub use bind::{BIND_OPTIONS, BindOption, parse_bind_options};
pub use server_option::ServerOption;

/// Every keyword table of this feature.
pub static TABLES: &[&[Keyword]] = &[
    general::KEYWORDS,
    timeouts::KEYWORDS,
    options::KEYWORDS,
    frontend::KEYWORDS,
    bind::KEYWORDS,
    backend::KEYWORDS,
    balance::KEYWORDS,
    cookie::KEYWORDS,
    server::KEYWORDS,
    source::KEYWORDS,
    persist::KEYWORDS,
    errors::KEYWORDS,
    legacy::KEYWORDS,
    peers::KEYWORDS,
    program::KEYWORDS,
    server_state::KEYWORDS,
    planned::KEYWORDS,
];

/// Register the tables of this feature.
pub fn register(tables: &mut Tables) {
    for t in TABLES {
        tables.add::<Keyword>(t);
    }
    tables.add::<BindOption>(BIND_OPTIONS);
    for t in server_option::TABLES {
        tables.add::<ServerOption>(t);
    }
}

fn raw<'a>(cx: &'a mut ParseCx<'_>) -> &'a mut RawProxy {
    cx.section.feature::<RawProxy>()
}

/// True unless `no` or `default` stands in front.
fn is_on(cx: &ParseCx<'_>) -> bool {
    !cx.dir.negated && !cx.dir.defaulted
}

/// The argument of option `opt` inside a line.
fn option_arg<'a>(cx: &mut ParseCx<'a>, opt: &Word, what: &str) -> Option<&'a Word> {
    if let Some(w) = cx.next() {
        return Some(w);
    }
    let loc = cx.end_loc();
    let message = format!("'{}' : '{}' expects {what}", cx.keyword(), opt.text());
    cx.error(loc, message);
    None
}

/// The integer argument of option `opt`.
fn option_int(cx: &mut ParseCx<'_>, opt: &Word, low: i64, high: i64) -> Option<i64> {
    let w = option_arg(cx, opt, "an integer argument")?;
    let text = w.text();
    let problem = match text.parse::<i64>() {
        Ok(n) if (low..=high).contains(&n) => return Some(n),
        Ok(_) => format!("'{text}' is out of range ({low} to {high})"),
        Err(_) => format!("expects an integer argument, got '{text}'"),
    };
    let message = format!("'{}' : '{}' : {problem}", cx.keyword(), opt.text());
    cx.error(w.loc, message);
    None
}

/// The timer argument of option `opt`; a bare number is milliseconds unless `unit` says otherwise.
fn option_duration(cx: &mut ParseCx<'_>, opt: &Word, unit: Unit) -> Option<std::time::Duration> {
    let w = option_arg(cx, opt, "a delay")?;
    match duration::parse(&w.text(), unit) {
        Ok(d) => Some(d),
        Err(e) => {
            let (at, len) = e.span(&w.text());
            let message = format!("'{}' : '{}' : {e} in '{}'", cx.keyword(), opt.text(), w.text());
            let help =
                format!("write a number and one of us, ms, s, m, h, d; alone it is in {}", unit.suffix());
            cx.error(w.sub(at, len), message).help(help);
            None
        }
    }
}

/// The text argument of option `opt`.
fn option_text(cx: &mut ParseCx<'_>, opt: &Word, what: &str) -> Option<String> {
    option_arg(cx, opt, what).map(|w| w.text().into_owned())
}

/// One of several words as the argument of option `opt`.
fn option_choice<T: Copy>(cx: &mut ParseCx<'_>, opt: &Word, choices: &[(&str, T)]) -> Option<T> {
    let names: Vec<&str> = choices.iter().map(|c| c.0).collect();
    let w = option_arg(cx, opt, &format!("one of {}", names.join(", ")))?;
    if let Some((_, v)) = choices.iter().find(|c| w.is(c.0)) {
        return Some(*v);
    }
    let message = format!(
        "'{}' : '{}' expects one of {}, got '{}'",
        cx.keyword(),
        opt.text(),
        names.join(", "),
        w.text()
    );
    let d = cx.diags.error(w.loc, message);
    if let Some(best) = crate::config::suggest::closest(&w.text(), names.iter().copied()) {
        d.help(format!("did you mean '{best}'?"));
    }
    None
}

/// Report what the table says about an option of a line: not implemented, without effect, old.
fn report_status(cx: &mut ParseCx<'_>, w: &Word, status: Status) {
    let name = w.text();
    let keyword = cx.keyword();
    match status {
        Status::Full | Status::Inert { .. } => {}
        Status::Legacy { modern } => {
            cx.warning(w.loc, format!("'{keyword}' : '{name}' is an old form"))
                .help(format!("write '{modern}'"));
        }
        Status::NoEffect { why } | Status::Fixed { why, .. } => {
            cx.warning(w.loc, format!("'{keyword}' : '{name}' has no effect here: {why}"));
        }
        Status::Planned => {
            cx.error(w.loc, format!("'{keyword}' : '{name}' is not implemented yet"));
        }
    }
}
