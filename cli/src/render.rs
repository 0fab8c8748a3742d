//! How an event looks on stdout.

use crate::json_text::AsJson;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use clap::ValueEnum;
use distbus::{Event, PayloadKind};
use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::value::RawValue;

/// What is printed of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Style {
    /// One JSON object a line: {"topic":…,"data":…,"id":…,"timestamp":…}
    Json,
    /// The same, indented for people
    Pretty,
    /// The data alone and a line feed: bytes as they are, all else as JSON
    Raw,
}

/// What an event carries, as JSON can show it.
enum Data {
    Nothing,
    Value(Box<RawValue>),
    Bytes(Vec<u8>),
}

impl Data {
    fn of(event: &Event) -> Self {
        let Ok(Some(payload)) = event.payload() else {
            return Self::Nothing;
        };
        if event.kind() == PayloadKind::Bytes {
            // A payload that lies about its kind is shown as it is.
            return Self::Bytes(event.decode::<Vec<u8>>().unwrap_or_else(|_| payload.to_vec()));
        }
        let value = if event.codec() == "json" {
            verbatim(&payload)
        } else {
            event.decode::<AsJson>().ok().map(|AsJson(text)| text)
        };
        value.map_or_else(|| Self::Bytes(payload.to_vec()), Self::Value)
    }
}

/// JSON text as it came, so that no number loses a digit, but on one line: a line break is never part of a JSON string.
fn verbatim(payload: &[u8]) -> Option<Box<RawValue>> {
    let text = std::str::from_utf8(payload).ok()?;
    RawValue::from_string(text.trim_ascii().replace(['\n', '\r'], " ")).ok()
}

impl Serialize for Data {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Nothing => serializer.serialize_none(),
            Self::Value(text) => text.serialize(serializer),
            Self::Bytes(bytes) => {
                let mut map = serializer.serialize_map(Some(1))?;
                map.serialize_entry("base64", &STANDARD.encode(bytes))?;
                map.end()
            }
        }
    }
}

#[derive(serde::Serialize)]
struct Line<'a> {
    topic: &'a str,
    data: Data,
    id: String,
    timestamp: String,
}

/// Appends an event with its line feed.
pub(crate) fn render(event: &Event, style: Style, out: &mut Vec<u8>) -> std::io::Result<()> {
    let data = Data::of(event);
    match (style, data) {
        (Style::Raw, Data::Nothing) => {}
        (Style::Raw, Data::Value(text)) => out.extend_from_slice(text.get().as_bytes()),
        (Style::Raw, Data::Bytes(bytes)) => out.extend_from_slice(&bytes),
        (Style::Json | Style::Pretty, data) => {
            let line = Line {
                topic: event.topic(),
                data,
                id: event.id().to_string(),
                timestamp: event.timestamp().to_string(),
            };
            let line = serde_json::to_vec(&line)?;
            let indented = (style == Style::Pretty).then(|| indent(&line)).flatten();
            out.extend_from_slice(indented.as_ref().unwrap_or(&line));
        }
    }
    out.push(b'\n');
    Ok(())
}

/// `None` for what is nested too deeply to be of use to people anyway.
fn indent(line: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    let mut reader = serde_json::Deserializer::from_slice(line);
    serde_transcode::transcode(&mut reader, &mut serde_json::Serializer::pretty(&mut out)).ok()?;
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_kept_to_the_digit_and_on_one_line() {
        let text =
            verbatim(b" {\n  \"n\": 123456789012345678901234567890,\r\n \"s\": \"a\\nb\" }\n").unwrap();
        assert_eq!(
            text.get(),
            r#"{   "n": 123456789012345678901234567890,   "s": "a\nb" }"#
        );
        for other in [&b"\xff"[..], b"", b"hi", b"NaN", b"{}{}", b"\"\xff\""] {
            assert!(verbatim(other).is_none(), "{other:?}");
        }
        assert!(verbatim("[".repeat(100_000).as_bytes()).is_none());
    }

    #[test]
    fn data_that_is_no_json_is_base64() {
        let shown = |data: &Data| serde_json::to_string(data).unwrap();
        assert_eq!(shown(&Data::Bytes(vec![0, 255])), r#"{"base64":"AP8="}"#);
        assert_eq!(shown(&Data::Nothing), "null");
    }

    #[test]
    fn indenting_keeps_the_order_and_gives_up_in_the_depths() {
        let out = indent(br#"{"b":[1],"a":{}}"#).unwrap();
        assert_eq!(out, b"{\n  \"b\": [\n    1\n  ],\n  \"a\": {}\n}");
        assert!(indent("[".repeat(200).as_bytes()).is_none());
    }
}
