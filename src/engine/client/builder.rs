use super::core::{ClosedBy, Core};
use super::delivery::delivery;
use super::outbox::Order;
use super::reader::Reader;
use super::{Client, Handle, writer};
use crate::codec::Codec;
use crate::engine::error::Error;
use crate::engine::host::{Host, SystemHost};
use crate::engine::id::Origin;
use crate::engine::topic::HELLO;
use bytes::Bytes;
use distbus_transport::{ClientLink, Endpoint, EndpointError, Limits, PeerId, Transport};
use futures_util::future::BoxFuture;
use std::future::Future;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::{Notify, oneshot};
use tokio::time::{Instant, timeout_at};

/// How a transport is found for an endpoint when none was given.
pub(crate) type DefaultTransport = fn(&Endpoint) -> Result<Arc<dyn Transport>, Error>;

/// Makes a [`Client`]: `Client::builder()`, what differs from the defaults, then [`connect`](ClientBuilder::connect).
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), distbus::Error> {
/// use distbus::{Broker, Client, Memory};
/// use std::time::Duration;
///
/// let network = Memory::new();
/// let broker = Broker::builder().transport(network.clone()).bind("mem://lab").await?;
/// let client = Client::builder()
///     .transport(network)
///     .connect_timeout(Duration::from_secs(2))
///     .on_disrupt(|| async { eprintln!("the broker is silent") })
///     .connect(broker.endpoint())
///     .await?;
/// assert!(!client.is_closed());
/// # Ok(())
/// # }
/// ```
#[must_use]
pub struct ClientBuilder<C> {
    codec: C,
    transport: Option<Arc<dyn Transport>>,
    default_transport: DefaultTransport,
    settings: Settings,
}

pub(crate) struct Settings {
    host: Arc<dyn Host>,
    limits: Limits,
    connect_timeout: Duration,
    pub(crate) confirm_timeout: Duration,
    pulse_ttl: Duration,
    pulse_limit: u32,
    on_disrupt: Option<Box<dyn FnOnce() -> BoxFuture<'static, ()> + Send>>,
}

impl<C: Codec> ClientBuilder<C> {
    pub(crate) fn new(codec: C, default_transport: DefaultTransport) -> Self {
        let settings = Settings {
            host: Arc::new(SystemHost),
            limits: Limits::default(),
            connect_timeout: Duration::from_secs(5),
            confirm_timeout: Duration::from_secs(10),
            pulse_ttl: Duration::from_secs(50),
            pulse_limit: 4,
            on_disrupt: None,
        };
        Self {
            codec,
            transport: None,
            default_transport,
            settings,
        }
    }

    /// What carries the frames. Default: chosen by the endpoint.
    pub fn transport(mut self, transport: impl Transport) -> Self {
        self.transport = Some(Arc::new(transport));
        self
    }

    /// How values are written. Both ends must agree.
    pub fn codec<D: Codec>(self, codec: D) -> ClientBuilder<D> {
        let Self {
            transport,
            default_transport,
            settings,
            ..
        } = self;
        ClientBuilder {
            codec,
            transport,
            default_transport,
            settings,
        }
    }

    /// Bounds of what this client sends and takes.
    pub fn limits(mut self, limits: Limits) -> Self {
        self.settings.limits = limits;
        self
    }

    /// How long [`connect`](Self::connect) waits for a broker. Default 5 s.
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.settings.connect_timeout = timeout;
        self
    }

    /// How long subscriptions and `flush` wait for the broker. Default 10 s.
    pub fn confirm_timeout(mut self, timeout: Duration) -> Self {
        self.settings.confirm_timeout = timeout;
        self
    }

    /// How often to look whether a pulse, or anything else, came from the broker. Default 50 s. Keep it above the broker's interval.
    pub fn pulse_ttl(mut self, ttl: Duration) -> Self {
        self.settings.pulse_ttl = ttl.max(Duration::from_millis(1));
        self
    }

    /// After more than so many looks in a row that found nothing, the client counts as disrupted and closes. Default 4.
    pub fn pulse_limit(mut self, limit: u32) -> Self {
        self.settings.pulse_limit = limit;
        self
    }

    /// Called once when the client is disrupted, before it closes.
    pub fn on_disrupt<F, Fut>(mut self, call: F) -> Self
    where
        F: FnOnce() -> Fut + Send + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        self.settings.on_disrupt = Some(Box::new(|| Box::pin(call())));
        self
    }

    /// Where ids and the wall clock come from. Default: the system.
    pub fn host(mut self, host: impl Host) -> Self {
        self.settings.host = Arc::new(host);
        self
    }

    /// Connects, and returns once events can be sent and received.
    ///
    /// # Errors
    /// [`Error::Endpoint`]; [`Error::ConnectTimeout`] when no broker answers in time; [`Error::Transport`] when the transport refuses.
    pub async fn connect<E>(self, endpoint: E) -> Result<Client<C>, Error>
    where
        E: TryInto<Endpoint>,
        E::Error: Into<EndpointError>,
    {
        let endpoint = endpoint.try_into().map_err(Into::into)?;
        let transport = match self.transport {
            Some(transport) => transport,
            None => (self.default_transport)(&endpoint)?,
        };
        connect(self.codec, &*transport, endpoint, self.settings).await
    }
}

