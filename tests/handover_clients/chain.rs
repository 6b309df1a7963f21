//! More than two generations at the same time.

use super::pair::{Client, Worker, config, has_connections, serve};
use super::support::{Dir, free_port};

#[test]
fn the_successor_of_the_successor_takes_what_comes_late() {
    let (dir, port, server) = (Dir::new(), free_port(), serve());
    let old = Worker::start(&dir, &dir.file("a.cfg", &config("a", port, server.port, "")), None);
    let mut client = Client::connect(port);
    client.write("GET /slow HTTP/1.1\r\nhost: x\r\n\r\n");
    server.was_asked();
    let middle = old.succeeded_by(&dir, &dir.file("b.cfg", &config("b", port, server.port, "")));
    let new = middle.succeeded_by(&dir, &dir.file("c.cfg", &config("c", port, server.port, "")));
    middle.ends_well();
    server.go_on();
    let (head, _) = client.response().expect("answered");
    assert!(head.contains("via: a") && !head.contains("connection:"), "{head}");
    old.ends_well();
    has_connections(&new, 1);
    client.write("GET /next HTTP/1.1\r\nhost: x\r\n\r\n");
    assert!(client.response().expect("answered").0.contains("via: c"));
}

#[test]
fn what_a_full_successor_does_not_take_its_own_successor_takes() {
    let (dir, port, server) = (Dir::new(), free_port(), serve());
    let old = Worker::start(&dir, &dir.file("a.cfg", &config("a", port, server.port, "")), None);
    let mut busy = Client::connect(port);
    busy.write("GET /slow HTTP/1.1\r\nhost: x\r\n\r\n");
    server.was_asked();
    let mut clients: Vec<Client> = (0..5).map(|_| Client::connect(port)).collect();
    clients.iter_mut().for_each(|c| assert_eq!(c.get("/").expect("served"), "/"));
    let small = config("b", port, server.port, "").replace("maxconn 1000", "maxconn 2");
    let middle = old.succeeded_by(&dir, &dir.file("b.cfg", &small));
    has_connections(&middle, 2);
    let new = middle.succeeded_by(&dir, &dir.file("c.cfg", &config("c", port, server.port, "")));
    middle.ends_well();
    server.go_on();
    busy.response().expect("answered");
    old.ends_well();
    has_connections(&new, 6);
    for client in &mut clients {
        client.write("GET /next HTTP/1.1\r\nhost: x\r\n\r\n");
        assert!(client.response().expect("answered").0.contains("via: c"));
    }
}

#[test]
fn what_waited_for_a_full_successor_goes_on_though_its_sender_is_gone() {
    let (dir, port, server) = (Dir::new(), free_port(), serve());
    let old = Worker::start(&dir, &dir.file("a.cfg", &config("a", port, server.port, "")), None);
    let mut clients: Vec<Client> = (0..12).map(|_| Client::connect(port)).collect();
    clients.iter_mut().for_each(|c| assert_eq!(c.get("/").expect("served"), "/"));
    let small = config("b", port, server.port, "").replace("maxconn 1000", "maxconn 2");
    let middle = old.succeeded_by(&dir, &dir.file("b.cfg", &small));
    old.ends_well();
    has_connections(&middle, 2);
    let new = middle.succeeded_by(&dir, &dir.file("c.cfg", &config("c", port, server.port, "")));
    middle.ends_well();
    has_connections(&new, 12);
    for client in &mut clients {
        client.write("GET /next HTTP/1.1\r\nhost: x\r\n\r\n");
        assert!(client.response().expect("answered").0.contains("via: c"));
    }
}
