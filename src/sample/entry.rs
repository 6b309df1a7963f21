//! The shape of a fetch and of a converter: one table entry and a function.
//!
//! # Adding a fetch
//!
//! ```text
//! fn src_len<'a>(args: &'a Args, cx: &'a dyn Ctx) -> Option<Sample<'a>> {
//!     let width = args.int_or(0, 10);            // optional first argument
//!     Some(Sample::Int(cx.src()?.to_string().len().min(width as usize) as i64))
//! }
//! // in the FETCHES table of its file:
//! Fetch::new("src_len", Type::Int, Needs::CLIENT, src_len)
//!     .args(0, &[ArgType::Int])
//!     .doc("length of the client's address as text, at most <width>")
//! ```
//! A fetch that has several values in an ACL (`hdr(x)`) also gives `.each(function)`.
//!
//! # Adding a converter
//!
//! ```text
//! fn double<'a>(_args: &'a Args, s: Sample<'a>, _cx: &'a dyn Ctx) -> Option<Sample<'a>> {
//!     let Sample::Int(i) = s else { return None };    // the table says Int: the cast was made
//!     Some(Sample::Int(i.saturating_mul(2)))
//! }
//! Converter::new("double", Type::Int, Type::Int, double).doc("twice the input")
//! ```

use crate::config::Entry;

use super::{ArgType, Args, Ctx, ExprCx, Needs, Sample, Type};

/// Yields one value: the only one, or the last.
pub type FetchFn = for<'a> fn(&'a Args, &'a dyn Ctx) -> Option<Sample<'a>>;
/// Calls back with each value until the callback returns true ("enough").
pub type EachFn = for<'a> fn(&'a Args, &'a dyn Ctx, &mut dyn FnMut(Sample<'a>) -> bool);
/// Says that more input changes nothing about the result.
pub type SettledFn = fn(&Args, &dyn Ctx) -> bool;
/// Transforms a value; `None` ends the expression without a result.
pub type ConvertFn = for<'a> fn(&'a Args, Sample<'a>, &'a dyn Ctx) -> Option<Sample<'a>>;
/// Checks arguments beyond their types and prepares what evaluation needs (a compiled regex, a loaded
/// map) with [`Args::set_extra`]. The error is a sentence about the argument with the given index.
pub type PrepareFn = fn(&mut ExprCx<'_>, &mut Args) -> Result<(), (usize, String)>;

/// A sample fetch.
pub struct Fetch {
    /// Name as written.
    pub name: &'static str,
    /// Type of its values.
    pub out: Type,
    /// What it reads.
    pub needs: Needs,
    /// Types of its arguments.
    pub args: &'static [ArgType],
    /// How many of them are mandatory.
    pub min_args: usize,
    /// One line of documentation.
    pub doc: &'static str,
    /// Extra checks at load.
    pub prepare: Option<PrepareFn>,
    /// Evaluation.
    pub eval: FetchFn,
    /// Evaluation with all values, for ACLs.
    pub each: Option<EachFn>,
    /// For what reads a buffer that still fills: whether the result is what it will be.
    pub settled: Option<SettledFn>,
}

impl Fetch {
    /// A fetch without arguments.
    pub const fn new(name: &'static str, out: Type, needs: Needs, eval: FetchFn) -> Fetch {
        Fetch {
            name,
            out,
            needs,
            args: &[],
            min_args: 0,
            doc: "",
            prepare: None,
            eval,
            each: None,
            settled: None,
        }
    }
    /// Set the argument types; the first `min` are mandatory.
    pub const fn args(mut self, min: usize, args: &'static [ArgType]) -> Fetch {
        self.min_args = min;
        self.args = args;
        self
    }
    /// Set the documentation line.
    pub const fn doc(mut self, doc: &'static str) -> Fetch {
        self.doc = doc;
        self
    }
    /// Set the function that lists all values.
    pub const fn each(mut self, each: EachFn) -> Fetch {
        self.each = Some(each);
        self
    }
    /// Set the function that says when the result is final.
    pub const fn settled(mut self, f: SettledFn) -> Fetch {
        self.settled = Some(f);
        self
    }
    /// Set the extra check.
    pub const fn prepare(mut self, f: PrepareFn) -> Fetch {
        self.prepare = Some(f);
        self
    }
}

impl Entry for Fetch {
    const KIND: &'static str = "sample fetch";
    fn name(&self) -> &'static str {
        self.name
    }
    fn syntax(&self) -> String {
        format!("{}: {}", signature(self.name, self.args, self.min_args), self.out.name())
    }
    fn doc(&self) -> &'static str {
        self.doc
    }
}

/// A converter.
pub struct Converter {
    /// Name as written.
    pub name: &'static str,
    /// Type that the input is cast to first.
    pub input: Type,
    /// Type of the result.
    pub out: Type,
    /// Types of its arguments.
    pub args: &'static [ArgType],
    /// How many of them are mandatory.
    pub min_args: usize,
    /// One line of documentation.
    pub doc: &'static str,
    /// Extra checks at load.
    pub prepare: Option<PrepareFn>,
    /// Evaluation.
    pub eval: ConvertFn,
}

impl Converter {
    /// A converter without arguments.
    pub const fn new(name: &'static str, input: Type, out: Type, eval: ConvertFn) -> Converter {
        Converter { name, input, out, args: &[], min_args: 0, doc: "", prepare: None, eval }
    }
    /// Set the argument types; the first `min` are mandatory.
    pub const fn args(mut self, min: usize, args: &'static [ArgType]) -> Converter {
        self.min_args = min;
        self.args = args;
        self
    }
    /// Set the documentation line.
    pub const fn doc(mut self, doc: &'static str) -> Converter {
        self.doc = doc;
        self
    }
    /// Set the extra check.
    pub const fn prepare(mut self, f: PrepareFn) -> Converter {
        self.prepare = Some(f);
        self
    }
}

impl Entry for Converter {
    const KIND: &'static str = "converter";
    fn name(&self) -> &'static str {
        self.name
    }
    fn syntax(&self) -> String {
        format!(
            "{}: {} => {}",
            signature(self.name, self.args, self.min_args),
            self.input.name(),
            self.out.name()
        )
    }
    fn doc(&self) -> &'static str {
        self.doc
    }
}

/// `name(string[,integer])`, as listings show it.
fn signature(name: &str, args: &[ArgType], min_args: usize) -> String {
    if args.is_empty() {
        return name.to_owned();
    }
    let mut out = format!("{name}(");
    for (i, arg) in args.iter().enumerate() {
        if i >= min_args {
            out.push('[');
        }
        if i > 0 {
            out.push(',');
        }
        out.push_str(arg.name());
    }
    out.push_str(&"]".repeat(args.len().saturating_sub(min_args)));
    out.push(')');
    out
}
