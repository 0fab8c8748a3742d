//! Whatever `Json` takes for an event, `serde_json` reads the same; and what `Json` writes it reads again.
#![no_main]

use bytes::BytesMut;
use distbus::{Codec, Envelope, EventId, Json, PayloadKind, Timestamp};
use libfuzzer_sys::fuzz_target;
use serde::Deserialize;

#[derive(Deserialize)]
struct Plain {
    data: Option<Vec<u8>>,
    id: String,
}

fn read(body: &[u8]) {
    let mut scratch = BytesMut::new();
    if let Ok(event) = Json.read_event("t", body, &mut scratch) {
        let plain: Plain = serde_json::from_slice(body).expect("JSON");
        assert_eq!(event.data, plain.data.as_deref());
        assert_eq!(event.id, EventId::from(plain.id.as_str()));
    }
}

fuzz_target!(|bytes: &[u8]| {
    read(bytes);

    // As the text of an array, in an event whose rest is good: `1,2]` and what follows it.
    let start: &[u8] = br#"{"type":"t","data":["#;
    let end: &[u8] = br#","dtype":null,"id":"x","timestamp":"2026-11-22T17:23:16.123456"}"#;
    read(&[start, bytes, end].concat());
    read(&[start, bytes, b"]", end].concat());

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
