//! The command line: HAProxy's spellings, turned into long options by a table, then parsed by `argh`.
//!
//! `argh` knows neither `-Ws` nor `-sf 1 2` nor `-dKcfg,acl`; [`SPELLINGS`] says for each flag what follows it.

use std::ffi::OsString;

use argh::FromArgs;

/// How a flag takes its value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Takes {
    /// Nothing.
    Nothing,
    /// The next argument.
    Next,
    /// The rest of the same argument, possibly empty (`-dKall`, `-dM0xAA,fail`).
    Attached,
    /// Every following argument up to the next one that starts with `-`.
    List,
    /// Nothing; accepted without effect, for the reason in the help text.
    Ignored,
}

struct Spelling {
    flag: &'static str,
    /// The long option it becomes; empty for `Ignored`.
    long: &'static str,
    takes: Takes,
    /// What stands for the value in the usage text.
    value: &'static str,
    help: &'static str,
}

const fn s(
    flag: &'static str,
    long: &'static str,
    takes: Takes,
    value: &'static str,
    help: &'static str,
) -> Spelling {
    Spelling { flag, long, takes, value, help }
}

/// Every flag. Order is that of the usage text.
const SPELLINGS: &[Spelling] = &[
    s(
        "-f",
        "--config",
        Takes::Next,
        "<file|dir>",
        "load this file, or all *.cfg of this directory (several times)",
    ),
    s("-v", "--version", Takes::Nothing, "", "show the version"),
    s("-vv", "--build-info", Takes::Nothing, "", "show the version, features and what the kernel offers"),
    s("-vq", "--version-number", Takes::Nothing, "", "show the version number only"),
    s("-c", "--check", Takes::Nothing, "", "check the configuration and exit: 0 valid, 1 invalid"),
    s("-cc", "--condition", Takes::Next, "<condition>", "evaluate a condition: 0 true, 1 false, 2 error"),
    s("-D", "--daemon", Takes::Nothing, "", "go to the background"),
    s("-Ds", "--foreground-service", Takes::Nothing, "", "the old name of -Ws"),
    s("-W", "--master-worker", Takes::Nothing, "", "a master process, and workers that it replaces"),
    s(
        "-Ws",
        "--master-worker-notify",
        Takes::Nothing,
        "",
        "the same in the foreground, for Type=notify units",
    ),
    s("-d", "--debug", Takes::Nothing, "", "stay in the foreground and be verbose"),
    s("-db", "--foreground", Takes::Nothing, "", "stay in the foreground"),
    s("-q", "--quiet", Takes::Nothing, "", "print no messages"),
    s("-V", "--verbose", Takes::Nothing, "", "print more (undoes -q)"),
    s("-C", "--chdir", Takes::Next, "<dir>", "change to this directory before loading files"),
    s("-p", "--pidfile", Takes::Next, "<file>", "write the process id to this file"),
    s(
        "-L",
        "--local-peer",
        Takes::Next,
        "<name>",
        "name of this node in peers sections (default: host name)",
    ),
    s("-n", "--maxconn", Takes::Next, "<number>", "limit of concurrent connections of the process"),
    s(
        "-N",
        "--proxy-maxconn",
        Takes::Next,
        "<number>",
        "default limit of concurrent connections of a frontend",
    ),
    s("-m", "--memory", Takes::Next, "<megabytes>", "limit of the memory of the process"),
    s(
        "-S",
        "--master-cli",
        Takes::Next,
        "<bind>[,opts]",
        "the master's admin socket: address[,bind options]",
    ),
    s("-sf", "--finish", Takes::List, "<pid>*", "when ready, ask these processes to finish (SIGUSR1)"),
    s("-st", "--terminate", Takes::List, "<pid>*", "when ready, terminate these processes (SIGTERM)"),
    s("-x", "--inherit", Takes::Next, "<socket>", "take over from the process with this admin socket"),
    s("-dD", "--diagnose", Takes::Nothing, "", "warn about suspicious statements"),
    s("-dW", "--zero-warning", Takes::Nothing, "", "refuse to start when there are warnings"),
    s("-dK", "--dump-keywords", Takes::Attached, "<class[,class]*>", "print keywords (classes: -dKhelp)"),
    s("-dS", "--no-splice", Takes::Nothing, "", "do not use splice(2)"),
    s("-dV", "--no-server-verify", Takes::Nothing, "", "do not verify servers' certificates"),
    s("-dr", "--ignore-resolution", Takes::Nothing, "", "start although server addresses do not resolve"),
    s("-dR", "--no-reuseport", Takes::Nothing, "", "do not share ports with other processes"),
    s("-dM", "", Takes::Attached, "", "ignored: memory poisoning has no meaning in Rust"),
    s("-dI", "", Takes::Ignored, "", "ignored: insecure-fork-wanted restricts nothing here"),
    s("-dG", "", Takes::Ignored, "", "ignored: names are resolved by one resolver"),
    s("-dL", "", Takes::Ignored, "", "ignored: there are no loadable modules"),
    s("-dZ", "", Takes::Ignored, "", "ignored: forwarding has one path"),
    s("-dF", "", Takes::Ignored, "", "ignored: forwarding has one path"),
    s("-de", "", Takes::Ignored, "", "ignored: the poller is io_uring"),
    s("-dp", "", Takes::Ignored, "", "ignored: the poller is io_uring"),
    s("-dk", "", Takes::Ignored, "", "ignored: the poller is io_uring"),
    s("-dv", "", Takes::Ignored, "", "ignored: the poller is io_uring"),
    s("-ds", "", Takes::Ignored, "", "ignored: the poller is io_uring"),
    s("-h", "--usage", Takes::Nothing, "", "show this text"),
];

