//! Limits that several layers share. Relations between them are asserted here, at compile time.

/// Bytes of one configuration line. HAProxy has no fixed limit; this one stops a file that is no text.
pub const CONFIG_LINE_MAX: usize = 1 << 20;
/// Words of one configuration line (HAProxy: 64, which long address lists outgrow).
pub const CONFIG_WORDS_MAX: usize = 4096;
/// Nested `.if` blocks.
pub const CONFIG_IF_DEPTH_MAX: usize = 1024;
/// `tune.bufsize` when nothing is said, bytes.
pub const DEFAULT_BUFSIZE: usize = 16384;
/// `tune.maxrewrite` when nothing is said, bytes.
pub const DEFAULT_MAXREWRITE: usize = 1024;
/// `tune.http.maxhdr` when nothing is said.
pub const DEFAULT_MAX_HEADERS: usize = 101;
/// Threads of one process.
pub const MAX_THREADS: usize = 1024;
/// The largest weight of a server (`weight 0..256`).
pub const MAX_WEIGHT: u32 = 256;
/// `tune.http.logurilen` when nothing is said: bytes of the request line that a log line keeps.
pub const DEFAULT_LOG_URI_LEN: usize = 1024;

const _: () = assert!(DEFAULT_MAXREWRITE < DEFAULT_BUFSIZE / 2, "half a buffer is left for the message");
const _: () = assert!(CONFIG_LINE_MAX > CONFIG_WORDS_MAX * 2, "a full line of one-byte words fits");
