//! The admin socket ("stats socket"): one command line per connection, or an interactive session (`prompt`).
//!
//! A command is one entry of [`commands::COMMANDS`] and a function that writes its answer.

pub mod commands;
mod context;
mod info;
mod line;
mod servers;
mod session;
mod socket;

pub use context::{Context, ProcessFacts};
pub use session::serve;
pub use socket::{Level, SocketConf, sockets};
