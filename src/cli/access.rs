//! What a connection may do that another process hands over, and how it begins.

use super::Level;
use super::commands::{Mode, State};

/// A level, and modes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Access {
    level: Level,
    mode: Mode,
    expert: bool,
    experimental: bool,
    exposes: bool,
}

impl From<Level> for Access {
    fn from(level: Level) -> Access {
        Access { level, mode: Mode::Single, expert: false, experimental: false, exposes: false }
    }
}

impl Access {
    /// Parse `<level> [expert] [experimental] [prompt|interactive]`. What else stands there comes from a later version
    /// and is passed over. `None`: no such level.
    pub fn parse(text: &str) -> Option<Access> {
        let mut words = text.split(' ');
        let mut access = Access::from(Level::parse(words.next()?)?);
        for word in words {
            match word {
                "expert" => access.expert = true,
                "experimental" => access.experimental = true,
                "prompt" => access.mode = Mode::Prompt,
                "interactive" => access.mode = Mode::Interactive,
                _ => {}
            }
        }
        Some(access)
    }

    /// Whether its socket gives descriptors away (`expose-fd listeners`). A master does not need that way.
    pub fn exposing(self, exposes: bool) -> Access {
        Access { exposes, ..self }
    }

    /// A session with a prompt begins with it.
    pub(super) fn begins_with_prompt(self) -> bool {
        self.mode == Mode::Prompt
    }

    /// The session's state at first.
    pub(super) fn state(self, timeout: std::time::Duration) -> State {
        let Access { level, mode, expert, experimental, exposes } = self;
        State { level, mode, timed: false, timeout, expert, experimental, exposes }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_and_modes() {
        let plain = Access::from(Level::Admin);
        assert_eq!(Access::parse("admin"), Some(plain));
        let all = Access { mode: Mode::Prompt, expert: true, experimental: true, ..plain };
        assert_eq!(Access::parse("admin expert experimental prompt"), Some(all));
        let other = Access { level: Level::User, mode: Mode::Interactive, ..plain };
        assert_eq!(Access::parse("user interactive whatever"), Some(other));
        assert_eq!((Access::parse("god"), Access::parse("")), (None, None));
    }
}
