//! Names of the descriptors that a master holds for its workers, and systemd for a master.
//!
//! ```text
//! listener/<address>[/<property>…]/<n>   a listening socket; one of several when n goes on from 0
//! table/<name>                           a stick table's segment
//! state                                  the image of server states and counters
//! worker/<pid>                           the master's end of the channel to a worker (held by systemd only)
//! ```
//! systemd takes names of up to 255 bytes without colons and control characters (sd_pid_notify_with_fds(3)), so
//! everything but letters, digits and `-._/` is written as `%XX` in a part; longer names end in a hash.

use std::fmt::Write;

/// Bytes of a key at most.
const KEY_MAX: usize = 255;

/// A key out of its parts.
pub fn key(parts: &[&str]) -> String {
    let mut out = String::new();
    for (i, part) in parts.iter().enumerate() {
        if i > 0 {
            out.push('/');
        }
        for byte in part.bytes() {
            if byte.is_ascii_alphanumeric() || b"-._".contains(&byte) {
                out.push(char::from(byte));
            } else {
                let _ = write!(out, "%{byte:02X}");
            }
        }
    }
    if out.len() > KEY_MAX {
        // The parts are ASCII now. What comes last (a socket's number) stays readable.
        let hash = xxhash_rust::xxh3::xxh3_64(out.as_bytes());
        let last = out.rfind('/').filter(|at| out.len() - at < 64).map_or("", |at| &out[at..]).to_owned();
        out.truncate(KEY_MAX - 17 - last.len());
        let _ = write!(out, "~{hash:016x}{last}");
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn systemd_takes_them() {
        assert_eq!(key(&["listener", "127.0.0.1:80", "0"]), "listener/127.0.0.1%3A80/0");
        assert_eq!(key(&["table", "peers/a b"]), "table/peers%2Fa%20b");
        let long = "x:".repeat(300);
        let (a, b) = (key(&["listener", &long, "12"]), key(&["listener", &(long.clone() + "y"), "12"]));
        assert_eq!((a.len(), b.len()), (KEY_MAX, KEY_MAX));
        assert!(a != b && a.ends_with("/12") && a.is_ascii() && !a.contains(':'));
    }
}
