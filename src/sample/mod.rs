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
mod convert;
mod counter;
mod ctx;
mod entry;
mod expr;
mod fetch;
mod key;
mod place;
mod regexes;
mod types;
pub mod vars;

pub use args::{Arg, ArgType, Args, NameRef, NameRefs, RefKind, Target};
pub use buf::{Buf, Scratch};
pub use cast::{cast, parse_int, parse_ip, to_bin, to_int, to_ip, to_str, to_v4, to_v6};
pub use counter::{OwnTableUses, TrackedEntry};
pub use ctx::{
    BodyView, CaptureSide, Ctx, LastRule, Live, ProxyCount, ProxyIdx, ServerCount, ServerIdx, TimeoutKind,
};
pub use entry::{ConvertFn, Converter, EachFn, Fetch, FetchFn, PrepareFn};
pub use expr::{Expr, ExprCx, did_you_mean};
pub use fetch::WantsServerRtt;
pub(crate) use fetch::unhex;
pub use key::{KeyBytes, can_be_key, key_of};
pub use place::{Needs, Place};
pub use regexes::{Groups, Regex, expand};
pub use types::{Sample, Type};
pub use vars::{ProcVars, Scope, SetConditions, Value, VarName, VarStore};

/// Adds the fetches and converters of this module.
pub fn register(tables: &mut crate::config::Tables) {
    for t in fetch::TABLES {
        tables.add(t);
    }
    for t in convert::TABLES {
        tables.add(t);
    }
}
