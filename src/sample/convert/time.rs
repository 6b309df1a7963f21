//! Dates.

use std::fmt::Write;

use jiff::fmt::strtime::BrokenDownTime;
use jiff::tz::TimeZone;
use jiff::{Timestamp, Zoned};

use crate::base::time::Wall;
use crate::http::date::push_http_date;
use crate::sample::fetch::check_unit;
use crate::sample::{ArgType, Args, Converter, Ctx, Sample, Scratch, Type};

const FORMAT: &[ArgType] = &[ArgType::Str, ArgType::Int];

const fn entry(name: &'static str, f: crate::sample::ConvertFn) -> Converter {
    Converter::new(name, Type::Int, Type::Str, f).args(1, FORMAT)
}

/// The table.
pub const CONVERTERS: &[Converter] = &[
    Converter::new("http_date", Type::Int, Type::Str, http_date)
        .args(0, &[ArgType::Int, ArgType::Str])
        .prepare(|_, a| check_unit(a, 1))
        .doc("a date as HTTP writes it, after adding an offset"),
    entry("ltime", |a, s, _| strftime(a, s, 1_000_000, true)).doc("a date in local time, by strftime"),
    entry("utime", |a, s, _| strftime(a, s, 1_000_000, false)).doc("a date in UTC, by strftime"),
    entry("ms_ltime", |a, s, _| strftime(a, s, 1000, true)).doc("a date in milliseconds in local time"),
    entry("ms_utime", |a, s, _| strftime(a, s, 1000, false)).doc("a date in milliseconds in UTC"),
    entry("us_ltime", |a, s, _| strftime(a, s, 1, true)).doc("a date in microseconds in local time"),
    entry("us_utime", |a, s, _| strftime(a, s, 1, false)).doc("a date in microseconds in UTC"),
];

fn http_date<'a>(a: &'a Args, s: Sample<'a>, _: &'a dyn Ctx) -> Option<Sample<'a>> {
    let Sample::Int(i) = s else { return None };
    let micros = i.checked_add(a.int_or(0, 0))?.checked_mul(a.int_or(1, 1_000_000))?;
    let mut out = Scratch::new();
    push_http_date(out.vec(), Wall(u64::try_from(micros).ok()?));
    Some(Sample::Str(out.into()))
}

struct Utf8<'v>(&'v mut Vec<u8>);

impl Write for Utf8<'_> {
    fn write_str(&mut self, s: &str) -> std::fmt::Result {
        self.0.extend_from_slice(s.as_bytes());
        Ok(())
    }
}

fn strftime<'a>(a: &'a Args, s: Sample<'a>, unit_us: i64, local: bool) -> Option<Sample<'a>> {
    let Sample::Int(i) = s else { return None };
    // The offset has the unit of the input.
    let micros = i.checked_add(a.int_or(1, 0))?.checked_mul(unit_us)?;
    let at = Timestamp::from_microsecond(micros).ok()?;
    let zone = if local { TimeZone::system() } else { TimeZone::UTC };
    let broken = BrokenDownTime::from(&Zoned::new(at, zone));
    let mut out = Scratch::new();
    broken.format(std::str::from_utf8(a.str(0)?).ok()?, jiff::fmt::StdFmtWrite(Utf8(out.vec()))).ok()?;
    Some(Sample::Str(out.into()))
}
