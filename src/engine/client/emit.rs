use super::Client;
use super::outbox::Identity;
use crate::EventId;
use crate::codec::{Codec, PayloadKind};
use crate::engine::error::Error;
use crate::engine::event::Event;
use crate::engine::payload;
use crate::engine::topic::check_emit;
use distbus_transport::TransportError;
use futures_util::future::BoxFuture;
use serde::Serialize;
use std::cell::RefCell;
use std::future::{Future, poll_fn};
use std::task::Poll;
use std::time::Duration;

thread_local! {
    /// Payloads are written here, so that emitting allocates nothing of its own.
    static SCRATCH: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

fn keep_scratch(payload: Vec<u8>) {
    // A larger one is given back.
    const KEPT: usize = 1 << 20;
    if payload.capacity() <= KEPT {
        SCRATCH.set(payload);
    }
}

/// Emitting.
impl<C: Codec> Client<C> {
    /// Sends a value to whoever wants the topic. Waits for room when events are emitted faster than the broker takes them; returns when it is queued.
    /// See [`flush`](Client::flush) for more. The value is encoded by the call itself, and no longer needed then. Cancel-safe: dropped before it
    /// returns, nothing was emitted.
    ///
    /// Raw bytes are a `[u8]`, a `Vec<u8>` or, quickest, a `bytes::Bytes`; everything else is written by the codec.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), distbus::Error> {
    /// # use distbus::{Broker, Client, Memory};
    /// # let network = Memory::new();
    /// # let broker = Broker::builder().transport(network.clone()).bind("mem://lab").await?;
    /// # let client = Client::builder().transport(network).connect("mem://lab").await?;
    /// client.emit("lab.temp", &21.5).await?;
    /// client.emit("lab.image", &b"\x89PNG"[..]).await?;
    /// client.emit("lab.fans", &[("left", 900), ("right", 870)]).await?;
    /// client.flush().await?; // the broker has relayed all three
    /// assert_eq!(client.stats().sent, 3);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Error::Topic`] for a topic that is empty, reserved or a pattern; [`Error::Codec`] for a value that cannot be written;
    /// [`Error::Transport`] for one that is too large; [`Error::Closed`].
    // Not an `async fn`, as nothing on its way is: each would hand the result on through its own state, and a processor waits where what was
    // just written in words is read in pairs of them.
    pub fn emit<'a, T: Serialize + ?Sized>(
        &'a self,
        topic: &'a str,
        value: &T,
    ) -> impl Future<Output = Result<EventId, Error>> + Send + use<'a, T, C> {
        self.emit_value(topic, value, None)
    }

    /// As [`emit`](Client::emit), under an id of yours. Such events are outside the sequence in which gaps are looked for, unless the id is of a
    /// [`distbus`](crate) publisher.
    ///
    /// # Errors
    /// As [`emit`](Client::emit).
    pub fn emit_with_id<'a, T: Serialize + ?Sized, I: Into<EventId>>(
        &'a self,
        topic: &'a str,
        value: &T,
        id: I,
    ) -> impl Future<Output = Result<EventId, Error>> + Send + use<'a, T, I, C> {
        let identity = (id.into(), self.core().host.now());
        self.emit_value(topic, value, Some(identity))
    }

    fn emit_value<'a, T: Serialize + ?Sized>(
        &'a self,
        topic: &'a str,
        value: &T,
        mut identity: Option<Identity>,
    ) -> impl Future<Output = Result<EventId, Error>> + Send + use<'a, T, C> {
        // Written at once: the future holds bytes, and is `Send` whatever `T` is.
        let mut payload = SCRATCH.take();
        payload.clear();
        let kind = self
            .check(topic)
            .and_then(|()| payload::encode(&self.core().codec, value, &mut payload).map_err(Error::from));
        let mut kind = Some(kind.map_err(Box::new));
        let mut waiting: Option<BoxFuture<'a, Result<EventId, Error>>> = None;
        poll_fn(move |cx| {
            if let Some(kind) = kind.take() {
                let kind = match kind {
                    Ok(kind) => kind,
                    Err(error) => return Poll::Ready(Err(*error)),
                };
                let outbox = &self.core().outbox;
                let done = outbox.try_emit(topic, Some(&payload), kind, identity.as_ref());
                if done.is_ready() {
                    keep_scratch(std::mem::take(&mut payload));
                    return done;
                }
                let (payload, identity) = (std::mem::take(&mut payload), identity.take());
                waiting = Some(Box::pin(async move {
                    let identity = identity.as_ref();
                    let done = outbox.emit(topic, Some(&payload), kind, identity).await;
                    keep_scratch(payload);
                    done
                }));
            }
            match &mut waiting {
                Some(waiting) => waiting.as_mut().poll(cx),
                // Polled after it was ready.
                None => Poll::Pending,
            }
        })
    }

    /// Sends an event without data. To reach every kind of peer, send `&()` instead: older ones refuse an event without data where a handler
    /// expects any.
    ///
    /// # Errors
    /// As [`emit`](Client::emit).
    pub async fn emit_empty(&self, topic: &str) -> Result<EventId, Error> {
        self.check(topic)?;
        let outbox = &self.core().outbox;
        outbox.emit(topic, None, PayloadKind::Unknown, None).await
    }

    /// Passes an event on, with its id and time. It is written anew only when it came in another codec.
    ///
    /// # Errors
    /// As [`emit`](Client::emit).
    pub async fn emit_event(&self, event: &Event) -> Result<EventId, Error> {
        self.check(event.topic())?;
        let (data, kind) = event.payload_in(&*self.core().shared_codec)?;
        let identity = (event.id().clone(), event.timestamp());
        let outbox = &self.core().outbox;
        outbox
            .emit(event.topic(), data.as_deref(), kind, Some(&identity))
            .await
    }

    fn check(&self, topic: &str) -> Result<(), Error> {
        check_emit(topic)?;
        let limit = self.core().limits.topic_bytes;
        if topic.len() > limit {
            return Err(TransportError::TooLarge {
                what: "topic",
                size: topic.len(),
                limit,
            }
            .into());
        }
        Ok(())
    }

    /// A barrier: returns when the broker has relayed all that this client had emitted.
    ///
    /// # Errors
    /// [`Error::NotConfirmed`]; [`Error::Closed`].
    pub async fn flush(&self) -> Result<(), Error> {
        self.core().flush(self.handle.confirm_timeout).await
    }

    /// As [`flush`](Client::flush), with a time of its own.
    ///
    /// # Errors
    /// As [`flush`](Client::flush).
    pub async fn flush_within(&self, within: Duration) -> Result<(), Error> {
        self.core().flush(within).await
    }
}