/// The parsed command line.
#[derive(FromArgs, Clone, Debug, Default, PartialEq, Eq)]
#[argh(description = "TCP and HTTP load balancer")]
pub struct Args {
    /// configuration files and directories
    #[argh(option)]
    pub config: Vec<String>,
    /// the flag `-v`
    #[argh(switch)]
    pub version: bool,
    /// the flag `-vv`
    #[argh(switch)]
    pub build_info: bool,
    /// the flag `-vq`
    #[argh(switch)]
    pub version_number: bool,
    /// the flag `-c`
    #[argh(switch)]
    pub check: bool,
    /// the flag `-cc`
    #[argh(option)]
    pub condition: Option<String>,
    /// the flag `-D`
    #[argh(switch)]
    pub daemon: bool,
    /// the flag `-Ds`
    #[argh(switch)]
    pub foreground_service: bool,
    /// the flag `-W`
    #[argh(switch)]
    pub master_worker: bool,
    /// the flag `-Ws`
    #[argh(switch)]
    pub master_worker_notify: bool,
    /// the flag `-d`
    #[argh(switch)]
    pub debug: bool,
    /// the flag `-db`
    #[argh(switch)]
    pub foreground: bool,
    /// the flag `-q`
    #[argh(switch)]
    pub quiet: bool,
    /// the flag `-V`
    #[argh(switch)]
    pub verbose: bool,
    /// the flag `-C`
    #[argh(option)]
    pub chdir: Option<String>,
    /// the flag `-p`
    #[argh(option)]
    pub pidfile: Option<String>,
    /// the flag `-L`
    #[argh(option)]
    pub local_peer: Option<String>,
    /// the flag `-n`
    #[argh(option)]
    pub maxconn: Option<u32>,
    /// the flag `-N`
    #[argh(option)]
    pub proxy_maxconn: Option<u32>,
    /// the flag `-m`
    #[argh(option)]
    pub memory: Option<u64>,
    /// the flag `-S`
    #[argh(option)]
    pub master_cli: Option<String>,
    /// the flag `-sf`
    #[argh(option)]
    pub finish: Vec<i32>,
    /// the flag `-st`
    #[argh(option)]
    pub terminate: Vec<i32>,
    /// the flag `-x`
    #[argh(option)]
    pub inherit: Option<String>,
    /// the flag `-dD`
    #[argh(switch)]
    pub diagnose: bool,
    /// the flag `-dW`
    #[argh(switch)]
    pub zero_warning: bool,
    /// the flag `-dK`
    #[argh(option)]
    pub dump_keywords: Option<String>,
    /// the flag `-dS`
    #[argh(switch)]
    pub no_splice: bool,
    /// the flag `-dV`
    #[argh(switch)]
    pub no_server_verify: bool,
    /// the flag `-dr`
    #[argh(switch)]
    pub ignore_resolution: bool,
    /// the flag `-dR`
    #[argh(switch)]
    pub no_reuseport: bool,
    /// the flag `-h`
    #[argh(switch)]
    pub usage: bool,
}

impl Args {
    /// Nothing is to be run: these ask for a text, or for a check.
    pub fn only_asks(&self) -> bool {
        let text = self.usage || self.version || self.build_info || self.version_number;
        text || self.check || self.condition.is_some()
    }
}

