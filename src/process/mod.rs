//! Startup, signals, privileges.

use std::process::ExitCode;

pub mod args;

/// Entry point of `haring`.
pub fn main() -> ExitCode {
    ExitCode::SUCCESS
}

/// Entry point of `haring-systemd-wrapper`.
pub fn wrapper_main() -> ExitCode {
    ExitCode::SUCCESS
}
