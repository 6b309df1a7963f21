//! From the command line to a checked configuration.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use super::args::Args;
use super::{demo, messages, privileges};
use crate::acl::PatternLists;
use crate::cli;
use crate::config::{
    self, Diagnostics, Env, LoadOptions, Loaded, Loc, RenderOptions, Section, SectionKind, Severity, Sources,
    Tables,
};
use crate::proxy::{self, GlobalConf, SavedStates, Snapshot};

/// A configuration that may be started.
pub struct Ready {
    /// What to run.
    pub snapshot: Snapshot,
    /// The `global` section's settings.
    pub global: GlobalConf,
    /// The admin sockets.
    pub admin: Vec<cli::SocketConf>,
    /// The environment after the configuration's changes.
    pub env: Env,
    /// The pattern lists of ACLs and maps.
    pub lists: Arc<PatternLists>,
    /// Everything that features registered.
    pub tables: Arc<Tables>,
    /// The files' text, for messages that name a line.
    pub sources: Sources,
    /// The servers of the built-in demonstration, when that is what runs.
    pub demo: Option<demo::Servers>,
    /// States of servers, out of the files that the configuration names.
    pub saved: SavedStates,
}

/// The environment that the configuration sees: the process's, and what HAProxy adds to it.
pub fn environment(args: &Args) -> Env {
    let mut env = Env::from_process();
    let host = nix::unistd::gethostname().map(|h| h.to_string_lossy().into_owned()).unwrap_or_default();
    env.set("HAPROXY_LOCALPEER", args.local_peer.clone().unwrap_or(host));
    env.set("HAPROXY_CFGFILES", args.config.join(";"));
    env.set("HAPROXY_HTTP_LOG_FMT", crate::log::builtin::HTTP);
    env.set("HAPROXY_HTTP_CLF_LOG_FMT", crate::log::builtin::HTTP_CLF);
    env.set("HAPROXY_TCP_LOG_FMT", crate::log::builtin::TCP);
    env.set("HAPROXY_TCP_CLF_LOG_FMT", crate::log::builtin::TCP_CLF);
    env.set("HAPROXY_HTTPS_LOG_FMT", crate::log::builtin::HTTPS);
    env
}

/// Load, resolve, and say everything that is wrong. `Err` is the exit code; everything was said.
pub fn load(args: &Args) -> Result<Ready, ExitCode> {
    let tables = crate::registry::tables();
    let mut env = environment(args);
    let demo = args.config.is_empty().then(|| demo::Servers::bind(&mut env)).transpose().map_err(|why| {
        messages::alert(&why);
        ExitCode::FAILURE
    })?;
    let options = LoadOptions { env, diag_mode: args.diagnose };
    let loaded = if demo.is_some() {
        config::load_str(demo::NAME, demo::CONFIG, options, &tables)
    } else {
        let paths: Vec<PathBuf> = args.config.iter().map(PathBuf::from).collect();
        config::load(&paths, options, &tables)
    };
    let Loaded { mut sections, mut diags, sources, env, shared } = loaded;
    overrule(args, &mut sections);
    say_unsupported(args, &mut diags);
    let global = GlobalConf::of(&sections);
    privileges::check(&global, &mut diags);
    let place = sections.iter().find(|s| s.kind == SectionKind::Global).map_or(Loc::default(), |s| s.loc);
    let service = args.master_worker_notify || std::env::var_os(super::link::SERVICE).is_some();
    privileges::check_root(&global, service, place, &mut diags);
    let admin = cli::sockets(&global, &env, &mut diags);
    let mut snapshot = proxy::resolve(sections, &mut diags);
    if let (Some(snapshot), Some(maxconn)) = (&mut snapshot, args.proxy_maxconn) {
        let frontends = snapshot.proxies.iter_mut().filter_map(|p| p.frontend.as_mut());
        frontends.filter(|f| f.maxconn == 0).for_each(|f| f.maxconn = maxconn);
    }
    let quiet = (args.quiet || global.process.quiet) && !args.verbose;
    let rendered = config::render(&diags, &sources, RenderOptions { quiet, pid: std::process::id() });
    messages::text(&rendered);
    if let Some(classes) = &args.dump_keywords {
        dump_keywords(classes, &tables)?;
    }
    let Some(snapshot) = snapshot.filter(|_| !diags.has_errors()) else {
        messages::text(&config::fatal_summary(&diags, &sources, std::process::id()));
        return Err(ExitCode::FAILURE);
    };
    if diags.has_warnings() && (args.zero_warning || global.process.zero_warning) {
        let line = format!(
            "{}'zero-warning' is set, and there are warnings: not started.\n",
            config::prefix(Severity::Alert, std::process::id())
        );
        messages::text(&line);
        return Err(ExitCode::FAILURE);
    }
    if args.check && diags.has_warnings() && !quiet {
        messages::text(&format!("{}\n", config::WARNINGS_FOUND));
    }
    let (lists, tables) = (shared.get(), Arc::new(tables));
    let say = |why: String| messages::warning(&why);
    let saved = if args.check { SavedStates::default() } else { SavedStates::read(&snapshot, say) };
    Ok(Ready { snapshot, global, admin, env, lists, tables, sources, demo, saved })
}

