//! The words of each server's last check, for the statistics: too long for the fixed records of live state.

use std::sync::{Mutex, MutexGuard, PoisonError};

use super::super::{ServerId, Snapshot};

/// The texts of every server.
#[derive(Debug, Default)]
pub struct Notes {
    servers: Vec<Mutex<Texts>>,
}

#[derive(Debug, Default)]
struct Texts {
    check: String,
    agent: String,
    agent_send: Option<Vec<u8>>,
}

impl Notes {
    /// Empty texts for every server.
    pub fn new(snapshot: &Snapshot) -> Notes {
        Notes { servers: snapshot.servers.iter().map(|_| Mutex::default()).collect() }
    }

    fn lock(&self, id: ServerId) -> MutexGuard<'_, Texts> {
        self.servers[id.index()].lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What the last check said.
    pub fn get(&self, id: ServerId) -> String {
        self.lock(id).check.clone()
    }

    /// Note what a check said. Rare: once per check.
    pub fn set(&self, id: ServerId, text: &str) {
        let mut texts = self.lock(id);
        if texts.check != text {
            text.clone_into(&mut texts.check);
        }
    }

    /// What the agent said last.
    pub fn agent(&self, id: ServerId) -> String {
        self.lock(id).agent.clone()
    }

    /// Note what the agent said.
    pub fn set_agent(&self, id: ServerId, text: &str) {
        let mut texts = self.lock(id);
        if texts.agent != text {
            text.clone_into(&mut texts.agent);
        }
    }

    /// What is sent to the agent, when a command changed it.
    pub fn agent_send(&self, id: ServerId) -> Option<Vec<u8>> {
        self.lock(id).agent_send.clone()
    }

    /// Send this to the agent from now on.
    pub fn set_agent_send(&self, id: ServerId, text: &[u8]) {
        self.lock(id).agent_send = Some(text.to_vec());
    }
}
