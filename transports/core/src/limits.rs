use crate::{FrameRef, Frames, TransportError};
use std::time::Duration;

/// What one peer may cost the other: every bound that a transport keeps, with its default.
///
/// A transport checks a limit before it reserves anything. A peer that exceeds one is refused or closed, and counted.
/// One that a transport cannot enforce is missing from its [`Guarantees`](crate::Guarantees), and its documentation says so.
///
/// ```
/// use distbus_transport::Limits;
///
/// let limits = Limits::default().with_event_bytes(64 << 10).with_clients(16);
/// assert_eq!(limits.event_bytes, 65_536);
/// ```
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The largest body of one event, in bytes. Default 16 MiB.
    pub event_bytes: usize,
    /// The longest topic, and the longest subscription prefix, in bytes. Default 1,024.
    pub topic_bytes: usize,
    /// Distinct subscriptions of one client. Default 16,384.
    pub subscriptions: usize,
    /// Bytes of all distinct subscriptions of one client. Default 1 MiB.
    pub subscription_bytes: usize,
    /// Clients connected at once. Default 4,096.
    pub clients: usize,
    /// Connections that have not finished their handshake, at once. Default 256.
    pub pending_handshakes: usize,
    /// How long a handshake may take. Default 10 s.
    pub handshake_time: Duration,
    /// Bytes waiting for one subscriber before [`slow_consumer`](Self::slow_consumer) applies; also what a client
    /// holds that nobody has received yet. Default 16 MiB. One frame is always let through an empty queue.
    pub queue_bytes: usize,
    /// What happens when a subscriber's queue is full. Default: block for one second.
    pub slow_consumer: SlowConsumer,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            event_bytes: 16 << 20,
            topic_bytes: 1024,
            subscriptions: 16_384,
            subscription_bytes: 1 << 20,
            clients: 4096,
            pending_handshakes: 256,
            handshake_time: Duration::from_secs(10),
            queue_bytes: 16 << 20,
            slow_consumer: SlowConsumer::Block(Duration::from_secs(1)),
        }
    }
}

impl Limits {
    /// The frames before the first whose topic or body is above its limit, and the error for that one: what both outbound halves check.
    ///
    /// ```
    /// use distbus_transport::{Batch, Frame, Limits};
    ///
    /// let frames: Batch = ["1", "22", "333", "4"].map(|body| Frame::sealed("lab.temp", body)).into_iter().collect();
    /// let (fit, error) = Limits::default().with_event_bytes(2).within(frames.all());
    /// assert_eq!((fit.len(), error.is_err()), (2, true));
    /// ```
    ///
    /// # Errors
    /// [`TransportError::TooLarge`], beside the frames that fit.
    pub fn within<'a>(&self, frames: Frames<'a>) -> (Frames<'a>, Result<(), TransportError>) {
        let Some((at, error)) = frames
            .iter()
            .enumerate()
            .find_map(|(at, frame)| Some((at, self.fault(frame)?)))
        else {
            return (frames, Ok(()));
        };
        (frames.slice(..at), Err(error))
    }

    /// What is too large about a frame, if anything is.
    #[inline]
    pub fn fault(&self, frame: FrameRef<'_>) -> Option<TransportError> {
        let (topic, body) = (frame.topic().len(), frame.body().len());
        let too_large = |what, size, limit| Some(TransportError::TooLarge { what, size, limit });
        if topic > self.topic_bytes {
            too_large("a topic", topic, self.topic_bytes)
        } else if body > self.event_bytes {
            too_large("an event", body, self.event_bytes)
        } else {
            None
        }
    }
}

macro_rules! setters {
    ($($with:ident $field:ident: $type:ty,)*) => {
        impl Limits {$(
            #[doc = concat!("Sets [`", stringify!($field), "`](Self::", stringify!($field), ").")]
            #[must_use]
            pub fn $with(mut self, $field: $type) -> Self {
                self.$field = $field;
                self
            }
        )*}
    };
}

setters! {
    with_event_bytes event_bytes: usize,
    with_topic_bytes topic_bytes: usize,
    with_subscriptions subscriptions: usize,
    with_subscription_bytes subscription_bytes: usize,
    with_clients clients: usize,
    with_pending_handshakes pending_handshakes: usize,
    with_handshake_time handshake_time: Duration,
    with_queue_bytes queue_bytes: usize,
    with_slow_consumer slow_consumer: SlowConsumer,
}

/// What happens to a frame for a subscriber whose queue is full. Whatever is dropped is counted.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SlowConsumer {
    /// The frame that comes is dropped; the subscriber keeps the oldest.
    DropNewest,
    /// What has waited longest is dropped until the frame fits; the subscriber keeps the newest.
    DropOldest,
    /// Publishing waits for room, at most this long; after that the subscriber counts as lagging, and frames for it are
    /// dropped without waiting until its queue has emptied. So one stall costs the others one deadline, not one an event.
    Block(Duration),
    /// The subscriber is disconnected and its queue freed.
    Disconnect,
}
