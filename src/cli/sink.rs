//! Where a long answer goes, piece by piece.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use crate::net::Socket;
use crate::runtime;

/// Bytes that may wait for a slow reader before the command waits for it.
pub const LOW_WATER: usize = 256 << 10;
/// A good size for a piece, in bytes.
pub const PIECE: usize = 16 << 10;

/// The reader went away, or took nothing for as long as `stats timeout` allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gone;

/// The session's connection as a command sees it.
#[derive(Clone)]
pub struct Sink {
    socket: Rc<Socket>,
    timeout: Duration,
    written: Rc<Cell<u64>>,
}

impl Sink {
    pub(super) fn new(socket: Rc<Socket>, timeout: Duration) -> Sink {
        Sink { socket, timeout, written: Rc::default() }
    }

    /// Sends a piece, empties `text` and lets other tasks have their turn. Waits while much is on its way.
    ///
    /// # Errors
    /// When the reader is gone or too slow.
    pub async fn put(&self, text: &mut String) -> Result<(), Gone> {
        if !text.is_empty() {
            self.written.set(self.written.get() + text.len() as u64);
            self.socket.send(std::mem::take(text).into_bytes());
        }
        self.settle(LOW_WATER).await?;
        runtime::yield_now().await;
        Ok(())
    }

    /// Waits until no more than `low_water` bytes are on their way.
    pub(super) async fn settle(&self, low_water: usize) -> Result<(), Gone> {
        let sent = std::future::poll_fn(|cx| self.socket.poll_sent(cx, low_water));
        match runtime::timeout_at(runtime::now() + self.timeout, sent).await {
            Some(Ok(())) => Ok(()),
            _ => Err(Gone),
        }
    }
}
