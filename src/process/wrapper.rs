//! `haring-systemd-wrapper`: the master behind the classic wrapper's command line. Options are those of `haring`, which is
//! beside it and is what its workers run.

use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};

use super::master::{self, Kind};
use super::{args, enter_directory, messages};

/// Entry point of the wrapper.
pub fn main() -> ExitCode {
    let words: Vec<_> = std::env::args_os().skip(1).collect();
    let text: Vec<String> = words.iter().map(|w| w.to_string_lossy().into_owned()).collect();
    match args::parse(&text) {
        Ok(args) if !args.only_asks() => {
            if args.quiet && !args.verbose {
                messages::be_quiet();
            }
            match enter_directory(&args) {
                Ok(()) => master::main(&args, Kind::Wrapper),
                Err(code) => code,
            }
        }
        // What only asks for something, and what is wrong, is the program's to answer.
        _ => {
            let program = master::conf::own_file().with_file_name("haring");
            let error = Command::new(&program).args(words).exec();
            messages::alert(&format!("cannot execute {}: {error}", program.display()));
            ExitCode::FAILURE
        }
    }
}
