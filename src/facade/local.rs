//! A local bus as most programs want it.

use crate::engine::bridge::{Owns, check_all};
use crate::{
    Client, DefaultCodec, Endpoint, EndpointError, Error, IntoPatterns, Json, LocalBus, LocalBusBuilder,
};

impl LocalBus {
    /// A bus whose codec is [`Json`].
    ///
    /// ```
    /// use distbus::LocalBus;
    ///
    /// let bus = LocalBus::new();
    /// assert_eq!(bus.stats().offered, 0);
    /// ```
    pub fn new() -> Self {
        Self::with_codec(Json)
    }

    /// A builder of a bus whose codec is [`Json`].
    pub fn builder() -> LocalBusBuilder {
        LocalBusBuilder::with_codec(Json)
    }

    /// Sends the bus's events of some topics to a broker, over a connection of its own: see [`forward_to`](Self::forward_to), which takes a
    /// client of yours. [`deforward`](Self::deforward) undoes it.
    ///
    /// ```no_run
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), distbus::Error> {
    /// use distbus::LocalBus;
    ///
    /// let bus = LocalBus::new();
    /// bus.forward("tcp://127.0.0.1:5555", ["lab.*", "pump.start"]).await?;
    /// bus.emit("lab.temp", 21.5).await?;
    /// bus.deforward("tcp://127.0.0.1:5555").await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As [`Client::connect`] and [`forward_to`](Self::forward_to).
    pub async fn forward<E>(&self, endpoint: E, patterns: impl IntoPatterns) -> Result<(), Error>
    where
        E: TryInto<Endpoint>,
        E::Error: Into<EndpointError>,
    {
        let patterns = patterns.into_patterns()?;
        let client: Client<DefaultCodec> = Client::connect(endpoint).await?;
        self.forward_with(client, patterns, Owns::Client)
    }

    /// Brings events of some topics in from a broker, over a connection of its own: see [`listen_to`](Self::listen_to), which takes a
    /// client of yours. [`unlisten`](Self::unlisten) undoes it.
    ///
    /// ```no_run
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), distbus::Error> {
    /// use distbus::{ALL, LocalBus};
    ///
    /// let bus = LocalBus::new();
    /// bus.listen("tcp://127.0.0.1:5555", ALL).await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As [`Client::connect`] and [`listen_to`](Self::listen_to).
    pub async fn listen<E>(&self, endpoint: E, patterns: impl IntoPatterns) -> Result<(), Error>
    where
        E: TryInto<Endpoint>,
        E::Error: Into<EndpointError>,
    {
        let patterns = patterns.into_patterns()?;
        let client: Client<DefaultCodec> = Client::connect(endpoint).await?;
        self.listen_with(client, patterns, Owns::Client).await
    }

    /// Both [`listen`](Self::listen) and [`forward`](Self::forward), over a connection each, so that neither holds up the other.
    ///
    /// ```no_run
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), distbus::Error> {
    /// use distbus::{ALL, LocalBus};
    ///
    /// let bus = LocalBus::new();
    /// bus.link("tcp://127.0.0.1:5555", ALL).await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As those two; then neither is in place.
    pub async fn link<E>(&self, endpoint: E, patterns: impl IntoPatterns) -> Result<(), Error>
    where
        E: TryInto<Endpoint>,
        E::Error: Into<EndpointError>,
    {
        let patterns = patterns.into_patterns()?;
        check_all(&patterns)?;
        let endpoint = endpoint.try_into().map_err(Into::into)?;
        // First what can fail: after that, only a bus that closes refuses, and it ends its bridges itself.
        let sender: Client<DefaultCodec> = Client::connect(&endpoint).await?;
        self.listen(&endpoint, patterns.clone()).await?;
        self.forward_with(sender, patterns, Owns::Client)
    }
}

impl Default for LocalBus {
    fn default() -> Self {
        Self::new()
    }
}
