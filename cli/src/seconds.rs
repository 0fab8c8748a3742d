use std::time::Duration;

/// The longest time that an argument may ask for: about thirty years.
const LONGEST: f64 = 1e9;

/// Reads a time in seconds, fractions allowed.
pub(crate) fn seconds(text: &str) -> Result<Duration, String> {
    match text.parse::<f64>() {
        Ok(time) if (0.001..=LONGEST).contains(&time) => Ok(Duration::from_secs_f64(time)),
        Ok(_) => Err(format!("write seconds between 0.001 and {LONGEST}")),
        Err(_) => Err("write seconds, as in 2 or 0.5".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_times_that_can_be_waited_for() {
        assert_eq!(seconds("0.5"), Ok(Duration::from_millis(500)));
        for text in ["", "0", "-1", "NaN", "inf", "1e10", "2s"] {
            assert!(seconds(text).is_err(), "{text}");
        }
    }
}
