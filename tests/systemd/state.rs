//! What a service knows, as its admin socket says it.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;

/// Commands on one line at most: a line is bounded.
const CHUNK: usize = 100;

/// The admin socket, seen from outside of the machine.
pub struct Admin(PathBuf);

impl Admin {
    /// The socket `path` of the machine whose process 1 is `init` here.
    pub fn new(init: i32, path: &str) -> Admin {
        Admin(PathBuf::from(format!("/proc/{init}/root{path}")))
    }

    /// What is answered to one line.
    pub fn ask(&self, line: &str) -> String {
        let mut stream = UnixStream::connect(&self.0).expect("the admin socket is there");
        stream.write_all(format!("{line}\n").as_bytes()).expect("it reads");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("it answers");
        answer
    }

    /// Fill the table with so many addresses.
    pub fn fill(&self, table: &str, count: u32) {
        let set = |n: u32| {
            let key = std::net::Ipv4Addr::from(0x0a00_0000 + n);
            format!("set table {table} key {key} data.gpc0 {} data.gpt0 {}", n % 1000 + 1, n % 7)
        };
        let mut stream = UnixStream::connect(&self.0).expect("the admin socket is there");
        let mut sink = stream.try_clone().expect("a second descriptor");
        let reader = std::thread::spawn(move || std::io::copy(&mut sink, &mut std::io::sink()));
        stream.write_all(b"prompt\n").expect("it reads");
        for first in (0..count).step_by(CHUNK) {
            let last = count.min(first + CHUNK as u32);
            let line: Vec<String> = (first..last).map(set).collect();
            stream.write_all(format!("{}\n", line.join(";")).as_bytes()).expect("it reads");
        }
        stream.write_all(b"quit\n").expect("it reads");
        reader.join().expect("the reader ends").expect("it can read");
    }

    /// Key and data of each entry; not what moves: address in memory, time left.
    pub fn entries(&self, table: &str) -> BTreeMap<String, String> {
        let answer = self.ask(&format!("show table {table}"));
        let entry = |line: &str| {
            let fields = line.split_once(": ")?.1;
            let (key, data) = fields.strip_prefix("key=")?.split_once(' ')?;
            let stays: Vec<&str> =
                data.split(' ').filter(|f| !f.starts_with("exp=") && !f.starts_with("shard=")).collect();
            Some((key.to_owned(), stays.join(" ")))
        };
        answer.lines().filter_map(entry).collect()
    }

    /// Columns of each line of `show stat`, by names.
    pub fn statistics(&self) -> BTreeMap<String, BTreeMap<String, String>> {
        let answer = self.ask("show stat");
        let mut lines = answer.lines().filter(|l| !l.is_empty());
        let head: Vec<&str> = lines.next().unwrap_or("").trim_start_matches("# ").split(',').collect();
        let row = |line: &str| {
            let values: Vec<&str> = line.split(',').collect();
            let name = format!("{}/{}", values[0], values[1]);
            (name, head.iter().zip(values).map(|(h, v)| ((*h).to_owned(), v.to_owned())).collect())
        };
        lines.map(row).collect()
    }

    /// A line of `show info`.
    pub fn info(&self, name: &str) -> String {
        let answer = self.ask("show info");
        let line = answer.lines().find_map(|l| l.strip_prefix(name)?.strip_prefix(": "));
        line.unwrap_or_else(|| panic!("no {name}: {answer}")).to_owned()
    }
}
