//! Configurations with mistakes, and what is printed about them: `tests/golden/NAME.cfg` and `NAME.txt`.
//! `UPDATE_GOLDEN=1 cargo test --test golden` writes the texts anew; read the difference before it is committed.

use std::fmt::Write;
use std::path::{Path, PathBuf};

use haring::config::{self, Env, LoadOptions, Loaded, RenderOptions};

fn golden_dir() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden")
}

/// Loads, and resolves what could be loaded.
fn load(name: &str, text: &str) -> Loaded {
    let mut env = Env::empty();
    env.set("SET", "a b");
    let options = LoadOptions { env, diag_mode: true };
    let mut loaded = config::load_str(name, text, options, &haring::registry::tables());
    let _ = haring::proxy::resolve(std::mem::take(&mut loaded.sections), &mut loaded.diags);
    loaded
}

fn shown(name: &str, text: &str) -> String {
    let loaded = load(name, text);
    let mut out = config::render(&loaded.diags, &loaded.sources, RenderOptions { pid: 1, quiet: false });
    if loaded.diags.has_errors() {
        out.push_str(&config::fatal_summary(&loaded.diags, &loaded.sources, 1));
    }
    out
}

fn cases() -> Vec<PathBuf> {
    let mut list: Vec<_> = std::fs::read_dir(golden_dir())
        .expect("tests/golden exists")
        .flatten()
        .map(|e| e.path())
        .filter(|p| p.extension().is_some_and(|e| e == "cfg"))
        .collect();
    list.sort();
    list
}

#[test]
fn diagnostics_are_as_recorded() {
    let mut complaints = String::new();
    for path in cases() {
        let name = path.file_name().expect("a file").to_string_lossy().into_owned();
        let text = std::fs::read_to_string(&path).expect("a readable case");
        let found = shown(&name, &text);
        let golden = path.with_extension("txt");
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            std::fs::write(&golden, &found).expect("tests/golden is writable");
            continue;
        }
        let wanted = std::fs::read_to_string(&golden).unwrap_or_default();
        if found != wanted {
            let (mut a, mut b) = (wanted.lines(), found.lines());
            loop {
                let (w, f) = (a.next(), b.next());
                if w != f {
                    write!(complaints, "{name}:\n  recorded: {w:?}\n  found:    {f:?}\n").expect("a string");
                    break;
                }
                if w.is_none() {
                    break;
                }
            }
        }
    }
    assert!(complaints.is_empty(), "\n{complaints}");
}

/// Every case expects something in each marked line: `# error`, `# warning` or `# notice` at its end means that
/// there is a diagnostic of that severity for it, and lines without a mark have none.
#[test]
fn every_marked_line_is_reported_and_no_other() {
    use config::Severity;
    for path in cases() {
        let name = path.file_name().expect("a file").to_string_lossy().into_owned();
        let text = std::fs::read_to_string(&path).expect("a readable case");
        let loaded = load(&name, &text);
        for (i, line) in text.lines().enumerate() {
            let wanted = [
                ("# error", Severity::Alert),
                ("# warning", Severity::Warning),
                ("# notice", Severity::Notice),
            ]
            .into_iter()
            .find(|(mark, _)| line.ends_with(mark))
            .map(|(_, s)| s);
            let found: Vec<_> = loaded.diags.list.iter().filter(|d| d.loc.line as usize == i + 1).collect();
            match wanted {
                Some(s) => assert!(
                    found.iter().any(|d| d.severity == s),
                    "{name}:{}: nothing of {s:?} for: {line}\n{found:?}",
                    i + 1
                ),
                None => assert!(found.is_empty(), "{name}:{}: unexpected {found:?} for: {line}", i + 1),
            }
        }
    }
}
