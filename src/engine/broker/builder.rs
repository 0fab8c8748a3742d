use super::forward::Forwards;
use super::relay::{LastTopic, Relay};
use super::stats::Relayed;
use super::{Broker, Ended, Handle};
use crate::codec::Codec;
use crate::engine::arena::Buffers;
use crate::engine::client::DefaultTransport;
use crate::engine::error::Error;
use crate::engine::host::{Host, SystemHost};
use distbus_transport::{BrokerLink, Endpoint, EndpointError, Limits, Transport};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OnceCell, SetOnce, mpsc};

/// Makes a [`Broker`]: `Broker::builder()`, what differs from the defaults, then [`bind`](BrokerBuilder::bind).
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), distbus::Error> {
/// use distbus::{Broker, Limits, Memory, SlowConsumer};
/// use std::time::Duration;
///
/// let broker = Broker::builder()
///     .transport(Memory::new())
///     .pulse(Duration::from_secs(5))
///     .limits(Limits::default().with_slow_consumer(SlowConsumer::DropOldest))
///     .strict(true)
///     .bind("mem://lab")
///     .await?;
/// assert_eq!(broker.endpoint().to_string(), "mem://lab");
/// # Ok(())
/// # }
/// ```
#[must_use]
pub struct BrokerBuilder<C> {
    codec: C,
    transport: Option<Arc<dyn Transport>>,
    default_transport: DefaultTransport,
    host: Arc<dyn Host>,
    limits: Limits,
    pulse: Duration,
    strict: bool,
}

impl<C: Codec> BrokerBuilder<C> {
    pub(crate) fn new(codec: C, default_transport: DefaultTransport) -> Self {
        Self {
            codec,
            transport: None,
            default_transport,
            host: Arc::new(SystemHost),
            limits: Limits::default(),
            pulse: Duration::from_secs(15),
            strict: false,
        }
    }

    /// What carries the frames. Default: chosen by the endpoint.
    pub fn transport(mut self, transport: impl Transport) -> Self {
        self.transport = Some(Arc::new(transport));
        self
    }

    /// How the broker's own events and those for its sinks are written. Events are relayed as they are, whatever they are written in.
    pub fn codec<D: Codec>(self, codec: D) -> BrokerBuilder<D> {
        let Self {
            transport,
            default_transport,
            host,
            limits,
            pulse,
            strict,
            ..
        } = self;
        BrokerBuilder {
            codec,
            transport,
            default_transport,
            host,
            limits,
            pulse,
            strict,
        }
    }

    /// What clients may cost, and what happens to slow ones.
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// The time between pulses. Default 15 s. Clients look for one each 50 s unless told otherwise.
    pub fn pulse(mut self, interval: Duration) -> Self {
        self.pulse = interval.max(Duration::from_millis(1));
        self
    }

    /// Relays only what is a whole event in this broker's codec and names its topic. This costs a reading of each event, and shields
    /// clients whose receive loop ends on anything else. Default: off; then checksum, topic and encoding are checked.
    pub fn strict(mut self, strict: bool) -> Self {
        self.strict = strict;
        self
    }

    /// Where ids and the wall clock come from. Default: the system.
    pub fn host(mut self, host: impl Host) -> Self {
        self.host = Arc::new(host);
        self
    }

    /// Listens, and returns once clients can connect.
    ///
    /// # Errors
    /// [`Error::Endpoint`]; [`Error::Transport`] when the endpoint is in use or the transport cannot serve it.
    pub async fn bind<E>(self, endpoint: E) -> Result<Broker<C>, Error>
    where
        E: TryInto<Endpoint>,
        E::Error: Into<EndpointError>,
    {
        let endpoint = endpoint.try_into().map_err(Into::into)?;
        let transport = match &self.transport {
            Some(transport) => Arc::clone(transport),
            None => (self.default_transport)(&endpoint)?,
        };
        let link = transport.bind(&endpoint, &self.limits).await?;
        Ok(self.start(link))
    }

    fn start(self, link: BrokerLink) -> Broker<C> {
        let BrokerLink {
            endpoint,
            inbound,
            outbound,
            counters,
        } = link;
        let (forwards, counts): (Arc<Forwards>, Arc<Relayed>) = Default::default();
        let relay = Relay {
            codec: self.codec.clone(),
            host: self.host,
            limits: self.limits,
            strict: self.strict,
            pulse: self.pulse,
            inbound,
            outbound,
            forwards: Arc::clone(&forwards),
            counts: Arc::clone(&counts),
            buffers: Buffers::default(),
            last_topic: LastTopic::default(),
        };
        let (commands, orders) = mpsc::channel(16);
        let ended = Arc::new(SetOnce::new());
        let ending = Arc::clone(&ended);
        let task = tokio::spawn(async move {
            let how = match relay.run(orders).await {
                Ok(()) => Ended::Closed,
                Err(error) => {
                    tracing::error!(%error, "the broker's transport ended; it relays and pulses no more");
                    Ended::Lost(error.to_string())
                }
            };
            // The only place where it is set.
            let _ = ending.set(how);
        });
        let handle = Handle {
            shared_codec: Arc::new(self.codec.clone()),
            codec: self.codec,
            endpoint,
            forwards,
            counts,
            link: counters,
            commands,
            ended,
            task,
            report: OnceCell::new(),
        };
        Broker {
            handle: Arc::new(handle),
        }
    }
}
