use super::payload::{DynCodec, RawBytes, decode_dyn, is_bytes, transcode};
use crate::codec::{CodecError, PayloadKind};
use crate::{EventId, Timestamp};
use bytes::Bytes;
use distbus_transport::Endpoint;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::any::{Any, TypeId};
use std::fmt;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

/// Something that happened: a topic, a payload, an id and a time. Cloning shares it.
///
/// The payload is lazy. An event emitted in this process holds the very value; one from a broker holds bytes. It is encoded at most once,
/// when something first needs bytes, and decoded at most once for each type.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), distbus::Error> {
/// use distbus::{Event, LocalBus};
///
/// let bus = LocalBus::new();
/// let lab = bus.entry("lab");
/// lab.on_event("lab.*", |event: Event| async move {
///     assert_eq!(event.topic(), "lab.temp");
///     assert_eq!(*event.get::<f64>().unwrap(), 21.5);
/// })?;
/// lab.emit("lab.temp", 21.5).await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Event(Arc<Inner>);

struct Inner {
    topic: Arc<str>,
    id: EventId,
    timestamp: Timestamp,
    payload: Payload,
    codec: Arc<dyn DynCodec>,
    via: Option<Endpoint>,
    encoded: OnceLock<Bytes>,
    /// One entry a type that somebody asked for: rarely more than one.
    decoded: Mutex<Vec<(TypeId, Shared)>>,
}

type Shared = Arc<dyn Any + Send + Sync>;

/// What an event carries.
pub(crate) enum Payload {
    Empty,
    Encoded(Bytes, PayloadKind),
    Value(Value),
}

/// A value of this process, with what it takes to write it.
pub(crate) struct Value {
    shared: Shared,
    /// `None` for a value that cannot leave the process.
    write: Option<Write>,
    kind: PayloadKind,
    type_name: &'static str,
}

type Write = fn(&dyn Any) -> Option<&dyn erased_serde::Serialize>;

impl Value {
    /// A value that can be written.
    pub(crate) fn new<T: Serialize + Send + Sync + 'static>(value: Arc<T>) -> Self {
        let kind = if is_bytes::<T>() {
            PayloadKind::Bytes
        } else {
            PayloadKind::Value
        };
        let write: Write = |any| {
            any.downcast_ref::<T>()
                .map(|value| value as &dyn erased_serde::Serialize)
        };
        Self {
            shared: value,
            write: Some(write),
            kind,
            type_name: std::any::type_name::<T>(),
        }
    }

    /// A value that stays in this process.
    pub(crate) fn local<T: Send + Sync + 'static>(value: Arc<T>) -> Self {
        Self {
            shared: value,
            write: None,
            kind: PayloadKind::Value,
            type_name: std::any::type_name::<T>(),
        }
    }

    fn encode(&self, codec: &dyn DynCodec) -> Result<Vec<u8>, CodecError> {
        let Some(value) = self.write.and_then(|write| write(&*self.shared)) else {
            let reason = format!(
                "a {} emitted with emit_local does not leave its process",
                self.type_name
            );
            return Err(CodecError::Encode {
                codec: codec.name(),
                reason,
            });
        };
        let mut out = Vec::new();
        if self.kind == PayloadKind::Bytes {
            let written = value.serialize(RawBytes(&mut |raw| codec.encode_bytes(raw, &mut out)));
            written.map_err(|error| CodecError::Encode {
                codec: codec.name(),
                reason: error.to_string(),
            })?;
        } else {
            codec.encode_value(value, &mut out)?;
        }
        Ok(out)
    }
}

impl Event {
    pub(crate) fn new(
        topic: Arc<str>,
        id: EventId,
        timestamp: Timestamp,
        payload: Payload,
        codec: Arc<dyn DynCodec>,
        via: Option<Endpoint>,
    ) -> Self {
        let (encoded, decoded) = (OnceLock::new(), Mutex::new(Vec::new()));
        Self(Arc::new(Inner {
            topic,
            id,
            timestamp,
            payload,
            codec,
            via,
            encoded,
            decoded,
        }))
    }

    /// Where it was emitted to.
    pub fn topic(&self) -> &str {
        &self.0.topic
    }

    /// What tells it from every other event.
    pub fn id(&self) -> &EventId {
        &self.0.id
    }

    /// When it was emitted, by its sender's clock.
    pub fn timestamp(&self) -> Timestamp {
        self.0.timestamp
    }