async fn connect<C: Codec>(
    codec: C,
    transport: &dyn Transport,
    endpoint: Endpoint,
    settings: Settings,
) -> Result<Client<C>, Error> {
    let waited = settings.connect_timeout;
    let deadline = Instant::now() + waited;
    let timeout = |stage| Error::ConnectTimeout {
        endpoint: endpoint.clone(),
        waited,
        stage,
    };
    let peer = peer_id(&*settings.host);
    let link = timeout_at(deadline, transport.connect(&endpoint, &peer, &settings.limits))
        .await
        .map_err(|_| timeout("nobody listens"))??;
    let (client, handshake) = start(codec, &endpoint, &peer, settings, link);
    let core = &client.handle.core;
    core.outbox
        .order(Order::Control(Bytes::from_static(HELLO.as_bytes())))?;
    tokio::select! {
        biased;
        shaken = timeout_at(deadline, handshake.notified()) => shaken.map_err(|_| timeout("somebody listens, but sent no handshake"))?,
        _ = core.closed.wait() => return Err(Error::Closed),
    }
    core.subscribe_own(deadline).await.map_err(|error| match error {
        Error::NotConfirmed { .. } => timeout("it shook hands, but relays nothing"),
        other => other,
    })?;
    core.open.store(true, Relaxed);
    Ok(client)
}

/// A routing id as the wire wants it: the text of a UUID.
fn peer_id(host: &dyn Host) -> PeerId {
    let id = Origin::untracked(host).id();
    PeerId::new(id.to_string()).expect("the text of a UUID has 36 bytes")
}

/// Starts the tasks of a client on its link.
fn start<C: Codec>(
    codec: C,
    endpoint: &Endpoint,
    peer: &PeerId,
    settings: Settings,
    link: ClientLink,
) -> (Client<C>, Arc<Notify>) {
    let Settings {
        host,
        limits,
        confirm_timeout,
        pulse_ttl,
        pulse_limit,
        on_disrupt,
        ..
    } = settings;
    let core = Core::new(codec, host, endpoint.clone(), limits, peer, link.counters);
    let handshake = Arc::new(Notify::new());
    let (delivery, handling) = delivery(&core);
    let reader = Reader {
        core: Arc::clone(&core),
        inbound: link.inbound,
        delivery,
        handshake: Arc::clone(&handshake),
        pulse_ttl,
        pulse_limit,
    };
    let (close, closing) = oneshot::channel();
    let reader = tokio::spawn(reader.run());
    let dispatcher = tokio::spawn(handling.run());
    let writer = tokio::spawn(writer::run(Arc::clone(&core), link.outbound, closing));
    if let Some(call) = on_disrupt {
        // Not the core, which it would keep; the last handle ends the client, so that this task ends too.
        let closed = Arc::clone(&core.closed);
        tokio::spawn(async move {
            if *closed.wait().await == ClosedBy::Disrupted {
                call().await;
            }
        });
    }
    let tasks = super::Tasks {
        reader,
        dispatcher,
        writer,
        close,
    };
    let handle = Handle {
        core,
        confirm_timeout,
        tasks: Mutex::new(Some(tasks)),
        report: tokio::sync::OnceCell::new(),
    };
    (
        Client {
            handle: Arc::new(handle),
        },
        handshake,
    )
}
