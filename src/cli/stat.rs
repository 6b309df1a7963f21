//! `show stat`.

use super::commands::{Call, Next};
use crate::{runtime, stats};

/// `show stat`.
pub fn show(call: &mut Call<'_>) -> Next {
    let mut filter = stats::Filter::default();
    let mut args = call.args;
    if let [proxy, kinds, server, rest @ ..] = args
        && let (Ok(kinds), Ok(server)) = (kinds.parse::<i64>(), server.parse::<i64>())
    {
        args = rest;
        match proxy.parse::<i64>() {
            Ok(iid) => filter.iid = u32::try_from(iid).ok(),
            Err(_) if call.cx.snapshot.proxies.iter().all(|p| p.name != *proxy) => {
                call.out.push_str("No such proxy.\n");
                return Next::Continue;
            }
            Err(_) => filter.proxy = Some(proxy.clone()),
        }
        filter.kinds = u32::try_from(kinds).ok();
        filter.sid = u32::try_from(server).ok();
    }
    let has = |word: &str| args.iter().any(|a| a == word);
    filter.up = has("up");
    filter.no_maint = has("no-maint");
    let cx = call.cx;
    let maxconn = u32::try_from(cx.facts.limits.maxconn).unwrap_or(u32::MAX);
    let rows = stats::rows(&cx.snapshot, &cx.live, &cx.watch.notes, maxconn, runtime::now(), &filter);
    if has("json") {
        call.out.push('[');
        for (i, row) in rows.iter().enumerate() {
            if i > 0 {
                call.out.push(',');
            }
            stats::json(row, call.out);
        }
        call.out.push_str("]\n");
    } else if has("typed") {
        rows.iter().for_each(|r| stats::typed(r, has("desc"), call.out));
    } else {
        call.out.push_str(&stats::csv_header());
        rows.iter().for_each(|r| stats::csv(r, call.out));
    }
    Next::Continue
}

/// `show schema json`.
pub fn schema(call: &mut Call<'_>) -> Next {
    call.out.push_str(&stats::schema());
    Next::Continue
}
