//! What the codecs promise: what is encoded decodes to the same, whatever the value, and a body is, byte for byte, what is
//! written about it.

use bytes::{Bytes, BytesMut};
use distbus::{Codec, CodecError, Envelope, EventId, Json, MessagePack, PayloadKind, Timestamp};
use proptest::prelude::*;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashMap};
use std::marker::PhantomData;

/// A bit of everything that serde knows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
enum Tree {
    Unit,
    Bool(bool),
    Integers(i8, i16, i32, i64, u8, u16, u32, u64),
    Wide(i128, u128),
    Floats { short: f32, long: f64 },
    Char(char),
    Text(String),
    Option(Option<Box<Tree>>),
    List(Vec<Tree>),
    Named(BTreeMap<String, Tree>),
    Numbered(BTreeMap<u64, Tree>),
    Struct(Struct),
    Pair((Box<Tree>, [u16; 3])),
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Struct {
    unit: (),
    empty: Empty,
    newtype: Newtype,
    option: Option<u32>,
    children: Vec<Tree>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Empty;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Newtype(u8);

fn finite_f32() -> impl Strategy<Value = f32> {
    any::<f32>().prop_filter("finite", |value| value.is_finite())
}

fn finite_f64() -> impl Strategy<Value = f64> {
    any::<f64>().prop_filter("finite", |value| value.is_finite())
}

fn leaf() -> impl Strategy<Value = Tree> {
    prop_oneof![
        Just(Tree::Unit),
        any::<bool>().prop_map(Tree::Bool),
        any::<(i8, i16, i32, i64, u8, u16, u32, u64)>()
            .prop_map(|(a, b, c, d, e, f, g, h)| Tree::Integers(a, b, c, d, e, f, g, h)),
        Just(Tree::Integers(
            i8::MIN,
            i16::MIN,
            i32::MIN,
            i64::MIN,
            u8::MAX,
            u16::MAX,
            u32::MAX,
            u64::MAX
        )),
        any::<(i128, u128)>().prop_map(|(signed, unsigned)| Tree::Wide(signed, unsigned)),
        any::<(i64, u64)>().prop_map(|(signed, unsigned)| Tree::Wide(signed.into(), unsigned.into())),
        (finite_f32(), finite_f64()).prop_map(|(short, long)| Tree::Floats { short, long }),
        any::<char>().prop_map(Tree::Char),
        any::<String>().prop_map(Tree::Text),
        "[\\x00-\\x1f\"\\\\/é\u{1F600}]{0,20}".prop_map(Tree::Text),
        Just(Tree::Option(None)),
    ]
}

fn tree() -> impl Strategy<Value = Tree> {
    leaf().prop_recursive(5, 64, 6, |inner| {
        let children = prop::collection::vec(inner.clone(), 0..6);
        prop_oneof![
            inner.clone().prop_map(|tree| Tree::Option(Some(Box::new(tree)))),
            children.clone().prop_map(Tree::List),
            prop::collection::btree_map(any::<String>(), inner.clone(), 0..6).prop_map(Tree::Named),
            prop::collection::btree_map(any::<u64>(), inner.clone(), 0..6).prop_map(Tree::Numbered),
            (any::<Option<u32>>(), any::<u8>(), children).prop_map(|(option, newtype, children)| {
                Tree::Struct(Struct {
                    unit: (),
                    empty: Empty,
                    newtype: Newtype(newtype),
                    option,
                    children,
                })
            }),
            (inner, any::<[u16; 3]>()).prop_map(|(tree, numbers)| Tree::Pair((Box::new(tree), numbers))),
        ]
    })
}

fn encode<C: Codec, T: Serialize + ?Sized>(codec: &C, value: &T) -> Vec<u8> {
    let mut payload = Vec::new();
    codec.encode(value, &mut payload).expect("it encodes");
    payload
}

fn decode<C: Codec, T: DeserializeOwned>(codec: &C, payload: &[u8]) -> Result<T, CodecError> {
    codec.decode(payload, PhantomData)
}

const TIME: &str = "2026-11-22T17:23:16.123456";
const ID: &str = "6b1b36cb-1b2e-4c8e-9c1e-8f9d4f6e2a11";

fn body<C: Codec>(codec: &C, data: Option<&[u8]>, kind: PayloadKind) -> Bytes {
    let mut body = BytesMut::new();
    let envelope = Envelope {
        topic: "lab.temp",
        data,
        kind,
        id: &EventId::from(ID),
        timestamp: TIME.parse().expect("a timestamp"),
    };
    codec.write_event(&envelope, &mut body);
    body.freeze()
}

/// A payload goes through an event and comes out as it went in, with all that was said about it.
fn through_an_event<C: Codec>(codec: &C, payload: &[u8], kind: PayloadKind) -> Bytes {
    let body = body(codec, Some(payload), kind);
    let mut scratch = BytesMut::new();
    let event = codec
        .read_event("lab.temp", &body, &mut scratch)
        .expect("an event");
    assert!(event.same_topic);
    assert_eq!(event.kind, kind);
    assert_eq!(event.id, EventId::from(ID));
    assert_eq!(Ok(event.timestamp), TIME.parse());
    let data = event.data.expect("data");
    assert_eq!(data, payload);
    Bytes::copy_from_slice(data)
}

fn survives<C: Codec>(codec: &C, tree: &Tree) {
    let data = through_an_event(codec, &encode(codec, tree), PayloadKind::Value);
    assert_eq!(&decode::<_, Tree>(codec, &data).expect("it decodes"), tree);
}

/// From one codec to another without knowing the type.
fn re_encoded<A: Codec, B: Codec>(from: &A, to: &B, payload: &[u8]) -> Vec<u8> {
    struct Into<'p, B>(&'p B);
    impl<'de, B: Codec> serde::de::DeserializeSeed<'de> for Into<'_, B> {
        type Value = Vec<u8>;
        fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<Vec<u8>, D::Error> {
            let value = Plain::deserialize(deserializer)?;
            Ok(encode(self.0, &value))
        }
    }
    from.decode(payload, Into(to)).expect("it can be re-encoded")
}

