//! Just enough of HTTP to know when a response is over.

/// How far a response has been read.
#[derive(Clone, Debug, Default)]
pub struct Response {
    head: Vec<u8>,
    in_body: bool,
    /// Body bytes still to come; `None`: until the connection closes.
    left: Option<u64>,
    status: u16,
}

/// What came of some bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Progress {
    /// More is needed.
    More,
    /// The response is complete.
    Done,
    /// Not a response, or one in a form that is not supported (chunks).
    Bad,
}

/// Longest head.
const MAX_HEAD: usize = 65536;

impl Response {
    /// Ready for the next response.
    pub fn reset(&mut self) {
        self.head.clear();
        self.in_body = false;
        self.left = None;
        self.status = 0;
    }

    /// The status; zero before the head is complete.
    pub fn status(&self) -> u16 {
        self.status
    }

    /// Body bytes that can be thrown away unread.
    pub fn skippable(&self) -> u64 {
        if self.in_body { self.left.unwrap_or(u64::MAX) } else { 0 }
    }

    /// Says that so many body bytes were thrown away.
    pub fn skipped(&mut self, n: u64) -> Progress {
        match &mut self.left {
            None => Progress::More,
            Some(left) if *left < n => Progress::Bad,
            Some(left) => {
                *left -= n;
                if *left == 0 { Progress::Done } else { Progress::More }
            }
        }
    }

    /// Takes the next bytes.
    pub fn feed(&mut self, bytes: &[u8]) -> Progress {
        if self.in_body {
            return self.skipped(bytes.len() as u64);
        }
        let kept = self.head.len();
        let body_at = if kept == 0 {
            match find_end(bytes) {
                Some(end) => {
                    if !self.read_head(bytes, end) {
                        return Progress::Bad;
                    }
                    end
                }
                None => return self.keep(bytes),
            }
        } else {
            self.head.extend_from_slice(bytes);
            let Some(end) = find_end(&self.head) else { return self.keep(&[]) };
            let head = std::mem::take(&mut self.head);
            if !self.read_head(&head, end) {
                return Progress::Bad;
            }
            end - kept
        };
        self.in_body = true;
        if self.left == Some(0) && body_at == bytes.len() {
            return Progress::Done;
        }
        self.skipped((bytes.len() - body_at) as u64)
    }

    /// The peer has closed: is the response complete?
    pub fn closed(&self) -> bool {
        self.in_body && self.left.is_none()
    }

    fn keep(&mut self, bytes: &[u8]) -> Progress {
        self.head.extend_from_slice(bytes);
        if self.head.len() > MAX_HEAD { Progress::Bad } else { Progress::More }
    }

    fn read_head(&mut self, bytes: &[u8], end: usize) -> bool {
        let head = &bytes[..end];
        if !head.starts_with(b"HTTP/1.") || head.len() < 13 {
            return false;
        }
        let digits = std::str::from_utf8(&head[9..12]).ok();
        let Some(status) = digits.and_then(|d| d.parse().ok()) else { return false };
        self.status = status;
        for line in head.split(|&b| b == b'\n').skip(1) {
            // Most lines are ruled out by their first byte.
            match line.first() {
                Some(b'c' | b'C') if name_is(line, b"content-length:") => {
                    let text = std::str::from_utf8(&line[15..]).unwrap_or("");
                    self.left = text.trim().parse().ok();
                }
                Some(b't' | b'T') if name_is(line, b"transfer-encoding:") => return false,
                _ => {}
            }
        }
        if status == 204 || status == 304 {
            self.left = Some(0);
        }
        true
    }
}

fn name_is(line: &[u8], name: &[u8]) -> bool {
    line.get(..name.len()).is_some_and(|start| start.eq_ignore_ascii_case(name))
}

/// Where the head ends (behind its empty line).
pub fn find_end(bytes: &[u8]) -> Option<usize> {
    let mut from = 0;
    while let Some(at) = bytes[from..].iter().position(|&b| b == b'\n') {
        let at = from + at;
        match &bytes[at + 1..] {
            [b'\n', ..] => return Some(at + 2),
            [b'\r', b'\n', ..] => return Some(at + 3),
            _ => from = at + 1,
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_response_in_any_pieces() {
        let bytes = b"HTTP/1.1 200 OK\r\nDate: x\r\ncontent-length: 5\r\n\r\nhello";
        for step in 1..bytes.len() {
            let mut r = Response::default();
            let mut last = Progress::More;
            for piece in bytes.chunks(step) {
                assert_eq!(last, Progress::More);
                last = r.feed(piece);
            }
            assert_eq!((last, r.status()), (Progress::Done, 200), "step {step}");
        }
    }

    #[test]
    fn bodies_without_length_end_with_the_connection() {
        let mut r = Response::default();
        assert_eq!(r.feed(b"HTTP/1.0 404 No\n\nabc"), Progress::More);
        assert!(r.closed());
        r.reset();
        assert!(!r.closed());
        assert_eq!(r.feed(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nab"), Progress::More);
        assert!(!r.closed());
        assert_eq!(r.skippable(), 1);
        assert_eq!(r.skipped(1), Progress::Done);
        r.reset();
        assert_eq!(r.feed(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"), Progress::Done);
        r.reset();
        assert_eq!(r.feed(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nab"), Progress::Bad);
        r.reset();
        assert_eq!(r.feed(b"SSH-2.0\r\n\r\n"), Progress::Bad);
        r.reset();
        assert_eq!(r.feed(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"), Progress::Bad);
    }
}
