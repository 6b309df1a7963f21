//! Keeps the house: layers, lengths, banned calls, documented keywords. What breaks a rule today is listed in the
//! allowances of `tests/tidy/allowances.txt`, which may only shrink.

#[path = "tidy/source.rs"]
mod source;

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;

use source::Source;

/// Layers from the lowest to the highest; a module uses only rows above its own (docs/ARCHITECTURE.md).
const LAYERS: &[&[&str]] = &[
    &["base"],
    &["sys", "config", "http"],
    &["runtime", "http1", "proxy_protocol", "stick"],
    &["net", "sample"],
    &["acl", "log"],
    &["rules", "peers"],
    &["proxy"],
    &["stream"],
    &["stats"],
    &["cli"],
    &["registry"],
    &["process"],
];

const FILE_LINES_MAX: usize = 800;
const FN_LINES_MAX: usize = 70;

/// What code may not say, where it may after all, and what to use instead.
struct Ban {
    what: &'static str,
    instead: &'static str,
    /// Paths under src/ that may.
    except: &'static [&'static str],
    /// Also in tests.
    in_tests: bool,
}

const BANS: &[Ban] = &[
    Ban {
        what: "Instant::now",
        instead: "runtime::now(): the clock is read once per turn",
        except: &["runtime/", "process/", "sys/"],
        in_tests: false,
    },
    Ban {
        what: "SystemTime::now",
        instead: "runtime::wall(): the clock is read once per turn",
        except: &["runtime/", "process/", "sys/"],
        in_tests: false,
    },
    Ban { what: "thread::sleep", instead: "runtime::sleep_until", except: &[], in_tests: false },
    Ban { what: "todo!", instead: "code", except: &[], in_tests: true },
    Ban { what: "unimplemented!", instead: "code", except: &[], in_tests: true },
    Ban { what: "dbg!", instead: "a log line", except: &[], in_tests: true },
    Ban {
        what: "println!",
        instead: "process's own output functions",
        except: &["process/"],
        in_tests: false,
    },
    Ban {
        what: "eprintln!",
        instead: "process's own output functions",
        except: &["process/"],
        in_tests: false,
    },
    Ban { what: "print!", instead: "process's own output functions", except: &["process/"], in_tests: false },
    Ban {
        what: "eprint!",
        instead: "process's own output functions",
        except: &["process/"],
        in_tests: false,
    },
    Ban { what: ".unwrap()", instead: ".expect(\"the invariant\")", except: &[], in_tests: false },
    Ban { what: "#[ignore", instead: "a test that runs", except: &[], in_tests: true },
    Ban { what: "unsafe", instead: "a safe face in src/sys/", except: &["sys/"], in_tests: true },
];

/// What was found, by rule and place, with its measure: lines of a file or function, number of uses.
type Found = BTreeMap<String, usize>;

fn layer_of(module: &str) -> Option<usize> {
    LAYERS.iter().position(|row| row.contains(&module))
}

fn layers(sources: &[Source], found: &mut Found) {
    for s in sources {
        let module = s.module();
        // lib.rs and main.rs only name modules.
        let Some(own) = layer_of(module) else { continue };
        for used in s.crate_modules() {
            if used == module {
                continue;
            }
            let Some(row) = layer_of(&used) else {
                // A name of the crate's root, or a module that no row lists.
                assert!(
                    !Path::new(env!("CARGO_MANIFEST_DIR")).join("src").join(&used).is_dir(),
                    "src/{used}/ is in no layer of tests/tidy.rs"
                );
                continue;
            };
            if row >= own {
                *found.entry(format!("layer {} -> {used}", s.path)).or_default() += 1;
            }
        }
    }
}

fn lengths(sources: &[Source], found: &mut Found) {
    for s in sources {
        let lines = s.line_count();
        if lines > FILE_LINES_MAX {
            found.insert(format!("file {}", s.path), lines);
        }
        for (name, lines, in_test) in s.functions() {
            if lines > FN_LINES_MAX && !in_test {
                let slot = found.entry(format!("function {} {name}", s.path)).or_default();
                *slot = lines.max(*slot);
            }
        }
    }
}