/// Whatever `deserialize_any` finds.
#[derive(Deserialize, Serialize)]
#[serde(untagged)]
enum Plain {
    Unit(()),
    Bool(bool),
    Unsigned(u64),
    Signed(i64),
    Float(f64),
    Text(String),
    List(Vec<Plain>),
    Map(BTreeMap<String, Plain>),
}

proptest! {
    #[test]
    fn what_is_encoded_as_json_decodes_to_the_same(tree in tree()) {
        survives(&Json, &tree);
        prop_assert_eq!(encode(&Json, &tree), serde_json::to_vec(&tree).unwrap());
    }

    #[test]
    fn what_is_encoded_as_messagepack_decodes_to_the_same(tree in tree()) {
        survives(&MessagePack, &tree);
        // Its reader is ours and its writer is not: what a second reader makes of it must be the same.
        let payload = encode(&MessagePack, &tree);
        let mut second = rmp_serde::Deserializer::from_read_ref(&payload).with_human_readable();
        prop_assert_eq!(Tree::deserialize(&mut second).unwrap(), tree);
    }

    #[test]
    fn values_cross_from_one_codec_to_the_other(a: i64, b: u64, c in finite_f64(), text: String, list: Vec<Option<bool>>) {
        #[derive(Debug, PartialEq, Serialize, Deserialize)]
        struct Sample { a: i64, b: u64, c: f64, text: String, list: Vec<Option<bool>>, unit: () }
        let sample = Sample { a, b, c, text, list, unit: () };
        let json = encode(&Json, &sample);
        let packed = re_encoded(&Json, &MessagePack, &json);
        prop_assert_eq!(&decode::<_, Sample>(&MessagePack, &packed).unwrap(), &sample);
        let back = re_encoded(&MessagePack, &Json, &packed);
        prop_assert_eq!(&decode::<_, Sample>(&Json, &back).unwrap(), &sample);
    }

    #[test]
    fn raw_bytes_come_out_as_they_went_in(bytes: Vec<u8>) {
        fn survive<C: Codec>(codec: &C, bytes: &[u8]) {
            let mut payload = Vec::new();
            codec.encode_bytes(bytes, &mut payload);
            let data = through_an_event(codec, &payload, PayloadKind::Bytes);
            assert_eq!(codec.decode_bytes(&data).expect("bytes"), bytes);
        }
        survive(&Json, &bytes);
        survive(&MessagePack, &bytes);
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        fn try_all<C: Codec>(codec: &C, bytes: &[u8]) {
            let mut scratch = BytesMut::new();
            let _ = codec.read_event("a", bytes, &mut scratch);
            let _ = decode::<_, Tree>(codec, bytes);
            let _ = decode::<_, serde_json::Value>(codec, bytes);
            let _ = decode::<_, serde::de::IgnoredAny>(codec, bytes);
            let _ = decode::<_, HashMap<String, Vec<f64>>>(codec, bytes);
            let _ = codec.decode_bytes(bytes);
        }
        try_all(&Json, &bytes);
        try_all(&MessagePack, &bytes);
    }

    /// Nearly right is what finds faults.
    #[test]
    fn a_damaged_payload_never_panics(tree in tree(), at: prop::sample::Index, byte: u8) {
        let mut payload = encode(&MessagePack, &tree);
        let at = at.index(payload.len());
        payload[at] = byte;
        let _ = decode::<_, Tree>(&MessagePack, &payload);
        let mut payload = encode(&Json, &tree);
        let at = at % payload.len();
        payload[at] = byte;
        let _ = decode::<_, Tree>(&Json, &payload);
    }

    #[test]
    fn any_spelling_reads_the_same(
        payload in prop::collection::vec(any::<u8>(), 0..40),
        topic in "[a-z.é\"\\\\\u{1F600}]{0,12}",
        spelling in spelling(),
    ) {
        let numbers: Vec<_> = payload.iter().map(u8::to_string).collect();
        let known = [
            ("type", spelling.text(&topic)),
            ("data", format!("[{}]", numbers.join(&spelling.separator()))),
            ("dtype", spelling.text("builtins.bytes")),
            ("id", spelling.text(ID)),
            ("timestamp", spelling.text(TIME)),
        ];
        let body = spelling.object(&known);
        let mut scratch = BytesMut::new();
        let event = Json.read_event(&topic, body.as_bytes(), &mut scratch);
        let event = event.unwrap_or_else(|error| panic!("{error}: {body}"));
        prop_assert!(event.same_topic, "{}", body);
        prop_assert_eq!(event.data, Some(&payload[..]));
        prop_assert_eq!(event.kind, PayloadKind::Bytes);
        prop_assert_eq!(event.id, EventId::from(ID));
        prop_assert_eq!(event.timestamp.to_string(), TIME);
    }
}

