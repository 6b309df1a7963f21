//! Arguments of fetches and converters: typed, checked when the configuration is loaded.

use std::any::Any;
use std::net::IpAddr;
use std::sync::{Arc, OnceLock};

use crate::config::Loc;
use crate::stick::TableId;

use super::{ProxyIdx, Regex, ServerIdx, VarName};

/// What an argument must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ArgType {
    /// Any text.
    Str,
    /// Signed integer.
    Int,
    /// Time with unit; kept in milliseconds.
    Time,
    /// Size with unit (`k`, `m`, `g`); kept in bytes.
    Size,
    /// IPv4 address.
    Ip4,
    /// IPv6 address.
    Ip6,
    /// IPv4 mask: `24` or `255.255.255.0`.
    Mask4,
    /// IPv6 mask: `64` or an address.
    Mask6,
    /// Regular expression.
    Regex,
    /// Regular expression that ignores case.
    RegexI,
    /// Name of a frontend, resolved after all sections were read. Missing: the current one.
    Frontend,
    /// Name of a backend.
    Backend,
    /// `[backend/]server`.
    Server,
    /// Name of a stick table.
    Table,
    /// Name of a user list.
    Userlist,
    /// Name of a resolvers section.
    Resolvers,
    /// A variable, `txn.x`.
    Var,
    /// A variable, or a signed integer.
    VarOrInt,
}

impl ArgType {
    /// What is expected, for messages.
    pub const fn name(self) -> &'static str {
        match self {
            ArgType::Str => "string",
            ArgType::Int => "integer",
            ArgType::Time => "time",
            ArgType::Size => "size",
            ArgType::Ip4 => "IPv4 address",
            ArgType::Ip6 => "IPv6 address",
            ArgType::Mask4 => "IPv4 mask",
            ArgType::Mask6 => "IPv6 mask",
            ArgType::Regex | ArgType::RegexI => "regular expression",
            ArgType::Frontend => "frontend",
            ArgType::Backend => "backend",
            ArgType::Server => "server",
            ArgType::Table => "table",
            ArgType::Userlist => "userlist",
            ArgType::Resolvers => "resolvers section",
            ArgType::Var => "variable",
            ArgType::VarOrInt => "integer or variable",
        }
    }
}

/// What a recorded name refers to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RefKind {
    /// A frontend (or listen).
    Frontend,
    /// A backend (or listen).
    Backend,
    /// A server; the name may carry its backend in front of a slash.
    Server,
    /// A stick table (a proxy or peers section that declares one).
    Table,
    /// A user list.
    Userlist,
    /// A resolvers section.
    Resolvers,
}

/// What a name was resolved to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// A proxy.
    Proxy(ProxyIdx),
    /// A server.
    Server(ServerIdx),
    /// A table, user list or resolvers section: index into its list.
    Index(u32),
}

/// A name in an expression or rule that is resolved once all sections were read.
#[derive(Debug)]
pub struct NameRef {
    /// What it must be.
    pub kind: RefKind,
    /// As written.
    pub name: String,
    /// Where.
    pub loc: Loc,
    target: OnceLock<Target>,
}

impl NameRef {
    /// An unresolved reference.
    pub fn new(kind: RefKind, name: String, loc: Loc) -> Arc<NameRef> {
        Arc::new(NameRef { kind, name, loc, target: OnceLock::new() })
    }
    /// Say what it is. A reference that several sections inherit from `defaults` keeps its first target.
    pub fn resolve(&self, t: Target) {
        let _ = self.target.set(t);
    }
    /// The target, once resolved.
    pub fn target(&self) -> Option<Target> {
        self.target.get().copied()
    }
    /// The proxy, once resolved to one.
    pub fn proxy(&self) -> Option<ProxyIdx> {
        match self.target()? {
            Target::Proxy(p) => Some(p),
            _ => None,
        }
    }
    /// The table, once resolved to one.
    pub fn table(&self) -> Option<TableId> {
        match self.target()? {
            Target::Index(i) if self.kind == RefKind::Table => Some(TableId(i)),
            _ => None,
        }
    }
    /// The server, once resolved to one.
    pub fn server(&self) -> Option<ServerIdx> {
        match self.target()? {
            Target::Server(s) => Some(s),
            _ => None,
        }
    }
}

