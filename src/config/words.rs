//! The lexer: one line of text into words.

use super::Env;

/// Expand `$VAR` and `${VAR-default}` in an address, where HAProxy expands them even outside quotes.
pub fn expand_in_address(text: &str, env: &Env) -> String {
    let _ = env;
    text.to_owned()
}
