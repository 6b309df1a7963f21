//! Samples: typed values, the fetches that yield them and the converters that transform them.
//!
//! An [`Expr`] (`req.hdr(host),lower,field(1,:)`) is compiled when the configuration is loaded and
//! evaluated against a [`Ctx`]. [`Fetch`] and [`Converter`] are table entries; `entry.rs` shows how to
//! add one. Evaluation calls no allocator in the steady state: values borrow from the message or live in
//! pooled scratch memory ([`Buf`]).

mod argparse;
mod args;
mod buf;
mod cast;
mod ctx;
mod entry;
mod expr;
mod place;
mod regexes;
mod types;
mod vars;

pub use args::{Arg, ArgType, Args, NameRef, NameRefs, RefKind, Target};
pub use buf::{Buf, Scratch};
pub use cast::{cast, parse_int, parse_ip, to_bin, to_int, to_ip, to_str, to_v4, to_v6};
pub use ctx::{BodyView, CaptureSide, Ctx, Live, ProxyCount, ProxyIdx, ServerCount, ServerIdx};
pub use entry::{ConvertFn, Converter, EachFn, Fetch, FetchFn, PrepareFn};
#[allow(unused_imports)]
pub(crate) use expr::loc_at;
pub use expr::{Expr, ExprCx, did_you_mean};
pub use place::{Needs, Place};
pub use regexes::{compile_regex, expand};
pub use types::{Sample, Type};
pub use vars::{ProcVars, Scope, Value, VarName, VarStore};
