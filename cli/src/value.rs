use crate::json_text::JsonText;
use clap::ValueEnum;
use distbus::{Client, Codec, Error};

/// What a piece of data is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Kind {
    /// A JSON value
    Json,
    /// Text, sent as a string
    Str,
    /// Raw bytes
    Bytes,
    /// Nothing at all
    Null,
}

/// Something to emit.
pub(crate) enum Value {
    Json(String),
    Text(String),
    Bytes(Vec<u8>),
    Nothing,
}

impl Value {
    /// # Errors
    /// What it is instead, in words.
    pub(crate) fn read(data: Vec<u8>, kind: Kind) -> Result<Self, String> {
        let text =
            |data| String::from_utf8(data).map_err(|_| "not UTF-8; send it with --type bytes".to_owned());
        match kind {
            Kind::Json => {
                let text = text(data)?;
                JsonText::new(&text)
                    .map_err(|error| format!("not JSON ({error}); send plain text with --type str"))?;
                Ok(Self::Json(text))
            }
            Kind::Str => text(data).map(Self::Text),
            Kind::Bytes => Ok(Self::Bytes(data)),
            Kind::Null => Ok(Self::Nothing),
        }
    }

    pub(crate) async fn emit<C: Codec>(&self, client: &Client<C>, topic: &str) -> Result<(), Error> {
        let emitted = match self {
            Self::Json(text) => match JsonText::new(text) {
                Ok(value) => client.emit(topic, &value).await,
                // It was read as JSON before.
                Err(_) => client.emit(topic, text).await,
            },
            Self::Text(text) => client.emit(topic, text).await,
            Self::Bytes(bytes) => client.emit(topic, bytes).await,
            Self::Nothing => client.emit_empty(topic).await,
        };
        emitted.map(drop)
    }
}
