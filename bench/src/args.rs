//! Command lines: `--name value`, `--flag`, and words that belong to no option.

use crate::net::Failure;
use std::str::FromStr;

/// A command line taken apart.
pub struct Args {
    options: Vec<(String, Option<String>)>,
    /// Words that are no option.
    pub words: Vec<String>,
}

impl Args {
    /// Reads `all`; options named in `flags` take no value.
    pub fn parse(all: &[String], flags: &[&str]) -> Result<Args, Failure> {
        let mut args = Args { options: Vec::new(), words: Vec::new() };
        let mut rest = all.iter();
        while let Some(word) = rest.next() {
            if !word.starts_with('-') {
                args.words.push(word.clone());
            } else if flags.contains(&word.as_str()) {
                args.options.push((word.clone(), None));
            } else if let Some((name, value)) = word.split_once('=') {
                args.options.push((name.to_string(), Some(value.to_string())));
            } else {
                let value = rest.next().ok_or_else(|| format!("{word} needs a value"))?;
                args.options.push((word.clone(), Some(value.clone())));
            }
        }
        Ok(args)
    }

    /// Refuses options that are not in `known`.
    pub fn only(&self, known: &[&str]) -> Result<(), Failure> {
        match self.options.iter().find(|(name, _)| !known.contains(&name.as_str())) {
            Some((name, _)) => Err(format!("unknown option {name}").into()),
            None => Ok(()),
        }
    }

    /// Whether an option is there.
    pub fn has(&self, name: &str) -> bool {
        self.options.iter().any(|(n, _)| n == name)
    }

    /// The last value of an option.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.options.iter().rev().find(|(n, _)| n == name).and_then(|(_, v)| v.as_deref())
    }

    /// The last value of an option as a number, or `default`.
    pub fn number<T: FromStr>(&self, name: &str, default: T) -> Result<T, Failure> {
        match self.text(name) {
            None => Ok(default),
            Some(text) => text.parse().map_err(|_| format!("{name}: not a number: {text}").into()),
        }
    }
}
