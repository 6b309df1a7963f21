//! The version of HAProxy's language, for conditions.

/// A version as `haproxy -v` shows it: `2.6`, `2.6.12`, `3.0-dev4`. Development versions come before the
/// release they lead to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version {
    major: u32,
    minor: u32,
    patch: u32,
    released: bool,
    dev: u32,
}

impl Version {
    /// The level of the language that is implemented, which `version_atleast` and `version_before` answer for.
    pub const LANGUAGE: Version = Version { major: 2, minor: 6, patch: 0, released: true, dev: 0 };

    /// The language's branch, the value of `HAPROXY_BRANCH`.
    pub fn branch(self) -> String {
        format!("{}.{}", self.major, self.minor)
    }

    /// Parse; missing parts are zero, and a `v` in front or a package's suffix behind is ignored.
    pub fn parse(text: &str) -> Option<Version> {
        let text = text.strip_prefix('v').unwrap_or(text);
        let (numbers, suffix) = text.split_once('-').unwrap_or((text, ""));
        let mut parts = [0u32; 3];
        for (i, part) in numbers.split('.').enumerate() {
            *parts.get_mut(i)? = part.parse().ok()?;
        }
        let dev = match suffix.strip_prefix("dev") {
            Some(n) => {
                let digits = n.find(|c: char| !c.is_ascii_digit()).unwrap_or(n.len());
                Some(if digits == 0 { 0 } else { n[..digits].parse().ok()? })
            }
            None => None,
        };
        Some(Version {
            major: parts[0],
            minor: parts[1],
            patch: parts[2],
            released: dev.is_none(),
            dev: dev.unwrap_or(0),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order() {
        let v = |t| Version::parse(t).unwrap_or_else(|| panic!("{t}"));
        assert!(v("2.6-dev0") < v("2.6-dev12"));
        assert!(v("2.6-dev12") < v("2.6"));
        assert_eq!(v("2.6"), v("2.6.0"));
        assert_eq!(v("2.6.12-1+deb12u4"), v("2.6.12"));
        assert!(v("2.6.12") < v("2.7-dev1"));
        assert_eq!(v("v2.8-dev8"), v("2.8-dev8"));
        assert_eq!(Version::parse("abc"), None);
        assert_eq!(Version::parse("1.2.3.4"), None);
        assert_eq!(Version::LANGUAGE.branch(), "2.6");
    }
}
