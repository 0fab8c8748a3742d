//! How fast the codecs are, beside plain `serde_json` of the same envelope as a struct.
//!
//! `cargo bench --bench codec`; throughput of the arrays is in bytes of JSON text.

use bytes::{Bytes, BytesMut};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use distbus::{Codec, Envelope, EventId, Json, MessagePack, PayloadKind, Timestamp};
use serde::{Deserialize, Serialize};
use std::hint::black_box;
use std::marker::PhantomData;
use std::time::Duration;

#[derive(Clone, Serialize, Deserialize)]
struct Sample {
    sent_ns: u64,
    value: f64,
    note: String,
}

/// The body as one would write it without this crate.
#[derive(Serialize, Deserialize)]
struct Plain {
    #[serde(rename = "type")]
    topic: String,
    data: Option<Vec<u8>>,
    dtype: Option<String>,
    id: String,
    timestamp: String,
}

const TOPIC: &str = "lab.temperature";
const ID: &str = "0191a3c4-5678-8001-8000-000000000007";
const TIME: &str = "2026-11-22T17:23:16.123456";

fn sample(note: usize) -> Sample {
    Sample {
        sent_ns: 1_795_368_196_123_456_789,
        value: 21.537,
        note: "The quick brown fox jumps. ".chars().cycle().take(note).collect(),
    }
}

fn parts() -> (EventId, Timestamp) {
    (ID.into(), TIME.parse().expect("a timestamp"))
}

fn encode<C: Codec>(codec: &C, sample: &Sample) -> Vec<u8> {
    let mut payload = Vec::new();
    codec.encode(sample, &mut payload).expect("it encodes");
    payload
}

fn write<C: Codec>(codec: &C, payload: &[u8], kind: PayloadKind) -> Bytes {
    let (id, timestamp) = parts();
    let mut body = BytesMut::new();
    let envelope = Envelope {
        topic: TOPIC,
        data: Some(payload),
        kind,
        id: &id,
        timestamp,
    };
    codec.write_event(&envelope, &mut body);
    body.freeze()
}

fn plain(sample: &Sample) -> Plain {
    Plain {
        topic: TOPIC.to_owned(),
        data: Some(serde_json::to_vec(sample).expect("it encodes")),
        dtype: Some("builtins.dict".to_owned()),
        id: ID.to_owned(),
        timestamp: TIME.to_owned(),
    }
}

fn values(c: &mut Criterion) {
    fn one<C: Codec>(c: &mut Criterion, codec: &C, note: usize) {
        let sample = sample(note);
        let payload = encode(codec, &sample);
        let mut group = c.benchmark_group(format!("value/{}/{note}", codec.name()));
        let mut out = Vec::with_capacity(2 * payload.len());
        group.bench_function("encode", |b| {
            b.iter(|| {
                out.clear();
                codec.encode(black_box(&sample), &mut out)
            });
        });
        group.bench_function("decode", |b| {
            b.iter(|| codec.decode(black_box(&payload), PhantomData::<Sample>));
        });
    }
    for note in [64, 1024] {
        one(c, &Json, note);
        one(c, &MessagePack, note);
    }
}

fn events(c: &mut Criterion) {
    fn one<C: Codec>(c: &mut Criterion, codec: &C, note: usize) {
        let sample = sample(note);
        let body = write(codec, &encode(codec, &sample), PayloadKind::Value);
        let (id, timestamp) = parts();
        let mut group = c.benchmark_group(format!("event/{}/{note}", codec.name()));
        let (mut payload, mut out) = (Vec::new(), BytesMut::with_capacity(2 * body.len()));
        group.bench_function("encode and write", |b| {
            b.iter(|| {
                payload.clear();
                out.clear();
                codec
                    .encode(black_box(&sample), &mut payload)
                    .expect("it encodes");
                let envelope = Envelope {
                    topic: black_box(TOPIC),
                    data: Some(&payload),
                    kind: PayloadKind::Value,
                    id: &id,
                    timestamp,
                };
                codec.write_event(&envelope, &mut out);
            });
        });
        let mut scratch = BytesMut::new();
        group.bench_function("read and decode", |b| {
            b.iter(|| {
                let event = codec
                    .read_event(TOPIC, black_box(&body), &mut scratch)
                    .expect("an event");
                let data = event.data.expect("data");
                let sample = codec.decode(data, PhantomData::<Sample>);
                sample.expect("a sample")
            });
        });
    }
    for note in [64, 1024] {
        one(c, &Json, note);
        one(c, &MessagePack, note);
        let sample = sample(note);
        let body = write(&Json, &encode(&Json, &sample), PayloadKind::Value);
        assert_eq!(body, serde_json::to_vec(&plain(&sample)).expect("it encodes"));
        let mut group = c.benchmark_group(format!("event/plain serde_json/{note}"));
        group.bench_function("encode and write", |b| {
            b.iter(|| serde_json::to_vec(&plain(black_box(&sample))));
        });
        group.bench_function("read and decode", |b| {
            b.iter(|| {
                let plain: Plain = serde_json::from_slice(black_box(&body)).expect("an event");
                let sample: Sample = serde_json::from_slice(&plain.data.expect("data")).expect("a sample");
                sample
            });
        });
    }
}

