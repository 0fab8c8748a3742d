use super::work::Payload;
use crate::connection::Format;
use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};

/// One standard measurement: what is sent, from how many to how many.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Case {
    pub(super) name: &'static str,
    /// In words.
    pub(super) what: &'static str,
    pub(super) payload: Payload,
    pub(super) size: usize,
    pub(super) codec: Format,
    pub(super) publishers: u64,
    pub(super) subscribers: u64,
    /// Events per second; without it, as fast as possible.
    pub(super) rate: Option<u64>,
    /// All publishers' together, unless somebody asks for another number. Enough for a second or so: processes and connections take
    /// a fifth of one to get going.
    events: u64,
}

/// What the others differ from.
const OPAQUE: Case = Case {
    name: "opaque",
    what: "64 opaque bytes, MessagePack",
    payload: Payload::Bytes,
    size: 64,
    codec: Format::Msgpack,
    publishers: 1,
    subscribers: 1,
    rate: None,
    events: 3_000_000,
};
const JSON: Case = Case {
    name: "json",
    what: "a sample of 64 characters, JSON",
    payload: Payload::Sample,
    codec: Format::Json,
    events: 1_500_000,
    ..OPAQUE
};

/// The standard cases, in the order of the table.
pub(super) const CASES: [Case; 8] = [
    OPAQUE,
    JSON,
    Case {
        name: "msgpack",
        what: "a sample of 64 characters, MessagePack",
        codec: Format::Msgpack,
        events: 3_000_000,
        ..JSON
    },
    Case {
        name: "json-1024",
        what: "a sample of 1,024 characters, JSON",
        size: 1024,
        events: 400_000,
        ..JSON
    },
    Case {
        name: "msgpack-1024",
        what: "a sample of 1,024 characters, MessagePack",
        size: 1024,
        codec: Format::Msgpack,
        events: 800_000,
        ..JSON
    },
    Case {
        name: "fan-out",
        what: "64 opaque bytes to 8 subscribers, each",
        subscribers: 8,
        events: 500_000,
        ..OPAQUE
    },
    Case {
        name: "fan-in",
        what: "64 opaque bytes from 4 publishers together",
        publishers: 4,
        ..OPAQUE
    },
    Case {
        name: "latency",
        what: "64 opaque bytes, 2,000 events a second",
        rate: Some(2000),
        events: 10_000,
        ..OPAQUE
    },
];

/// The longest that a paced case lasts, in seconds, however many events are asked for.
const LONGEST_PACED: u64 = 30;

impl Case {
    /// How many events, all publishers' together: a multiple of their number.
    pub(super) fn events(&self, wanted: Option<u64>, quick: bool) -> u64 {
        let usual = if quick { self.events / 10 } else { self.events };
        let mut events = wanted.unwrap_or(usual);
        if let Some(rate) = self.rate {
            events = events.min(rate * LONGEST_PACED);
        }
        events.next_multiple_of(self.publishers)
    }

    /// Reads a case's name; clap lists them all.
    pub(super) fn parser() -> impl TypedValueParser<Value = Self> {
        let names = CASES.map(|case| PossibleValue::new(case.name).help(case.what));
        PossibleValuesParser::new(names).try_map(|name| {
            CASES
                .into_iter()
                .find(|case| case.name == name)
                .ok_or("no such case")
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_shared_evenly_and_a_paced_case_ends() {
        for case in CASES {
            for wanted in [None, Some(1), Some(1001)] {
                let events = case.events(wanted, true);
                assert!(events > 0 && events.is_multiple_of(case.publishers), "{case:?}");
            }
        }
        assert_eq!(CASES[7].events(Some(1_000_000), false), 60_000);
        assert_eq!(CASES[0].events(None, true), 300_000);
    }
}
