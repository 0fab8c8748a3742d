use bytes::BytesMut;
use std::future::Future;
use std::io::{self, IoSlice};
use std::pin::pin;
use std::task::{Context, Poll};
use tokio::io::AsyncReadExt;
use tokio::net::{TcpStream, tcp};
#[cfg(unix)]
use tokio::net::{UnixStream, unix};

/// A connected socket of either kind.
pub(crate) enum Stream {
    Tcp(TcpStream),
    #[cfg(unix)]
    Unix(UnixStream),
}

/// The half that reads. While either half lives, so does the socket.
pub(crate) enum ReadHalf {
    Tcp(tcp::OwnedReadHalf),
    #[cfg(unix)]
    Unix(unix::OwnedReadHalf),
}

/// The half that writes. Dropping it tells the peer that nothing more comes.
pub(crate) enum WriteHalf {
    Tcp(tcp::OwnedWriteHalf),
    #[cfg(unix)]
    Unix(unix::OwnedWriteHalf),
}

/// Within one machine, takes the congestion control that every Linux has and that sends as soon as it may.
///
/// There is no network to be fair to, and one that paces, such as BBR, has a timer between two processes: measured on two cores, a tenth of the
/// events a second and of everybody's processor time. A system that does not let us keeps what it had.
#[cfg(target_os = "linux")]
fn unpace(stream: &TcpStream) {
    let ends = stream.local_addr().ok().zip(stream.peer_addr().ok());
    if ends.is_some_and(|(here, there)| here.ip() == there.ip())
        && let Err(error) = socket2::SockRef::from(stream).set_tcp_congestion(b"reno")
    {
        tracing::debug!(%error, "the system's congestion control is left as it is");
    }
}

impl Stream {
    /// A TCP stream that sends what it is given at once.
    pub(crate) fn tcp(stream: TcpStream) -> io::Result<Self> {
        stream.set_nodelay(true)?;
        #[cfg(target_os = "linux")]
        unpace(&stream);
        Ok(Self::Tcp(stream))
    }

    pub(crate) fn split(self) -> (ReadHalf, WriteHalf) {
        match self {
            Self::Tcp(stream) => {
                let (read, write) = stream.into_split();
                (ReadHalf::Tcp(read), WriteHalf::Tcp(write))
            }
            #[cfg(unix)]
            Self::Unix(stream) => {
                let (read, write) = stream.into_split();
                (ReadHalf::Unix(read), WriteHalf::Unix(write))
            }
        }
    }
}

impl ReadHalf {
    /// Fills the spare room of `buffer`, which the caller has reserved; 0 is the end.
    pub(crate) async fn read(&mut self, buffer: &mut BytesMut) -> io::Result<usize> {
        match self {
            Self::Tcp(half) => half.read_buf(buffer).await,
            #[cfg(unix)]
            Self::Unix(half) => half.read_buf(buffer).await,
        }
    }

    pub(crate) fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        buffer: &mut BytesMut,
    ) -> Poll<io::Result<usize>> {
        // The future of `read_buf` holds nothing but these two references, so dropping it after one poll loses nothing.
        pin!(self.read(buffer)).poll(cx)
    }
}

impl WriteHalf {
    pub(crate) fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(half) => half.try_write(bytes),
            #[cfg(unix)]
            Self::Unix(half) => half.try_write(bytes),
        }
    }

    pub(crate) fn try_write_vectored(&self, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
        match self {
            Self::Tcp(half) => half.try_write_vectored(pieces),
            #[cfg(unix)]
            Self::Unix(half) => half.try_write_vectored(pieces),
        }
    }

    /// One waker a socket: only one task may wait so.
    pub(crate) fn poll_writable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Tcp(half) => half.as_ref().poll_write_ready(cx),
            #[cfg(unix)]
            Self::Unix(half) => half.as_ref().poll_write_ready(cx),
        }
    }
}
