//! Syslog levels and facilities (RFC 3164 section 4.1.1), under the names the configuration uses.

/// Severity of a message; smaller is more severe.
#[allow(missing_docs)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Level {
    Emerg = 0,
    Alert = 1,
    Crit = 2,
    Err = 3,
    Warning = 4,
    Notice = 5,
    Info = 6,
    Debug = 7,
}

/// The levels by number.
pub const LEVELS: [(Level, &str); 8] = [
    (Level::Emerg, "emerg"),
    (Level::Alert, "alert"),
    (Level::Crit, "crit"),
    (Level::Err, "err"),
    (Level::Warning, "warning"),
    (Level::Notice, "notice"),
    (Level::Info, "info"),
    (Level::Debug, "debug"),
];

/// The facilities; the index is the number that goes into `<PRI>`.
pub const FACILITIES: [&str; 24] = [
    "kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news", "uucp", "cron", "auth2", "ftp", "ntp",
    "audit", "alert", "cron2", "local0", "local1", "local2", "local3", "local4", "local5", "local6",
    "local7",
];

impl Level {
    /// The level called `name` in the configuration.
    pub fn parse(name: &str) -> Option<Level> {
        LEVELS.iter().find(|(_, n)| *n == name).map(|(l, _)| *l)
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        LEVELS[self as usize].1
    }
}

/// What `http-request set-log-level` asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LevelOverride {
    /// This request is not logged.
    Silent,
    /// This request is logged at this level.
    Level(Level),
}

impl LevelOverride {
    /// A level's name, or `silent`.
    pub fn parse(name: &str) -> Option<LevelOverride> {
        if name == "silent" {
            return Some(LevelOverride::Silent);
        }
        Level::parse(name).map(LevelOverride::Level)
    }
}

/// A syslog facility: an index into [`FACILITIES`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Facility(pub u8);

impl Facility {
    /// The facility called `name` in the configuration.
    pub fn parse(name: &str) -> Option<Facility> {
        FACILITIES.iter().position(|f| *f == name).map(|i| Facility(i as u8))
    }

    /// The number between the angle brackets of a syslog line.
    pub fn pri(self, level: Level) -> u8 {
        self.0 * 8 + level as u8
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pri_is_facility_times_eight_plus_level() {
        assert_eq!(Facility::parse("local2").unwrap().pri(Level::Info), 150);
        assert_eq!(Facility::parse("kern").unwrap().pri(Level::Emerg), 0);
        assert_eq!(Facility::parse("local7").unwrap().pri(Level::Debug), 191);
    }

    #[test]
    fn levels_stand_at_their_numbers() {
        for (i, (level, name)) in LEVELS.iter().enumerate() {
            assert_eq!(*level as usize, i);
            assert_eq!(Level::parse(name), Some(*level));
            assert_eq!(level.name(), *name);
        }
        assert_eq!(Level::parse("error"), None);
        assert_eq!(LevelOverride::parse("silent"), Some(LevelOverride::Silent));
    }
}
