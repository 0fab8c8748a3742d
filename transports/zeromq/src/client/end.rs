use distbus_transport::TransportError;
use std::io;
use tokio::sync::watch;

/// How a link ended.
#[derive(Clone, Debug)]
pub(crate) enum End {
    /// On purpose, here or there.
    Closed,
    /// A connection broke, with these words.
    Broken(String),
}

impl End {
    fn error(&self) -> TransportError {
        match self {
            Self::Closed => TransportError::Closed,
            Self::Broken(why) => {
                TransportError::Io(io::Error::new(io::ErrorKind::ConnectionAborted, why.clone()))
            }
        }
    }
}

/// Whether a link has ended: what its halves and its task share. The first reason stays.
#[derive(Clone)]
pub(crate) struct Ending(watch::Sender<Option<End>>);

impl Ending {
    pub(crate) fn new() -> Self {
        Self(watch::Sender::new(None))
    }

    pub(crate) fn end(&self, end: End) {
        self.0.send_if_modified(|now| {
            let first = now.is_none();
            now.get_or_insert(end);
            first
        });
    }

    /// The error that both halves return from now on, if the link has ended.
    pub(crate) fn error(&self) -> Option<TransportError> {
        self.0.borrow().as_ref().map(End::error)
    }

    /// Waits for the end.
    pub(crate) async fn ended(&self) -> TransportError {
        let mut watch = self.0.subscribe();
        // The sender is `self`: it cannot have gone.
        let _ = watch.wait_for(Option::is_some).await;
        self.error().unwrap_or(TransportError::Closed)
    }
}
