//! `add-acl`, `del-acl`, `set-map`, `del-map`: rules that change pattern lists.

use std::sync::Arc;

use crate::acl::PatternLists;
use crate::rules::action::{Action, ActionCx, Parsed, Sets, effect};
use crate::sample::Scratch;

const REQ_RES: Sets = Sets::HTTP_REQ.or(Sets::HTTP_RES);

/// The table.
pub const ACTIONS: &[Action] = &[
    Action::new("add-acl", REQ_RES, "add-acl(<file-name>) <key fmt>", |cx| change(cx, true, false))
        .doc("adds a pattern to the list of that file"),
    Action::new("del-acl", REQ_RES, "del-acl(<file-name>) <key fmt>", |cx| change(cx, false, false))
        .doc("removes a pattern from the list of that file"),
    Action::new("set-map", Sets::HTTP, "set-map(<map-name>) <key fmt> <value fmt>", |cx| {
        change(cx, true, true)
    })
    .doc("sets the value of a key of a map"),
    Action::new("del-map", Sets::HTTP, "del-map(<map-name>) <key fmt>", |cx| change(cx, false, true))
        .doc("removes a key from a map"),
];

fn change(cx: &mut ActionCx<'_, '_>, add: bool, map: bool) -> Parsed {
    let name = cx.paren("the name of a file")?.text().into_owned();
    let key = cx.format("a key")?;
    let value = if add && map { Some(cx.format("a value")?) } else { None };
    // The file may be loaded by a later line.
    let lists: Arc<PatternLists> = cx.ex.state.shared.get();
    effect(move |cx| {
        let Some(list) = lists.by_name(&name) else { return };
        let mut k = Scratch::new();
        cx.render(&key, k.vec());
        if k.is_empty() {
            return;
        }
        let mut v = Scratch::new();
        if let Some(f) = &value {
            cx.render(f, v.vec());
        }
        // A key or value that the list cannot hold is left out, as by the socket command.
        if !add {
            list.remove(&k);
        } else if map {
            if list.set_value(&k, &v) == Ok(false) {
                let _ = list.add(&k, Some(&v));
            }
        } else if !list.entries().0.iter().any(|e| *e.pattern.text == *k) {
            let _ = list.add(&k, None);
        }
    })
}
