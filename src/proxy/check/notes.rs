//! The words of each server's last check, for the statistics: too long for the fixed records of live state.

use std::sync::{Mutex, PoisonError};

use super::super::{ServerId, Snapshot};

/// One text per server.
#[derive(Debug, Default)]
pub struct Notes {
    texts: Vec<Mutex<String>>,
}

impl Notes {
    /// Empty texts for every server.
    pub fn new(snapshot: &Snapshot) -> Notes {
        Notes { texts: snapshot.servers.iter().map(|_| Mutex::default()).collect() }
    }

    /// The text of a server.
    pub fn get(&self, id: ServerId) -> String {
        self.texts[id.index()].lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Replace it. Rare: once per check.
    pub fn set(&self, id: ServerId, text: &str) {
        let mut slot = self.texts[id.index()].lock().unwrap_or_else(PoisonError::into_inner);
        if *slot != text {
            text.clone_into(&mut slot);
        }
    }
}