/// Parse the arguments after the program's name.
///
/// # Errors
/// One line that says what is wrong with which argument.
pub fn parse(args: &[String]) -> Result<Args, String> {
    let long = translate(args)?;
    let long: Vec<&str> = long.iter().map(String::as_str).collect();
    Args::from_args(&["haring"], &long).map_err(|exit| {
        let text = exit.output.trim().replace('\n', ": ");
        match SPELLINGS.iter().find(|s| !s.long.is_empty() && text.contains(&format!("'{}'", s.long))) {
            Some(s) => text.replace(&format!("'{}'", s.long), &format!("'{}'", s.flag)),
            None => text,
        }
    })
}

/// Flags that are for the master alone.
const MASTER_FLAGS: [&str; 9] = ["-W", "-Ws", "-Ds", "-p", "-S", "-sf", "-st", "-C", "-x"];

/// Those of them that the first worker gets as well: whom it replaces.
const FIRST_FLAGS: [&str; 3] = ["-sf", "-st", "-x"];

/// The arguments of a worker: those of its master without those that are for the master alone.
pub fn of_worker(args: &[OsString], first: bool) -> Vec<OsString> {
    let mut out = Vec::with_capacity(args.len());
    let mut rest = args.iter().peekable();
    while let Some(arg) = rest.next() {
        let text = arg.to_string_lossy();
        if text == "--" {
            out.push(arg.clone());
            out.extend(rest.cloned());
            break;
        }
        let mut group = vec![arg.clone()];
        match find(&text).map(|(spelling, _)| spelling.takes) {
            Some(Takes::Next) => group.extend(rest.next().cloned()),
            Some(Takes::List) => {
                while let Some(value) = rest.next_if(|v| !v.as_encoded_bytes().starts_with(b"-")) {
                    group.push(value.clone());
                }
            }
            _ => {}
        }
        if !MASTER_FLAGS.contains(&&*text) || (first && FIRST_FLAGS.contains(&&*text)) {
            out.extend(group);
        }
    }
    out
}

/// HAProxy's spellings to long options.
fn translate(args: &[String]) -> Result<Vec<String>, String> {
    let mut out = Vec::with_capacity(args.len());
    let mut i = 0;
    while i < args.len() {
        let arg = args[i].as_str();
        i += 1;
        if arg == "--" {
            for file in &args[i..] {
                out.extend(["--config".to_owned(), file.clone()]);
            }
            break;
        }
        if arg == "--help" || arg == "help" {
            out.push("--usage".to_owned());
            continue;
        }
        let Some((spelling, attached)) = find(arg) else {
            return Err(if arg.starts_with('-') {
                format!("unknown option '{arg}'")
            } else {
                format!("unexpected argument '{arg}' (configuration files need -f or --)")
            });
        };
        match spelling.takes {
            Takes::Ignored => {}
            Takes::Nothing => out.push(spelling.long.to_owned()),
            Takes::Attached if spelling.long.is_empty() => {}
            Takes::Attached => out.extend([spelling.long.to_owned(), attached.to_owned()]),
            Takes::Next => {
                let Some(value) = args.get(i) else {
                    return Err(format!("option '{arg}' needs {}", spelling.value));
                };
                i += 1;
                out.extend([spelling.long.to_owned(), value.clone()]);
            }
            Takes::List => {
                while let Some(value) = args.get(i).filter(|v| !v.starts_with('-')) {
                    i += 1;
                    if value.parse::<i32>().map_or(true, |pid| pid <= 0) {
                        return Err(format!("option '{arg}': '{value}' is not a process id"));
                    }
                    out.extend([spelling.long.to_owned(), value.clone()]);
                }
            }
        }
    }
    Ok(out)
}

/// The table row for one argument, and what is attached to the flag.
fn find(arg: &str) -> Option<(&'static Spelling, &str)> {
    if let Some(exact) = SPELLINGS.iter().find(|s| s.flag == arg) {
        return Some((exact, ""));
    }
    SPELLINGS
        .iter()
        .filter(|s| s.takes == Takes::Attached)
        .find_map(|s| arg.strip_prefix(s.flag).map(|rest| (s, rest)))
}

