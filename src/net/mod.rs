//! Sockets, listeners, splice pipes and datagram senders over the thread's ring.

mod channel;
mod listener;
mod open;
mod opts;
mod pipe;
mod socket;
mod udp;

#[cfg(test)]
mod tests;

pub use crate::sys::addr::SockAddr;
pub use crate::sys::buf::{RecvBuf, SendBuf};
pub use channel::{Channel, FDS_MAX, MESSAGE_MAX, Packet, send_over};
pub use listener::Listener;
pub use open::{Opening, share_port};
pub use opts::{BindOpts, ConnectOpts, Keepalive, Source, UnixOwner};
pub use pipe::{Pipe, limit_pipes, pipe_counts};
pub use socket::Socket;
pub use udp::Datagram;
