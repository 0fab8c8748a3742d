use super::accept::Listener;
#[cfg(unix)]
use super::accept::SocketFile;
use super::stream::Stream;
use crate::proto::SocketType;
use distbus_transport::{Endpoint, TransportError};
use std::io::{self, ErrorKind};
use tokio::net::{TcpListener, TcpStream};
#[cfg(unix)]
use tokio::net::{UnixListener, UnixStream};

/// What endpoints this transport takes.
pub(crate) const TAKES: &str = "tcp://host:port with a port up to 65533, or ipc://path";

/// How often a free triple of ports is looked for.
const TRIES: usize = 64;

/// A broker's three listening sockets.
pub(crate) struct Listeners {
    pub(crate) endpoint: Endpoint,
    pub(crate) control: Listener,
    pub(crate) publish: Listener,
    pub(crate) collect: Listener,
}

pub(crate) fn unsupported(endpoint: &Endpoint) -> TransportError {
    TransportError::Unsupported {
        transport: crate::NAME,
        endpoint: endpoint.clone(),
        takes: TAKES,
    }
}

/// Binds control, publish and collect.
pub(crate) async fn bind(endpoint: &Endpoint) -> Result<Listeners, TransportError> {
    let bound = match endpoint {
        Endpoint::Tcp { host, port: 0 } => bind_any(host).await,
        Endpoint::Tcp { host, port } if *port <= u16::MAX - 2 => bind_tcp(host, *port).await,
        #[cfg(unix)]
        Endpoint::Ipc { path } => bind_ipc(path),
        _ => return Err(unsupported(endpoint)),
    };
    bound.map_err(|source| match source.kind() {
        ErrorKind::AddrInUse => TransportError::AddressInUse {
            endpoint: endpoint.clone(),
        },
        _ => TransportError::Bind {
            endpoint: endpoint.clone(),
            source,
        },
    })
}

async fn bind_tcp(host: &str, port: u16) -> io::Result<Listeners> {
    let control = TcpListener::bind((host, port)).await?;
    let port = control.local_addr()?.port();
    if port > u16::MAX - 2 {
        return Err(ErrorKind::AddrInUse.into());
    }
    Ok(Listeners {
        endpoint: Endpoint::tcp(host, port),
        publish: Listener::Tcp(TcpListener::bind((host, port + 1)).await?),
        collect: Listener::Tcp(TcpListener::bind((host, port + 2)).await?),
        control: Listener::Tcp(control),
    })
}

/// Three free ports in a row: whoever is not lucky tries again.
async fn bind_any(host: &str) -> io::Result<Listeners> {
    let mut last = ErrorKind::AddrInUse.into();
    for _ in 0..TRIES {
        match bind_tcp(host, 0).await {
            Ok(listeners) => return Ok(listeners),
            Err(error) if error.kind() == ErrorKind::AddrInUse => last = error,
            Err(error) => return Err(error),
        }
    }
    Err(last)
}

/// The file of one of the three sockets.
#[cfg(unix)]
fn socket_file(path: &str, socket: SocketType) -> String {
    let suffix = match socket {
        SocketType::Router | SocketType::Dealer => "",
        SocketType::Pub | SocketType::Sub => ".pub",
        SocketType::Pull | SocketType::Push => ".pull",
    };
    format!("{path}{suffix}")
}

#[cfg(unix)]
fn bind_ipc(path: &str) -> io::Result<Listeners> {
    if !path.is_empty() {
        return Ok(Listeners {
            endpoint: Endpoint::ipc(path),
            control: bind_file(&socket_file(path, SocketType::Router))?,
            publish: bind_file(&socket_file(path, SocketType::Pub))?,
            collect: bind_file(&socket_file(path, SocketType::Pull))?,
        });
    }
    use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let directory = std::env::temp_dir();
    for _ in 0..TRIES {
        let name = format!("distbus-{}-{}", std::process::id(), NEXT.fetch_add(1, Relaxed));
        let path = directory.join(name);
        let Some(path) = path.to_str() else { break };
        match bind_ipc(path) {
            Err(error) if error.kind() == ErrorKind::AddrInUse => {}
            bound => return bound,
        }
    }
    Err(ErrorKind::AddrInUse.into())
}

/// Binds a socket file. One that nobody listens at any more, left by a process that was killed, is replaced.
#[cfg(unix)]
fn bind_file(path: &str) -> io::Result<Listener> {
    use std::os::unix::fs::FileTypeExt;
    let listener = match UnixListener::bind(path) {
        Err(error) if error.kind() == ErrorKind::AddrInUse => {
            let is_socket = std::fs::symlink_metadata(path)?.file_type().is_socket();
            let dead = || {
                let tried = std::os::unix::net::UnixStream::connect(path);
                tried.is_err_and(|error| error.kind() == ErrorKind::ConnectionRefused)
            };
            if !is_socket || !dead() {
                return Err(error);
            }
            std::fs::remove_file(path)?;
            UnixListener::bind(path)?
        }
        bound => bound?,
    };
    Ok(Listener::Unix(listener, SocketFile(path.into())))
}

/// Connects to the socket that `socket` is for.
pub(crate) async fn connect(endpoint: &Endpoint, socket: SocketType) -> io::Result<Stream> {
    match endpoint {
        Endpoint::Tcp { host, port } => {
            let offset = match socket {
                SocketType::Sub => 1,
                SocketType::Push => 2,
                _ => 0,
            };
            let port = port.checked_add(offset).ok_or(ErrorKind::InvalidInput)?;
            Stream::tcp(TcpStream::connect((host.as_str(), port)).await?)
        }
        #[cfg(unix)]
        Endpoint::Ipc { path } => Ok(Stream::Unix(
            UnixStream::connect(socket_file(path, socket)).await?,
        )),
        _ => Err(ErrorKind::Unsupported.into()),
    }
}

/// Whether this transport can connect there at all.
pub(crate) fn can_connect(endpoint: &Endpoint) -> bool {
    match endpoint {
        Endpoint::Tcp { port, .. } => (1..=u16::MAX - 2).contains(port),
        Endpoint::Ipc { path } => cfg!(unix) && !path.is_empty(),
        _ => false,
    }
}
