//! JSON text that passes through a codec without becoming a tree: what it holds, in the order in which it holds it.

use serde::de::{Deserialize, Deserializer, Error as _};
use serde::ser::{Serialize, Serializer};
use serde_json::value::RawValue;

/// A valid JSON text as a value to emit.
pub(crate) struct JsonText<'a>(&'a str);

impl<'a> JsonText<'a> {
    /// # Errors
    /// What is wrong with the text, in words.
    pub(crate) fn new(text: &'a str) -> Result<Self, serde_json::Error> {
        let mut reader = serde_json::Deserializer::from_str(text);
        serde_transcode::transcode(&mut reader, &mut serde_json::Serializer::new(std::io::sink()))?;
        reader.end()?;
        Ok(Self(text))
    }
}

impl Serialize for JsonText<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serde_transcode::transcode(&mut serde_json::Deserializer::from_str(self.0), serializer)
    }
}

/// A value of any format, read as JSON text. One that JSON cannot express is an error.
pub(crate) struct AsJson(pub(crate) Box<RawValue>);

impl<'de> Deserialize<'de> for AsJson {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut text = Vec::new();
        serde_transcode::transcode(deserializer, &mut serde_json::Serializer::new(&mut text))
            .map_err(D::Error::custom)?;
        let text = String::from_utf8(text).map_err(D::Error::custom)?;
        RawValue::from_string(text).map(Self).map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_keeps_its_order() {
        let text = JsonText::new(r#" {"b": 1, "a": [-0.5, null, "\u00e9"]} "#).unwrap();
        assert_eq!(
            serde_json::to_string(&text).unwrap(),
            r#"{"b":1,"a":[-0.5,null,"é"]}"#
        );
    }

    #[test]
    fn what_is_no_json_is_said_so() {
        for text in ["", "hi", "{", "1 2", "1e999", "NaN", "'a'"] {
            assert!(JsonText::new(text).is_err(), "{text}");
        }
        assert!(JsonText::new(&"[".repeat(100_000)).is_err());
    }

    #[test]
    fn a_value_becomes_json_text() {
        let AsJson(text) = serde_json::from_str(r#"{"z": [1, 18446744073709551615], "a": "x"}"#).unwrap();
        assert_eq!(text.get(), r#"{"z":[1,18446744073709551615],"a":"x"}"#);
    }
}
