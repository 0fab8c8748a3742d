use super::*;
use crate::{EventId, PayloadKind, Timestamp};
use proptest::prelude::*;
use serde::Deserialize;
use std::marker::PhantomData;
use std::net::IpAddr;

fn encoded<T: Serialize + ?Sized>(value: &T) -> Vec<u8> {
    let mut payload = Vec::new();
    MessagePack.encode(value, &mut payload).unwrap();
    payload
}

fn decoded<'a, T: Deserialize<'a>>(payload: &'a [u8]) -> Result<T, CodecError> {
    MessagePack.decode(payload, PhantomData)
}

fn opened(body: &[u8]) -> Result<Opened<'_>, CodecError> {
    // Nothing is written there, but it has to live as long as what is read.
    MessagePack.read_event("a", body, Box::leak(Box::default()))
}

#[test]
fn structs_may_gain_fields() {
    #[derive(Serialize)]
    struct New {
        added: Vec<u8>,
        a: u8,
    }
    #[derive(Debug, PartialEq, Deserialize)]
    struct Old {
        a: u8,
        #[serde(default)]
        gone: u8,
    }
    let payload = encoded(&New {
        added: vec![1, 2],
        a: 7,
    });
    assert_eq!(decoded::<Old>(&payload).unwrap(), Old { a: 7, gone: 0 });
}

#[test]
fn forms_for_humans_are_used_so_that_other_formats_read_them() {
    let address: IpAddr = "::1".parse().unwrap();
    assert_eq!(encoded(&address), b"\xa3::1");
    assert_eq!(decoded::<IpAddr>(b"\xa3::1").unwrap(), address);
}

#[test]
fn decoding_reads_one_whole_value() {
    assert_eq!(decoded::<u64>(b"\x07").unwrap(), 7);
    assert_eq!(decoded::<&str>(b"\xa2hi").unwrap(), "hi");
    assert!(decoded::<f64>(&encoded(&f64::NAN)).unwrap().is_nan());
    for payload in [
        &b"\x07\x07"[..],
        b"\xff",
        b"\xa1x",
        b"\xcd\x00",
        b"\xc1",
        b"\xdd\xff\xff\xff\xff",
    ] {
        let error = decoded::<u64>(payload).unwrap_err().to_string();
        assert!(
            error.starts_with("the payload is not u64 in msgpack: "),
            "{error}"
        );
    }
}

#[test]
fn an_event_without_data_reads_as_the_unit() {
    decoded::<()>(b"").unwrap();
    assert_eq!(decoded::<Option<u8>>(b"").unwrap(), None);
}

#[test]
fn nested_enums_do_not_exhaust_the_stack() {
    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    enum Chain {
        End,
        Link(Box<Chain>),
    }
    let chain = |links| (0..links).fold(Chain::End, |chain, _| Chain::Link(Box::new(chain)));
    assert_eq!(decoded::<Chain>(&encoded(&chain(100))).unwrap(), chain(100));
    let error = decoded::<Chain>(&b"\x81\xa4Link".repeat(1_000_000)).unwrap_err();
    assert!(error.to_string().contains("nested deeper than 128"), "{error}");
    // Some readers take an array of one for a variant, and what follows the array for its content.
    let payload = [&b"\xdd\x00\x0f\x42\x40"[..], &b"\x91\xa4Link".repeat(1_000_000)].concat();
    decoded::<Vec<Chain>>(&payload).unwrap_err();
}

#[test]
fn lengths_are_not_believed() {
    for payload in [
        &b"\xdd\xff\xff\xff\xff\x01"[..],
        b"\xdf\xff\xff\xff\xff\x01\x01",
        b"\xc6\xff\xff\xff\xff",
        b"\xdb\xff\xff\xff\xff",
    ] {
        decoded::<Vec<u64>>(payload).unwrap_err();
        decoded::<Vec<()>>(payload).unwrap_err();
        decoded::<serde::de::IgnoredAny>(payload).unwrap_err();
        MessagePack.decode_bytes(payload).unwrap_err();
    }
}

#[test]
fn raw_bytes_are_a_bin_and_are_not_copied() {
    let mut payload = Vec::new();
    MessagePack.encode_bytes(&[1, 2], &mut payload);
    assert_eq!(payload, b"\xc4\x02\x01\x02");
    assert!(matches!(
        MessagePack.decode_bytes(&payload).unwrap(),
        Cow::Borrowed([1, 2])
    ));
    for other in [
        &b""[..],
        b"\xa2hi",
        b"\xc4\x02\x01",
        b"\xc4\x01\x01\x01",
        b"\x92\x01\x02",
    ] {
        MessagePack.decode_bytes(other).unwrap_err();
    }
}

