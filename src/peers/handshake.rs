//! The hello and status lines.

use super::error::Status;

/// Protocol word and the version we speak.
const PROTOCOL: &str = "HAProxyS";
/// The one major version.
const MAJOR: u32 = 2;
/// The newest minor version: heartbeats and timed updates came with it.
pub const MINOR: u32 = 1;

/// Longest hello taken: three lines with two names.
pub const HELLO_MAX_BYTES: usize = 1024;
/// Longest status line taken.
const STATUS_MAX_BYTES: usize = 16;

/// The names that a listening peer compares a hello with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Members {
    /// Our own name.
    pub local: String,
    /// Every member, ourselves included (an old process of ours may call during a reload).
    pub all: Vec<String>,
}

/// A hello that was accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hello {
    /// Who calls.
    pub from: String,
    /// The minor version that both speak.
    pub minor: u32,
}

/// The client's three lines.
pub fn put_hello(out: &mut Vec<u8>, to: &str, from: &str, pid: u32, minor: u32) {
    out.extend_from_slice(format!("{PROTOCOL} {MAJOR}.{minor}\n{to}\n{from} {pid} 1\n").as_bytes());
}

/// The server's line.
pub fn put_status(out: &mut Vec<u8>, status: Status) {
    out.extend_from_slice(format!("{}\n", status.code()).as_bytes());
}

/// The next line without its end; `Ok(None)`: not all there yet; `Err`: longer than `max` or not text.
fn line<'a>(input: &mut &'a [u8], max: usize) -> Result<Option<&'a str>, ()> {
    let Some(end) = memchr::memchr(b'\n', &input[..input.len().min(max)]) else {
        return if input.len() < max { Ok(None) } else { Err(()) };
    };
    let text = &input[..end];
    *input = &input[end + 1..];
    let text = text.strip_suffix(b"\r").unwrap_or(text);
    std::str::from_utf8(text).map(Some).map_err(|_| ())
}

/// Read a hello from the front of `input`, which moves past it. `Ok(None)`: more is needed. The error is the status
/// to answer. Each line is judged as soon as it is there.
pub fn read_hello(input: &mut &[u8], members: &Members) -> Result<Option<Hello>, Status> {
    let mut rest = *input;
    let mut next = || line(&mut rest, HELLO_MAX_BYTES).map_err(|()| Status::ProtocolError);
    let Some(version) = next()? else { return Ok(None) };
    let version = version.strip_prefix(PROTOCOL).and_then(|v| v.strip_prefix(' '));
    let (major, minor) = version.and_then(|v| v.split_once('.')).ok_or(Status::ProtocolError)?;
    let number = |s: &str| s.parse::<u32>().map_err(|_| Status::BadVersion);
    let (major, minor) = (number(major)?, number(minor)?);
    if major != MAJOR {
        return Err(Status::BadVersion);
    }
    let Some(to) = next()? else { return Ok(None) };
    if to != members.local {
        return Err(Status::LocalMismatch);
    }
    let Some(from) = next()? else { return Ok(None) };
    // The two process numbers behind the name are information only, but they must be there.
    let (from, pids) = from.split_once(' ').ok_or(Status::ProtocolError)?;
    if !pids.split(' ').all(|p| !p.is_empty() && p.bytes().all(|b| b.is_ascii_digit())) {
        return Err(Status::ProtocolError);
    }
    if !members.all.iter().any(|m| m == from) {
        return Err(Status::RemoteMismatch);
    }
    *input = rest;
    Ok(Some(Hello { from: from.to_owned(), minor: minor.min(MINOR) }))
}

/// Read a status line. The error, always [`Status::ProtocolError`], stands for anything that is no status.
pub fn read_status(input: &mut &[u8]) -> Result<Option<Status>, Status> {
    let text = line(input, STATUS_MAX_BYTES).map_err(|()| Status::ProtocolError)?;
    let Some(text) = text else { return Ok(None) };
    let code = if text.len() == 3 { text.parse().ok() } else { None };
    code.and_then(Status::from_code).map(Some).ok_or(Status::ProtocolError)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn members() -> Members {
        Members { local: "b".into(), all: vec!["a".into(), "b".into()] }
    }

    fn hello(mut text: &[u8]) -> Result<Option<Hello>, Status> {
        read_hello(&mut text, &members())
    }

    #[test]
    fn hellos() {
        let ok = Ok(Some(Hello { from: "a".into(), minor: 1 }));
        assert_eq!(hello(b"HAProxyS 2.1\nb\na 12 1\n"), ok);
        assert_eq!(hello(b"HAProxyS 2.1\r\nb\r\na 12 1\r\n"), ok);
        assert_eq!(hello(b"HAProxyS 2.9\nb\na 12 0\n"), ok);
        assert_eq!(hello(b"HAProxyS 2.0\nb\na 12 0\n"), Ok(Some(Hello { from: "a".into(), minor: 0 })));
        for part in [&b""[..], b"HAPro", b"HAProxyS 2.1\n", b"HAProxyS 2.1\nb\na 12"] {
            assert_eq!(hello(part), Ok(None));
        }
        assert_eq!(hello(b"GET / HTTP/1.1\n"), Err(Status::ProtocolError));
        assert_eq!(hello(b"HAProxyS 21\n"), Err(Status::ProtocolError));
        assert_eq!(hello(b"HAProxyS 3.0\n"), Err(Status::BadVersion));
        assert_eq!(hello(b"HAProxyS 2.x\n"), Err(Status::BadVersion));
        assert_eq!(hello(b"HAProxyS 2.1\nc\n"), Err(Status::LocalMismatch));
        assert_eq!(hello(b"HAProxyS 2.1\nb\nx 12 0\n"), Err(Status::RemoteMismatch));
        assert_eq!(hello(b"HAProxyS 2.1\nb\na\n"), Err(Status::ProtocolError));
        assert_eq!(hello(b"HAProxyS 2.1\nb\na x\n"), Err(Status::ProtocolError));
        assert_eq!(hello(&[b'x'; HELLO_MAX_BYTES]), Err(Status::ProtocolError));
    }

    #[test]
    fn statuses() {
        for s in [200, 300, 501, 502, 503, 504] {
            let text = format!("{s}\nmore");
            let mut input = text.as_bytes();
            let status = read_status(&mut input).expect("well formed").expect("whole");
            assert_eq!(status.code(), s);
            assert_eq!(input, b"more");
        }
        assert_eq!(read_status(&mut &b"20"[..]), Ok(None));
        for bad in [&b"201\n"[..], b"+200\n", b"0200\n", b"\n", &[b'2'; 16]] {
            assert_eq!(read_status(&mut { bad }), Err(Status::ProtocolError));
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(128))]
        #[test]
        fn never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            let text = [b"HAProxyS 2.1\nb\n".as_slice(), &bytes].concat();
            let _ = (hello(&bytes), hello(&text), read_status(&mut bytes.as_slice()));
        }
    }
}
