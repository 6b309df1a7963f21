//! A worker thread: its listeners, its share of the checks, its end.

/// There may be room for connections again on this thread.
pub fn room_again() {}
