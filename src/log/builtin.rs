//! The line formats that options name. They are written in the language of `log-format` and compiled like any other.

use std::sync::Arc;

use crate::config::{Diagnostics, LoadState, Loc, Section, SectionKind, Tables, Word};
use crate::sample::{ExprCx, Place};

use super::format::{Item, What};
use super::var::Var;
use super::{LogFormat, Step, Usage};

/// `option httplog`.
pub const HTTP: &str = "%ci:%cp [%tr] %ft %b/%s %TR/%Tw/%Tc/%Tr/%Ta %ST %B %CC %CS %tsc %ac/%fc/%bc/%sc/%rc %sq/%bq %hr %hs %{+Q}r";

/// `option httplog clf`.
pub const HTTP_CLF: &str = "%{+Q}o %{-Q}ci - - [%trg] %r %ST %B \"\" \"\" %cp %ms %ft %b %s %TR %Tw %Tc %Tr %Ta %tsc %ac %fc %bc %sc %rc %sq %bq %CC %CS %hrl %hsl";

/// `option httpslog`.
pub const HTTPS: &str = "%ci:%cp [%tr] %ft %b/%s %TR/%Tw/%Tc/%Tr/%Ta %ST %B %CC %CS %tsc %ac/%fc/%bc/%sc/%rc %sq/%bq %hr %hs %{+Q}r %[fc_err]/%[ssl_fc_err,hex]/%[ssl_c_err]/%[ssl_c_ca_err]/%[ssl_fc_is_resumed] %[ssl_fc_sni]/%sslv/%sslc";

/// `option tcplog`.
pub const TCP: &str = "%ci:%cp [%t] %ft %b/%s %Tw/%Tc/%Tt %B %ts %ac/%fc/%bc/%sc/%rc %sq/%bq";

/// `option tcplog clf`.
pub const TCP_CLF: &str = "%{+Q}o %{-Q}ci - - [%T] \"TCP \" 000 %B \"\" \"\" %cp %ms %ft %b %s %Th %Tw %Tc %Tt %U %ts-- %ac %fc %bc %sc %rc %sq %bq \"\" \"\" ";

/// Compile a built-in format.
pub(super) fn compile(cx: &mut ExprCx<'_>, text: &str, loc: Loc) -> Option<Arc<LogFormat>> {
    LogFormat::parse(&mut cx.at(Place::LOG), &Word { bytes: text.as_bytes().to_vec(), loc }, Usage::Log)
        .map(Arc::new)
}

/// [`TCP`], compiled: it holds variables only.
pub(super) fn tcp() -> LogFormat {
    let mut section = Section::new(SectionKind::Global, String::new(), Loc::default());
    let (mut diags, mut state) = (Diagnostics::default(), LoadState::default());
    let (tables, place) = (&Tables::default(), Place::LOG);
    let mut cx = ExprCx { tables, diags: &mut diags, section: &mut section, state: &mut state, place };
    let word = Word { bytes: TCP.as_bytes().to_vec(), loc: Loc::default() };
    LogFormat::parse(&mut cx, &word, Usage::Log).expect("the format holds known variables only")
}

/// The line of a frontend that names no format: `Connect from 10.0.1.2:33312 to 10.0.3.31:8012 (www/HTTP)`.
pub(super) fn default_line() -> LogFormat {
    let text = |t: &str| Item::Text(t.as_bytes().to_vec());
    let value = |var| Item::Value { what: What::Var(var), flags: Default::default(), name: None, ty: None };
    LogFormat::built_in(
        vec![
            text("Connect from "),
            value(Var::ClientIp),
            text(":"),
            value(Var::ClientPort),
            text(" to "),
            value(Var::FrontendIp),
            text(":"),
            value(Var::FrontendPort),
            text(" ("),
            value(Var::Frontend),
            text("/"),
            value(Var::Mode),
            text(")"),
        ],
        Step::Accept,
    )
}

/// What stands in front of the message of a failed handshake: `127.0.0.1:56059 [03/Dec/2012:17:35:10.380] frt/`.
pub(super) fn error_prefix() -> LogFormat {
    let text = |t: &str| Item::Text(t.as_bytes().to_vec());
    let value = |var| Item::Value { what: What::Var(var), flags: Default::default(), name: None, ty: None };
    LogFormat::built_in(
        vec![
            value(Var::ClientIp),
            text(":"),
            value(Var::ClientPort),
            text(" ["),
            value(Var::AcceptDate),
            text("] "),
            value(Var::Frontend),
            text("/"),
        ],
        Step::Accept,
    )
}
