//! Diagnostics are collected, not thrown: one run reports every error.

/// A place in a configuration file. `line` and `col` start at 1; `len` is in bytes of the source line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Loc {
    /// Index into the list of loaded files.
    pub file: u16,
    /// Line number, from 1; 0 when the diagnostic belongs to no line.
    pub line: u32,
    /// Column of the first byte, from 1.
    pub col: u32,
    /// Number of bytes to underline.
    pub len: u32,
}

/// HAProxy's severities.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Information.
    Notice,
    /// The configuration loads; with `-dW` or `zero-warning` it does not.
    Warning,
    /// The configuration is invalid.
    Alert,
}

/// One message.
#[derive(Clone, Debug)]
pub struct Diagnostic {
    /// How bad it is.
    pub severity: Severity,
    /// Where.
    pub loc: Loc,
    /// What is wrong, without the location.
    pub message: String,
    /// What to write instead, if we know ("did you mean 'x'?", the modern form of an old keyword).
    pub help: Option<String>,
}

/// The collector.
#[derive(Debug, Default)]
pub struct Diagnostics {
    /// Everything said so far, in order.
    pub list: Vec<Diagnostic>,
}

impl Diagnostics {
    /// Report an error. Parsing goes on.
    pub fn error(&mut self, loc: Loc, message: impl Into<String>) -> &mut Diagnostic {
        self.push(Severity::Alert, loc, message.into())
    }

    /// Report a warning.
    pub fn warning(&mut self, loc: Loc, message: impl Into<String>) -> &mut Diagnostic {
        self.push(Severity::Warning, loc, message.into())
    }

    /// Report a notice.
    pub fn notice(&mut self, loc: Loc, message: impl Into<String>) -> &mut Diagnostic {
        self.push(Severity::Notice, loc, message.into())
    }

    /// True when any error was reported.
    pub fn has_errors(&self) -> bool {
        self.list.iter().any(|d| d.severity == Severity::Alert)
    }

    /// True when any warning was reported.
    pub fn has_warnings(&self) -> bool {
        self.list.iter().any(|d| d.severity == Severity::Warning)
    }

    fn push(&mut self, severity: Severity, loc: Loc, message: String) -> &mut Diagnostic {
        self.list.push(Diagnostic { severity, loc, message, help: None });
        let last = self.list.len() - 1;
        &mut self.list[last]
    }
}

impl Diagnostic {
    /// Attach what to do about it.
    pub fn help(&mut self, text: impl Into<String>) -> &mut Self {
        self.help = Some(text.into());
        self
    }
}
