//! `fullconn` of backends that do not say it: a tenth of the `maxconn` of all frontends that may use it.

use crate::sample::{NameRefs, RefKind};

use super::super::Snapshot;

/// A frontend without a limit of its own, as long as the process's limit is not known.
const UNKNOWN_MAXCONN: u32 = 2000;

pub(super) fn compute(snapshot: &mut Snapshot) {
    let mut sums = vec![0u64; snapshot.proxies.len()];
    let configured = snapshot.global_conf().and_then(|g| g.limits.maxconn);
    let fallback = configured.and_then(|n| u32::try_from(n).ok()).unwrap_or(UNKNOWN_MAXCONN);
    for px in &snapshot.proxies {
        let Some(fe) = &px.frontend else { continue };
        let maxconn = if fe.maxconn > 0 { fe.maxconn } else { fallback };
        let mut targets: Vec<usize> = fe.default_backend.iter().map(|id| id.index()).collect();
        let refs = px.section.get::<NameRefs>().into_iter().flat_map(|r| &r.list);
        targets.extend(
            refs.filter(|r| r.kind == RefKind::Backend).filter_map(|r| r.proxy()).map(|p| p.0 as usize),
        );
        targets.sort_unstable();
        targets.dedup();
        for t in targets {
            sums[t] += u64::from(maxconn);
        }
    }
    for (px, sum) in snapshot.proxies.iter_mut().zip(sums) {
        if let Some(be) = &mut px.backend
            && be.fullconn == 0
        {
            be.fullconn = u32::try_from(sum.div_ceil(10)).unwrap_or(u32::MAX).max(1);
        }
    }
}
