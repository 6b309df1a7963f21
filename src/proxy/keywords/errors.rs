//! `errorfile`, `errorloc`, `errorfiles`, and the `http-errors` section.

use std::sync::Arc;

use crate::config::{Keyword, ParseCx, SectionKind, Sections, Status};
use crate::http1::pages::StoredResponse;

use super::super::options::ErrorPage;
use super::super::raw::{At, RawError, RawErrorSection};
use super::raw;

const ANY: Sections = Sections::PROXY;

/// Status codes that have a page of their own.
pub const CODES: [u16; 19] =
    [200, 400, 401, 403, 404, 405, 407, 408, 410, 413, 414, 421, 422, 425, 429, 431, 500, 501, 502];
const MORE_CODES: [u16; 2] = [503, 504];

/// Longest `errorfile` in bytes: what one buffer holds.
const FILE_BYTES_MAX: u64 = 16384;

/// Keywords of this file.
pub static KEYWORDS: &[Keyword] = &[
    Keyword {
        name: "errorfile",
        sections: ANY.or(Sections::HTTP_ERRORS),
        syntax: "errorfile <code> <file>",
        doc: "Answer this status with the content of a file.",
        status: Status::Full,
        parse: errorfile,
    },
    Keyword {
        name: "errorloc",
        sections: ANY,
        syntax: "errorloc <code> <url>",
        doc: "Answer this status with a 302 redirect.",
        status: Status::Full,
        parse: |cx| errorloc(cx, 302),
    },
    Keyword {
        name: "errorloc302",
        sections: ANY,
        syntax: "errorloc302 <code> <url>",
        doc: "Answer this status with a 302 redirect.",
        status: Status::Full,
        parse: |cx| errorloc(cx, 302),
    },
    Keyword {
        name: "errorloc303",
        sections: ANY,
        syntax: "errorloc303 <code> <url>",
        doc: "Answer this status with a 303 redirect.",
        status: Status::Full,
        parse: |cx| errorloc(cx, 303),
    },
    Keyword {
        name: "errorfiles",
        sections: ANY,
        syntax: "errorfiles <name> [<code> ...]",
        doc: "Take the pages of an http-errors section.",
        status: Status::Full,
        parse: errorfiles,
    },
];

fn code(cx: &mut ParseCx<'_>) -> Option<u16> {
    let w = cx.expect("<status_code> and an argument")?;
    let parsed = w.text().parse::<u16>().ok().filter(|c| CODES.contains(c) || MORE_CODES.contains(c));
    if parsed.is_none() {
        let codes: Vec<String> = CODES.iter().chain(&MORE_CODES).map(u16::to_string).collect();
        let message = format!("'{}' : status code '{}' not handled", cx.keyword(), w.text());
        cx.error(w.loc, message).help(format!("one of: {}", codes.join(", ")));
    }
    parsed
}

fn errorfile(cx: &mut ParseCx<'_>) {
    let Some(status) = code(cx) else { return };
    let Some(w) = cx.expect("<status_code> and <file> as arguments") else { return };
    let path = cx.path(w);
    let size = std::fs::metadata(&path).map(|m| m.len());
    let content = match size {
        Ok(n) if n > FILE_BYTES_MAX => {
            let message = format!("'errorfile' : '{}' is larger than {FILE_BYTES_MAX} bytes", path.display());
            cx.error(w.loc, message);
            return;
        }
        _ => std::fs::read(&path),
    };
    match content {
        Ok(bytes) if !bytes.is_empty() && StoredResponse::from_file(&bytes, usize::MAX, 0).is_err() => {
            let message = format!("'errorfile' : '{}' holds no HTTP response", path.display());
            cx.error(w.loc, message)
                .help("it begins with a status line and header fields, then comes an empty line");
        }
        Ok(bytes) => {
            store(cx, status, ErrorPage::Raw(bytes));
            cx.end();
        }
        Err(e) => {
            let message =
                format!("'errorfile' : error opening file '{}' for status {status}: {e}", path.display());
            cx.error(w.loc, message);
        }
    }
}

fn errorloc(cx: &mut ParseCx<'_>, redirect: u16) {
    let Some(status) = code(cx) else { return };
    let Some(w) = cx.expect("<status_code> and <url> as arguments") else { return };
    store(cx, status, ErrorPage::Location { status: redirect, url: w.bytes.clone() });
    cx.end();
}

fn store(cx: &mut ParseCx<'_>, status: u16, page: ErrorPage) {
    let page = Arc::new(page);
    if cx.section.kind == SectionKind::HttpErrors {
        cx.section.feature::<RawErrorSection>().pages.push((status, page));
    } else {
        raw(cx).errors.push(RawError::Page { status, page });
    }
}

fn errorfiles(cx: &mut ParseCx<'_>) {
    let Some(w) = cx.expect("<name> as argument") else { return };
    let name = At::new(w.text().into_owned(), w.loc);
    let mut codes = Vec::new();
    while cx.peek().is_some() {
        let Some(c) = code(cx) else { return };
        codes.push(c);
    }
    raw(cx).errors.push(RawError::Section { name, codes });
}