/// One of the many ways to write the same JSON.
#[derive(Debug)]
struct Spelling {
    order: Vec<usize>,
    extra: Vec<(String, String)>,
    space: String,
    escape: bool,
}

fn spelling() -> impl Strategy<Value = Spelling> {
    let value = prop_oneof![
        Just(r#"{"type":"x","data":[[{}]]}"#.to_owned()),
        Just("-0.5e-7".to_owned()),
        Just(r#""]}\\\"é""#.to_owned()),
        Just("[ null , true,false ]".to_owned()),
    ];
    let extra = prop::collection::vec(("[A-Z]{0,3}", value), 0..3);
    (
        Just(vec![0, 1, 2, 3, 4]).prop_shuffle(),
        extra,
        "[ \n\t\r]{0,2}",
        any::<bool>(),
    )
        .prop_map(|(order, extra, space, escape)| Spelling {
            order,
            extra,
            space,
            escape,
        })
}

impl Spelling {
    fn text(&self, text: &str) -> String {
        if self.escape {
            let escaped: String = text.encode_utf16().map(|unit| format!("\\u{unit:04x}")).collect();
            format!("\"{escaped}\"")
        } else {
            serde_json::to_string(text).expect("a string")
        }
    }

    fn separator(&self) -> String {
        format!("{0},{0}", self.space)
    }

    fn object(&self, known: &[(&str, String)]) -> String {
        let space = &self.space;
        let mut pairs: Vec<_> = self
            .order
            .iter()
            .map(|&i| (self.text(known[i].0), known[i].1.clone()))
            .collect();
        for (key, value) in &self.extra {
            pairs.insert(key.len().min(pairs.len()), (self.text(key), value.clone()));
        }
        let pairs: Vec<_> = pairs
            .iter()
            .map(|(key, value)| format!("{key}{space}:{space}{value}"))
            .collect();
        format!(
            "{space}{{{space}{}{space}}}{space}",
            pairs.join(&self.separator())
        )
    }
}

/// Reads a value behind a type that is not known where the codec is called.
struct Erased<'a>(&'a mut Option<Struct>);

impl<'de> serde::de::DeserializeSeed<'de> for Erased<'_> {
    type Value = ();

    fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        let mut erased = <dyn erased_serde::Deserializer<'_>>::erase(deserializer);
        let value = erased_serde::deserialize(&mut erased).map_err(serde::de::Error::custom)?;
        *self.0 = Some(value);
        Ok(())
    }
}