/// The command line has the last word over the `global` section.
fn overrule(args: &Args, sections: &mut Vec<Section>) {
    let kind = SectionKind::Global;
    if !sections.iter().any(|s| s.kind == kind) {
        sections.insert(0, Section::new(kind, String::new(), Loc::default()));
    }
    let section = sections.iter_mut().find(|s| s.kind == kind).expect("there is one now");
    let global = section.feature::<GlobalConf>();
    global.tune.no_splice |= args.no_splice;
    global.peers.command_line.clone_from(&args.local_peer);
    global.peers.predecessor = !args.finish.is_empty();
    if let Some(maxconn) = args.maxconn {
        global.limits.maxconn = Some(maxconn as usize);
    }
}

/// Flags that are understood and do nothing yet.
fn say_unsupported(args: &Args, diags: &mut Diagnostics) {
    let flags = [
        (
            args.master_cli.is_some() && !args.master_worker && !args.master_worker_notify,
            "-S",
            "there is no master process",
        ),
        (
            args.ignore_resolution,
            "-dr",
            "a server name that does not resolve is an error unless 'init-addr' says otherwise",
        ),
        (args.no_server_verify, "-dV", "there is no TLS towards servers yet"),
    ];
    for (_, flag, why) in flags.iter().filter(|f| f.0) {
        diags.warning(Loc::default(), format!("option '{flag}' has no effect: {why}"));
    }
}

fn dump_keywords(classes: &str, tables: &Tables) -> Result<(), ExitCode> {
    match config::listing::dump_keywords(classes, tables) {
        Ok(text) => {
            let _ = std::io::stdout().lock().write_all(text.as_bytes());
            Ok(())
        }
        Err(why) => {
            messages::alert(&why);
            Err(ExitCode::FAILURE)
        }
    }
}

/// Whether anything is listened on: by a proxy, the admin, or a peers section.
pub fn listens(snapshot: &Snapshot, admin: &[cli::SocketConf]) -> bool {
    let peers = snapshot.peers.iter().any(|p| p.is_active() && p.listen.is_some());
    !snapshot.listeners.is_empty() || !admin.is_empty() || peers
}

/// `-cc`: 0 true, 1 false, 2 error.
pub fn condition(text: &str, args: &Args) -> ExitCode {
    let (text, value) = config::condition::eval_line(text, &environment(args));
    match value {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(error) => {
            let marker = format!("{}{}", " ".repeat(error.at), "^".repeat(error.len.max(1)));
            messages::alert(&format!("unable to evaluate the condition: {error}\n  {text}\n  {marker}"));
            ExitCode::from(2)
        }
    }
}
