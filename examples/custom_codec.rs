//! A format of your own: events as RON, which people can read on the wire.
//!
//! `cargo run --example custom_codec`
//!
//! A codec decides two things: how a value becomes a payload, and how an event becomes the body of a frame. Here the body is one line of
//! RON, the header, and after it the payload as it is.

use bytes::{BufMut, Bytes, BytesMut};
use distbus::{
    Broker, Client, Codec, CodecError, Envelope, LocalBus, Memory, Opened, PayloadKind, Timestamp,
};
use serde::de::DeserializeSeed;
use serde::{Deserialize, Serialize};
use std::any::type_name;
use std::borrow::Cow;
use std::sync::Arc;

#[derive(Clone, Copy, Debug, Default)]
struct Ron;

const NAME: &str = "ron";

/// The first line of a body.
#[derive(Serialize, Deserialize)]
struct Header<'a> {
    #[serde(borrow)]
    topic: Cow<'a, str>,
    id: String,
    micros: i64,
    /// What follows: nothing, a value, raw bytes, or who knows.
    data: Data,
}

#[derive(Clone, Copy, Serialize, Deserialize)]
enum Data {
    Nothing,
    Value,
    Bytes,
    Unknown,
}

impl Codec for Ron {
    fn name(&self) -> &'static str {
        NAME
    }

    fn encode<T: Serialize + ?Sized>(&self, value: &T, payload: &mut Vec<u8>) -> Result<(), CodecError> {
        let text = ron::to_string(value).map_err(|error| CodecError::Encode {
            codec: NAME,
            reason: error.to_string(),
        })?;
        payload.extend_from_slice(text.as_bytes());
        Ok(())
    }

    fn encode_bytes(&self, value: &[u8], payload: &mut Vec<u8>) {
        payload.extend_from_slice(value);
    }

    // The crate bounds how deep values nest, and refuses what follows them: what the contract asks for.
    fn decode<'de, S: DeserializeSeed<'de>>(
        &self,
        payload: &'de [u8],
        seed: S,
    ) -> Result<S::Value, CodecError> {
        ron::Options::default()
            .from_bytes_seed(payload, seed)
            .map_err(|error| CodecError::Decode {
                codec: NAME,
                wanted: type_name::<S::Value>(),
                reason: error.to_string(),
            })
    }

    fn decode_bytes<'p>(&self, payload: &'p [u8]) -> Result<Cow<'p, [u8]>, CodecError> {
        Ok(Cow::Borrowed(payload))
    }

    fn write_event(&self, event: &Envelope<'_>, body: &mut BytesMut) {
        let header = Header {
            topic: event.topic.into(),
            id: event.id.to_string(),
            micros: event.timestamp.as_micros(),
            data: match (event.data, event.kind) {
                (None, _) => Data::Nothing,
                (_, PayloadKind::Value) => Data::Value,
                (_, PayloadKind::Bytes) => Data::Bytes,
                _ => Data::Unknown,
            },
        };
        let header = ron::to_string(&header).expect("two texts, a number and a unit variant are RON");
        body.put_slice(header.as_bytes());
        body.put_u8(b'\n');
        body.put_slice(event.data.unwrap_or_default());
    }

    // Any bytes may come: no index without a check, no panic.
    fn read_event<'a>(
        &self,
        topic: &str,
        body: &'a [u8],
        _scratch: &'a mut BytesMut,
    ) -> Result<Opened<'a>, CodecError> {
        let fail = |reason: String| CodecError::NotAnEvent { codec: NAME, reason };
        let end = body.iter().position(|byte| *byte == b'\n');
        let end = end.ok_or_else(|| fail("it has no first line".into()))?;
        let header: Header<'_> =
            ron::de::from_bytes(&body[..end]).map_err(|error| fail(error.to_string()))?;
        // A part of what came: no copy.
        let data = &body[end + 1..];
        let (data, kind) = match header.data {
            Data::Nothing => (None, PayloadKind::Unknown),
            Data::Value => (Some(data), PayloadKind::Value),
            Data::Bytes => (Some(data), PayloadKind::Bytes),
            Data::Unknown => (Some(data), PayloadKind::Unknown),
        };
        Ok(Opened {
            same_topic: header.topic == topic,
            data,
            kind,
            id: header.id.as_str().into(),
            timestamp: Timestamp::from_micros(header.micros),
        })
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
enum Sample {
    Text(String),
    Point { x: f64, y: f64, label: Option<char> },
}

#[tokio::main]
async fn main() -> Result<(), distbus::Error> {
    let network = Memory::new();
    let broker = Broker::builder()
        .codec(Ron)
        .transport(network.clone())
        .bind("mem://lab")
        .await?;
    let client = Client::builder()
        .codec(Ron)
        .transport(network)
        .connect("mem://lab")
        .await?;
    let mut samples = client.subscribe::<Sample>("lab.sample").await?;
    let mut raw = client.subscribe::<Bytes>("lab.raw").await?;
    // A bus with another codec: events are written anew where they cross, and only there.
    let dashboard = LocalBus::new();
    let mut shown = dashboard.entry("dashboard").subscribe::<Sample>("lab.sample")?;
    broker.forward(dashboard.clone(), "lab.sample")?;

    let text = Sample::Text("two\nlines, and \"quotes\"".into());
    // JSON would refuse this one.
    let point = Sample::Point {
        x: f64::INFINITY,
        y: -0.5,
        label: Some('ü'),
    };
    for sample in [text, point] {
        client.emit("lab.sample", &sample).await?;
        let came = samples.next().await.expect("the client is open");
        let payload = came.event().payload()?.unwrap_or_default();
        println!(
            "{} as {}: {}",
            came.event().topic(),
            came.event().codec(),
            String::from_utf8_lossy(&payload)
        );
        assert_eq!(came.data(), &Arc::new(sample.clone()));
        assert_eq!(*shown.next().await.expect("the bus is open"), sample);
    }

    let bytes: Vec<u8> = (0..=255).collect();
    client.emit("lab.raw", &bytes).await?;
    assert_eq!(*raw.next().await.expect("the client is open"), bytes);
    println!("256 raw bytes came as they were, line feeds too");

    // Whatever the network sends is an error, never a panic.
    let nested = "[".repeat(100_000);
    for body in [
        "",
        "no header",
        "\n",
        "(topic:1)\n",
        "(",
        &nested,
        &format!("{nested}\n"),
    ] {
        let mut scratch = BytesMut::new();
        assert!(
            Ron.read_event("lab.sample", body.as_bytes(), &mut scratch)
                .is_err()
        );
    }
    assert!(
        Ron.decode(nested.as_bytes(), std::marker::PhantomData::<Vec<u8>>)
            .is_err()
    );

    client.close().await;
    broker.close().await;
    Ok(())
}
