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
        // Positive and no wider than they must be: division then costs a third.
        let since_year_0 = (self.0 - MIN) as u64;
        let (days, in_day) = (since_year_0 / DAY as u64, since_year_0 % DAY as u64);
        let (year, month, day) = civil(days as u32);
        let (seconds, micros) = ((in_day / SECOND as u64) as u32, (in_day % SECOND as u64) as u32);
        let mut text = *b"0000-00-00T00:00:00.000000";
        let mut put = |at: usize, value: u32| text[at..at + 2].copy_from_slice(&PAIRS[value as usize % 100]);
        put(0, year / 100);
        put(2, year);
        put(5, month);
        put(8, day);
        put(11, seconds / 3600);
        put(14, seconds / 60 % 60);
        put(17, seconds % 60);
        put(20, micros / 10_000);
        put(22, micros / 100);
        put(24, micros);
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

/// The text of 0 to 99 in two digits.
static PAIRS: [[u8; 2]; 100] = {
    let mut pairs = [[0; 2]; 100];
    let mut value = 0;
    while value < 100 {
        pairs[value] = [b'0' + value as u8 / 10, b'0' + value as u8 % 10];
        value += 1;
    }
    pairs
};

fn parse(text: &[u8]) -> Option<Timestamp> {
    let usual = text.try_into().ok().and_then(parse_usual);
    usual.or_else(|| parse_any(text))
}

fn parse_any(text: &[u8]) -> Option<Timestamp> {
    let (moment, rest) = text.split_first_chunk()?;
    let seconds = parse_seconds(moment)?;
    let (micros, zone) = parse_fraction(rest)?;
    let offset = parse_zone(zone)?;
    Some(Timestamp::from_micros((seconds - offset) * SECOND + micros))
}

/// As we and Python write it, eight characters at a time; never what [`parse_any`] would not read, nor otherwise.
#[inline]
fn parse_usual(text: &[u8; Timestamp::TEXT_LEN]) -> Option<Timestamp> {
    let eight = |at: usize| text[at..].first_chunk();
    let [century, _, year, _, _, month, _, _] = twos(eight(0)?, b"0000-00-")?;
    let [day, _, _, hour, _, _, minute, _] = twos(eight(8)?, b"00T00:00")?;
    let [_, second, ..] = twos(eight(16)?, b":00.0000")?;
    let [_, _, a, _, b, _, c, _] = twos(eight(18)?, b"0.000000")?;
    let seconds = seconds([century, year, month, day, hour, minute, second].map(u32::from))?;
    let [a, b, c] = [a, b, c].map(i64::from);
    Some(Timestamp::from_micros(
        seconds * SECOND + a * 10_000 + b * 100 + c,
    ))
}

/// The two-digit number that begins at each place, where two digits are; all characters must be as in the pattern, in which `0` is any digit.
#[inline]
fn twos(text: &[u8; 8], pattern: &[u8; 8]) -> Option<[u8; 8]> {
    const HIGH: u64 = 0x8080_8080_8080_8080;
    // What may be added to 9, and to 0 for what is no digit, without reaching the high bit.
    let room = pattern.map(|byte| if byte == b'0' { 0x7F - 9 } else { 0x7F });
    // A digit's value: the characters of the ten differ from `0` in the lowest bits only.
    let values = u64::from_le_bytes(*text) ^ u64::from_le_bytes(*pattern);
    let wrong = (values | values.wrapping_add(u64::from_le_bytes(room))) & HIGH;
    let twos = values.wrapping_mul(10).wrapping_add(values >> 8);
    (wrong == 0).then_some(twos.to_le_bytes())
}

/// The two-digit numbers at these places, all looked at before any is doubted.
#[inline]
fn pairs<const LEN: usize, const COUNT: usize>(
    text: &[u8; LEN],
    places: [usize; COUNT],
) -> Option<[u32; COUNT]> {
    let mut wrong = false;
    let values = places.map(|at| {
        let (tens, ones) = (text[at].wrapping_sub(b'0'), text[at + 1].wrapping_sub(b'0'));
        wrong |= (tens > 9) | (ones > 9);
        u32::from(tens) * 10 + u32::from(ones)
    });
    (!wrong).then_some(values)
}

/// Seconds since 1970 began, from date and time of day.
#[inline]
fn parse_seconds(text: &[u8; 19]) -> Option<i64> {
    let separated = (text[4] == b'-')
        & (text[7] == b'-')
        & ((text[10] == b'T') | (text[10] == b' '))
        & (text[13] == b':')
        & (text[16] == b':');
    let parts = pairs(text, [0, 2, 5, 8, 11, 14, 17])?;
    separated.then(|| seconds(parts))?
}

/// Seconds since 1970 began, of a moment that there is.
#[inline]
fn seconds([century, year, month, day, hour, minute, second]: [u32; 7]) -> Option<i64> {
    let year = century * 100 + year;
    if !is_date(year, month, day) || hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let days = i64::from(days_from_civil(year, month, day)) + MIN / DAY;
    Some(days * (DAY / SECOND) + i64::from(hour * 3600 + minute * 60 + second))
}