fn bans(sources: &[Source], found: &mut Found) {
    for s in sources {
        for ban in BANS {
            if ban.except.iter().any(|p| s.path.starts_with(p)) {
                continue;
            }
            let uses = s.uses(ban.what, ban.in_tests);
            if uses > 0 {
                found.insert(format!("banned {} {} (instead: {})", s.path, ban.what, ban.instead), uses);
            }
        }
    }
}

/// The allowances: `RULE<TAB>MEASURE` lines.
fn allowances() -> Found {
    include_str!("tidy/allowances.txt")
        .lines()
        .filter(|l| !l.is_empty() && !l.starts_with('#'))
        .map(|l| {
            let (rule, n) = l.rsplit_once('\t').expect("rule, tab, measure");
            (rule.to_owned(), n.parse().expect("a number"))
        })
        .collect()
}

#[test]
fn the_house_is_tidy() {
    let sources = source::all();
    let mut found = Found::new();
    layers(&sources, &mut found);
    lengths(&sources, &mut found);
    bans(&sources, &mut found);
    let allowed = allowances();
    let mut complaints = String::new();
    for (rule, n) in &found {
        match allowed.get(rule) {
            None => writeln!(complaints, "new: {rule}: {n}"),
            Some(a) if a < n => writeln!(complaints, "worse: {rule}: {n} where {a} are allowed"),
            Some(_) => Ok(()),
        }
        .expect("writing to a string");
    }
    for (rule, a) in &allowed {
        let n = found.get(rule).copied().unwrap_or(0);
        // Lengths may move a little without an edit here.
        let slack = if rule.starts_with("file") || rule.starts_with("function") { 20 } else { 0 };
        if n + slack < *a || n == 0 {
            writeln!(complaints, "allowance larger than needed: {rule}: {a} where there are {n}")
                .expect("writing to a string");
        }
    }
    assert!(complaints.is_empty(), "\n{complaints}(tests/tidy/allowances.txt holds RULE<TAB>NUMBER lines)");
}

#[test]
fn keywords_are_documented() {
    let mut complaints = String::new();
    for e in haring::registry::tables().listing() {
        if !["keyword", "bind option", "server option"].contains(&e.kind) {
            continue;
        }
        let first = e.name.split(' ').next().unwrap_or(&e.name);
        if e.doc.is_empty() || !e.syntax.contains(first) {
            writeln!(complaints, "{} '{}': doc '{}', syntax '{}'", e.kind, e.name, e.doc, e.syntax)
                .expect("writing to a string");
        }
    }
    assert!(complaints.is_empty(), "\n{complaints}");
}

#[test]
fn a_keyword_has_one_meaning_in_each_section() {
    let listing = haring::registry::tables().listing();
    let mut seen: BTreeMap<(&str, &str), u32> = BTreeMap::new();
    // An action may be one thing among request rules and another among response rules.
    for e in listing.iter().filter(|e| e.kind != "action") {
        let mask = e.sections.map_or(u32::MAX, |s| s.0);
        let slot = seen.entry((e.kind, &e.name)).or_default();
        assert_eq!(*slot & mask, 0, "{} '{}' is registered twice for the same section", e.kind, e.name);
        *slot |= mask;
    }
}

/// Words that no file of the project may hold: unfinished work, and places that exist on one machine only.
const FORBIDDEN: &[&str] =
    &[concat!("TO", "DO"), concat!("FIX", "ME"), concat!("XX", "X"), concat!("/wo", "rk/")];

#[test]
fn nothing_unfinished_is_left_in_the_text() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut complaints = String::new();
    for path in source::project_files(root) {
        let Ok(text) = std::fs::read_to_string(&path) else { continue };
        for (i, line) in text.lines().enumerate() {
            for word in FORBIDDEN {
                if line.contains(word) {
                    let name = path.strip_prefix(root).unwrap_or(&path).display();
                    writeln!(complaints, "{name}:{}: '{word}'", i + 1).expect("writing to a string");
                }
            }
        }
    }
    assert!(complaints.is_empty(), "\n{complaints}");
}