const GOOD: &[u8] = b"\x95\xa1a\xc4\x02\xa1x\x01\xa17\xd3\0\0\0\0\0\x0f\x42\x40";

fn good() -> Opened<'static> {
    Opened {
        same_topic: true,
        data: Some(b"\xa1x"),
        kind: PayloadKind::Value,
        id: EventId::from("7"),
        timestamp: Timestamp::from_micros(1_000_000),
    }
}

#[test]
fn reading_copies_nothing() {
    let body = bytes::Bytes::from_static(GOOD);
    let mut scratch = BytesMut::new();
    let event = MessagePack.read_event("a", &body, &mut scratch).unwrap();
    assert_eq!(event, good());
    assert_eq!(event.data.unwrap().as_ptr(), body[5..].as_ptr());
    assert_eq!(scratch.capacity(), 0);
}

#[test]
fn other_spellings_read_the_same() {
    for other in [
        &b"\xdc\0\x05\xd9\x01a\xc5\0\x02\xa1x\xcc\x01\xda\0\x017\xce\0\x0f\x42\x40"[..],
        b"\xdd\0\0\0\x05\xdb\0\0\0\x01a\xc6\0\0\0\x02\xa1x\xd0\x01\xa17\xcf\0\0\0\0\0\x0f\x42\x40",
    ] {
        assert_eq!(opened(other).unwrap(), good());
    }
    let uuid = uuid::Uuid::from_u128(7);
    let body = [&b"\x95\xa1b\xc0\x00\xc4\x10"[..], uuid.as_bytes(), b"\xff"].concat();
    assert_eq!(
        opened(&body).unwrap(),
        Opened {
            same_topic: false,
            data: None,
            kind: PayloadKind::Unknown,
            id: uuid.into(),
            timestamp: Timestamp::from_micros(-1),
        }
    );
}

#[test]
fn what_is_no_event() {
    for bad in [
        &b""[..],
        b"\x94\xa1a\xc0\x00\xa17",
        b"\x95\xa1\xff\xc0\x00\xa17\x00",
        b"\x95\x01\xc0\x00\xa17\x00",
        b"\x95\xa1a\xa1x\x00\xa17\x00",
        b"\x95\xa1a\xc0\x03\xa17\x00",
        b"\x95\xa1a\xc0\xc0\xa17\x00",
        b"\x95\xa1a\xc0\x00\xa1\xff\x00",
        b"\x95\xa1a\xc0\x00\xc4\x01\x01\x00",
        b"\x95\xa1a\xc0\x00\xc0\x00",
        b"\x95\xa1a\xc0\x00\xa17\xc0",
        b"\x95\xa1a\xc0\x00\xa17\xcf\xff\xff\xff\xff\xff\xff\xff\xff",
        b"\x95\xa1a\xc0\x00\xa17\x00\x00",
        b"\x95\xa1a\xc6\xff\xff\xff\xff",
    ] {
        let error = opened(bad).unwrap_err().to_string();
        assert!(
            error.starts_with("the body is not an event in msgpack: "),
            "{error}"
        );
    }
    for end in 0..GOOD.len() {
        opened(&GOOD[..end]).unwrap_err();
    }
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(body in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = opened(&body);
        let _ = decoded::<serde_json::Value>(&body);
        let _ = MessagePack.decode_bytes(&body);
    }

    #[test]
    fn a_wrong_byte_never_panics(at in 0..GOOD.len(), byte: u8) {
        let mut body = GOOD.to_vec();
        body[at] = byte;
        let _ = opened(&body);
    }

    #[test]
    fn any_topic_and_id_survive(topic: String, id: String, data: Option<Vec<u8>>, micros: i64) {
        let (id, timestamp) = (EventId::from(&*id), Timestamp::from_micros(micros));
        let mut body = BytesMut::new();
        let envelope = Envelope { topic: &topic, data: data.as_deref(), kind: PayloadKind::Bytes, id: &id, timestamp };
        MessagePack.write_event(&envelope, &mut body);
        let mut scratch = BytesMut::new();
        let event = MessagePack.read_event(&topic, &body, &mut scratch).unwrap();
        prop_assert!(event.same_topic);
        prop_assert_eq!(event.kind, if data.is_some() { PayloadKind::Bytes } else { PayloadKind::Unknown });
        prop_assert_eq!(event.data.map(Vec::from), data);
        prop_assert_eq!(event.id, id);
        prop_assert_eq!(event.timestamp, timestamp);
    }
}
