//! Tasks and the run queue of one thread.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;

use slab::Slab;

/// Names a task of one thread; stale ids are harmless.
///
/// Layout: 12 bits runtime id, 28 bits generation, 24 bits slot. The id is all that a waker holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash, Default)]
pub struct TaskId(u64);

const SLOT_BITS: u32 = 24;
const GEN_BITS: u32 = 28;
const GEN_MASK: u32 = (1 << GEN_BITS) - 1;

impl TaskId {
    /// No task.
    pub const NONE: TaskId = TaskId(u64::MAX);

    fn new(runtime: u32, generation: u32, slot: usize) -> TaskId {
        debug_assert!(slot < 1 << SLOT_BITS);
        TaskId(
            u64::from(runtime) << (SLOT_BITS + GEN_BITS) | u64::from(generation) << SLOT_BITS | slot as u64,
        )
    }
    pub(super) fn from_bits(bits: u64) -> TaskId {
        TaskId(bits)
    }
    pub(super) fn bits(self) -> u64 {
        self.0
    }
    pub(super) fn runtime(self) -> u32 {
        (self.0 >> (SLOT_BITS + GEN_BITS)) as u32
    }
    fn generation(self) -> u32 {
        (self.0 >> SLOT_BITS) as u32 & GEN_MASK
    }
    fn slot(self) -> usize {
        self.0 as usize & ((1 << SLOT_BITS) - 1)
    }
}

/// Number of runtime ids.
pub(super) const RUNTIMES: usize = 1 << (64 - SLOT_BITS - GEN_BITS);

pub(super) type BoxFuture = Pin<Box<dyn Future<Output = ()>>>;

struct Task {
    generation: u32,
    queued: bool,
    /// To be dropped when its poll returns.
    aborted: bool,
    /// `None` while it is being polled, and for the root task.
    future: Option<BoxFuture>,
}

/// What to poll next.
pub(super) enum Next {
    Root,
    Task(TaskId, BoxFuture),
}

/// The tasks of one thread. Slot 0 is the root task, whose future lives on the stack of `run`.
pub(super) struct Exec {
    runtime: u32,
    tasks: Slab<Task>,
    queue: VecDeque<TaskId>,
    /// Runnable in the next turn, not in this one.
    later: Vec<TaskId>,
    generation: u32,
}

impl Exec {
    pub(super) const fn new() -> Exec {
        Exec { runtime: 0, tasks: Slab::new(), queue: VecDeque::new(), later: Vec::new(), generation: 0 }
    }

    /// Starts afresh with a runnable root task.
    pub(super) fn start(&mut self, runtime: u32) -> TaskId {
        debug_assert!(self.tasks.is_empty());
        self.runtime = runtime;
        self.queue.clear();
        self.insert(None)
    }

    fn insert(&mut self, future: Option<BoxFuture>) -> TaskId {
        self.generation = (self.generation + 1) & GEN_MASK;
        let generation = self.generation;
        let slot = self.tasks.insert(Task { generation, queued: true, aborted: false, future });
        let id = TaskId::new(self.runtime, generation, slot);
        self.queue.push_back(id);
        id
    }

    pub(super) fn spawn(&mut self, future: BoxFuture) -> TaskId {
        self.insert(Some(future))
    }

    fn task(&mut self, id: TaskId) -> Option<&mut Task> {
        self.tasks.get_mut(id.slot()).filter(|t| t.generation == id.generation())
    }

    /// Puts a task into the run queue, once.
    pub(super) fn wake(&mut self, id: TaskId) {
        let Some(task) = self.task(id) else { return };
        if !task.queued {
            task.queued = true;
            self.queue.push_back(id);
        }
    }

    /// Makes a task runnable in the next turn.
    pub(super) fn wake_later(&mut self, id: TaskId) {
        self.later.push(id);
    }

    /// A turn has ended.
    pub(super) fn next_turn(&mut self) {
        for i in 0..self.later.len() {
            self.wake(self.later[i]);
        }
        self.later.clear();
    }

    /// Runnable tasks.
    pub(super) fn runnable(&self) -> usize {
        self.queue.len()
    }

    /// Tasks that have not ended (the root included).
    pub(super) fn live(&self) -> usize {
        self.tasks.len()
    }

    pub(super) fn next(&mut self) -> Option<Next> {
        loop {
            let id = self.queue.pop_front()?;
            let Some(task) = self.task(id) else { continue };
            task.queued = false;
            if id.slot() == 0 {
                return Some(Next::Root);
            }
            if let Some(future) = task.future.take() {
                return Some(Next::Task(id, future));
            }
        }
    }

    /// Puts a pending future back; returns it when the task was aborted meanwhile, for the caller to drop.
    pub(super) fn park(&mut self, id: TaskId, future: BoxFuture) -> Option<BoxFuture> {
        match self.task(id) {
            Some(task) if !task.aborted => {
                task.future = Some(future);
                None
            }
            _ => {
                self.finish(id);
                Some(future)
            }
        }
    }

    /// Forgets an ended task.
    pub(super) fn finish(&mut self, id: TaskId) {
        if self.task(id).is_some() {
            self.tasks.remove(id.slot());
        }
    }

    /// Takes a task out, to be dropped by the caller; one that is being polled is marked.
    pub(super) fn abort(&mut self, id: TaskId) -> Option<BoxFuture> {
        let task = self.task(id)?;
        match task.future.take() {
            Some(future) => {
                self.finish(id);
                Some(future)
            }
            None => {
                task.aborted = id.slot() != 0;
                None
            }
        }
    }

    /// Takes any remaining task's future, at the end of a run.
    pub(super) fn take_any(&mut self) -> Option<BoxFuture> {
        let slot = self.tasks.iter().find(|(_, t)| t.future.is_some()).map(|(slot, _)| slot)?;
        self.tasks.remove(slot).future
    }

    /// Forgets everything, the root included. No futures may be left.
    pub(super) fn stop(&mut self) {
        debug_assert!(self.tasks.iter().all(|(_, t)| t.future.is_none()));
        self.tasks = Slab::new();
        self.queue = VecDeque::new();
        self.later = Vec::new();
    }
}
