//! The HTTP date format (RFC 9110 5.6.7).

use crate::base::time::Wall;

/// Appends an IMF-fixdate: `Sun, 06 Nov 1994 08:49:37 GMT`.
pub fn push_http_date(_out: &mut Vec<u8>, _at: Wall) {
    todo!()
}
