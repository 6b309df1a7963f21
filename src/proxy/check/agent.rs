//! The agent protocol: one line from a program beside the server (`agent-check`).

/// What one answer asks for. Several words may stand in one answer; each kind counts once, the last one wins.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    /// `up`, `down`, `failed`, `stopped`.
    pub health: Option<AgentHealth>,
    /// `ready`, `drain`, `maint`.
    pub admin: Option<AgentAdmin>,
    /// `75%`: percent of the configured weight.
    pub weight_percent: Option<u32>,
    /// `maxconn:30`.
    pub maxconn: Option<u32>,
    /// What follows `#`, or the server's words behind `down`, `failed`, `stopped`.
    pub words: String,
}

/// The operational state that an agent reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum AgentHealth {
    Up,
    Down,
    Failed,
    Stopped,
}

/// The administrative state that an agent asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum AgentAdmin {
    Ready,
    Drain,
    Maint,
}

/// Longest answer that is looked at, in bytes.
pub const ANSWER_MAX: usize = 1024;

/// Read an answer: words between blanks, tabs and commas, up to the end of the line. `Err`: the word that is none.
pub fn parse(bytes: &[u8]) -> Result<Answer, String> {
    let end = bytes.iter().position(|b| matches!(b, b'\r' | b'\n' | 0)).unwrap_or(bytes.len());
    let line = String::from_utf8_lossy(&bytes[..end]);
    let (words, comment) = match line.split_once('#') {
        Some((words, comment)) => (words, comment),
        None => (line.as_ref(), ""),
    };
    let mut answer = Answer { words: comment.trim().to_owned(), ..Answer::default() };
    let mut words = words.split([' ', '\t', ',']).filter(|w| !w.is_empty()).peekable();
    if words.peek().is_none() {
        return Err(String::new());
    }
    for word in words {
        match word.to_ascii_lowercase().as_str() {
            "up" => answer.health = Some(AgentHealth::Up),
            "down" => answer.health = Some(AgentHealth::Down),
            "failed" | "fail" => answer.health = Some(AgentHealth::Failed),
            "stopped" | "stop" => answer.health = Some(AgentHealth::Stopped),
            "ready" => answer.admin = Some(AgentAdmin::Ready),
            "drain" => answer.admin = Some(AgentAdmin::Drain),
            "maint" => answer.admin = Some(AgentAdmin::Maint),
            lower => {
                if let Some(percent) = lower.strip_suffix('%').and_then(|n| n.parse().ok()) {
                    answer.weight_percent = Some(percent);
                } else if let Some(maxconn) = lower.strip_prefix("maxconn:").and_then(|n| n.parse().ok()) {
                    answer.maxconn = Some(maxconn);
                } else {
                    return Err(word.to_owned());
                }
            }
        }
    }
    Ok(answer)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn answers_of_the_manual() {
        let a = parse(b"75%\n").expect("a weight");
        assert_eq!(a.weight_percent, Some(75));
        let a = parse(b"drain,50% up\tmaxconn:30 # going home\r\n").expect("several words");
        assert_eq!((a.admin, a.weight_percent), (Some(AgentAdmin::Drain), Some(50)));
        assert_eq!((a.health, a.maxconn), (Some(AgentHealth::Up), Some(30)));
        assert_eq!(a.words, "going home");
        assert_eq!(parse(b"DOWN").expect("any case").health, Some(AgentHealth::Down));
        assert_eq!(parse(b"hello\n"), Err("hello".to_owned()));
        assert!(parse(b"\n").is_err());
    }

    proptest! {
        #[test]
        fn any_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            let _ = parse(&bytes);
        }
    }
}
