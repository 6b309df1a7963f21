//! Which backend a request goes to, and what stays of a frontend's settings there.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

use haring::runtime::sim::Faults;
use haring::stream::Shared;

use crate::world::{Peer, connect, load, origin, run};

const PROXY: u16 = 1083;
const ORIGIN: u16 = 2005;

/// The whole answers to requests with these extra fields, each on a connection of its own.
fn answers(shared: &Arc<Shared>, fields: &'static [&'static str]) -> Vec<String> {
    let got = Rc::new(RefCell::new(Vec::new()));
    let out = got.clone();
    run(1, Faults::default(), shared, move |_| async move {
        origin(ORIGIN, |mut p: Peer| async move {
            while p.more().await {
                p.say(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await;
            }
        });
        for field in fields {
            let mut p = Peer::new(connect(PROXY).await.expect("connect"));
            p.say(format!("GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{field}\r\n").as_bytes()).await;
            let answer = p.rest(Duration::from_secs(30)).await;
            out.borrow_mut().push(String::from_utf8_lossy(&answer).into_owned());
        }
    });
    got.take()
}

const TIMEOUTS: &str = " timeout client 1s\n timeout server 1s\n timeout connect 300ms\n";

const SWITCHING: &str = "
frontend fe
 mode http
 force-be-switch if { req.hdr(x-force) yes }
 use_backend %[req.hdr(x-to)] if { req.hdr(x-to) -m found }
 use_backend off
 use_backend a
 default_backend b
backend a
 mode http
 http-request return status 200 hdr x-be a
backend b
 mode http
 http-request return status 200 hdr x-be b
backend off
 mode http
 disabled
 http-request return status 200 hdr x-be off
backend hidden
 mode http
 be-unpublished
 http-request return status 200 hdr x-be hidden
";

#[test]
fn disabled_and_unpublished_backends_are_passed_over() {
    let text = SWITCHING
        .replace("mode http", &format!("mode http\n{TIMEOUTS}"))
        .replace("force-be", &format!("bind 127.0.0.1:{PROXY}\n force-be"));
    let shared = load(&text);
    let requests: &[&str] = &[
        "",
        "x-to: b\r\n",
        "x-to: nobody\r\n",
        "x-to: hidden\r\n",
        "x-force: yes\r\n",
        "x-force: yes\r\nx-to: hidden\r\n",
    ];
    let wanted = ["a", "b", "b", "a", "off", "hidden"];
    for (answer, be) in answers(&shared, requests).iter().zip(wanted) {
        assert!(answer.contains(&format!("x-be: {be}\r\n")), "{be} is not in {answer}");
    }
    let id = |name: &str| shared.snapshot.backend(name).expect("it is in the file").id;
    for name in ["a", "b"] {
        shared.live.backend(id(name)).unpublished.store(1, SeqCst);
    }
    shared.live.backend(id("hidden")).unpublished.store(0, SeqCst);
    let after = answers(&shared, &["", "x-to: hidden\r\n"]);
    assert!(after[0].starts_with("HTTP/1.1 503"), "{}", after[0]);
    assert!(after[1].contains("x-be: hidden\r\n"), "{}", after[1]);
}

#[test]
fn a_frontends_retries_do_not_follow_to_another_backend() {
    let text = format!(
        "defaults\n mode http\n{TIMEOUTS} retries 3\n\
         listen px\n bind 127.0.0.1:{PROXY}\n http-request set-retries 5\n use_backend plain if {{ req.hdr(x-to) p }}\n \
         use_backend own if {{ req.hdr(x-to) o }}\n \
         http-after-response set-header x-retries \"%[be_max_retries] %[cur_max_retries]\"\n \
         server s1 127.0.0.1:{ORIGIN}\n\
         backend plain\n server s1 127.0.0.1:{ORIGIN}\n\
         backend own\n http-request set-retries 7\n server s1 127.0.0.1:{ORIGIN}\n"
    );
    let shared = load(&text);
    let got = answers(&shared, &["", "x-to: p\r\n", "x-to: o\r\n"]);
    for (answer, wanted) in got.iter().zip(["3 5", "3 3", "3 7"]) {
        assert!(answer.contains(&format!("x-retries: {wanted}\r\n")), "{wanted} is not in {answer}");
    }
}
