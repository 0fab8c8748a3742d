use super::*;
use crate::{EventId, PayloadKind, Timestamp};
use proptest::prelude::*;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::marker::PhantomData;

fn encoded<T: Serialize + ?Sized>(value: &T) -> String {
    let mut payload = Vec::new();
    Json.encode(value, &mut payload).unwrap();
    String::from_utf8(payload).unwrap()
}

fn decoded<'a, T: Deserialize<'a>>(payload: &'a [u8]) -> Result<T, CodecError> {
    Json.decode(payload, PhantomData)
}

fn opened(body: &str) -> Result<Whole, CodecError> {
    opened_bytes(body.as_bytes())
}

/// What [`Opened`] says, by itself.
#[derive(Debug, PartialEq, Eq)]
struct Whole {
    same_topic: bool,
    data: Option<Vec<u8>>,
    kind: PayloadKind,
    id: EventId,
    timestamp: Timestamp,
}

impl From<Opened<'_>> for Whole {
    fn from(opened: Opened<'_>) -> Self {
        let Opened {
            same_topic,
            data,
            kind,
            id,
            timestamp,
        } = opened;
        let data = data.map(<[u8]>::to_vec);
        Self {
            same_topic,
            data,
            kind,
            id,
            timestamp,
        }
    }
}

/// Both readers must agree wherever the quick one has an opinion.
fn opened_bytes(body: &[u8]) -> Result<Whole, CodecError> {
    // What is in it before is of no use.
    let (mut one, mut two) = (BytesMut::from("old"), BytesMut::from("old"));
    let quick = read::usual("a.b", body, &mut one).map(|read| Whole::from(read.opened(&one)));
    let thorough = read::any("a.b", body, &mut two).map(|read| Whole::from(read.opened(&two)));
    if let Some(quick) = quick {
        assert_eq!(Ok(&quick), thorough.as_ref(), "{body:?}");
    }
    let result = Json.read_event("a.b", body, &mut one).map(Whole::from);
    assert_eq!(result.as_ref().ok(), thorough.as_ref().ok());
    result
}

const ID: &str = "6b1b36cb-1b2e-4c8e-9c1e-8f9d4f6e2a11";

fn expected(data: Option<&'static [u8]>, kind: PayloadKind) -> Whole {
    Whole {
        same_topic: true,
        data: data.map(<[u8]>::to_vec),
        kind,
        id: ID.into(),
        timestamp: "2026-11-22T17:23:16.123456".parse().unwrap(),
    }
}

#[derive(Serialize)]
enum Shape {
    Unit,
    New(u8),
    Tuple(u8, u8),
    Struct { a: f32 },
}

#[test]
fn values_are_what_serde_json_writes() {
    #[derive(Serialize)]
    struct All<'a> {
        text: &'a str,
        bytes: &'a [u8],
        low: i64,
        high: u64,
        wide: (i128, u128),
        float: (f32, f64),
        unit: (),
        option: (Option<u8>, Option<u8>),
        keys: BTreeMap<i8, char>,
        shapes: [Shape; 4],
    }
    let value = All {
        text: "\"\\\n\u{1}é\u{1F600}",
        bytes: &[0, 255],
        low: i64::MIN,
        high: u64::MAX,
        wide: (i128::MIN, u128::MAX),
        float: (0.1, 1e300),
        unit: (),
        option: (None, Some(1)),
        keys: [(-1, 'x')].into(),
        shapes: [
            Shape::Unit,
            Shape::New(1),
            Shape::Tuple(1, 2),
            Shape::Struct { a: 1.0 },
        ],
    };
    assert_eq!(encoded(&value), serde_json::to_string(&value).unwrap());
}

#[test]
fn floats_that_json_has_not_are_refused_wherever_they_are() {
    #[derive(Serialize)]
    struct Wrapper<T>(T);
    fn refused<T: Serialize>(value: T) {
        let error = Json.encode(&value, &mut Vec::new()).unwrap_err();
        assert!(
            matches!(error, CodecError::NotFinite { codec: "json" }),
            "{error}"
        );
    }
    for float in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        refused(float);
        refused(float as f32);
        refused(Some(float));
        refused(vec![vec![1.0, float]]);
        refused((1, float));
        refused(Wrapper(float));
        refused(Wrapper((1, float)));
        refused(BTreeMap::from([("a", float)]));
        refused(Shape::Struct { a: float as f32 });
        refused(Ok::<f64, ()>(float));
    }
    assert_eq!(
        encoded(&[f64::MAX, f64::MIN_POSITIVE]),
        "[1.7976931348623157e+308,2.2250738585072014e-308]"
    );
}

