//! Startup, threads, signals, privileges.
//!
//! ```text
//! args -> load -> bind (every listener of every thread, before privileges go)
//!      -> daemon, pid file, chroot, user -> threads -> signals (the main thread) -> exit code
//! ```

pub mod args;
mod bind;
mod capabilities;
mod control;
mod daemon;
mod demo;
mod handover;
mod heirs;
pub mod inherit;
pub mod keys;
mod limits;
pub mod link;
mod load;
pub mod master;
mod messages;
mod pool;
mod privileges;
mod report;
mod segments;
mod start;
mod state;
mod version;
mod worker;
mod wrapper;

use std::io::Write;
use std::process::ExitCode;

use args::Args;
use inherit::Inherited;

use crate::config::SectionKind;

/// Entry point of `haring`.
pub fn main() -> ExitCode {
    let mut words = std::env::args_os().map(|w| w.to_string_lossy().into_owned());
    let program = words.next().unwrap_or_else(|| "haring".to_owned());
    let words: Vec<String> = words.collect();
    match args::parse(&words) {
        Ok(args) => run(&program, &args),
        Err(why) => {
            let text = format!("{program}: {why}\n\n{}\n{}", version::first_line(), args::usage(&program));
            let _ = std::io::stderr().lock().write_all(text.as_bytes());
            ExitCode::FAILURE
        }
    }
}

fn run(program: &str, args: &Args) -> ExitCode {
    if let Some(text) = information(program, args) {
        let _ = std::io::stdout().lock().write_all(text.as_bytes());
        return ExitCode::SUCCESS;
    }
    if args.quiet && !args.verbose {
        messages::be_quiet();
    }
    if let Some(condition) = &args.condition {
        return load::condition(condition, args);
    }
    if let Err(code) = enter_directory(args) {
        return code;
    }
    if let Some(kind) = master_kind(args) {
        return master::main(args, kind);
    }
    let inherited = match inherited(args) {
        Ok(inherited) => inherited,
        Err(why) => {
            messages::alert(&why);
            return ExitCode::FAILURE;
        }
    };
    if let Err(why) = master::check(args) {
        messages::alert(&why);
        return ExitCode::FAILURE;
    }
    let ready = match load::load(args) {
        Ok(ready) => ready,
        Err(code) => return code,
    };
    if args.check {
        return checked(args, &ready);
    }
    if inherited.link.is_none() && args.master_cli.is_some() {
        messages::warning("option '-S' has no effect without a master process: see -W and 'master-worker'");
    }
    if inherited.link.is_none() && ready.global.process.master_worker {
        messages::alert(
            "'master-worker' needs a configuration that can be read again for each worker: use files",
        );
        return ExitCode::FAILURE;
    }
    if inherited.link.is_none() && ready.snapshot.sections.iter().any(|s| s.kind == SectionKind::Program) {
        messages::warning(
            "'program' sections have no effect without a master process: see -W and 'master-worker'",
        );
    }
    start::start(args, ready, inherited)
}

/// `-C`. A master that has executed itself anew is there already.
fn enter_directory(args: &Args) -> Result<(), ExitCode> {
    let Some(dir) = args.chdir.as_ref().filter(|_| !master::is_restored()) else { return Ok(()) };
    std::env::set_current_dir(dir).map_err(|error| {
        messages::alert(&format!("Could not change to directory {dir} : {error}"));
        ExitCode::FAILURE
    })
}

/// Whether this is to be a master: not when it only checks, and not when a master has started it.
fn master_kind(args: &Args) -> Option<master::Kind> {
    if args.check || std::env::var_os(link::ENV).is_some() {
        return None;
    }
    if args.master_worker_notify || args.foreground_service {
        return Some(master::Kind::Service);
    }
    let plain = args.master_worker || master::conf::Conf::read(args).global.process.master_worker;
    plain.then_some(master::Kind::Plain)
}

/// What the process before this one leaves to it, before anything is loaded or opened.
fn inherited(args: &Args) -> Result<Inherited, String> {
    if args.check {
        return Ok(Inherited::default());
    }
    let mut inherited = Inherited::of_master()?;
    if inherited.link.is_none() {
        // Socket activation. With a master, it is the master that gets them.
        for (n, (name, fd)) in master::notify::passed().into_iter().enumerate() {
            inherited.fds.insert(keys::key(&["socket", &name, &n.to_string()]), fd);
        }
    }
    if let Some(path) = &args.inherit {
        inherited.add(heirs::inherit(path)?);
    }
    Ok(inherited)
}

/// `-c` with a configuration that is right.
fn checked(args: &Args, ready: &load::Ready) -> ExitCode {
    if !load::listens(&ready.snapshot, &ready.admin) {
        let text = "Configuration file has no error but will not start (no listener) => exit(2).\n";
        let _ = std::io::stdout().lock().write_all(text.as_bytes());
        return ExitCode::from(2);
    }
    if !args.quiet || args.verbose {
        let _ = writeln!(std::io::stdout().lock(), "{}", crate::config::VALID);
    }
    ExitCode::SUCCESS
}

/// The text of flags that only ask for one.
fn information(program: &str, args: &Args) -> Option<String> {
    if args.usage {
        return Some(format!("{}\n{}", version::first_line(), args::usage(program)));
    }
    if args.build_info {
        return Some(version::build_info());
    }
    if args.version_number {
        return Some(format!("{}\n", version::VERSION));
    }
    args.version.then(|| format!("{}\n", version::first_line()))
}

/// Entry point of `haring-systemd-wrapper`.
pub fn wrapper_main() -> ExitCode {
    wrapper::main()
}
