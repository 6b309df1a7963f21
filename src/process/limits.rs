//! `RLIMIT_NOFILE` and the connection limits that follow from it.

use nix::sys::resource::{Resource, getrlimit, setrlimit};

use super::args::Args;
use super::messages;
use crate::proxy::global::{DescriptorNeeds, GlobalConf, ProcessLimits, process_limits};

/// The hard limit of descriptors at the start.
pub fn hard_limit() -> u64 {
    getrlimit(Resource::RLIMIT_NOFILE).map_or(1024, |(_, hard)| hard)
}

/// Let a master have as many descriptors as it may hold for its workers.
pub fn raise_soft_limit() {
    const ENOUGH: u64 = 131_072;
    if let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE) {
        let _ = setrlimit(Resource::RLIMIT_NOFILE, soft.max(hard.min(ENOUGH)), hard);
    }
}

/// Compute the limits and ask the kernel for them. A refusal is an error with `strict-limits`, a warning with `no
/// strict-limits`. When the configuration says neither, a low limit of descriptors lowers `maxconn` with a warning:
/// a configuration from a larger machine starts here too.
pub fn apply(conf: &GlobalConf, args: &Args, needs: DescriptorNeeds) -> Result<ProcessLimits, String> {
    let computed = process_limits(&conf.limits, args.maxconn.map(|n| n as usize), needs);
    let mut limits = raise_descriptors(conf, computed)?;
    if conf.limits.maxconn.is_none() && args.maxconn.is_none() && args.verbose {
        messages::notice(&format!("setting global.maxconn to {}.", limits.maxconn));
    }
    if let Some(megabytes) = args.memory {
        let bytes = megabytes.saturating_mul(1 << 20);
        // Not the address space: most of what allocators and rings reserve of it is never touched.
        if let Err(error) = setrlimit(Resource::RLIMIT_DATA, bytes, bytes) {
            let text = format!("startup : memory cannot be limited to {megabytes} MiB: {}", error.desc());
            refuse(conf, text)?;
        }
        let carried = carried_by(bytes, needs.threads, conf.tune.bufsize);
        if carried < limits.maxconn {
            if args.maxconn.is_some() || conf.limits.maxconn.is_some() {
                messages::warning(&format!(
                    "startup : {megabytes} MiB of memory do not carry maxconn {}: going on with maxconn {carried}.",
                    limits.maxconn
                ));
            }
            limits.maxconn = carried;
        }
    }
    Ok(limits)
}

/// What the process needs without any connection, and each thread.
const BASE_BYTES: u64 = 8 << 20;
const THREAD_BYTES: u64 = 4 << 20;

/// Buffers that a connection may fill when its client and its server do their worst: a head and what is queued
/// behind it, in both directions.
const BUFFERS_PER_CONNECTION: u64 = 4;

/// How many connections may be let in so that so much memory is enough whatever they do: an allocation that fails
/// would end the process with all of them.
fn carried_by(bytes: u64, threads: usize, bufsize: usize) -> usize {
    let left = bytes.saturating_sub(BASE_BYTES + THREAD_BYTES * threads as u64);
    let connections = left / (BUFFERS_PER_CONNECTION * bufsize.max(1) as u64);
    usize::try_from(connections.max(1)).unwrap_or(usize::MAX)
}

/// Pipes that splice(2) may use: what `maxpipes` says, else as many as descriptors are left beyond those of the
/// connections. The relay splices without being asked to; without pipes it copies.
pub fn pipes(conf: &GlobalConf, limits: &ProcessLimits) -> usize {
    if let Some(said) = conf.limits.maxpipes {
        return said;
    }
    if conf.limits.ulimit_n.is_some() {
        // The operator's number stands.
        return usize::try_from(limits.descriptors / 16).unwrap_or(usize::MAX);
    }
    let needed = limits.descriptors.saturating_sub(2 * limits.maxpipes as u64);
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap_or((1024, 1024));
    let wanted = (needed + limits.maxconn as u64 / 2).min(hard);
    let soft =
        if wanted > soft && setrlimit(Resource::RLIMIT_NOFILE, wanted, hard).is_ok() { wanted } else { soft };
    // Where a large limit alone has set `maxconn`, not all of that is going to be connections.
    let share = if soft >= LARGE_LIMIT { soft / 32 } else { 0 };
    usize::try_from((soft.saturating_sub(needed) / 2).max(share)).unwrap_or(usize::MAX)
}

/// A limit of descriptors that is large enough to lend a share of it to pipes.
const LARGE_LIMIT: u64 = 16_384;

fn raise_descriptors(conf: &GlobalConf, limits: ProcessLimits) -> Result<ProcessLimits, String> {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap_or((1024, 1024));
    let want = limits.descriptors;
    if want <= soft || setrlimit(Resource::RLIMIT_NOFILE, want, hard.max(want)).is_ok() {
        return Ok(limits);
    }
    // Only a privileged process may raise the hard limit: take what there is.
    let _ = setrlimit(Resource::RLIMIT_NOFILE, hard, hard);
    if hard >= want {
        return Ok(limits);
    }
    let need = format!("maxconn {} needs {want} file descriptors, the hard limit is {hard}", limits.maxconn);
    let cure = "raise the limit (systemd: LimitNOFILE=) or lower 'maxconn'";
    match conf.limits.strict {
        Some(true) => Err(format!("startup : {need}: {cure}.")),
        Some(false) => {
            messages::warning(&format!("startup : {need}: connections may fail; {cure}."));
            Ok(limits)
        }
        None => {
            let lowered = limits.lowered_to(hard);
            messages::warning(&format!(
                "startup : {need}: going on with maxconn {}; {cure}.",
                lowered.maxconn
            ));
            Ok(lowered)
        }
    }
}

fn refuse(conf: &GlobalConf, text: String) -> Result<(), String> {
    if conf.limits.strict != Some(false) {
        return Err(text);
    }
    messages::warning(&text);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_carries_so_many_connections() {
        assert_eq!(carried_by(100 << 20, 2, 16384), 1344);
        assert_eq!(carried_by(100 << 20, 2, 32768), 672);
        assert_eq!(carried_by(10 << 20, 2, 16384), 1);
    }
}
