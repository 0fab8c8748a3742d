use super::stream::{ReadHalf, Stream, WriteHalf};
use crate::proto::{Handshake, Null, PeerInfo, Progress, SocketType, Violation};
use bytes::BytesMut;
use std::future::poll_fn;
use std::io;

/// Why there is no connection.
#[derive(Debug)]
pub(crate) enum GreetError {
    Io(io::Error),
    /// The peer went away before the end.
    Gone,
    Violation(Violation),
}

/// A peer that has introduced itself and waits for an answer.
pub(crate) struct Greeted {
    pub(crate) read: ReadHalf,
    /// `None` once taken.
    pub(crate) write: Option<WriteHalf>,
    /// What came after the handshake.
    pub(crate) rest: BytesMut,
    pub(crate) peer: PeerInfo,
    handshake: Handshake<Null>,
}

/// Shakes hands until the peer has said who it is.
pub(crate) async fn greet(
    stream: Stream,
    socket: SocketType,
    identity: &[u8],
    bound: bool,
) -> Result<Greeted, GreetError> {
    let (mut read, write) = stream.split();
    let (mut out, mut input) = (Vec::with_capacity(128), BytesMut::with_capacity(512));
    let mut handshake = Handshake::new(Null, socket, identity, bound, &mut out);
    loop {
        let progress = handshake.advance(&mut input, &mut out);
        // A refusal is sent as well, if the peer still listens.
        let sent = write_all(&write, &out).await;
        let progress = progress.map_err(GreetError::Violation)?;
        sent.map_err(GreetError::Io)?;
        out.clear();
        if let Progress::Ready(peer) = progress {
            return Ok(Greeted {
                read,
                write: Some(write),
                rest: input,
                peer,
                handshake,
            });
        }
        input.reserve(256);
        match read.read(&mut input).await {
            Ok(0) => return Err(GreetError::Gone),
            Ok(_) => {}
            Err(error) => return Err(GreetError::Io(error)),
        }
    }
}

impl Greeted {
    /// The bound side takes the peer: what to send it.
    pub(crate) fn acceptance(&mut self) -> Vec<u8> {
        let mut out = Vec::with_capacity(64);
        self.handshake.accept(&mut out);
        out
    }
}

async fn write_all(write: &WriteHalf, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match write.try_write(bytes) {
            Ok(taken) => bytes = &bytes[taken..],
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                poll_fn(|cx| write.poll_writable(cx)).await?;
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