/// All references that a section's expressions and rules made: a section feature. `proxy::resolve`
/// walks the list, resolves each and reports those that name nothing.
#[derive(Clone, Debug, Default)]
pub struct NameRefs {
    /// In the order written.
    pub list: Vec<Arc<NameRef>>,
}

impl NameRefs {
    /// Record a reference.
    pub fn add(&mut self, kind: RefKind, name: &str, loc: Loc) -> Arc<NameRef> {
        let r = NameRef::new(kind, name.to_owned(), loc);
        self.list.push(r.clone());
        r
    }
}

/// One checked argument.
#[derive(Clone, Debug)]
pub enum Arg {
    /// Left empty.
    None,
    /// Text.
    Str(Box<[u8]>),
    /// Integer, time in milliseconds, or size in bytes.
    Int(i64),
    /// Address or mask.
    Ip(IpAddr),
    /// Compiled.
    Regex(Regex),
    /// A name to be resolved.
    Name(Arc<NameRef>),
    /// A variable.
    Var(VarName),
}

/// The arguments of one fetch or converter in one expression.
#[derive(Clone, Default)]
pub struct Args {
    list: Vec<Arg>,
    extra: Option<Arc<dyn Any + Send + Sync>>,
}

impl std::fmt::Debug for Args {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.list.fmt(f)
    }
}

impl Args {
    /// Arguments, already checked.
    pub fn new(list: Vec<Arg>) -> Args {
        Args { list, extra: None }
    }
    /// How many were written.
    pub fn len(&self) -> usize {
        self.list.len()
    }
    /// True when there are none.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }
    /// The argument, [`Arg::None`] when it was not written.
    pub fn get(&self, i: usize) -> &Arg {
        self.list.get(i).unwrap_or(&Arg::None)
    }
    /// A string argument.
    pub fn str(&self, i: usize) -> Option<&[u8]> {
        match self.get(i) {
            Arg::Str(s) => Some(s),
            _ => None,
        }
    }
    /// An integer argument.
    pub fn int(&self, i: usize) -> Option<i64> {
        match self.get(i) {
            Arg::Int(v) => Some(*v),
            _ => None,
        }
    }
    /// An integer argument or its default.
    pub fn int_or(&self, i: usize, default: i64) -> i64 {
        self.int(i).unwrap_or(default)
    }
    /// An address or mask argument.
    pub fn ip(&self, i: usize) -> Option<IpAddr> {
        match self.get(i) {
            Arg::Ip(a) => Some(*a),
            _ => None,
        }
    }
    /// A regex argument.
    pub fn regex(&self, i: usize) -> Option<&Regex> {
        match self.get(i) {
            Arg::Regex(r) => Some(r),
            _ => None,
        }
    }
    /// A variable argument.
    pub fn var(&self, i: usize) -> Option<VarName> {
        match self.get(i) {
            Arg::Var(v) => Some(*v),
            _ => None,
        }
    }
    /// A name argument.
    pub fn name(&self, i: usize) -> Option<&NameRef> {
        match self.get(i) {
            Arg::Name(n) => Some(n),
            _ => None,
        }
    }
    /// Replace an argument (from a prepare function).
    pub fn set(&mut self, i: usize, a: Arg) {
        while self.list.len() <= i {
            self.list.push(Arg::None);
        }
        self.list[i] = a;
    }
    /// Keep something that a prepare function made.
    pub fn set_extra<T: Any + Send + Sync>(&mut self, t: T) {
        self.extra = Some(Arc::new(t));
    }
    /// What the prepare function made.
    pub fn extra<T: Any + Send + Sync>(&self) -> Option<&T> {
        self.extra.as_deref().and_then(|e| e.downcast_ref())
    }
}
