use serde::{Deserialize, Serialize};

/// What one subscriber says in the end, as one line of JSON: rates in events per second, times in microseconds.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Figures {
    pub(super) delivered: u64,
    pub(super) lost: u64,
    pub(super) gaps: u64,
    pub(super) rate: u64,
    #[serde(flatten)]
    pub(super) latency: Option<Latency>,
}

/// From when an event was due to be sent until its handler had it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Latency {
    pub(super) p50: u64,
    pub(super) p99: u64,
    pub(super) p999: u64,
    pub(super) max: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_read_with_and_without_latencies() {
        let read = |line| serde_json::from_str::<Figures>(line).unwrap().latency;
        assert_eq!(read(r#"{"delivered":1,"lost":0,"gaps":0,"rate":7}"#), None);
        let line = r#"{"delivered":1,"lost":0,"gaps":0,"rate":7,"p50":1,"p99":2,"p999":3,"max":4}"#;
        let latency = Latency {
            p50: 1,
            p99: 2,
            p999: 3,
            max: 4,
        };
        assert_eq!(read(line), Some(latency));
    }
}
