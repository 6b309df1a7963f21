//! Variables: `set-var(txn.x)`, `var(txn.x)`. Manual section 2.8 of later editions.

use std::cell::RefCell;
use std::net::IpAddr;
use std::sync::{LazyLock, RwLock};

use smallvec::SmallVec;

use super::{Buf, Ctx, Sample, Scratch};

/// Where a variable lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scope {
    /// The process.
    Proc,
    /// The client connection.
    Sess,
    /// One request and its response.
    Txn,
    /// Request processing only.
    Req,
    /// Response processing only.
    Res,
    /// A health check.
    Check,
}

impl Scope {
    /// The prefix in the configuration.
    pub const fn name(self) -> &'static str {
        match self {
            Scope::Proc => "proc",
            Scope::Sess => "sess",
            Scope::Txn => "txn",
            Scope::Req => "req",
            Scope::Res => "res",
            Scope::Check => "check",
        }
    }
}

/// A variable's name, compiled: scope and a 64-bit hash of what follows the dot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct VarName {
    /// Scope.
    pub scope: Scope,
    /// Hash of the name without scope; names come from the configuration only.
    pub hash: u64,
}

impl VarName {
    /// Parse `scope.name`. The error is a sentence for the user.
    pub fn parse(text: &[u8]) -> Result<VarName, String> {
        let shown = String::from_utf8_lossy(text);
        let Some(dot) = memchr::memchr(b'.', text) else {
            return Err(format!("invalid variable name '{shown}': it must start with its scope"));
        };
        let scope = match &text[..dot] {
            b"proc" => Scope::Proc,
            b"sess" => Scope::Sess,
            b"txn" => Scope::Txn,
            b"req" => Scope::Req,
            b"res" => Scope::Res,
            b"check" => Scope::Check,
            _ => {
                return Err(format!(
                    "invalid variable name '{shown}': the scope must be 'proc', 'sess', 'txn', 'req', 'res' or 'check'"
                ));
            }
        };
        let name = &text[dot + 1..];
        if name.is_empty()
            || !name.iter().all(|c| c.is_ascii_alphanumeric() || matches!(c, b'.' | b'_' | b'-'))
        {
            return Err(format!(
                "invalid variable name '{shown}': only letters, digits, '.', '-' and '_' may follow the scope"
            ));
        }
        Ok(VarName { scope, hash: xxhash_rust::xxh64::xxh64(name, 0) })
    }
}

/// An owned value.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// Boolean.
    Bool(bool),
    /// Integer.
    Int(i64),
    /// Address.
    Ip(IpAddr),
    /// Text.
    Str(Vec<u8>),
    /// Binary.
    Bin(Vec<u8>),
    /// Method.
    Meth(Vec<u8>),
}

impl Value {
    /// A copy of a sample.
    pub fn of(s: &Sample<'_>) -> Value {
        match s {
            Sample::Bool(b) => Value::Bool(*b),
            Sample::Int(i) => Value::Int(*i),
            Sample::Ip(a) => Value::Ip(*a),
            Sample::Str(b) => Value::Str(b.to_vec()),
            Sample::Bin(b) => Value::Bin(b.to_vec()),
            Sample::Meth(b) => Value::Meth(b.to_vec()),
        }
    }

    /// Store a sample, keeping the memory of a string that is already there.
    pub fn assign(&mut self, s: &Sample<'_>) {
        let memory = match self {
            Value::Str(v) | Value::Bin(v) | Value::Meth(v) => std::mem::take(v),
            _ => Vec::new(),
        };
        let filled = |b: &[u8], mut v: Vec<u8>| {
            v.clear();
            v.extend_from_slice(b);
            v
        };
        *self = match s {
            Sample::Str(b) => Value::Str(filled(b, memory)),
            Sample::Bin(b) => Value::Bin(filled(b, memory)),
            Sample::Meth(b) => Value::Meth(filled(b, memory)),
            other => Value::of(other),
        };
    }

