//! Choosing the backend, and what the request's cookies say about the server.

use smallvec::SmallVec;

use crate::http::FieldId;
use crate::proxy::cookie::{self, Edit};
use crate::proxy::{ProxyId, ServerId};
use crate::runtime::wall;
use crate::sample::ProxyIdx;

use super::state::Stream;
use super::worker::View;

/// The backend of this exchange: `use_backend` rules in order, then `default_backend`.
pub(super) fn choose_backend(view: &View, st: &Stream<'_>) -> Option<ProxyId> {
    let fe = st.fe(view);
    let rules = &view.plan(fe.id).rules;
    if !rules.use_backend.is_empty()
        && let Some(chosen) = rules.choose_backend(st)
    {
        return Some(ProxyId(chosen.0));
    }
    let default = fe.frontend.as_ref().and_then(|f| f.default_backend);
    // A `listen` always takes what comes in through itself.
    let default = default.filter(|id| *id == fe.id || rules.may_route_to(ProxyIdx(id.0), st));
    default.or_else(|| fe.backend.as_ref().map(|_| fe.id))
}

/// `monitor fail`.
pub(super) fn monitor_fails(view: &View, st: &Stream<'_>) -> bool {
    st.fe(view).frontend.as_ref().is_some_and(|f| f.monitor_fails(st))
}

/// A server that a `use-server` rule asks for.
pub(super) fn use_server(view: &View, st: &Stream<'_>) -> Option<ServerId> {
    let rules = &view.plan(st.x.backend).rules;
    if rules.use_server.is_empty() {
        return None;
    }
    rules.choose_server(ProxyIdx(st.x.backend.0), st).map(|s| ServerId(s.0))
}

/// Looks at the request's cookies: which server to stay with, and what the server must not see.
pub(super) fn persistence(view: &View, st: &mut Stream<'_>) {
    let be = st.be(view);
    let (force, ignore) = be.backend().persistence(st);
    st.x.force_persist |= force;
    st.x.ignore_persist |= ignore;
    if be.backend().cookie.is_none() {
        return;
    }
    let (force, ignore) = (st.x.force_persist, st.x.ignore_persist);
    let (outcome, places) = {
        let (places, values): (SmallVec<[usize; 4]>, SmallVec<[&[u8]; 4]>) =
            st.x.request.fields.with_id(FieldId::Cookie).map(|f| (f.index, f.value)).unzip();
        (cookie::request(be, &view.shared.live, &values, wall(), force, ignore), places)
    };
    for (at, edit) in &outcome.edits {
        match edit {
            Edit::Remove => st.x.request.fields.remove_at(places[*at]),
            Edit::Replace(value) => st.x.request.fields.set_value_at(places[*at], value),
        }
    }
    st.x.cookie = outcome;
}
