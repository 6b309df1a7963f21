//! Counters with a single writer.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// A counter that only its own thread writes; anybody may read it.
#[repr(transparent)]
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Add one.
    pub fn inc(&self) {
        self.add(1);
    }

    /// Add `n`. Only the owning thread may call this: it is a load and a store, not a locked addition.
    pub fn add(&self, n: u64) {
        self.0.store(self.0.load(Relaxed).wrapping_add(n), Relaxed);
    }

    /// Keep the greatest value seen.
    pub fn raise_to(&self, n: u64) {
        if n > self.0.load(Relaxed) {
            self.0.store(n, Relaxed);
        }
    }

    /// Overwrite it.
    pub fn set(&self, n: u64) {
        self.0.store(n, Relaxed);
    }

    /// The value.
    pub fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// A sliding mean over about the last 1024 values, with the greatest value ever seen.
#[repr(C)]
#[derive(Debug, Default)]
pub struct Mean {
    sum: Counter,
    count: Counter,
    max: Counter,
}

impl Mean {
    /// Values in the window.
    pub const WINDOW: u64 = 1024;

    /// Account one value (milliseconds, for the statistics' times).
    pub fn add(&self, v: u64) {
        let count = self.count.get();
        let sum = self.sum.get();
        if count < Self::WINDOW {
            self.count.set(count + 1);
            self.sum.set(sum + v);
        } else {
            self.sum.set(sum - sum.div_ceil(Self::WINDOW).min(sum) + v);
        }
        self.max.raise_to(v);
    }

    /// What another process had, as [`Mean::parts`] gives it; for a thread that has not begun.
    pub fn preload(&self, (sum, count, max): (u64, u64, u64)) {
        let count = count.min(Self::WINDOW);
        self.count.set(count);
        self.sum.set(sum.min(count * Self::VALUE_MAX));
        self.max.set(max);
    }

    /// Values above this, a month in milliseconds, are not believed of others.
    const VALUE_MAX: u64 = 31 * 86_400_000;

    /// Sum and number of the values in the window, and the maximum.
    pub fn parts(&self) -> (u64, u64, u64) {
        (self.sum.get(), self.count.get(), self.max.get())
    }
}

/// Means of several threads, put together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MeanTotal {
    sum: u64,
    count: u64,
    /// The greatest value ever seen.
    pub max: u64,
}

impl MeanTotal {
    fn merge(&mut self, m: &Mean) {
        let (sum, count, max) = m.parts();
        self.sum += sum;
        self.count += count;
        self.max = self.max.max(max);
    }

    /// The mean, rounded up as a sliding sum does; 0 without values.
    pub fn mean(&self) -> u64 {
        if self.count == 0 { 0 } else { self.sum.div_ceil(self.count) }
    }
}

