//! The converters, by what they do. The map family lives with the patterns, in `acl`.

mod addr;
mod digest;
pub(crate) mod encode;
mod hash;
mod json;
mod live;
mod math;
mod rfc7239;
mod text;
mod time;
mod vars;

use super::Converter;

/// The tables of this folder.
pub const TABLES: &[&[Converter]] = &[
    text::CONVERTERS,
    encode::CONVERTERS,
    math::CONVERTERS,
    hash::CONVERTERS,
    digest::CONVERTERS,
    addr::CONVERTERS,
    time::CONVERTERS,
    vars::CONVERTERS,
    json::CONVERTERS,
    live::CONVERTERS,
    rfc7239::CONVERTERS,
    super::counter::SCALAR_CONVERTERS,
    super::counter::ELEMENT_CONVERTERS,
    super::counter::OTHER_CONVERTERS,
];
