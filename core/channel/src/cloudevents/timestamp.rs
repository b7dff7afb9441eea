//! Moments as text: RFC 3339, to the nanosecond, from 1970 to 2554.

use clustercore_proto::time::Instant;
use std::fmt::Write;

/// Reads a moment: `2026-01-31T12:00:00.5+01:00`. `None` for what is no RFC 3339, before 1970, or after what 64 bits of
/// nanoseconds hold. Decimals beyond the ninth are cut off; a leap second counts for the one after it.
pub fn parse_timestamp(text: &str) -> Option<Instant> {
    let bytes = text.as_bytes();
    let number = |from: usize, len: usize| -> Option<i64> {
        let digits = bytes.get(from..from + len)?;
        let is_plain = digits.iter().all(u8::is_ascii_digit);
        is_plain.then(|| digits.iter().fold(0, |number, digit| number * 10 + i64::from(digit - b'0')))
    };
    let is = |at: usize, wanted: &[u8]| bytes.get(at).is_some_and(|byte| wanted.contains(byte));
    let is_shaped =
        is(4, b"-") && is(7, b"-") && is(10, b"Tt") && is(13, b":") && is(16, b":") && text.is_ascii();
    if !is_shaped {
        return None;
    }
    let (year, month, day) = (number(0, 4)?, number(5, 2)?, number(8, 2)?);
    let (hour, minute, second) = (number(11, 2)?, number(14, 2)?, number(17, 2)?);
    let is_date = (1..=12).contains(&month) && (1..=days_of(year, month)).contains(&day);
    if !is_date || hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let mut at = 19;
    let mut nanos = 0;
    if is(at, b".") {
        let digits = bytes[at + 1..].iter().take_while(|byte| byte.is_ascii_digit()).count();
        let kept = digits.min(9);
        nanos = number(at + 1, kept)? * 10i64.pow(9 - kept as u32);
        (digits > 0).then_some(())?;
        at += 1 + digits;
    }
    let offset = match &bytes[at..] {
        b"Z" | b"z" => 0,
        [sign @ (b'+' | b'-'), _, _, b':', _, _] => {
            let (hours, minutes) = (number(at + 1, 2)?, number(at + 4, 2)?);
            (hours <= 23 && minutes <= 59).then_some(())?;
            (hours * 60 + minutes) * if *sign == b'+' { 60 } else { -60 }
        }
        _ => return None,
    };
    let seconds = days_since_1970(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second - offset;
    let whole = u64::try_from(seconds).ok()?.checked_mul(1_000_000_000)?;
    Some(Instant::from_nanos(whole.checked_add(nanos as u64)?))
}

/// Appends a moment in UTC, with as many decimals as it needs.
pub fn write_timestamp(moment: Instant, out: &mut String) {
    let nanos = moment.as_nanos();
    let (seconds, fraction) = (nanos / 1_000_000_000, nanos % 1_000_000_000);
    let (year, month, day) = date_of((seconds / 86_400) as i64);
    let (hour, minute, second) = (seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
    let _ = write!(out, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}");
    if fraction > 0 {
        let digits = format!("{fraction:09}");
        let _ = write!(out, ".{}", digits.trim_end_matches('0'));
    }
    out.push('Z');
}

fn days_of(year: i64, month: i64) -> i64 {
    let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    match month {
        2 => 28 + i64::from(is_leap),
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Source: H. Hinnant, "chrono-compatible low-level date algorithms": years begin in March, eras have 400 years.
fn days_since_1970(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let (era, year) = (year.div_euclid(400), year.rem_euclid(400));
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * DAYS_OF_ERA + year * 365 + year / 4 - year / 100 + day_of_year - DAYS_BEFORE_1970
}

fn date_of(days: i64) -> (i64, i64, i64) {
    let days = days + DAYS_BEFORE_1970;
    let (era, day_of_era) = (days.div_euclid(DAYS_OF_ERA), days.rem_euclid(DAYS_OF_ERA));
    let year = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (era * 400 + year + i64::from(month <= 2), month, day)
}

const DAYS_OF_ERA: i64 = 146_097;
/// From the first of March of year 0.
const DAYS_BEFORE_1970: i64 = 719_468;

#[cfg(test)]
mod tests {
    use super::*;

    fn text(moment: Instant) -> String {
        let mut out = String::new();
        write_timestamp(moment, &mut out);
        out
    }

    #[test]
    fn moments_are_read_as_rfc_3339_says() {
        for (written, nanos) in [
            ("1970-01-01T00:00:00Z", 0),
            ("1970-01-01T00:00:00.000000001z", 1),
            ("2018-04-05T17:31:00Z", 1_522_949_460_000_000_000),
            ("2018-04-05T17:31:00+02:30", 1_522_940_460_000_000_000),
            ("2018-04-05t17:31:00.25-00:00", 1_522_949_460_250_000_000),
            ("2016-12-31T23:59:60Z", 1_483_228_800_000_000_000),
            ("2000-02-29T00:00:00.1234567899Z", 951_782_400_123_456_789),
            ("1969-12-31T23:00:00-01:00", 0),
            ("2554-07-21T23:34:33.709551615Z", u64::MAX),
        ] {
            assert_eq!(parse_timestamp(written), Some(Instant::from_nanos(nanos)), "{written}");
        }
        for wrong in [
            "",
            "2018",
            "2018-04-05",
            "2018-04-05T17:31:00",
            "2018-04-05 17:31:00Z",
            "2018-4-5T17:31:00Z",
            "2018-02-29T00:00:00Z",
            "2018-13-01T00:00:00Z",
            "2018-00-01T00:00:00Z",
            "2018-04-31T00:00:00Z",
            "2018-04-05T24:00:00Z",
            "2018-04-05T00:60:00Z",
            "2018-04-05T00:00:61Z",
            "2018-04-05T00:00:00.Z",
            "2018-04-05T00:00:00+24:00",
            "2018-04-05T00:00:00+1:00",
            "2018-04-05T00:00:00Zx",
            "1969-12-31T23:59:59Z",
            "2554-07-21T23:34:34Z",
            "9999-12-31T23:59:59Z",
            "+018-04-05T00:00:00Z",
            "2018-04-05T00:00:00\u{e9}",
            "\u{e9}18-04-05T00:00:00Z",
        ] {
            assert_eq!(parse_timestamp(wrong), None, "{wrong:?}");
        }
    }

    #[test]
    fn what_is_written_is_read_again() {
        for nanos in [0, 1, 1_500_000_000, 951_782_399_999_999_999, 4_107_542_400_000_000_000, u64::MAX - 1] {
            let moment = Instant::from_nanos(nanos);
            assert_eq!(parse_timestamp(&text(moment)), Some(moment), "{}", text(moment));
        }
        for day in 0..200_000u64 {
            let moment = Instant::from_nanos(day * 86_400_000_000_000);
            assert_eq!(parse_timestamp(&text(moment)), Some(moment));
        }
        assert_eq!(text(Instant::from_nanos(1_522_949_460_250_000_000)), "2018-04-05T17:31:00.25Z");
    }
}