macro_rules! counters {
    ($(#[$doc:meta])* $name:ident => $totals:ident {
        $($(#[$fdoc:meta])* $field:ident,)*
        ; $($(#[$mdoc:meta])* $mean:ident,)*
    }) => {
        $(#[$doc])*
        #[repr(C, align(64))]
        #[derive(Debug, Default)]
        pub struct $name {
            $($(#[$fdoc])* pub $field: Counter,)*
            $($(#[$mdoc])* pub $mean: Mean,)*
        }

        /// The sum over all threads; see the counters of the same names.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub struct $totals {
            $($(#[$fdoc])* pub $field: u64,)*
            $($(#[$mdoc])* pub $mean: MeanTotal,)*
        }

        impl $totals {
            /// Names of the values in the order of [`Self::values`].
            pub const NAMES: &[&str] = &[
                $(stringify!($field),)*
                $(
                    concat!(stringify!($mean), "_sum"),
                    concat!(stringify!($mean), "_count"),
                    concat!(stringify!($mean), "_max"),
                )*
            ];

            /// All, in the order of the names.
            pub fn values(&self) -> Vec<u64> {
                vec![$(self.$field,)* $(self.$mean.sum, self.$mean.count, self.$mean.max,)*]
            }

            /// Sum the blocks of several threads.
            pub fn sum<'a>(blocks: impl Iterator<Item = &'a $name>) -> $totals {
                let mut t = $totals::default();
                for b in blocks {
                    $(t.$field = t.$field.wrapping_add(b.$field.get());)*
                    $(t.$mean.merge(&b.$mean);)*
                }
                t
            }
        }

        impl $name {
            /// Add what `value` gives for each name, to the counts; not to the means. Only by the owning thread.
            #[allow(unused_variables)] // Not every block has means.
            pub fn add_counts(&self, value: impl Fn(&str) -> u64) {
                $(self.$field.add(value(stringify!($field)));)*
                $(self.$mean.max.raise_to(value(concat!(stringify!($mean), "_max")));)*
            }

            /// Begin with this thread's part of the means of another process. Before the thread begins.
            #[allow(unused_variables)]
            pub fn preload_means(&self, threads: u64, value: impl Fn(&str) -> u64) {
                $(self.$mean.preload((
                    value(concat!(stringify!($mean), "_sum")) / threads,
                    value(concat!(stringify!($mean), "_count")) / threads,
                    value(concat!(stringify!($mean), "_max")),
                ));)*
            }

            /// Back to zero (`clear counters all`). Only by the owning thread.
            pub fn clear(&self) {
                $(self.$field.set(0);)*
                $(self.$mean.sum.set(0); self.$mean.count.set(0); self.$mean.max.set(0);)*
            }
        }
    };
}

counters! {
    /// Counters of a server.
    ServerCounters => ServerTotals {
        /// `stot`: sessions (connections or requests) assigned to it, those that only waited in its queue included.
        sessions,
        /// `connect`: connection attempts.
        connects,
        /// `reuse`: requests sent on a pooled connection.
        reuses,
        /// `lbtot`: times it was chosen by load balancing.
        chosen,
        /// `bin`: bytes from clients.
        bytes_in,
        /// `bout`: bytes to clients.
        bytes_out,
        /// `econ`: failed connections.
        conn_errors,
        /// `eresp`: broken or missing responses.
        resp_errors,
        /// `dresp`: responses denied by rules.
        resp_denied,
        /// `wretr`: retries.
        retries,
        /// `wredis`: redispatches to another server.
        redispatches,
        /// `cli_abrt`: transfers aborted by the client.
        client_aborts,
        /// `srv_abrt`: transfers aborted by the server.
        server_aborts,
        /// `wrew`: failed header rewrites.
        rewrite_failures,
        /// `eint`: internal errors.
        internal_errors,
        /// `req_tot`: requests.
        requests,
        /// `hrsp_1xx`
        resp_1xx,
        /// `hrsp_2xx`
        resp_2xx,
        /// `hrsp_3xx`
        resp_3xx,
        /// `hrsp_4xx`
        resp_4xx,
        /// `hrsp_5xx`
        resp_5xx,
        /// `hrsp_other`
        resp_other,
        ;
        /// `qtime`: milliseconds in queues.
        queue_time,
        /// `ctime`: milliseconds to connect.
        connect_time,
        /// `rtime`: milliseconds to respond.
        response_time,
        /// `ttime`: milliseconds in all.
        total_time,
    }
}

counters! {
    /// Counters of a proxy's server side.
    BackendCounters => BackendTotals {
        /// `stot`: sessions.
        sessions,
        /// `connect`: connection attempts.
        connects,
        /// `reuse`: requests sent on a pooled connection.
        reuses,
        /// `lbtot`: times a server was chosen by load balancing.
        chosen,
        /// `bin`: bytes from clients.
        bytes_in,
        /// `bout`: bytes to clients.
        bytes_out,
        /// `dreq`: requests denied by rules.
        req_denied,
        /// `dresp`: responses denied by rules.
        resp_denied,
        /// `econ`: requests that found no server or could not connect.
        conn_errors,
        /// `eresp`: broken or missing responses.
        resp_errors,
        /// `wretr`: retries.
        retries,
        /// `wredis`: redispatches.
        redispatches,
        /// `cli_abrt`
        client_aborts,
        /// `srv_abrt`
        server_aborts,
        /// `wrew`: failed header rewrites.
        rewrite_failures,
        /// `eint`: internal errors.
        internal_errors,
        /// `req_tot`: requests.
        requests,
        /// `intercepted`: requests answered without a server (redirect, statistics).
        intercepted,
        /// `hrsp_1xx`
        resp_1xx,
        /// `hrsp_2xx`
        resp_2xx,
        /// `hrsp_3xx`
        resp_3xx,
        /// `hrsp_4xx`
        resp_4xx,
        /// `hrsp_5xx`
        resp_5xx,
        /// `hrsp_other`
        resp_other,
        /// `comp_in`: bytes offered to the compressor.
        comp_in,
        /// `comp_out`: bytes that came out of it.
        comp_out,
        /// `comp_byp`: bytes that passed it by.
        comp_bypassed,
        /// `comp_rsp`: responses that were compressed.
        comp_responses,
        /// `cache_lookups`
        cache_lookups,
        /// `cache_hits`
        cache_hits,
        ;
        /// `qtime`: milliseconds in queues.
        queue_time,
        /// `ctime`: milliseconds to connect.
        connect_time,
        /// `rtime`: milliseconds to respond.
        response_time,
        /// `ttime`: milliseconds in all.
        total_time,
    }
}

counters! {
    /// Counters of a proxy's client side.
    FrontendCounters => FrontendTotals {
        /// `conn_tot`: connections.
        connections,
        /// `stot`: sessions.
        sessions,
        /// `bin`: bytes from clients.
        bytes_in,
        /// `bout`: bytes to clients.
        bytes_out,
        /// `dreq`: requests denied by rules.
        req_denied,
        /// `dresp`: responses denied by rules.
        resp_denied,
        /// `ereq`: bad requests, and clients that left or timed out before sending one.
        req_errors,
        /// `dcon`: connections denied by `tcp-request connection`.
        conn_denied,
        /// `dses`: sessions denied by `tcp-request session`.
        sess_denied,
        /// `cli_abrt`
        client_aborts,
        /// `srv_abrt`
        server_aborts,
        /// `wrew`: failed header rewrites.
        rewrite_failures,
        /// `eint`: internal errors.
        internal_errors,
        /// `req_tot`: requests.
        requests,
        /// `intercepted`: requests answered without a backend (redirect, statistics, monitor).
        intercepted,
        /// `hrsp_1xx`
        resp_1xx,
        /// `hrsp_2xx`
        resp_2xx,
        /// `hrsp_3xx`
        resp_3xx,
        /// `hrsp_4xx`
        resp_4xx,
        /// `hrsp_5xx`
        resp_5xx,
        /// `hrsp_other`
        resp_other,
        /// `comp_in`
        comp_in,
        /// `comp_out`
        comp_out,
        /// `comp_byp`
        comp_bypassed,
        /// `comp_rsp`
        comp_responses,
        /// `cache_lookups`
        cache_lookups,
        /// `cache_hits`
        cache_hits,
        ;
    }
}

counters! {
    /// Counters of a listener.
    ListenerCounters => ListenerTotals {
        /// `conn_tot`: connections.
        connections,
        /// `stot`: sessions.
        sessions,
        /// `bin`
        bytes_in,
        /// `bout`
        bytes_out,
        /// `dreq`
        req_denied,
        /// `dresp`
        resp_denied,
        /// `ereq`
        req_errors,
        /// `dcon`
        conn_denied,
        /// `dses`
        sess_denied,
        /// `wrew`
        rewrite_failures,
        /// `eint`
        internal_errors,
        ;
    }
}

counters! {
    /// Counters of the process.
    ProcessCounters => ProcessTotals {
        /// `CumConns`: connections.
        connections,
        /// `CumReq`: requests.
        requests,
        /// Sessions (streams).
        sessions,
        /// `TotalBytesOut`: bytes sent to clients.
        bytes_out,
        /// Bytes that went through splice(2).
        spliced_bytes,
        /// `accept()` failures for lack of descriptors or memory.
        accept_failures,
        /// `DroppedLogs`: log messages that were lost.
        dropped_logs,
        ;
    }
}
