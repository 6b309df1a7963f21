//! What a master needs to know of the configuration. What is wrong with it is the worker's to say.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::config::{self, Env, LoadOptions, SectionKind, Tables};
use crate::process::args::Args;
use crate::process::load;
use crate::proxy::program::ProgramConf;
use crate::proxy::{GlobalConf, global_keywords, keywords};

/// Its settings.
#[derive(Clone, Debug, Default)]
pub struct Conf {
    /// The `global` section.
    pub global: GlobalConf,
    /// The `program` sections, by name.
    pub programs: Vec<(String, ProgramConf)>,
    /// The environment after the configuration's changes, for programs.
    pub env: Env,
}

impl Conf {
    /// Read the files: the sections `global` and `program`, and nothing else. That is quick whatever the others hold
    /// (lists, certificates), and mistakes are passed over: the worker, which loads everything, reports them.
    pub fn read(args: &Args) -> Conf {
        let env = load::environment(args);
        if args.config.is_empty() {
            return Conf { env, ..Conf::default() };
        }
        let mut tables = Tables::default();
        tables.add(global_keywords::KEYWORDS);
        tables.add(keywords::program::KEYWORDS);
        // What can be read once only (a pipe) is the worker's.
        let paths = args.config.iter().map(PathBuf::from).filter(|path| path.is_file() || path.is_dir());
        let paths: Vec<PathBuf> = paths.collect();
        let loaded = config::load(&paths, LoadOptions { env, diag_mode: false }, &tables);
        let programs = loaded.sections.iter().filter(|s| s.kind == SectionKind::Program);
        let programs = programs.filter_map(|s| Some((s.name.clone(), s.get::<ProgramConf>()?.clone())));
        let programs = programs.filter(|(_, conf)| !conf.command.is_empty());
        Conf { global: GlobalConf::of(&loaded.sections), programs: programs.collect(), env: loaded.env }
    }
}

/// The program's own file as it was called, so that a link that leads to a newer one by now is followed; as the kernel
/// says when it was called by something else than its path.
pub fn own_file() -> PathBuf {
    let running = std::env::current_exe().unwrap_or_default();
    let called = PathBuf::from(std::env::args_os().next().unwrap_or_default());
    let called = std::path::absolute(&called).ok().filter(|_| called.components().count() > 1);
    let same = |path: &PathBuf| {
        let id = |path: &Path| std::fs::metadata(path).map(|m| (m.dev(), m.ino())).ok();
        id(path).is_some_and(|called| Some(called) == id(Path::new("/proc/self/exe")))
    };
    called.filter(same).unwrap_or_else(|| without_mark(&running))
}

/// A path without what the kernel adds to the name of a file that is gone.
fn without_mark(path: &Path) -> PathBuf {
    use std::ffi::OsString;
    use std::os::unix::ffi::{OsStrExt, OsStringExt};
    let bytes = path.as_os_str().as_bytes();
    PathBuf::from(OsString::from_vec(bytes.strip_suffix(b" (deleted)").unwrap_or(bytes).to_vec()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_replaced_file_is_found_by_its_name() {
        assert_eq!(without_mark(Path::new("/a/w (deleted)")), PathBuf::from("/a/w"));
        assert_eq!(without_mark(Path::new("/a/w")), PathBuf::from("/a/w"));
    }

    #[test]
    fn only_what_a_master_needs_is_read() {
        let path = std::env::temp_dir().join(format!("haring-master-conf-{}.cfg", std::process::id()));
        let text = "global\n pidfile /run/x\n mworker-max-reloads 3\n setenv A b\n nonsense\n\
                    program p\n command /bin/sleep \"1 2\" $A\n no option start-on-reload\n\
                    program q\n user root\n\
                    frontend f\n bind :80\n acl a src -f /nonexistent\n";
        std::fs::write(&path, text.replace("$A", "\"$A\"")).expect("written");
        let args = Args { config: vec![path.display().to_string()], ..Args::default() };
        let conf = Conf::read(&args);
        std::fs::remove_file(&path).expect("it is there");
        assert_eq!(conf.global.process.pidfile.as_deref(), Some("/run/x"));
        assert_eq!(conf.global.process.max_reloads, 3);
        assert_eq!(conf.programs.len(), 1, "one without a command is no program");
        let (name, program) = &conf.programs[0];
        assert_eq!((name.as_str(), program.stays), ("p", true));
        assert_eq!(program.command, ["/bin/sleep", "1 2", "b"]);
        assert_eq!(conf.env.get(b"A"), Some(&b"b"[..]));
    }
}