/// The usage text.
pub fn usage(program: &str) -> String {
    let mut out = format!("Usage : {program} [-f <cfgfile|cfgdir>]* [ -vdVD ] [options] [ -- <cfgfile>* ]\n");
    out.push_str("Without -f an embedded demonstration runs on 127.0.0.1:8080.\n");
    for spelling in SPELLINGS {
        let head = match spelling.takes {
            Takes::Attached => format!("{}{}", spelling.flag, spelling.value),
            _ if spelling.value.is_empty() => spelling.flag.to_owned(),
            _ => format!("{} {}", spelling.flag, spelling.value),
        };
        out.push_str(&format!("        {head:<22} {}\n", spelling.help));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ok(line: &str) -> Args {
        let args: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        parse(&args).unwrap_or_else(|e| panic!("{line}: {e}"))
    }

    fn err(line: &str) -> String {
        let args: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        parse(&args).expect_err(line)
    }

    #[test]
    fn lines_seen_from_test_drivers() {
        let a = ok("-d -dM -dI -dW -f /tmp/a.cfg");
        assert!(a.debug && a.zero_warning);
        assert_eq!(a.config, ["/tmp/a.cfg"]);
        let a = ok("-c -dM -dI -dW -V -f x");
        assert!(a.check && a.verbose && a.zero_warning);
        let a = ok("-f x -c");
        assert!(a.check);
        let a = ok("-d -Ws -S fd@5 -f x -p /tmp/pid");
        assert!(a.master_worker_notify && a.debug);
        assert_eq!(a.master_cli.as_deref(), Some("fd@5"));
        assert_eq!(a.pidfile.as_deref(), Some("/tmp/pid"));
        assert_eq!(ok("-cc feature(THREAD)").condition.as_deref(), Some("feature(THREAD)"));
    }

    #[test]
    fn attached_values_and_lists() {
        assert_eq!(ok("-dKcfg,acl").dump_keywords.as_deref(), Some("cfg,acl"));
        assert_eq!(ok("-dK").dump_keywords.as_deref(), Some(""));
        assert_eq!(ok("-dM0xAA,fail -dMno-merge"), Args::default());
        let a = ok("-f a -sf 10 20 -q");
        assert_eq!((a.finish.as_slice(), a.quiet), (&[10, 20][..], true));
        assert_eq!(ok("-sf").finish, Vec::<i32>::new());
        assert_eq!(ok("-st 7 -f a").terminate, [7]);
    }

    #[test]
    fn a_worker_gets_what_is_not_for_the_master() {
        let of = |line: &str, first| {
            let args: Vec<OsString> = line.split_whitespace().map(OsString::from).collect();
            of_worker(&args, first).join(std::ffi::OsStr::new(" ")).into_string().expect("text")
        };
        let line = "-W -D -f a -p pid -sf 1 2 -L node -S /m,level,admin -C /etc -x /s -dKcfg -n 5 -- b -W";
        assert_eq!(of(line, false), "-D -f a -L node -dKcfg -n 5 -- b -W");
        assert_eq!(of(line, true), "-D -f a -sf 1 2 -L node -x /s -dKcfg -n 5 -- b -W");
        assert_eq!(of("-Ws -st -d -f -W", false), "-d -f -W");
        assert_eq!(of("-Ds -p", false), "");
    }

    #[test]
    fn double_dash_takes_files_and_keeps_the_order() {
        let a = ok("-f one -- two three");
        assert_eq!(a.config, ["one", "two", "three"]);
    }

    #[test]
    fn one_letter_apart() {
        assert!(ok("-v").version);
        assert!(ok("-vv").build_info);
        assert!(ok("-D").daemon);
        assert!(ok("-Ds").foreground_service);
        assert!(ok("-db").foreground);
        assert!(ok("-dD").diagnose);
        assert!(ok("-W").master_worker);
    }

    #[test]
    fn errors_name_the_flag_as_written() {
        assert_eq!(err("-z"), "unknown option '-z'");
        assert_eq!(err("-f"), "option '-f' needs <file|dir>");
        assert_eq!(err("-sf x"), "option '-sf': 'x' is not a process id");
        assert!(err("-n many").contains("'-n'"), "{}", err("-n many"));
        assert!(err("haring.cfg").contains("need -f"));
    }

    #[test]
    fn every_flag_is_in_the_usage_text_and_is_unique() {
        let text = usage("haring");
        for (i, spelling) in SPELLINGS.iter().enumerate() {
            assert!(text.contains(&format!("        {}", spelling.flag)));
            assert!(SPELLINGS[..i].iter().all(|s| s.flag != spelling.flag), "{} twice", spelling.flag);
        }
    }
}
