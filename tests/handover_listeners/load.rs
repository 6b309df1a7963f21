//! Clients that come all the time, and count what goes wrong.

use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::thread::{JoinHandle, sleep, spawn};
use std::time::{Duration, Instant};

use super::support::{exchange, exchange_unix};

/// Where clients go.
#[derive(Clone)]
pub enum Goal {
    Tcp(String),
    Unix(String),
}

/// Clients of one address.
pub struct Load {
    stop: Arc<AtomicBool>,
    shared: Arc<Counts>,
    clients: Vec<JoinHandle<()>>,
}

#[derive(Default)]
struct Counts {
    served: AtomicUsize,
    /// Refused before anything was said.
    refused: AtomicUsize,
    failures: Mutex<Vec<String>>,
    slowest_ms: AtomicUsize,
}

/// What came of it.
#[derive(Debug)]
pub struct Outcome {
    pub served: usize,
    pub refused: usize,
    pub failures: Vec<String>,
    pub slowest: Duration,
}

impl Load {
    /// So many clients, one request each after the other, with a new connection for each.
    pub fn start(goal: &Goal, clients: usize) -> Load {
        let (stop, shared) = (Arc::new(AtomicBool::new(false)), Arc::new(Counts::default()));
        let client = |_| {
            let (goal, stop, shared) = (goal.clone(), stop.clone(), shared.clone());
            spawn(move || {
                while !stop.load(SeqCst) {
                    shared.one(&goal);
                    sleep(Duration::from_millis(1));
                }
            })
        };
        let clients = (0..clients).map(client).collect();
        let load = Load { stop, shared, clients };
        super::support::until("clients are served", || load.served() > 20);
        load
    }

    pub fn served(&self) -> usize {
        self.shared.served.load(SeqCst)
    }

    /// Wait until so many more were served.
    pub fn go_on(&self, more: usize) {
        let wanted = self.served() + more;
        super::support::until("clients are served", || self.served() >= wanted);
    }

    pub fn end(self) -> Outcome {
        self.stop.store(true, SeqCst);
        for client in self.clients {
            client.join().expect("it does not panic");
        }
        Outcome {
            served: self.shared.served.load(SeqCst),
            refused: self.shared.refused.load(SeqCst),
            failures: std::mem::take(&mut self.shared.failures.lock().expect("not poisoned")),
            slowest: Duration::from_millis(self.shared.slowest_ms.load(SeqCst) as u64),
        }
    }
}

impl Counts {
    fn one(&self, goal: &Goal) {
        let begun = Instant::now();
        let result = match goal {
            Goal::Tcp(addr) => match TcpStream::connect(addr) {
                Ok(stream) => exchange(stream),
                Err(_) => return self.was_refused(),
            },
            Goal::Unix(path) => match UnixStream::connect(path) {
                Ok(stream) => exchange_unix(stream),
                Err(_) => return self.was_refused(),
            },
        };
        let taken = begun.elapsed();
        match result {
            Ok(_) => self.served.fetch_add(1, SeqCst),
            Err(error) => {
                self.failures.lock().expect("not poisoned").push(format!("{error} after {taken:?}"));
                0
            }
        };
        self.slowest_ms.fetch_max(taken.as_millis() as usize, SeqCst);
    }

    fn was_refused(&self) {
        self.refused.fetch_add(1, SeqCst);
    }
}

impl Outcome {
    /// Nobody was refused or lost.
    pub fn is_whole(&self) {
        assert_eq!((self.refused, self.failures.as_slice()), (0, &[][..]), "{self:?}");
        assert!(self.served > 0);
    }
}
