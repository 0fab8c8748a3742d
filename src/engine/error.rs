use super::topic::TopicError;
use crate::codec::CodecError;
use distbus_transport::{Endpoint, EndpointError, TransportError};
use std::time::Duration;

/// What the bus could not do. One line; says what to do about it; never repeats its source.
#[non_exhaustive]
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A text that is no endpoint.
    #[error(transparent)]
    Endpoint(#[from] EndpointError),
    /// A topic or a pattern that cannot be used.
    #[error(transparent)]
    Topic(#[from] TopicError),
    /// A value that cannot be written, or a payload that is something else.
    #[error(transparent)]
    Codec(#[from] CodecError),
    /// The transport said no.
    #[error(transparent)]
    Transport(#[from] TransportError),
    /// No broker answered in time.
    #[error(
        "no broker answered at {endpoint} within {waited:?} ({stage}); start one there, or allow more time"
    )]
    ConnectTimeout {
        /// Where.
        endpoint: Endpoint,
        /// How long it was tried.
        waited: Duration,
        /// How far it came.
        stage: &'static str,
    },
    /// A subscription or a flush was not confirmed in time: the broker, or this client's handlers, are too slow.
    #[error(
        "{what} was not confirmed within {waited:?}; the broker or this client's handlers may be too slow"
    )]
    NotConfirmed {
        /// What was waited for.
        what: &'static str,
        /// How long.
        waited: Duration,
    },
    /// This end was closed, by whom its `closed()` says.
    #[error("it is closed; make a new one")]
    Closed,
    /// There is nothing registered under this name.
    #[error("nothing is registered for {0:?}")]
    NotRegistered(String),
}

/// Anything that goes wrong inside a handler or a sink.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;