/// Microseconds, and what follows them.
fn parse_fraction(text: &[u8]) -> Option<(i64, &[u8])> {
    let [b'.', text @ ..] = text else {
        return Some((0, text));
    };
    let digits = text.iter().take_while(|b| b.is_ascii_digit()).count();
    if !(1..=9).contains(&digits) {
        return None;
    }
    let (fraction, rest) = text.split_at(digits);
    let kept = fraction.iter().copied().chain(std::iter::repeat(b'0')).take(6);
    Some((
        kept.fold(0, |value, digit| value * 10 + i64::from(digit - b'0')),
        rest,
    ))
}

/// Seconds ahead of UTC.
fn parse_zone(text: &[u8]) -> Option<i64> {
    let (sign, text) = match text {
        [] | b"Z" => return Some(0),
        [sign @ (b'+' | b'-'), text @ ..] => (*sign, text.first_chunk::<5>().filter(|_| text.len() == 5)?),
        _ => return None,
    };
    let [hours, minutes] = pairs(text, [0, 3])?;
    if text[2] != b':' || hours > 23 || minutes > 59 {
        return None;
    }
    Some(i64::from(hours * 60 + minutes) * if sign == b'-' { -60 } else { 60 })
}

fn is_date(year: u32, month: u32, day: u32) -> bool {
    let leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    let days = match month {
        2 => 28 + u32::from(leap),
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => 0,
    };
    (1..=days).contains(&day)
}

const DAYS_OF_400_YEARS: u32 = 146_097;
/// From 0000-03-01 back to 0000-01-01.
const TO_MARCH: u32 = 60;

/// Days since 0000-01-01 to year, month, day in the proleptic Gregorian calendar. The year is taken to begin in March, so that the leap
/// day is its last and months have a regular length (153 days in five).
fn civil(days: u32) -> (u32, u32, u32) {
    // 400 years on, and back in the end, so that nothing is ever negative.
    let z = days + DAYS_OF_400_YEARS - TO_MARCH;
    let (era, day_of_era) = (z / DAYS_OF_400_YEARS, z % DAYS_OF_400_YEARS);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let mp = (5 * day_of_year + 2) / 153;
    let month = if mp < 10 { mp + 3 } else { mp - 9 };
    (
        year_of_era + era * 400 + u32::from(month <= 2) - 400,
        month,
        day_of_year - (153 * mp + 2) / 5 + 1,
    )
}

fn days_from_civil(year: u32, month: u32, day: u32) -> u32 {
    let year = year + 400 - u32::from(month <= 2);
    let (era, year_of_era) = (year / 400, year % 400);
    let day_of_year = (153 * (if month > 2 { month - 3 } else { month + 9 }) + 2) / 5 + day - 1;
    era * DAYS_OF_400_YEARS + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year + TO_MARCH
        - DAYS_OF_400_YEARS
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
            "2026-04-31T00:00:00",
            "2026-04-00T00:00:00",
            "1900-02-29T00:00:00",
            "2026-11-22T17:60:00",
            "2026-11-22T17:23:60",
            "2026-11-22t17:23:16.123456",
            "2026-11-22T17:23:16.12345:",
            "2026-11-22T17:23:16.12345/",
            "2026-11-22T17:23:16,123456",
            "2026-11-22T17:23:16.12+01:00Z",
            "2026-11-22T17:23:16.12+24:00",
            "2026-11-22T17:23:16.12+01-00",
            "2026-11-22T17:23:16ZZ",
        ] {
            assert_eq!(text.parse::<Timestamp>(), Err(TimestampError), "{text}");
        }
    }

    #[test]
    fn both_ways_to_read_it_agree() {
        for usual in ["2026-11-22T17:23:16.123456", "1999-12-31T09:59:59.909090"] {
            let usual: &[u8; 26] = usual.as_bytes().try_into().unwrap();
            assert_eq!(parse_usual(usual), parse_any(usual));
            assert!(parse_usual(usual).is_some());
            for at in 0..usual.len() {
                for byte in 0..=u8::MAX {
                    let mut text = *usual;
                    text[at] = byte;
                    let any = parse_any(&text);
                    match parse_usual(&text) {
                        Some(time) => assert_eq!(any, Some(time), "{byte} at {at}"),
                        // A space before the time, and a `Z` in the place of the last digit.
                        None => assert!(any.is_none() || [b' ', b'Z'].contains(&byte), "{byte} at {at}"),
                    }
                }
            }
        }
    }

    /// Day after day from the first to the last, by the rules of the calendar alone.
    #[test]
    fn every_day_has_its_date() {
        let mut days = MIN / DAY;
        for year in 0..10_000_u32 {
            let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
            let lengths = [31, 28 + u32::from(leap), 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
            for (month, length) in (1..).zip(lengths) {
                for day in 1..=length {
                    assert!(is_date(year, month, day));
                    let since_year_0 = (days - MIN / DAY) as u32;
                    assert_eq!(civil(since_year_0), (year, month, day));
                    assert_eq!(days_from_civil(year, month, day), since_year_0);
                    days += 1;
                }
                assert!(!is_date(year, month, length + 1));
            }
        }
        assert_eq!(days * DAY, MAX + 1);
        let first = Timestamp::from_micros(0).to_string();
        assert_eq!(first, "1970-01-01T00:00:00.000000");
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
