//! Status codes: reason phrases.

/// The usual reason phrase of a status (IANA's registry); "Unknown" for one that has none.
pub fn reason(_status: u16) -> &'static str {
    todo!()
}