    /// The value as a sample that owns pooled scratch.
    pub fn to_sample(&self) -> Sample<'static> {
        match self {
            Value::Bool(b) => Sample::Bool(*b),
            Value::Int(i) => Sample::Int(*i),
            Value::Ip(a) => Sample::Ip(*a),
            Value::Str(v) => Sample::Str(Buf::Owned(Scratch::of(v))),
            Value::Bin(v) => Sample::Bin(Buf::Owned(Scratch::of(v))),
            Value::Meth(v) => Sample::Meth(Buf::Owned(Scratch::of(v))),
        }
    }

    /// The value as a sample that borrows.
    pub fn as_sample(&self) -> Sample<'_> {
        match self {
            Value::Bool(b) => Sample::Bool(*b),
            Value::Int(i) => Sample::Int(*i),
            Value::Ip(a) => Sample::Ip(*a),
            Value::Str(v) => Sample::Str(Buf::Borrowed(v)),
            Value::Bin(v) => Sample::Bin(Buf::Borrowed(v)),
            Value::Meth(v) => Sample::Meth(Buf::Borrowed(v)),
        }
    }
}

/// The variables of one scope of one stream. Single-threaded; keeps its memory over [`VarStore::clear`].
#[derive(Debug, Default)]
pub struct VarStore {
    inner: RefCell<SmallVec<[(u64, bool, Value); 2]>>,
}

impl VarStore {
    /// An empty store; allocates nothing.
    pub fn new() -> VarStore {
        VarStore::default()
    }

    /// A copy of the variable, if it is set.
    pub fn get(&self, name: VarName) -> Option<Sample<'static>> {
        self.with(name, Value::to_sample)
    }

    /// Look at a variable without copying it.
    pub fn with<R>(&self, name: VarName, f: impl FnOnce(&Value) -> R) -> Option<R> {
        self.inner.borrow().iter().find(|(h, set, _)| *h == name.hash && *set).map(|(_, _, v)| f(v))
    }

    /// Set a variable.
    pub fn set(&self, name: VarName, s: &Sample<'_>) {
        let mut inner = self.inner.borrow_mut();
        match inner.iter_mut().find(|(h, ..)| *h == name.hash) {
            Some((_, set, v)) => {
                *set = true;
                v.assign(s);
            }
            None => inner.push((name.hash, true, Value::of(s))),
        }
    }

    /// Unset a variable.
    pub fn unset(&self, name: VarName) {
        if let Some((_, set, _)) = self.inner.borrow_mut().iter_mut().find(|(h, ..)| *h == name.hash) {
            *set = false;
        }
    }

    /// Everything that is set, by the hash of its name.
    pub fn all(&self) -> Vec<(u64, Value)> {
        self.inner.borrow().iter().filter(|(_, set, _)| *set).map(|(h, _, v)| (*h, v.clone())).collect()
    }

    /// What another store had.
    pub fn from_all(all: Vec<(u64, Value)>) -> VarStore {
        VarStore { inner: RefCell::new(all.into_iter().map(|(h, v)| (h, true, v)).collect()) }
    }

    /// Unset all; the memory of the values stays for the next request.
    pub fn clear(&self) {
        for (_, set, _) in self.inner.borrow_mut().iter_mut() {
            *set = false;
        }
    }
}

/// Variables of the process, shared by all threads. Rarely written.
#[derive(Debug, Default)]
pub struct ProcVars {
    inner: RwLock<std::collections::HashMap<u64, Value>>,
}

impl ProcVars {
    /// A copy of the variable, if it is set.
    pub fn get(&self, name: VarName) -> Option<Sample<'static>> {
        // A poisoned lock only means that another thread panicked between two whole stores.
        self.inner.read().unwrap_or_else(|e| e.into_inner()).get(&name.hash).map(Value::to_sample)
    }

    /// Set a variable.
    pub fn set(&self, name: VarName, s: &Sample<'_>) {
        self.inner.write().unwrap_or_else(|e| e.into_inner()).insert(name.hash, Value::of(s));
    }

    /// Unset a variable.
    pub fn unset(&self, name: VarName) {
        self.inner.write().unwrap_or_else(|e| e.into_inner()).remove(&name.hash);
    }
}

