//! Dates in lines. The local time zone is read once per process; each thread keeps the broken-down form of
//! the last few seconds, so that a line costs a copy and no lock is ever taken.

use std::cell::RefCell;
use std::sync::OnceLock;

use jiff::Timestamp;
use jiff::tz::TimeZone;

use crate::base::time::Wall;

/// Seconds that each thread remembers: "now" for the header, and the accept and request dates of the
/// exchanges that end now.
const REMEMBERED: usize = 8;

const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// One second, in every shape that lines need.
#[derive(Clone, Debug)]
pub(super) struct Second {
    epoch: u64,
    /// `20/Nov/2026:23:01:16`, local.
    pub local: String,
    /// `+0100`.
    pub offset: String,
    /// `20/Nov/2026:22:01:16 +0000`.
    pub gmt: String,
    /// `Nov  2 23:01:16`, local (RFC 3164).
    pub syslog: String,
    /// `2026-11-20T23:01:16`, local.
    pub iso: String,
    /// `+01:00`.
    pub iso_offset: String,
}

static ZONE: OnceLock<TimeZone> = OnceLock::new();

thread_local! {
    static SECONDS: RefCell<[Option<Box<Second>>; REMEMBERED]> = const { RefCell::new([const { None }; REMEMBERED]) };
}

/// Read the time zone (`TZ`, else /etc/localtime) while the file system is the real one: call before
/// `chroot`. Otherwise done at first use.
pub fn load_time_zone() {
    let _ = zone();
}

fn zone() -> &'static TimeZone {
    // The unit tests compare with texts that were recorded in UTC.
    ZONE.get_or_init(|| if cfg!(test) { TimeZone::UTC } else { TimeZone::system() })
}

/// `20/Nov/2026:23:01:16`, local time.
pub fn local_date(t: Wall) -> String {
    with_second(t, |s| s.local.clone())
}

/// Give `f` the second that `t` falls in.
pub(super) fn with_second<R>(t: Wall, f: impl FnOnce(&Second) -> R) -> R {
    let epoch = t.0 / 1_000_000;
    SECONDS.with_borrow_mut(|all| {
        let slot = &mut all[epoch as usize % REMEMBERED];
        match slot {
            Some(s) if s.epoch == epoch => f(s),
            _ => f(slot.insert(Box::new(Second::new(epoch, zone())))),
        }
    })
}

impl Second {
    fn new(epoch: u64, zone: &TimeZone) -> Second {
        // Beyond the year 9999 there is no date to print; the epoch stands for it.
        let stamp =
            i64::try_from(epoch).ok().and_then(|s| Timestamp::from_second(s).ok()).unwrap_or_default();
        let utc = stamp.to_zoned(TimeZone::UTC).datetime();
        let here = stamp.to_zoned(zone.clone());
        let seconds = here.offset().seconds();
        let local = here.datetime();
        let (sign, minutes) = (if seconds < 0 { '-' } else { '+' }, seconds.unsigned_abs() / 60);
        let (oh, om) = (minutes / 60, minutes % 60);
        let time = |d: jiff::civil::DateTime| format!("{:02}:{:02}:{:02}", d.hour(), d.minute(), d.second());
        let month = |d: jiff::civil::DateTime| MONTHS[usize::from(d.month().unsigned_abs()) - 1];
        let clf =
            |d: jiff::civil::DateTime| format!("{:02}/{}/{:04}:{}", d.day(), month(d), d.year(), time(d));
        Second {
            epoch,
            local: clf(local),
            offset: format!("{sign}{oh:02}{om:02}"),
            gmt: format!("{} +0000", clf(utc)),
            syslog: format!("{} {:2} {}", month(local), local.day(), time(local)),
            iso: format!("{:04}-{:02}-{:02}T{}", local.year(), local.month(), local.day(), time(local)),
            iso_offset: format!("{sign}{oh:02}:{om:02}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn second(epoch: u64, zone: &str) -> Second {
        Second::new(epoch, &TimeZone::get(zone).unwrap_or(TimeZone::fixed(jiff::tz::offset(1))))
    }

    #[test]
    fn shapes_are_those_of_the_reference() {
        let s = Second::new(1_795_215_788, &TimeZone::UTC);
        assert_eq!(s.local, "20/Nov/2026:23:03:08");
        assert_eq!(s.gmt, "20/Nov/2026:23:03:08 +0000");
        assert_eq!(s.syslog, "Nov 20 23:03:08");
        assert_eq!(format!("{}{}", s.iso, s.iso_offset), "2026-11-20T23:03:08+00:00");
    }

    #[test]
    fn one_digit_days_are_padded_with_a_space_for_syslog_only() {
        let s = Second::new(1_233_922_329, &TimeZone::UTC);
        assert_eq!((s.syslog.as_str(), s.local.as_str()), ("Feb  6 12:12:09", "06/Feb/2009:12:12:09"));
    }

    #[test]
    fn offsets_have_sign_hours_and_minutes() {
        let zone = TimeZone::fixed(jiff::tz::Offset::from_seconds(-(3 * 3600 + 1800)).expect("in range"));
        let s = Second::new(1_233_922_329, &zone);
        assert_eq!((s.offset.as_str(), s.iso_offset.as_str()), ("-0330", "-03:30"));
        assert_eq!(
            (s.local.as_str(), s.gmt.as_str()),
            ("06/Feb/2009:08:42:09", "06/Feb/2009:12:12:09 +0000")
        );
    }

    #[test]
    fn summer_time_changes_the_offset_from_one_second_to_the_next() {
        // 2026-03-29 01:00:00 UTC in central Europe, where the zone data base is installed.
        if TimeZone::get("Europe/Paris").is_err() {
            assert_eq!(second(1_774_746_000, "Europe/Paris").offset, "+0100");
            return;
        }
        assert_eq!(second(1_774_745_999, "Europe/Paris").offset, "+0100");
        assert_eq!(second(1_774_746_000, "Europe/Paris").offset, "+0200");
    }

    #[test]
    fn a_remembered_second_is_replaced_by_another_in_its_slot() {
        let at = |s: u64| with_second(Wall(s * 1_000_000 + 5), |x| x.epoch);
        assert_eq!((at(8), at(16), at(8)), (8, 16, 8));
        assert_eq!(with_second(Wall(u64::MAX), |s| s.gmt.len()), 26);
    }
}