    /// Whether it carries no data at all, as pulses do.
    pub fn is_empty(&self) -> bool {
        matches!(self.0.payload, Payload::Empty)
    }

    /// What its payload is.
    pub fn kind(&self) -> PayloadKind {
        match &self.0.payload {
            Payload::Empty => PayloadKind::Unknown,
            Payload::Encoded(_, kind) => *kind,
            Payload::Value(value) => value.kind,
        }
    }

    /// The broker through which it reached this process; `None` for an event of this process.
    pub fn via(&self) -> Option<&Endpoint> {
        self.0.via.as_ref()
    }

    /// The data as a `T`, shared: the very value when a `T` was emitted here, else decoded once for all who ask.
    ///
    /// An event without data is a `()` or a `None`.
    ///
    /// # Errors
    /// [`CodecError::Decode`] when the payload is something else.
    pub fn get<T: DeserializeOwned + Send + Sync + 'static>(&self) -> Result<Arc<T>, CodecError> {
        if let Some(value) = self.peek() {
            return Ok(value);
        }
        let value: Arc<T> = Arc::new(self.decode()?);
        let mut decoded = self.0.decoded.lock().unwrap_or_else(PoisonError::into_inner);
        decoded.push((TypeId::of::<T>(), Arc::clone(&value) as Shared));
        Ok(value)
    }

    /// The emitted value, when it is a `T`, or a `T` that was decoded before: never decodes.
    pub(crate) fn peek<T: Send + Sync + 'static>(&self) -> Option<Arc<T>> {
        if let Payload::Value(value) = &self.0.payload
            && let Ok(value) = Arc::clone(&value.shared).downcast()
        {
            return Some(value);
        }
        let decoded = self.0.decoded.lock().unwrap_or_else(PoisonError::into_inner);
        let (_, value) = decoded.iter().find(|(id, _)| *id == TypeId::of::<T>())?;
        Arc::clone(value).downcast().ok()
    }

    /// The data as a `T` of your own.
    ///
    /// # Errors
    /// [`CodecError::Decode`] when the payload is something else.
    pub fn decode<T: DeserializeOwned>(&self) -> Result<T, CodecError> {
        decode_dyn(&*self.0.codec, self.payload()?.as_deref())
    }

    /// The payload's bytes, as this event's codec writes them; `None` for an event without data.
    ///
    /// # Errors
    /// [`CodecError::Encode`] for a value that cannot be written.
    pub fn payload(&self) -> Result<Option<Bytes>, CodecError> {
        let value = match &self.0.payload {
            Payload::Empty => return Ok(None),
            Payload::Encoded(bytes, _) => return Ok(Some(bytes.clone())),
            Payload::Value(value) => value,
        };
        if let Some(bytes) = self.0.encoded.get() {
            return Ok(Some(bytes.clone()));
        }
        let bytes = Bytes::from(value.encode(&*self.0.codec)?);
        Ok(Some(self.0.encoded.get_or_init(|| bytes).clone()))
    }

    /// The name of the codec that [`payload`](Self::payload) is written in.
    pub fn codec(&self) -> &'static str {
        self.0.codec.name()
    }

    /// The payload as another codec writes it.
    pub(crate) fn payload_in(
        &self,
        codec: &dyn DynCodec,
    ) -> Result<(Option<Bytes>, PayloadKind), CodecError> {
        if codec.name() == self.0.codec.name() {
            return Ok((self.payload()?, self.kind()));
        }
        match &self.0.payload {
            Payload::Empty => Ok((None, PayloadKind::Unknown)),
            Payload::Value(value) => Ok((Some(value.encode(codec)?.into()), value.kind)),
            Payload::Encoded(bytes, kind) => {
                let (bytes, kind) = transcode(&*self.0.codec, bytes, *kind, codec)?;
                Ok((Some(bytes.into()), kind))
            }
        }
    }
}

impl fmt::Debug for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = f.debug_struct("Event");
        out.field("topic", &self.topic()).field("id", self.id());
        match &self.0.payload {
            Payload::Empty => out.field("data", &format_args!("none")),
            Payload::Encoded(bytes, _) => {
                out.field("data", &format_args!("{} bytes of {}", bytes.len(), self.codec()))
            }
            Payload::Value(value) => out.field("data", &format_args!("{}", value.type_name)),
        };
        out.finish_non_exhaustive()
    }
}
