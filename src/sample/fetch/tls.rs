//! TLS on the client's connection. Manual section 7.3.4. No listener speaks TLS yet: these say what they say of
//! clear connections, so that formats such as `option httpslog` work.

use crate::sample::{Fetch, Needs, Sample, Type};

const CLIENT: Needs = Needs::CLIENT;

/// The table.
pub const FETCHES: &[Fetch] = &[
    Fetch::new("fc_err", Type::Int, CLIENT, |_, _| Some(Sample::Int(0)))
        .doc("error code of the client connection, 0 when it has none"),
    Fetch::new("fc_err_str", Type::Str, CLIENT, |_, _| Some(Sample::str(b"Success")))
        .doc("error of the client connection, as text"),
    Fetch::new("ssl_fc", Type::Bool, CLIENT, |_, _| Some(Sample::Bool(false)))
        .doc("whether the client connection is TLS"),
    Fetch::new("ssl_fc_is_resumed", Type::Bool, CLIENT, |_, _| Some(Sample::Bool(false)))
        .doc("whether the client's TLS session was resumed"),
    Fetch::new("ssl_fc_has_sni", Type::Bool, CLIENT, |_, _| Some(Sample::Bool(false)))
        .doc("whether the client named a server in its TLS hello"),
    Fetch::new("ssl_fc_has_crt", Type::Bool, CLIENT, |_, _| Some(Sample::Bool(false)))
        .doc("whether the client sent a certificate in this connection"),
    Fetch::new("ssl_c_used", Type::Bool, CLIENT, |_, _| Some(Sample::Bool(false)))
        .doc("whether the client has a certificate in its session"),
    Fetch::new("ssl_fc_err", Type::Int, CLIENT, |_, _| None).doc("last TLS error of the client connection"),
    Fetch::new("ssl_fc_err_str", Type::Str, CLIENT, |_, _| None).doc("the same as text"),
    Fetch::new("ssl_c_err", Type::Int, CLIENT, |_, _| None)
        .doc("result of verifying the client's certificate"),
    Fetch::new("ssl_c_ca_err", Type::Int, CLIENT, |_, _| None)
        .doc("result of verifying the authorities of the client's certificate"),
    Fetch::new("ssl_c_verify", Type::Int, CLIENT, |_, _| None)
        .doc("result of verifying the client's certificate"),
    Fetch::new("ssl_fc_sni", Type::Str, CLIENT, |_, _| None).doc("server name in the client's TLS hello"),
    Fetch::new("ssl_fc_protocol", Type::Str, CLIENT, |_, _| None).doc("TLS version of the client connection"),
    Fetch::new("ssl_fc_cipher", Type::Str, CLIENT, |_, _| None).doc("TLS cipher of the client connection"),
    Fetch::new("ssl_fc_alpn", Type::Str, CLIENT, |_, _| None).doc("protocol agreed on in the TLS hello"),
];
