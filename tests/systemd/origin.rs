//! The application behind the proxy: small answers, large ones with a known content, and an echo behind `Upgrade`.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Byte `at` of every large answer.
pub fn byte(at: usize) -> u8 {
    (at % 251) as u8
}

/// Serves until the test ends; counts the requests.
pub fn start() -> (u16, Arc<AtomicU64>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("its address").port();
    let count = Arc::new(AtomicU64::new(0));
    let counter = count.clone();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let counter = counter.clone();
            let serving = std::thread::Builder::new().stack_size(128 * 1024);
            let _ = serving.spawn(move || serve(stream, &counter));
        }
    });
    (port, count)
}

fn serve(stream: TcpStream, count: &AtomicU64) -> Option<()> {
    stream.set_nodelay(true).ok()?;
    let mut reader = BufReader::new(stream.try_clone().ok()?);
    let mut stream = stream;
    loop {
        let mut first = String::new();
        if reader.read_line(&mut first).ok()? == 0 {
            return None;
        }
        let mut upgrade = false;
        let mut close = false;
        loop {
            let mut line = String::new();
            reader.read_line(&mut line).ok()?;
            let line = line.trim_end().to_ascii_lowercase();
            upgrade |= line.starts_with("upgrade:");
            close |= line == "connection: close";
            if line.is_empty() {
                break;
            }
        }
        count.fetch_add(1, Relaxed);
        if upgrade {
            let head = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                        Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";
            stream.write_all(head.as_bytes()).ok()?;
            return echo(reader, stream);
        }
        let path = first.split(' ').nth(1)?;
        let size = path.strip_prefix("/file/").and_then(|n| n.parse::<usize>().ok());
        let body: Vec<u8> = size.map_or_else(|| b"ok\n".to_vec(), |n| (0..n).map(byte).collect());
        let mut answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len()).into_bytes();
        answer.extend_from_slice(&body);
        stream.write_all(&answer).ok()?;
        if close {
            return None;
        }
    }
}

fn echo(mut reader: impl Read, mut stream: TcpStream) -> Option<()> {
    let mut buf = [0; 4096];
    loop {
        let n = reader.read(&mut buf).ok()?;
        if n == 0 {
            return None;
        }
        stream.write_all(&buf[..n]).ok()?;
    }
}