/// The variables of scope `proc`.
pub fn process_vars() -> &'static ProcVars {
    static VARS: LazyLock<ProcVars> = LazyLock::new(ProcVars::default);
    &VARS
}

/// The value of a variable of any scope.
pub fn read(name: VarName, cx: &dyn Ctx) -> Option<Sample<'static>> {
    match name.scope {
        Scope::Proc => process_vars().get(name),
        scope => cx.vars(scope)?.get(name),
    }
}

/// Set a variable of any scope; nothing happens where the scope does not exist.
pub fn write(name: VarName, s: &Sample<'_>, cx: &dyn Ctx) {
    match name.scope {
        Scope::Proc => process_vars().set(name, s),
        scope => {
            if let Some(v) = cx.vars(scope) {
                v.set(name, s);
            }
        }
    }
}

/// Unset a variable of any scope.
pub fn clear(name: VarName, cx: &dyn Ctx) {
    match name.scope {
        Scope::Proc => process_vars().unset(name),
        scope => {
            if let Some(v) = cx.vars(scope) {
                v.unset(name);
            }
        }
    }
}

/// The conditions of `set-var(name,cond,...)`: all must hold for the variable to be set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SetConditions(u8);

const CONDITIONS: [&str; 8] =
    ["ifexists", "ifnotexists", "ifempty", "ifnotempty", "ifset", "ifnotset", "ifgt", "iflt"];

impl SetConditions {
    /// Add a condition by its name. The error is a sentence for the user.
    pub fn add(&mut self, name: &[u8]) -> Result<(), String> {
        match CONDITIONS.iter().position(|c| c.as_bytes() == name) {
            Some(i) => {
                self.0 |= 1 << i;
                Ok(())
            }
            None => Err(format!(
                "'{}' is no condition of set-var; known are {}",
                String::from_utf8_lossy(name),
                CONDITIONS.join(", ")
            )),
        }
    }

    /// Whether the variable may be set to `s`.
    pub fn hold(self, name: VarName, s: &Sample<'_>, cx: &dyn Ctx) -> bool {
        if self.0 == 0 {
            return true;
        }
        let wants = |i: usize| self.0 & (1 << i) != 0;
        let old = read(name, cx);
        let is_empty = s.bytes().is_some_and(<[u8]>::is_empty);
        let order = match (&old, s) {
            (Some(Sample::Int(old)), Sample::Int(new)) => Some(old.cmp(new)),
            _ => None,
        };
        !((wants(0) && old.is_none() && name.scope != Scope::Proc)
            || (wants(1) && (old.is_some() || name.scope == Scope::Proc))
            || (wants(2) && !is_empty)
            || (wants(3) && is_empty)
            || (wants(4) && old.is_none())
            || (wants(5) && old.is_some())
            || (wants(6) && order.is_some_and(|o| o != std::cmp::Ordering::Greater))
            || (wants(7) && order.is_some_and(|o| o != std::cmp::Ordering::Less)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_need_a_scope_and_plain_letters() {
        assert_eq!(VarName::parse(b"txn.a-b_c.d").map(|v| v.scope), Ok(Scope::Txn));
        assert!(VarName::parse(b"foo").is_err());
        assert!(VarName::parse(b"foo.bar").is_err());
        assert!(VarName::parse(b"txn.").is_err());
        assert!(VarName::parse(b"txn.a b").is_err());
    }

    #[test]
    fn store_sets_replaces_and_unsets() {
        let s = VarStore::new();
        let (a, b) = (VarName::parse(b"txn.a").expect("valid"), VarName::parse(b"txn.b").expect("valid"));
        assert!(s.get(a).is_none());
        s.set(a, &Sample::str(b"one"));
        s.set(b, &Sample::Int(2));
        s.set(a, &Sample::str(b"three"));
        assert_eq!(s.get(a).and_then(|x| x.bytes().map(<[u8]>::to_vec)), Some(b"three".to_vec()));
        assert!(matches!(s.get(b), Some(Sample::Int(2))));
        s.unset(a);
        assert!(s.get(a).is_none());
        s.clear();
        assert!(s.get(b).is_none());
    }
}
