//! `RLIMIT_NOFILE` and the connection limits that follow from it.

use nix::sys::resource::{Resource, getrlimit, setrlimit};

use super::args::Args;
use super::messages;
use crate::proxy::global::{DescriptorNeeds, GlobalConf, ProcessLimits, process_limits};

/// The hard limit of descriptors at the start.
pub fn hard_limit() -> u64 {
    getrlimit(Resource::RLIMIT_NOFILE).map_or(1024, |(_, hard)| hard)
}

/// Compute the limits and ask the kernel for them. With `strict-limits` (the default) a refusal is an error.
pub fn apply(conf: &GlobalConf, args: &Args, needs: DescriptorNeeds) -> Result<ProcessLimits, String> {
    let limits = process_limits(&conf.limits, args.maxconn.map(|n| n as usize), needs);
    if conf.limits.maxconn.is_none() && args.maxconn.is_none() && args.verbose {
        messages::notice(&format!("setting global.maxconn to {}.", limits.maxconn));
    }
    raise_descriptors(conf, &limits)?;
    if let Some(megabytes) = args.memory {
        let bytes = megabytes.saturating_mul(1 << 20);
        if let Err(error) = setrlimit(Resource::RLIMIT_AS, bytes, bytes) {
            let text = format!("[haring.main()] Cannot fix MEM limit to {megabytes} megs: {}", error.desc());
            refuse(conf, text)?;
        }
    }
    Ok(limits)
}

fn raise_descriptors(conf: &GlobalConf, limits: &ProcessLimits) -> Result<(), String> {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap_or((1024, 1024));
    let want = limits.descriptors;
    if want <= soft {
        return Ok(());
    }
    if setrlimit(Resource::RLIMIT_NOFILE, want, hard.max(want)).is_ok() {
        return Ok(());
    }
    // Only a privileged process may raise the hard limit: take what there is.
    let _ = setrlimit(Resource::RLIMIT_NOFILE, hard, hard);
    if hard >= want {
        return Ok(());
    }
    let text = format!("[haring.main()] Cannot raise FD limit to {want}, limit is {hard}.");
    refuse(conf, text)?;
    messages::warning(&format!(
        "[haring.main()] FD limit ({hard}) too low for maxconn={}. Please raise 'ulimit-n' to {want} or more to avoid any trouble.",
        limits.maxconn
    ));
    Ok(())
}

fn refuse(conf: &GlobalConf, text: String) -> Result<(), String> {
    if conf.limits.strict {
        return Err(text);
    }
    messages::warning(&text);
    Ok(())
}
