//! The admin socket ("stats socket"): one command line per connection, or an interactive session (`prompt`).
//!
//! A command is one entry of [`commands::COMMANDS`] and a function that writes its answer.

mod access;
pub mod commands;
mod context;
mod counters;
mod errors;
mod frontends;
mod gather;
mod info;
mod internals;
pub mod line;
mod patterns;
mod peers;
mod server_checks;
mod server_lists;
mod servers;
mod session;
mod sessions;
mod sink;
mod socket;
mod stat;
mod tables;
mod vars;

pub use access::Access;
pub use context::{Context, ProcessFacts};
pub use session::{HANDED, open_sessions, serve, serve_one};
pub use socket::{Level, SocketConf, sockets};

/// The words of every command, without its arguments, for listings.
pub fn command_names() -> impl Iterator<Item = &'static str> {
    commands::COMMANDS.iter().map(|c| {
        // A usage line starts with the command's words.
        let end = c.usage.match_indices(' ').map(|(at, _)| at).nth(c.words.len() - 1);
        &c.usage[..end.unwrap_or(c.usage.len())]
    })
}
