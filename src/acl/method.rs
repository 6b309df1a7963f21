//! Match methods: how a sample is compared with patterns. Manual section 7.1.

use crate::sample::Type;

/// How a sample is compared with patterns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Method {
    /// The sample exists.
    Found,
    /// The sample is true, or not 0.
    Bool,
    /// Integer, range, comparison.
    Int,
    /// The same with `major.minor` versions.
    Version,
    /// Length in bytes, as an integer.
    Len,
    /// Address or network.
    Ip,
    /// Exact bytes, given in hexadecimal.
    Bin,
    /// Exact text.
    Str,
    /// Prefix.
    Beg,
    /// Suffix.
    End,
    /// Substring.
    Sub,
    /// Part between slashes.
    Dir,
    /// Part between dots, colons, slashes, question marks.
    Dom,
    /// Regular expression.
    Reg,
    /// HTTP method.
    Meth,
}

/// The methods that `-m` knows.
pub const METHODS: [(&str, Method); 13] = [
    ("found", Method::Found),
    ("bool", Method::Bool),
    ("int", Method::Int),
    ("len", Method::Len),
    ("ip", Method::Ip),
    ("bin", Method::Bin),
    ("str", Method::Str),
    ("beg", Method::Beg),
    ("end", Method::End),
    ("sub", Method::Sub),
    ("dir", Method::Dir),
    ("dom", Method::Dom),
    ("reg", Method::Reg),
];

impl Method {
    /// By the name after `-m`.
    pub fn parse(name: &str) -> Option<Method> {
        METHODS.iter().find(|(n, _)| *n == name).map(|(_, m)| *m)
    }

    /// The name in messages.
    pub fn name(self) -> &'static str {
        match self {
            Method::Version => "int",
            Method::Meth => "method",
            other => METHODS.iter().find(|(_, m)| *m == other).map_or("", |(n, _)| n),
        }
    }

    /// What is used without `-m`, by the type of the sample.
    pub fn default_for(ty: Type) -> Option<Method> {
        Some(match ty {
            Type::Bool => Method::Bool,
            Type::Int => Method::Int,
            Type::Addr | Type::Ipv4 | Type::Ipv6 => Method::Ip,
            Type::Str => Method::Str,
            Type::Meth => Method::Meth,
            Type::Bin | Type::Any | Type::Same => return None,
        })
    }

    /// The type that the sample is cast to before it is compared.
    pub fn wants(self) -> Type {
        match self {
            Method::Found => Type::Any,
            Method::Bool => Type::Bool,
            Method::Int | Method::Version => Type::Int,
            Method::Ip => Type::Addr,
            Method::Bin => Type::Bin,
            _ => Type::Str,
        }
    }

    /// Whether it takes patterns at all.
    pub fn takes_patterns(self) -> bool {
        !matches!(self, Method::Found | Method::Bool)
    }
}
