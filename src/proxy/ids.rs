//! Positions in the snapshot and in the live records. An id is only meaningful for one snapshot.

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
        pub struct $name(pub u32);

        impl $name {
            /// The id as an index.
            pub fn index(self) -> usize {
                self.0 as usize
            }
        }
    };
}

id! {
    /// A proxy: index into `Snapshot::proxies` and `Live::proxies`.
    ProxyId
}
id! {
    /// A server, counted over all proxies: index into `Live::servers`.
    ServerId
}
id! {
    /// A listener: index into `Snapshot::listeners` and `Live::listeners`.
    ListenerId
}
