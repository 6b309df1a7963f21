//! The environment as the configuration sees it: a copy of the process's, that `setenv` and its kin change
//! while the files are read.

use std::collections::BTreeMap;

/// Environment variables, ordered by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Env {
    vars: BTreeMap<Vec<u8>, Vec<u8>>,
}

impl Env {
    /// No variable at all.
    pub fn empty() -> Env {
        Env::default()
    }

    /// The process's environment.
    pub fn from_process() -> Env {
        use std::os::unix::ffi::OsStringExt;
        Env { vars: std::env::vars_os().map(|(k, v)| (k.into_vec(), v.into_vec())).collect() }
    }

    /// The value of `name`, if it is set.
    pub fn get(&self, name: &[u8]) -> Option<&[u8]> {
        self.vars.get(name).map(Vec::as_slice)
    }

    /// Set `name`, whether it is set already or not (`setenv`).
    pub fn set(&mut self, name: impl Into<Vec<u8>>, value: impl Into<Vec<u8>>) {
        self.vars.insert(name.into(), value.into());
    }

    /// Set `name` unless it is set already (`presetenv`).
    pub fn preset(&mut self, name: impl Into<Vec<u8>>, value: impl Into<Vec<u8>>) {
        self.vars.entry(name.into()).or_insert_with(|| value.into());
    }

    /// Remove `name` (`unsetenv`).
    pub fn unset(&mut self, name: &[u8]) {
        self.vars.remove(name);
    }

    /// Remove every variable except those named (`resetenv`).
    pub fn reset(&mut self, keep: &[&[u8]]) {
        self.vars.retain(|k, _| keep.contains(&k.as_slice()));
    }

    /// Every variable, ordered by name.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.vars.iter().map(|(k, v)| (k.as_slice(), v.as_slice()))
    }
}
