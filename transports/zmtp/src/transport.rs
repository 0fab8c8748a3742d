use crate::net::reader::MAX_EVENT;
use crate::{broker, client};
use async_trait::async_trait;
use distbus_transport::{
    BrokerLink, ClientLink, Endpoint, Guarantees, Limits, PeerId, Transport, TransportError,
};
use std::time::Duration;

/// The transport: ZMTP 3 over TCP and, on Unix, over socket files.
///
/// ```
/// use distbus_transport::{Batch, Endpoint, Frame, Inbox, Limits, PeerId, Transport};
/// use distbus_zmtp::Zmtp;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let (zmtp, limits) = (Zmtp::new(), Limits::default());
/// let mut broker = zmtp.bind(&Endpoint::tcp("127.0.0.1", 0), &limits).await?;
/// let me = PeerId::new("me").unwrap();
/// let mut client = zmtp.connect(&broker.endpoint, &me, &limits).await?;
///
/// client.outbound.push(Batch::from([Frame::sealed("lab.temp", "21.5")]).all()).await?;
/// let mut inbox = Inbox::default();
/// while inbox.frames.is_empty() {
///     broker.inbound.recv(&mut inbox).await?;
/// }
/// assert_eq!(inbox.frames.get(0).unwrap().body(), b"21.5");
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Zmtp {
    pub(crate) heartbeat: Option<Duration>,
    pub(crate) write_time: Duration,
}

impl Default for Zmtp {
    fn default() -> Self {
        Self {
            heartbeat: None,
            write_time: Duration::from_secs(60),
        }
    }
}

impl Zmtp {
    /// Without heartbeats of its own (it always answers a peer's), and with a write deadline of 60 seconds.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sends PING on a connection that has been silent so long, and ends it after as much again without an answer.
    /// Only to peers of ZMTP 3.1, because 3.0 has no PING. Less than a millisecond is a millisecond.
    #[must_use]
    pub fn heartbeat(mut self, every: Duration) -> Self {
        self.heartbeat = Some(every.max(Duration::from_millis(1)));
        self
    }

    /// How long a peer may take nothing at all of what waits for it before it is disconnected, whatever the slow-consumer
    /// policy: a peer that has gone without a word looks like this.
    #[must_use]
    pub fn write_deadline(mut self, time: Duration) -> Self {
        self.write_time = time;
        self
    }
}

/// Topics and events no larger than [`MAX_EVENT`], whatever was asked for.
fn possible(limits: &Limits) -> Limits {
    limits
        .clone()
        .with_topic_bytes(limits.topic_bytes.min(MAX_EVENT))
        .with_event_bytes(limits.event_bytes.min(MAX_EVENT))
}

#[async_trait]
impl Transport for Zmtp {
    fn name(&self) -> &'static str {
        crate::NAME
    }

    fn guarantees(&self) -> Guarantees {
        Guarantees::strong()
    }

    async fn bind(&self, endpoint: &Endpoint, limits: &Limits) -> Result<BrokerLink, TransportError> {
        broker::bind(self, endpoint, &possible(limits)).await
    }

    async fn connect(
        &self,
        endpoint: &Endpoint,
        peer: &PeerId,
        limits: &Limits,
    ) -> Result<ClientLink, TransportError> {
        client::connect(self, endpoint, peer, &possible(limits)).await
    }
}
