use std::fmt;

/// A moment of the wall clock: microseconds since 1970-01-01T00:00:00 UTC.
///
/// Its text is ISO 8601 without a zone, as in `2026-11-22T17:23:16.123456`; years 0000 to 9999.
///
/// ```
/// use distbus::Timestamp;
///
/// let time: Timestamp = "2026-11-22T17:23:16.123456".parse()?;
/// assert_eq!(time.to_string(), "2026-11-22T17:23:16.123456");
/// assert_eq!(time.as_micros(), 1_795_368_196_123_456);
/// # Ok::<(), distbus::TimestampError>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Timestamp(i64);

/// A text that is not a [`Timestamp`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a timestamp; write it as 2026-11-22T17:23:16.123456")]
pub struct TimestampError;

const SECOND: i64 = 1_000_000;
const DAY: i64 = 86_400 * SECOND;
/// 0000-01-01 and the microsecond before 10000-01-01: what four digits can say.
const MIN: i64 = -719_528 * DAY;
const MAX: i64 = 2_932_897 * DAY - 1;

impl Timestamp {
    /// The length of its text, in bytes.
    pub const TEXT_LEN: usize = 26;

    /// That many microseconds after 1970 began, brought within the years 0000 to 9999.
    pub fn from_micros(micros: i64) -> Self {
        Self(micros.clamp(MIN, MAX))
    }

    /// Microseconds since 1970 began.
    pub fn as_micros(self) -> i64 {
        self.0
    }

    /// Its text, without going through the formatting machinery: this is on the path of every event.
    pub fn to_text(self) -> [u8; Self::TEXT_LEN] {
        let (days, in_day) = (self.0.div_euclid(DAY), self.0.rem_euclid(DAY));
        let (year, month, day) = civil(days);
        let (seconds, micros) = (in_day / SECOND, in_day % SECOND);
        let mut text = *b"0000-00-00T00:00:00.000000";
        let mut put = |at: usize, width: usize, mut value: i64| {
            for i in (at..at + width).rev() {
                text[i] = b'0' + (value % 10) as u8;
                value /= 10;
            }
        };
        put(0, 4, year);
        put(5, 2, month);
        put(8, 2, day);
        put(11, 2, seconds / 3600);
        put(14, 2, seconds / 60 % 60);
        put(17, 2, seconds % 60);
        put(20, 6, micros);
        text
    }

    /// Reads its text: a `T` or a space between date and time, a fraction of 1 to 9 digits or none, and a zone (`Z`, `+hh:mm`) or none, which
    /// means UTC.
    ///
    /// # Errors
    /// When it is not that, or no date of the calendar.
    pub fn from_text(text: &[u8]) -> Result<Self, TimestampError> {
        parse(text).ok_or(TimestampError)
    }
}

fn parse(text: &[u8]) -> Option<Timestamp> {
    let number = |at: usize, width: usize| -> Option<i64> {
        text.get(at..at + width)?.iter().try_fold(0, |value, digit| {
            digit
                .is_ascii_digit()
                .then(|| value * 10 + i64::from(digit - b'0'))
        })
    };
    let is = |at: usize, byte: u8| text.get(at) == Some(&byte);
    let separated =
        is(4, b'-') && is(7, b'-') && (is(10, b'T') || is(10, b' ')) && is(13, b':') && is(16, b':');
    if !separated {
        return None;
    }
    let (year, month, day) = (number(0, 4)?, number(5, 2)?, number(8, 2)?);
    let (hour, minute, second) = (number(11, 2)?, number(14, 2)?, number(17, 2)?);
    let days = days_from_civil(year, month, day);
    if civil(days) != (year, month, day) || hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let mut at = 19;
    let mut micros = 0;
    if is(at, b'.') {
        let digits = text[at + 1..].iter().take_while(|b| b.is_ascii_digit()).count();
        if !(1..=9).contains(&digits) {
            return None;
        }
        let kept = digits.min(6);
        micros = number(at + 1, kept)? * 10_i64.pow(6 - kept as u32);
        at += 1 + digits;
    }
    let offset = match &text[at..] {
        [] | b"Z" => 0,
        [sign @ (b'+' | b'-'), _, _, b':', _, _] => {
            let (hours, minutes) = (number(at + 1, 2)?, number(at + 4, 2)?);
            if hours > 23 || minutes > 59 {
                return None;
            }
            (hours * 60 + minutes) * if *sign == b'-' { -60 } else { 60 }
        }
        _ => return None,
    };
    let seconds = hour * 3600 + minute * 60 + second - offset;
    Some(Timestamp::from_micros(days * DAY + seconds * SECOND + micros))
}

/// Days since 1970-01-01 to year, month, day in the proleptic Gregorian calendar. The year is taken to begin in March, so that the leap
/// day is its last and months have a regular length (153 days in five).
fn civil(days: i64) -> (i64, i64, i64) {
    let z = days + 719_468;
    let era = z.div_euclid(146_097);
    let day_of_era = z.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let mp = (5 * day_of_year + 2) / 153;
    let month = if mp < 10 { mp + 3 } else { mp - 9 };
    (
        year_of_era + era * 400 + i64::from(month <= 2),
        month,
        day_of_year - (153 * mp + 2) / 5 + 1,
    )
}

fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = year - i64::from(month <= 2);
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * (month + if month > 2 { -3 } else { 9 }) + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.to_text()
            .iter()
            .try_for_each(|&byte| fmt::Write::write_char(f, byte as char))
    }
}

impl std::str::FromStr for Timestamp {
    type Err = TimestampError;

    fn from_str(text: &str) -> Result<Self, TimestampError> {
        Self::from_text(text.as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn spellings_of_one_moment() {
        let moment = Timestamp::from_micros(1_795_368_196_120_000);
        for text in [
            "2026-11-22T17:23:16.12",
            "2026-11-22T17:23:16.120000999",
            "2026-11-22 17:23:16.12Z",
            "2026-11-22T18:23:16.12+01:00",
            "2026-11-22T11:53:16.12-05:30",
        ] {
            assert_eq!(text.parse(), Ok(moment), "{text}");
        }
        assert_eq!(
            "2026-11-22T17:23:16".parse::<Timestamp>().unwrap().to_string(),
            "2026-11-22T17:23:16.000000"
        );
    }

    #[test]
    fn what_is_no_timestamp() {
        for text in [
            "",
            "now",
            "2026-11-22",
            "2026-02-29T00:00:00",
            "2026-13-01T00:00:00",
            "2026-11-22T24:00:00",
            "2026-11-22T17:23:16.",
            "2026-11-22T17:23:16.1234567890",
            "2026-11-22T17:23:16+1",
            "2026-11-22T17:23:1é",
            "2026-00-10T00:00:00",
        ] {
            assert_eq!(text.parse::<Timestamp>(), Err(TimestampError), "{text}");
        }
    }

    proptest! {
        #[test]
        fn text_and_back(micros in MIN..=MAX) {
            let time = Timestamp::from_micros(micros);
            prop_assert_eq!(time.to_string().parse(), Ok(time));
        }

        #[test]
        fn later_is_greater_in_text_too(a in MIN..=MAX, b in MIN..=MAX) {
            let (a, b) = (Timestamp::from_micros(a), Timestamp::from_micros(b));
            prop_assert_eq!(a.cmp(&b), a.to_text().cmp(&b.to_text()));
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..40)) {
            let _ = Timestamp::from_text(&bytes);
        }
    }
}
