use crate::engine::broker::{Broker, BrokerBuilder};
use crate::engine::client::{Client, ClientBuilder};
use crate::{Endpoint, EndpointError, Error, Json, Transport, TransportError};
use std::sync::Arc;

/// What `Client`, `Broker` and `LocalBus` speak unless told otherwise.
pub type DefaultCodec = Json;

/// The transport of an endpoint's scheme.
fn default_transport(endpoint: &Endpoint) -> Result<Arc<dyn Transport>, Error> {
    match endpoint {
        #[cfg(feature = "zmtp")]
        Endpoint::Tcp { .. } | Endpoint::Ipc { .. } => Ok(Arc::new(distbus_zmtp::Zmtp::new())),
        #[cfg(all(feature = "zeromq", not(feature = "zmtp")))]
        Endpoint::Tcp { .. } => Ok(Arc::new(distbus_zeromq::ZeroMq::new())),
        _ => Err(Error::Transport(TransportError::Unsupported {
            transport: "default",
            endpoint: endpoint.clone(),
            takes: TAKES,
        })),
    }
}

#[cfg(any(feature = "zmtp", feature = "zeromq"))]
const TAKES: &str =
    "tcp://host:port; give the builder a .transport(..) for anything else, as Memory for mem://name";
#[cfg(not(any(feature = "zmtp", feature = "zeromq")))]
const TAKES: &str = "nothing without the feature `zmtp` or `zeromq`; give the builder a .transport(..)";

impl Client {
    /// Connects with the defaults: ZeroMQ and JSON, beside Python's `aiodistbus`.
    ///
    /// ```no_run
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), distbus::Error> {
    /// let client = distbus::Client::connect("tcp://127.0.0.1:5555").await?;
    /// client.emit("lab.temp", &21.5).await?;
    /// client.flush().await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As [`ClientBuilder::connect`].
    pub async fn connect<E>(endpoint: E) -> Result<Self, Error>
    where
        E: TryInto<Endpoint>,
        E::Error: Into<EndpointError>,
    {
        Self::builder().connect(endpoint).await
    }

    /// A builder with the defaults.
    pub fn builder() -> ClientBuilder<DefaultCodec> {
        ClientBuilder::new(Json, default_transport)
    }
}

impl Broker {
    /// Listens with the defaults: ZeroMQ and JSON, for Python's `aiodistbus` as well.
    ///
    /// ```no_run
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), distbus::Error> {
    /// let broker = distbus::Broker::bind("tcp://127.0.0.1:0").await?;
    /// println!("clients connect to {}", broker.endpoint());
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As [`BrokerBuilder::bind`].
    pub async fn bind<E>(endpoint: E) -> Result<Self, Error>
    where
        E: TryInto<Endpoint>,
        E::Error: Into<EndpointError>,
    {
        Self::builder().bind(endpoint).await
    }

    /// A builder with the defaults.
    pub fn builder() -> BrokerBuilder<DefaultCodec> {
        BrokerBuilder::new(Json, default_transport)
    }
}
