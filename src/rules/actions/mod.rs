//! The actions, by what they do.

mod answer;
pub(super) mod counters;
mod fields;
mod flow;
mod lists;
mod normalize;
mod planned;
pub(super) mod redirect;
mod request_line;
mod stream;
mod vars;

pub(super) use answer::{denial, parse_answer};

use super::Action;

/// The tables of this folder.
pub const TABLES: &[&[Action]] = &[
    answer::ACTIONS,
    counters::ACTIONS,
    fields::ACTIONS,
    flow::ACTIONS,
    lists::ACTIONS,
    normalize::ACTIONS,
    planned::ACTIONS,
    redirect::ACTIONS,
    request_line::ACTIONS,
    stream::ACTIONS,
    vars::ACTIONS,
];
