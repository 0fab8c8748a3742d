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

/// Reads a bound on events. Clients test their subscriptions with events of their own, which need to pass.
pub(crate) fn event_bytes(text: &str) -> Result<usize, String> {
    at_least(512, text)
}

/// Reads a bound on topics. The topics of those tests, and of the pulse, are subject to it too.
pub(crate) fn topic_bytes(text: &str) -> Result<usize, String> {
    at_least(128, text)
}

fn at_least(least: usize, text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(bytes) if bytes >= least => Ok(bytes),
        _ => Err(format!("write a number of bytes, at least {least}")),
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

    #[test]
    fn bounds_that_leave_room_to_live() {
        assert_eq!((event_bytes("512"), topic_bytes("128")), (Ok(512), Ok(128)));
        assert!(event_bytes("511").is_err() && topic_bytes("127").is_err() && event_bytes("-1").is_err());
    }
}
