//! Keeps invalid messages for `show errors`.

use crate::proxy::{CAPTURE_MAX, Capture};
use crate::runtime;

use super::super::state::Stream;
use super::super::worker::View;

/// A request head that is wrong at `position`.
pub(super) fn request(view: &View, st: &Stream<'_>, bytes: &[u8], position: usize, reason: String) {
    let capture = capture(st, bytes, position, reason);
    view.shared.captures.keep(st.s.frontend, false, capture);
}

/// A response head that is wrong at `position`.
pub(super) fn response(view: &View, st: &Stream<'_>, bytes: &[u8], position: usize, reason: String) {
    let mut capture = capture(st, bytes, position, reason);
    capture.backend = Some(st.x.backend);
    capture.server = st.srv(view).map(|s| s.id);
    view.shared.captures.keep(st.x.backend, true, capture);
}

fn capture(st: &Stream<'_>, bytes: &[u8], position: usize, reason: String) -> Capture {
    Capture {
        at: runtime::wall(),
        event: 0,
        src: st.s.src,
        frontend: st.s.frontend,
        backend: None,
        server: None,
        bytes: bytes[..bytes.len().min(CAPTURE_MAX)].into(),
        len: bytes.len(),
        position,
        reason,
    }
}
