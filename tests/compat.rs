//! docs/COMPAT.md is what the tables say.

use std::path::Path;

use haring::config;

#[test]
fn compat_is_up_to_date() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/COMPAT.md");
    let tables = haring::registry::tables();
    let loads = |text: &str| {
        let mut loaded = config::load_str("probe", text, config::LoadOptions::default(), &tables);
        let resolved = haring::proxy::resolve(std::mem::take(&mut loaded.sections), &mut loaded.diags);
        resolved.is_some() && !loaded.diags.has_errors()
    };
    let wanted = config::compat::generate(&tables, &loads);
    if std::env::var_os("UPDATE_COMPAT").is_some() {
        std::fs::write(&path, wanted).expect("docs/ is writable");
        return;
    }
    let found = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(found == wanted, "docs/COMPAT.md is out of date: run `UPDATE_COMPAT=1 cargo test --test compat`");
}
