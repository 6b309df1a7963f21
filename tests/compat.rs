//! docs/COMPAT.md is what the tables say.

use std::path::Path;

#[test]
fn compat_is_up_to_date() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/COMPAT.md");
    let wanted = haring::config::compat::generate(&haring::registry::tables());
    if std::env::var_os("UPDATE_COMPAT").is_some() {
        std::fs::write(&path, wanted).expect("docs/ is writable");
        return;
    }
    let found = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(found == wanted, "docs/COMPAT.md is out of date: run `UPDATE_COMPAT=1 cargo test --test compat`");
}
