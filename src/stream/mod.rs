//! One client from accept to log line: rules, server choice, connection, exchange, relay, counters, log.
//!
//! ```text
//! Shared   (Arc)  one per configuration: snapshot, live state, queues, what each proxy needs (rules, logs)
//! View     (Rc)   one per thread and configuration: balancer tables, pools of idle server connections
//! Worker   (Rc)   one per thread: the current view, recycled heads and exchanges
//! ```
//! [`serve_client`] is the whole life of a client connection. A connection keeps the view that it began with.

pub mod relay;
pub mod termination;

mod worker;

pub use worker::{Settings, Shared, View, Worker};

use std::rc::Rc;

use crate::net::{SockAddr, Socket};
use crate::proxy::ListenerId;

/// The whole life of a client connection. The caller has counted nothing: `feconn`, `actconn` and the
/// listener's sessions are counted (and given back) here.
pub async fn serve_client(worker: Rc<Worker>, listener: ListenerId, socket: Socket, peer: SockAddr) {
    let _ = (worker, listener, socket, peer);
    todo!()
}
