use distbus_transport::{Endpoint, TransportError};
use std::io;
use tokio::net::TcpListener;

/// What this transport takes; its errors say so.
pub(crate) const TAKES: &str =
    "tcp://host:port with a port up to 65533, or 0 for a free one; it uses the next two ports as well";
/// The highest port whose next two exist.
pub(crate) const HIGHEST: u16 = u16::MAX - 2;
/// How often a free port is looked for whose next two are free as well.
const TRIES: usize = 64;

/// The host and the port of an endpoint that this transport serves.
pub(crate) fn host_and_port(endpoint: &Endpoint) -> Result<(&str, u16), TransportError> {
    match endpoint {
        Endpoint::Tcp { host, port } if *port <= HIGHEST => Ok((host, *port)),
        _ => Err(unsupported(endpoint)),
    }
}

pub(crate) fn unsupported(endpoint: &Endpoint) -> TransportError {
    TransportError::Unsupported {
        transport: crate::NAME,
        endpoint: endpoint.clone(),
        takes: TAKES,
    }
}

/// Three listeners on neighbouring ports: control, publish, collect.
pub(crate) struct Ports {
    pub(crate) endpoint: Endpoint,
    pub(crate) control: std::net::TcpListener,
    pub(crate) publish: std::net::TcpListener,
    pub(crate) collect: std::net::TcpListener,
}

impl Ports {
    /// All three or none.
    pub(crate) async fn bind(endpoint: &Endpoint) -> Result<Self, TransportError> {
        let (host, port) = host_and_port(endpoint)?;
        if port != 0 {
            return Self::bind_from(host, listen(host, port).await?).await;
        }
        let mut last = None;
        for _ in 0..TRIES {
            let first = listen(host, 0).await?;
            match Self::bind_from(host, first).await {
                Err(TransportError::AddressInUse { endpoint }) => last = Some(endpoint),
                bound => return bound,
            }
        }
        let endpoint = last.unwrap_or_else(|| endpoint.clone());
        Err(TransportError::AddressInUse { endpoint })
    }

    async fn bind_from(host: &str, first: TcpListener) -> Result<Self, TransportError> {
        let failed = |source| bind_error(host, 0, source);
        let port = first.local_addr().map_err(failed)?.port();
        if port > HIGHEST {
            let endpoint = Endpoint::tcp(host, port);
            return Err(TransportError::AddressInUse { endpoint });
        }
        let (publish, collect) = (listen(host, port + 1).await?, listen(host, port + 2).await?);
        Ok(Self {
            endpoint: Endpoint::tcp(host, port),
            control: first.into_std().map_err(failed)?,
            publish: publish.into_std().map_err(failed)?,
            collect: collect.into_std().map_err(failed)?,
        })
    }
}

async fn listen(host: &str, port: u16) -> Result<TcpListener, TransportError> {
    TcpListener::bind((host, port))
        .await
        .map_err(|source| bind_error(host, port, source))
}

fn bind_error(host: &str, port: u16, source: io::Error) -> TransportError {
    let endpoint = Endpoint::tcp(host, port);
    if source.kind() == io::ErrorKind::AddrInUse {
        TransportError::AddressInUse { endpoint }
    } else {
        TransportError::Bind { endpoint, source }
    }
}
