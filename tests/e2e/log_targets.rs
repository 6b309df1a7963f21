//! Log lines to unix sockets, to standard output, and to receivers that are slow, late or gone.

use std::io::Read;
use std::os::unix::net::UnixDatagram;
use std::time::Duration;

use crate::support::*;

fn config(port: u16, target: &str) -> String {
    format!(
        "defaults
    mode http
    timeout connect 5s
    timeout client 5s
    timeout server 5s
    option dontlognull
frontend fe
    bind 127.0.0.1:{port}
    {target}
    log-format \"%HM %HU %ST\"
    http-request deny
"
    )
}

#[test]
fn unix_sockets_in_the_file_system_and_abstract_ones() {
    use std::os::linux::net::SocketAddrExt;
    let dir = Dir::new();
    let path = dir.0.join("log");
    let name = format!("haring-e2e-{}", std::process::id());
    let abstract_name = std::os::unix::net::SocketAddr::from_abstract_name(&name).expect("a valid name");
    let receivers = [
        (UnixDatagram::bind(&path).expect("a path of our own"), path.display().to_string()),
        (UnixDatagram::bind_addr(&abstract_name).expect("a name of our own"), format!("abnsz@{name}")),
    ];
    for (receiver, target) in receivers {
        receiver.set_read_timeout(Some(PATIENCE)).expect("valid");
        let port = free_port();
        let _p = haring(&config(port, &format!("log {target} format priority local1")), &[port]);
        assert_eq!(get(port, "/x", "Host: x\r\n").status, 403);
        let mut buf = [0; 2000];
        let n = receiver.recv(&mut buf).expect("a line");
        assert_eq!(String::from_utf8_lossy(&buf[..n]), "<142>GET /x 403\n");
    }
}

#[test]
fn standard_output_takes_whole_lines() {
    let port = free_port();
    let p = haring(&config(port, "log stdout format raw local0"), &[port]);
    for i in 0..100 {
        get(port, &format!("/{i}"), "Host: x\r\n");
    }
    wait_until("all lines are written", || p.output().lines().filter(|l| l.ends_with(" 403")).count() == 100);
    let text = p.output();
    for i in 0..100 {
        assert!(text.lines().any(|l| l == format!("GET /{i} 403")), "line {i}");
    }
}

/// A receiver that is not there yet costs lines, and nothing else; when it comes, it gets the next ones.
#[test]
fn a_receiver_that_comes_late() {
    let dir = Dir::new();
    let path = dir.0.join("late");
    let port = free_port();
    let _p = haring(&config(port, &format!("log {} format raw local0", path.display())), &[port]);
    assert_eq!(get(port, "/lost", "Host: x\r\n").status, 403);
    // Its line leaves at about the time at which the client has its answer.
    std::thread::sleep(Duration::from_millis(200));
    let receiver = UnixDatagram::bind(&path).expect("a path of our own");
    receiver.set_read_timeout(Some(PATIENCE)).expect("valid");
    assert_eq!(get(port, "/found", "Host: x\r\n").status, 403);
    let mut buf = [0; 2000];
    let n = receiver.recv(&mut buf).expect("a line");
    assert_eq!(String::from_utf8_lossy(&buf[..n]), "GET /found 403\n");
}

/// A receiver that reads nothing never makes a client wait.
#[test]
fn a_receiver_that_does_not_read() {
    let (mut reader, writer) = std::io::pipe().expect("pipes can be made");
    let port = free_port();
    let dir = Dir::new();
    let path = dir.file("haring.cfg", &config(port, "log fd@1 format raw local0"));
    let program = std::env::var_os("HARING_PROGRAM").unwrap_or_else(|| env!("CARGO_BIN_EXE_haring").into());
    let mut command = std::process::Command::new(program);
    command.arg("-db").arg("-f").arg(path).stdin(std::process::Stdio::null()).stdout(writer);
    let child = command.spawn().expect("the binary was built");
    drop(command);
    let p = Process { child, dir };
    wait_until("it listens", || std::net::TcpStream::connect(("127.0.0.1", port)).is_ok());
    // Much more than a pipe holds.
    let mut c = Client::connect(port);
    let long = "y".repeat(900);
    for i in 0..400 {
        c.send(format!("GET /{i}{long} HTTP/1.1\r\nHost: x\r\n\r\n"));
        assert_eq!(c.answer().expect("an answer").status, 403);
    }
    std::thread::sleep(Duration::from_millis(50));
    drop(p);
    let mut text = String::new();
    reader.read_to_string(&mut text).expect("text");
    assert!(text.len() >= 50_000, "a pipe holds 64 KiB, {} bytes came", text.len());
    assert!(text.lines().all(|l| l.ends_with(" 403")), "no line is torn");
}