#[test]
fn a_value_that_refuses_to_be_written_says_so() {
    struct Stubborn;
    impl Serialize for Stubborn {
        fn serialize<S: serde::Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
            Err(serde::ser::Error::custom("no"))
        }
    }
    let error = Json.encode(&[Stubborn], &mut Vec::new()).unwrap_err();
    assert_eq!(error.to_string(), "the value cannot be written as json: no");
    let error = Json.encode(&BTreeMap::from([(vec![1], 1)]), &mut Vec::new());
    assert!(matches!(error, Err(CodecError::Encode { .. })));
}

#[test]
fn decoding_reads_one_whole_value() {
    assert_eq!(decoded::<u64>(b" 7\n").unwrap(), 7);
    assert_eq!(decoded::<&str>(br#""hi""#).unwrap(), "hi");
    for (payload, reason) in [
        (&b"7 7"[..], "trailing characters"),
        (b"-1", "invalid value"),
        (b"\"x\"", "invalid type"),
        (b"7.5", "invalid type"),
        (b"\xff", "utf-8"),
    ] {
        let error = decoded::<u64>(payload).unwrap_err().to_string();
        assert!(error.starts_with("the payload is not u64 in json: "), "{error}");
        assert!(error.contains(reason), "{error}");
    }
    assert!(decoded::<serde::de::IgnoredAny>(b"\"\xff\"").is_err());
}

#[test]
fn an_event_without_data_reads_as_the_unit() {
    decoded::<()>(b"").unwrap();
    assert_eq!(decoded::<Option<u8>>(b"").unwrap(), None);
    assert!(decoded::<u8>(b"").is_err());
}

#[test]
fn deep_nesting_is_an_error() {
    #[derive(Debug, Deserialize)]
    struct Nested {
        _inner: Option<Box<Nested>>,
    }
    let deep = [vec![b'['; 10_000], vec![b']'; 10_000]].concat();
    assert!(decoded::<serde_json::Value>(&deep).is_err());
    let deep = br#"{"_inner":"#.repeat(10_000);
    assert!(decoded::<Nested>(&deep).is_err());
}

#[test]
fn floats_come_back_to_the_last_bit() {
    for float in [0.1 + 0.2, 1.157_920_892_373_162e77, 5e-324, f64::MAX] {
        assert_eq!(
            decoded::<f64>(encoded(&float).as_bytes()).unwrap().to_bits(),
            float.to_bits()
        );
    }
}

#[test]
fn bodies_as_python_writes_them() {
    let rest = format!(r#""id": "{ID}", "timestamp": "2026-11-22T17:23:16.123456"}}"#);
    for (middle, event) in [
        (
            r#""data": [34, 104, 105, 34], "dtype": "builtins.str", "#,
            expected(Some(b"\"hi\""), PayloadKind::Value),
        ),
        (
            r#""data": [34, 104, 105, 34], "#,
            expected(Some(b"\"hi\""), PayloadKind::Unknown),
        ),
        (
            r#""data": [0, 255, 10], "dtype": "builtins.bytes", "#,
            expected(Some(&[0, 255, 10]), PayloadKind::Bytes),
        ),
        (
            r#""data": [], "dtype": "builtins.bytes", "#,
            expected(Some(b""), PayloadKind::Bytes),
        ),
        (
            r#""data": null, "dtype": null, "#,
            expected(None, PayloadKind::Unknown),
        ),
        (
            r#""data": [123, 125], "dtype": "__main__.Temperature", "#,
            expected(Some(b"{}"), PayloadKind::Value),
        ),
    ] {
        let body = format!(r#"{{"type": "a.b", {middle}{rest}"#);
        assert!(
            read::usual("a.b", body.as_bytes(), &mut BytesMut::new()).is_some(),
            "the usual spelling goes the quick way: {body}"
        );
        assert_eq!(opened(&body).unwrap(), event);
    }
}

#[test]
fn other_spellings_read_the_same() {
    let compact = format!(
        r#"{{"type":"a.b","data":[34,104,105,34],"dtype":"builtins.str","id":"{ID}","timestamp":"2026-11-22T17:23:16.123456"}}"#
    );
    let event = expected(Some(b"\"hi\""), PayloadKind::Value);
    assert_eq!(opened(&compact).unwrap(), event);
    for (from, to) in [
        ("{\"type\"", " \n{\t\"type\""),
        ("\"}", "\" }\r\n "),
        ("a.b", "\\u0061\\u002eb"),
        ("\"type\"", "\"t\\u0079pe\""),
        ("[34,104,105,34]", "[ 34 ,\n104,105\t,34 ]"),
        ("34,104,105", "34, 104,105"),
        ("builtins.str", "builtins\\u002estr"),
        (
            "\"id\"",
            "\"extra\":{\"id\":[1,{\"x\":\"]}\\\"\"}],\"n\":-1e400},\"id\"",
        ),
        ("\"id\"", "\"\":null,\"\":[],\"é\":\"é\",\"id\""),
        ("16.123456", "16.123456Z"),
    ] {
        let other = compact.replacen(from, to, 1);
        assert_ne!(other, compact);
        assert_eq!(opened(&other).unwrap(), event, "{other}");
    }
    let turned = format!(
        r#"{{"timestamp":"2026-11-22T17:23:16.123456","id":"{ID}","dtype":"builtins.str","data":[34,104,105,34],"type":"a.b"}}"#
    );
    assert_eq!(opened(&turned).unwrap(), event);
    let bare = format!(r#"{{"type":"a.b","id":"{ID}","timestamp":"2026-11-22T17:23:16.123456"}}"#);
    assert_eq!(opened(&bare).unwrap(), expected(None, PayloadKind::Unknown));
}

#[test]
fn the_topic_inside_is_compared() {
    for (topic, same) in [
        ("a.b", true),
        ("a.bc", false),
        ("a", false),
        ("", false),
        ("é", false),
    ] {
        let body = format!(r#"{{"type":"{topic}","data":null,"id":"","timestamp":"2026-11-22T17:23:16"}}"#);
        let event = opened(&body).unwrap();
        assert_eq!((event.same_topic, event.id), (same, EventId::from("")));
    }
    // A topic with a quote in it must not make the reader take the string's end for part of it.
    let topic = r#"a","data":null,"x":"b"#;
    let body = bytes::Bytes::from(format!(
        r#"{{"type":"{topic}","id":"","timestamp":"2026-11-22T17:23:16"}}"#
    ));
    let mut scratch = BytesMut::new();
    let event = Json.read_event(topic, &body, &mut scratch).unwrap();
    assert!(!event.same_topic);
}

#[test]
fn what_is_no_event() {
    let good = r#"{"type":"a.b","data":[1,2],"dtype":null,"id":"7","timestamp":"2026-11-22T17:23:16"}"#;
    opened(good).unwrap();
    for (from, to) in [
        (good, ""),
        (good, "null"),
        (good, r#"["a.b",[1],null,"7","2026-11-22T17:23:16"]"#),
        ("[1,2]", "[1,256]"),
        ("[1,2]", "[1,-1]"),
        ("[1,2]", "[1,2.0]"),
        ("[1,2]", "[1,\"2\"]"),
        ("[1,2]", "[1,02]"),
        ("[1,2]", "[1,2,]"),
        ("[1,2]", "[1 2]"),
        ("[1,2]", "[1,[2]]"),
        ("[1,2]", "\"12\""),
        ("[1,2]", "{}"),
        ("[1,2]", "true"),
        ("null", "7"),
        ("\"7\"", "7"),
        ("\"7\"", "null"),
        ("\"a.b\"", "null"),
        ("\"type\"", "\"typ\""),
        ("\"id\"", "\"ID\""),
        ("\"timestamp\"", "\"time\""),
        ("2026", "26"),
        ("\"id\"", "\"id\":\"8\",\"id\""),
        ("\"7\",", "\"7\""),
        ("16\"}", "16\"} x"),
        ("16\"}", "16\"}}"),
        ("16\"}", "16\""),
        ("16\"}", "16"),
        ("\"7\"", "\"\\ud800\""),
        ("\"7\"", "\"\n\""),
    ] {
        let bad = good.replacen(from, to, 1);
        assert_ne!(bad, good);
        let error = opened(&bad).expect_err(&bad).to_string();
        assert!(
            error.starts_with("the body is not an event in json: ") && !error.contains('\n'),
            "{error}"
        );
    }
    for end in 0..good.len() {
        opened(&good[..end]).unwrap_err();
    }
}

#[test]
fn bodies_that_are_not_utf8() {
    for body in [
        &b"{\"type\":\"a\xff\",\"data\":null,\"id\":\"7\",\"timestamp\":\"2026-11-22T17:23:16\"}"[..],
        b"{\"type\":\"a\",\"data\":null,\"dtype\":\"\xff\",\"id\":\"7\",\"timestamp\":\"2026-11-22T17:23:16\"}",
        b"{\"type\":\"a\",\"data\":null,\"id\":\"\xc3\",\"timestamp\":\"2026-11-22T17:23:16\"}",
        b"{\"type\":\"a\",\"data\":null,\"x\":\"\xff\",\"id\":\"7\",\"timestamp\":\"2026-11-22T17:23:16\"}",
        b"{\"type\":\"a\",\"data\":null,\"\xff\":1,\"id\":\"7\",\"timestamp\":\"2026-11-22T17:23:16\"}",
    ] {
        opened_bytes(body).unwrap_err();
    }
}

#[test]
fn a_skipped_key_may_not_nest_without_bound() {
    for (depth, fine) in [(100, true), (10_000, false), (1_000_000, false)] {
        for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
            let deep = format!("{}1{}", open.repeat(depth), close.repeat(depth));
            let body = format!(
                r#"{{"type":"a.b","x":{deep},"data":null,"id":"7","timestamp":"2026-11-22T17:23:16"}}"#
            );
            assert_eq!(opened(&body).is_ok(), fine, "{depth}");
            let body =
                format!(r#"{{"type":"a.b","data":{deep},"id":"7","timestamp":"2026-11-22T17:23:16"}}"#);
            opened(&body).unwrap_err();
        }
    }
    let brackets = "[".repeat(1000);
    let body = format!(
        r#"{{"type":"a.b","x":"\"{brackets}","data":null,"id":"7","timestamp":"2026-11-22T17:23:16"}}"#
    );
    opened(&body).unwrap();
}

proptest! {
    #[test]
    fn the_two_readers_never_disagree(
        at: prop::sample::Index,
        piece in r#"[ \[\]{}:,"a-z0-9\\.-]{0,3}|\PC|\\u00[0-9a-f]{2}|"[a-z]*":[0-9"a-z\[\]]*,"#,
        cut in 0..4_usize,
        spaced: bool,
    ) {
        let mut body = format!(
            r#"{{"type":"a.b","data":[34,104,105,34],"dtype":"builtins.str","id":"{ID}","timestamp":"2026-11-22T17:23:16.123456"}}"#
        );
        if spaced {
            body = body.replace(',', ", ").replace("\":", "\": ");
        }
        let at = at.index(body.len());
        let end = (at + cut).min(body.len());
        body.replace_range(at..end, &piece);
        let _ = opened(&body);
    }

    #[test]
    fn arbitrary_bytes_never_panic(body in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = opened_bytes(&body);
        let _ = decoded::<serde_json::Value>(&body);
    }

    #[test]
    fn any_topic_and_id_survive(topic: String, id: String, data: Option<Vec<u8>>, micros: i64) {
        let (id, timestamp) = (EventId::from(&*id), Timestamp::from_micros(micros));
        let mut body = BytesMut::new();
        let envelope = Envelope { topic: &topic, data: data.as_deref(), kind: PayloadKind::Bytes, id: &id, timestamp };
        Json.write_event(&envelope, &mut body);
        let mut scratch = BytesMut::new();
        let event = Json.read_event(&topic, &body, &mut scratch).unwrap();
        prop_assert!(event.same_topic);
        prop_assert_eq!(event.kind, if data.is_some() { PayloadKind::Bytes } else { PayloadKind::Unknown });
        prop_assert_eq!(event.data, data.as_deref());
        prop_assert_eq!(event.id, id);
        prop_assert_eq!(event.timestamp, timestamp);
    }
}

/// As text, `serde_json` 1.0.154 panics here.
#[test]
fn a_key_that_is_no_bool() {
    for key in ["é", "té", "fals\u{10348}", "\u{10348}", "x", ""] {
        let payload = format!("{{\"{key}\":1}}");
        let read = decoded::<BTreeMap<bool, u8>>(payload.as_bytes());
        assert!(matches!(read, Err(CodecError::Decode { .. })), "{key}: {read:?}");
    }
}