#[test]
fn values_behind_erased_types_are_the_same() {
    fn same<C: Codec>(codec: &C) {
        let value = Struct {
            unit: (),
            empty: Empty,
            newtype: Newtype(7),
            option: Some(7),
            children: vec![Tree::Unit, Tree::Text("é".into()), Tree::Option(None)],
        };
        let erased: &dyn erased_serde::Serialize = &value;
        let payload = encode(codec, erased);
        assert_eq!(payload, encode(codec, &value));
        let mut read = None;
        codec.decode(&payload, Erased(&mut read)).expect("it decodes");
        assert_eq!(read, Some(value));
        let error = codec
            .decode(&payload[..payload.len() - 1], Erased(&mut None))
            .unwrap_err();
        assert!(matches!(error, CodecError::Decode { .. }));
    }
    same(&Json);
    same(&MessagePack);
    let erased: &dyn erased_serde::Serialize = &[Some(f64::NAN)];
    let error = Json.encode(erased, &mut Vec::new()).unwrap_err();
    assert!(matches!(error, CodecError::NotFinite { .. }), "{error}");
}

#[test]
fn bodies_are_byte_for_byte_what_python_reads() {
    fn golden<T: Serialize + ?Sized>(value: &T, data: &str, dtype: &str) {
        let payload = encode(&Json, value);
        assert_eq!(
            body(&Json, Some(&payload), PayloadKind::Value),
            format!(
                r#"{{"type":"lab.temp","data":[{data}],"dtype":"builtins.{dtype}","id":"{ID}","timestamp":"{TIME}"}}"#
            )
        );
    }
    #[derive(Serialize)]
    struct Temperature {
        celsius: f64,
    }
    golden("hi", "34,104,105,34", "str");
    golden(&7, "55", "int");
    golden(
        &u64::MAX,
        "49,56,52,52,54,55,52,52,48,55,51,55,48,57,53,53,49,54,49,53",
        "int",
    );
    golden(&-1, "45,49", "int");
    golden(&1.0, "49,46,48", "float");
    golden(&1e300, "49,101,43,51,48,48", "float");
    golden(&true, "116,114,117,101", "bool");
    golden(&(), "110,117,108,108", "NoneType");
    golden(&None::<u8>, "110,117,108,108", "NoneType");
    golden(&Some(7), "55", "int");
    golden(&[1, 2], "91,49,44,50,93", "list");
    golden(
        &BTreeMap::from([(1, "é")]),
        "123,34,49,34,58,34,195,169,34,125",
        "dict",
    );
    golden(
        &Temperature { celsius: 21.5 },
        "123,34,99,101,108,115,105,117,115,34,58,50,49,46,53,125",
        "dict",
    );
    golden(&Ok::<u8, ()>(1), "123,34,79,107,34,58,49,125", "dict");

    let rest = format!(r#""id":"{ID}","timestamp":"{TIME}"}}"#);
    assert_eq!(
        body(&Json, Some(&[0, 10, 99, 100, 255]), PayloadKind::Bytes),
        format!(r#"{{"type":"lab.temp","data":[0,10,99,100,255],"dtype":"builtins.bytes",{rest}"#)
    );
    assert_eq!(
        body(&Json, Some(&[]), PayloadKind::Bytes),
        format!(r#"{{"type":"lab.temp","data":[],"dtype":"builtins.bytes",{rest}"#)
    );
    assert_eq!(
        body(&Json, Some(b"7"), PayloadKind::Unknown),
        format!(r#"{{"type":"lab.temp","data":[55],"dtype":null,{rest}"#)
    );
    assert_eq!(
        body(&Json, None, PayloadKind::Unknown),
        format!(r#"{{"type":"lab.temp","data":null,"dtype":null,{rest}"#)
    );
}

#[test]
fn a_messagepack_body_is_what_is_documented() {
    let head = b"\x95\xa8lab.temp\xc4\x01\x07\x01\xc4\x10";
    let body = body(&MessagePack, Some(&[7]), PayloadKind::Value);
    let id = EventId::from(ID).as_uuid().expect("a UUID");
    let time: Timestamp = TIME.parse().expect("a timestamp");
    assert_eq!(&body[..head.len()], head);
    assert_eq!(&body[head.len()..head.len() + 16], id.as_bytes());
    assert_eq!(
        body[body.len() - 9..],
        [&b"\xd3"[..], &time.as_micros().to_be_bytes()].concat()
    );
}

#[test]
fn a_value_that_is_only_looked_at_is_checked_to_its_end() {
    for payload in [&b"[1,2"[..], b"[1,2]]", b"{\"a\":}", b"nul"] {
        assert!(decode::<_, serde::de::IgnoredAny>(&Json, payload).is_err());
    }
    for payload in [&b"\x92\x01"[..], b"\x91\x01\x01", b"\x81\xa1a"] {
        assert!(decode::<_, serde::de::IgnoredAny>(&MessagePack, payload).is_err());
    }
}
