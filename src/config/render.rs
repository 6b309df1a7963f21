//! Diagnostics as text: HAProxy's line, the source line, a caret, a hint.

use super::{Diagnostics, Sources};

/// Render every diagnostic. `pid` is shown as HAProxy shows it; `quiet` leaves out what is not an alert.
pub fn render(diags: &Diagnostics, sources: &Sources, pid: u32) -> String {
    let _ = (diags, sources, pid);
    todo!()
}
