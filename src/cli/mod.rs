//! The admin socket ("stats socket"): one command per connection, or an interactive session.

mod socket;

pub use socket::{Level, SocketConf, sockets};
