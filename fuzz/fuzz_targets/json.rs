//! Whatever `Json` takes for an event, `serde_json` reads the same; what `Json` writes it reads again; and values are written and read as
//! `serde_json` does, without a panic.
#![no_main]

use bytes::BytesMut;
use distbus::{Codec, Envelope, EventId, Json, PayloadKind, Timestamp};
use libfuzzer_sys::fuzz_target;
use serde::Deserialize;
use serde::de::{DeserializeOwned, IgnoredAny};
use std::collections::BTreeMap;
use std::fmt::Debug;
use std::marker::PhantomData;

#[derive(Deserialize)]
struct Plain {
    data: Option<Vec<u8>>,
    id: String,
    timestamp: String,
}

fn read(body: &[u8]) {
    let mut scratch = BytesMut::new();
    if let Ok(event) = Json.read_event("t", body, &mut scratch) {
        let plain: Plain = serde_json::from_slice(body).expect("JSON");
        assert_eq!(event.data, plain.data.as_deref());
        assert_eq!(event.id, EventId::from(plain.id.as_str()));
        assert_eq!(
            Ok(event.timestamp),
            Timestamp::from_text(plain.timestamp.as_bytes())
        );
    }
}

/// As `serde_json` reads it, or not at all if that does not. Compared as text, since a float may be no number equal to itself.
fn same<T: DeserializeOwned + Debug>(bytes: &[u8]) -> Option<T> {
    let ours = Json.decode(bytes, PhantomData::<T>);
    if bytes.is_empty() {
        return None;
    }
    match (ours, serde_json::from_slice::<T>(bytes)) {
        (Ok(ours), Ok(theirs)) => {
            assert_eq!(format!("{ours:?}"), format!("{theirs:?}"));
            Some(ours)
        }
        (Err(_), Err(_)) => None,
        // That does not look inside the strings that it skips.
        (Err(_), Ok(_)) if std::str::from_utf8(bytes).is_err() => None,
        (ours, theirs) => panic!("we read {ours:?}, serde_json reads {theirs:?}"),
    }
}

/// Reads in every way that has one of its own.
#[derive(Debug, Deserialize)]
#[allow(dead_code)] // Debug reads it.
enum Any {
    Unit,
    Float(f64),
    Tuple(i64, u8),
    Struct { text: String, option: Option<Box<Any>> },
    Map(BTreeMap<String, u64>),
    List(Vec<char>),
    Big(u128),
    Single(f32),
}

/// As the text of a value.
fn value(bytes: &[u8]) {
    if let Some(value) = same::<serde_json::Value>(bytes) {
        let mut text = Vec::new();
        Json.encode(&value, &mut text).expect("what was read");
        assert_eq!(text, serde_json::to_vec(&value).expect("what was read"));
    }
    same::<Any>(bytes);
    same::<Vec<Any>>(bytes);
    same::<Vec<f64>>(bytes);
    same::<BTreeMap<i8, IgnoredAny>>(bytes);
    // Keys that are to be of a kind that JSON's are not.
    same::<BTreeMap<bool, String>>(bytes);
    same::<BTreeMap<i8, f32>>(bytes);
}

fuzz_target!(|bytes: &[u8]| {
    read(bytes);
    value(bytes);

    // As the text of an array, in an event whose rest is good: `1,2]` and what follows it.
    let start: &[u8] = br#"{"type":"t","data":["#;
    let end: &[u8] = br#","dtype":null,"id":"x","timestamp":"2026-11-22T17:23:16.123456"}"#;
    read(&[start, bytes, end].concat());
    read(&[start, bytes, b"]", end].concat());

    // As what follows the data: its kind, its id and its time. Quickly where they are as usual.
    read(&[br#"{"type":"t","data":[1]"#, bytes].concat());
    let (id, time) = bytes.split_at(bytes.len().min(36));
    read(
        &[
            br#"{"type":"t","data":[1],"dtype":null,"id":""#,
            id,
            br#"","timestamp":""#,
            time,
            br#""}"#,
        ]
        .concat(),
    );

    let mut body = BytesMut::new();
    Json.write_event(
        &Envelope {
            topic: "t",
            data: Some(bytes),
            kind: PayloadKind::Bytes,
            id: &EventId::from("x"),
            timestamp: Timestamp::from_micros(0),
        },
        &mut body,
    );
    let mut scratch = BytesMut::new();
    let event = Json
        .read_event("t", &body, &mut scratch)
        .expect("what was written");
    assert_eq!(event.data, Some(bytes));
});
