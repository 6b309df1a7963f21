//! The `program` section: a helper that the master process starts. Manual: "Programs".

use super::global::Account;

/// What a `program` section says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProgramConf {
    /// `command`: the program and its arguments.
    pub command: Vec<String>,
    /// `user`.
    pub user: Option<Account>,
    /// `group`.
    pub group: Option<Account>,
    /// `no option start-on-reload`: the running one stays at a reload.
    pub stays: bool,
}
