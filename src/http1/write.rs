//! Heads to bytes, in one pass.

use crate::http::{Fields, RequestHead, ResponseHead, Span, Version, token};

/// Appends the head as it stands now, the empty line included.
pub fn write_request(head: &RequestHead, out: &mut Vec<u8>) {
    out.reserve(head.received_len() + 256);
    out.extend_from_slice(head.method_token());
    out.push(b' ');
    out.extend_from_slice(head.target());
    out.push(b' ');
    write_version(head.version, head.raw_version, &head.fields, out);
    out.extend_from_slice(b"\r\n");
    write_fields(&head.fields, out);
}

/// Appends the head as it stands now, the empty line included.
pub fn write_response(head: &ResponseHead, out: &mut Vec<u8>) {
    out.reserve(head.received_len() + 256);
    write_version(head.version, head.raw_version, &head.fields, out);
    out.push(b' ');
    token::push_u64(out, u64::from(head.status));
    // The space stays without a reason phrase (RFC 9112 4).
    out.push(b' ');
    out.extend_from_slice(head.reason());
    out.extend_from_slice(b"\r\n");
    write_fields(&head.fields, out);
}

/// A later HTTP/1 than ours is passed on as the one we speak (RFC 9110 2.5).
fn write_version(version: Version, raw: Span, fields: &Fields, out: &mut Vec<u8>) {
    if raw != Span::default() {
        out.extend_from_slice(fields.bytes(raw));
        return;
    }
    out.extend_from_slice(if version >= Version::HTTP_11 { b"HTTP/1.1" } else { b"HTTP/1.0" });
}

fn write_fields(fields: &Fields, out: &mut Vec<u8>) {
    for (name, value) in fields.iter() {
        out.extend_from_slice(name);
        out.extend_from_slice(b": ");
        out.extend_from_slice(value);
        out.extend_from_slice(b"\r\n");
    }
    out.extend_from_slice(b"\r\n");
}