/// Bytes as nothing predicts them, and text.
fn payloads(len: usize) -> [(&'static str, Vec<u8>); 2] {
    let mut state = 1_u64;
    let random = (0..len).map(|_| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (state >> 56) as u8
    });
    [
        ("random", random.collect()),
        ("text", sample(len).note.into_bytes()),
    ]
}

fn arrays(c: &mut Criterion) {
    let (id, timestamp) = parts();
    for len in [64, 1024, 65_536] {
        for (kind, payload) in payloads(len) {
            let mut group = c.benchmark_group(format!("array/{kind}/{len}"));
            let body = write(&Json, &payload, PayloadKind::Bytes);
            let array = serde_json::to_vec(&payload).expect("it encodes");
            group.throughput(Throughput::Bytes(array.len() as u64));
            let mut out = BytesMut::with_capacity(2 * body.len());
            group.bench_function("write event", |b| {
                b.iter(|| {
                    out.clear();
                    let envelope = Envelope {
                        topic: TOPIC,
                        data: Some(black_box(&payload)),
                        kind: PayloadKind::Bytes,
                        id: &id,
                        timestamp,
                    };
                    Json.write_event(&envelope, &mut out);
                });
            });
            let mut text = Vec::with_capacity(2 * array.len());
            group.bench_function("write, plain serde_json", |b| {
                b.iter(|| {
                    text.clear();
                    serde_json::to_writer(&mut text, black_box(&payload))
                });
            });
            let spaced = String::from_utf8(body.to_vec()).expect("UTF-8");
            let spaced = Bytes::from(spaced.replace(',', ", ").replace("\":", "\": "));
            let mut scratch = BytesMut::new();
            for (name, body) in [("read event", body), ("read event with spaces", spaced)] {
                group.bench_function(name, |b| {
                    b.iter(|| {
                        let event = Json.read_event(TOPIC, black_box(&body), &mut scratch);
                        event.expect("an event").data.map(<[u8]>::len)
                    });
                });
            }
            group.bench_function("read, plain serde_json", |b| {
                b.iter(|| serde_json::from_slice::<Vec<u8>>(black_box(&array)));
            });
        }
    }
}

/// What each event costs whatever its payload.
fn envelopes(c: &mut Criterion) {
    fn one<C: Codec>(c: &mut Criterion, codec: &C) {
        let (id, timestamp) = parts();
        let envelope = Envelope {
            topic: TOPIC,
            data: None,
            kind: PayloadKind::Unknown,
            id: &id,
            timestamp,
        };
        let mut out = BytesMut::new();
        codec.write_event(&envelope, &mut out);
        let body = out.clone().freeze();
        let mut group = c.benchmark_group(format!("envelope/{}", codec.name()));
        group.bench_function("write", |b| {
            b.iter(|| {
                out.clear();
                codec.write_event(black_box(&envelope), &mut out);
            });
        });
        let mut scratch = BytesMut::new();
        group.bench_function("read", |b| {
            b.iter(|| {
                let event = codec.read_event(TOPIC, black_box(&body), &mut scratch);
                event.expect("an event").id
            });
        });
    }
    one(c, &Json);
    one(c, &MessagePack);
}

fn small_parts(c: &mut Criterion) {
    let (id, timestamp) = parts();
    let mut group = c.benchmark_group("part");
    group.bench_function("id to text", |b| {
        let mut text = [0; 36];
        b.iter(|| {
            let uuid = black_box(&id).as_uuid().expect("a UUID");
            black_box(uuid.hyphenated().encode_lower(&mut text).len())
        });
    });
    group.bench_function("id from text", |b| b.iter(|| EventId::from(black_box(ID))));
    group.bench_function("timestamp to text", |b| b.iter(|| black_box(timestamp).to_text()));
    group.bench_function("timestamp from text", |b| {
        b.iter(|| Timestamp::from_text(black_box(TIME.as_bytes())));
    });
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .sample_size(20)
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1))
        .without_plots();
    targets = values, events, arrays, envelopes, small_parts
}
criterion_main!(benches);
