//! Cookies: pairs of the request's `Cookie` fields with their exact positions, and the name, value and
//! attributes of a `Set-Cookie` field.

use super::fields::Fields;
use std::ops::Range;

/// One `name=value` pair of a `Cookie` value; positions are byte offsets in that value.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Pair {
    /// Where the name stands.
    pub name: Range<usize>,
    /// Where the value stands (quotes included); empty when there is none.
    pub value: Range<usize>,
}

/// The pairs of one `Cookie` value, in order.
pub fn pairs(_value: &[u8]) -> impl Iterator<Item = Pair> {
    std::iter::from_fn(|| todo!())
}

/// A pair found in a head: which field, and where in its value.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Found {
    /// The `Cookie` field's position ([`super::Field::index`]).
    pub index: usize,
    /// Where in the field's value.
    pub pair: Pair,
}

/// The first pair of that name (case-sensitive) in all `Cookie` fields of a request.
pub fn find(_fields: &Fields, _name: &[u8]) -> Option<Found> {
    todo!()
}

/// All values of that name in the `Cookie` fields of a request.
pub fn values<'a>(_fields: &'a Fields, _name: &'a [u8]) -> impl Iterator<Item = &'a [u8]> {
    std::iter::from_fn(|| todo!())
}

/// Removes one pair and its delimiter; the other pairs keep their bytes. The field goes with its last pair.
pub fn remove(_fields: &mut Fields, _found: &Found) {
    todo!()
}

/// Replaces the value of one pair; everything else keeps its bytes.
pub fn replace(_fields: &mut Fields, _found: &Found, _value: &[u8]) {
    todo!()
}

/// A `Set-Cookie` value taken apart; positions are byte offsets in the value.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SetCookie {
    /// Where the name stands.
    pub name: Range<usize>,
    /// Where the value stands (quotes included).
    pub value: Range<usize>,
    /// Where the attributes start (the first `;`), or the end.
    pub attributes: usize,
}

/// Takes a `Set-Cookie` value apart. `None` without `name=`.
pub fn parse_set_cookie(_value: &[u8]) -> Option<SetCookie> {
    todo!()
}

/// The attributes of a `Set-Cookie` value in order: (name, value or empty).
pub fn attributes(_value: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    std::iter::from_fn(|| todo!())
}

/// The value of a cookie that a response sets (first `Set-Cookie` of that name).
pub fn set_cookie_value<'a>(_fields: &'a Fields, _name: &[u8]) -> Option<&'a [u8]> {
    todo!()
}
