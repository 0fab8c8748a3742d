use super::command::put_error;
use super::{GREETING_LEN, Greeting, Head, Mechanism, Metadata, SocketType, Step, Violation};
use bytes::{Buf, BytesMut};

/// The longest command before the handshake is over, in bytes: a stranger costs no more.
const COMMAND_BYTES: u64 = 2048;
/// The most commands before the handshake is over.
const COMMANDS: usize = 8;

/// Who is at the other end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerInfo {
    /// Its metadata.
    pub metadata: Metadata,
    /// Its minor version of ZMTP 3.
    pub minor: u8,
}

/// How far a handshake is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Progress {
    /// More bytes must come.
    Pending,
    /// The peer has said all it has to say. The bound side now calls [`Handshake::accept`], or sends
    /// [ERROR](super::put_error).
    Ready(PeerInfo),
}

/// One side of a handshake: greeting, then the mechanism's commands. No I/O: bytes in, bytes out.
pub struct Handshake<M> {
    mechanism: M,
    socket: SocketType,
    ours: Metadata,
    bound: bool,
    greeting: Option<Greeting>,
    commands: usize,
}

impl<M: Mechanism> Handshake<M> {
    /// Begins; writes this side's greeting to `out`.
    pub fn new(mechanism: M, socket: SocketType, identity: &[u8], bound: bool, out: &mut Vec<u8>) -> Self {
        let as_server = mechanism.as_server(bound).unwrap_or(false);
        out.extend_from_slice(&Greeting::new(mechanism.name(), as_server).to_bytes());
        Self {
            ours: Metadata {
                socket_type: socket.name().into(),
                identity: identity.to_vec().into(),
            },
            mechanism,
            socket,
            bound,
            greeting: None,
            commands: 0,
        }
    }

    /// Takes what it can from `input`, and writes what must be sent to `out`. Bytes after the end stay in `input`.
    ///
    /// # Errors
    /// A [`Violation`]; the connection is over then, once `out` has been sent.
    pub fn advance(&mut self, input: &mut BytesMut, out: &mut Vec<u8>) -> Result<Progress, Violation> {
        let minor = match self.greeting {
            Some(greeting) => greeting.minor,
            None => {
                let Some(greeting) = Greeting::parse(input)? else {
                    return Ok(Progress::Pending);
                };
                input.advance(GREETING_LEN);
                self.check(&greeting)
                    .inspect_err(|v| put_error(out, &v.to_string()))?;
                self.greeting = Some(greeting);
                self.mechanism.start(self.bound, &self.ours, out);
                greeting.minor
            }
        };
        loop {
            let Some(body) = self.command(input)? else {
                return Ok(Progress::Pending);
            };
            match self.mechanism.command(&body, &self.ours, out)? {
                Step::Continue => {}
                Step::Ready(metadata) => {
                    self.check_socket(&metadata)
                        .inspect_err(|v| put_error(out, &v.to_string()))?;
                    return Ok(Progress::Ready(PeerInfo { metadata, minor }));
                }
            }
        }
    }

    /// The bound side takes the peer.
    pub fn accept(&mut self, out: &mut Vec<u8>) {
        self.mechanism.accept(&self.ours, out);
    }

    fn check(&self, theirs: &Greeting) -> Result<(), Violation> {
        let ours = Greeting::new(self.mechanism.name(), false);
        if theirs.mechanism != ours.mechanism {
            return Err(Violation::Mechanism(
                theirs.mechanism_name(),
                self.mechanism.name(),
            ));
        }
        match self.mechanism.as_server(self.bound) {
            Some(we) if we == theirs.as_server => Err(Violation::BothSameRole),
            _ => Ok(()),
        }
    }

    fn check_socket(&self, theirs: &Metadata) -> Result<(), Violation> {
        if self.socket.fits(&theirs.socket_type) {
            return Ok(());
        }
        let shown = &theirs.socket_type[..theirs.socket_type.len().min(20)];
        Err(Violation::SocketType(
            String::from_utf8_lossy(shown).into_owned(),
            self.socket.name(),
        ))
    }

    fn command(&mut self, input: &mut BytesMut) -> Result<Option<BytesMut>, Violation> {
        let Some(head) = Head::parse(input)? else {
            return Ok(None);
        };
        if !head.is_command() {
            return Err(Violation::Handshake("a message before its end"));
        }
        if head.len > COMMAND_BYTES {
            return Err(Violation::TooLarge {
                what: "handshake command",
                size: head.len,
                limit: COMMAND_BYTES as usize,
            });
        }
        let len = head.len as usize;
        if input.len() < head.header + len {
            return Ok(None);
        }
        self.commands += 1;
        if self.commands > COMMANDS {
            return Err(Violation::Handshake("too many commands"));
        }
        input.advance(head.header);
        Ok(Some(input.split_to(len)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::Null;

    /// Runs both sides against each other, `cut` bytes at a time.
    fn meet(bound: SocketType, connecting: SocketType, cut: usize) -> (Result<Progress, Violation>, Vec<u8>) {
        let (mut to_client, mut to_server) = (Vec::new(), Vec::new());
        let mut server = Handshake::new(Null, bound, b"", true, &mut to_client);
        let mut client = Handshake::new(Null, connecting, b"me", false, &mut to_server);
        let (mut at_client, mut at_server) = (BytesMut::new(), BytesMut::new());
        let mut outcome = Ok(Progress::Pending);
        for _ in 0..1000 {
            let n = to_server.len().min(cut);
            at_server.extend(to_server.drain(..n));
            match server.advance(&mut at_server, &mut to_client) {
                Ok(Progress::Pending) => {}
                Ok(ready) => {
                    server.accept(&mut to_client);
                    outcome = Ok(ready);
                }
                Err(violation) => outcome = Err(violation),
            }
            let n = to_client.len().min(cut);
            at_client.extend(to_client.drain(..n));
            match client.advance(&mut at_client, &mut to_server) {
                Ok(Progress::Pending) => {}
                Ok(Progress::Ready(_)) => return (outcome, Vec::new()),
                Err(violation) => return (outcome, violation.to_string().into_bytes()),
            }
        }
        panic!("the handshake does not end");
    }

    #[test]
    fn two_peers_meet_however_the_bytes_are_cut() {
        for cut in [1, 2, 7, 64, 1000] {
            let (met, _) = meet(SocketType::Router, SocketType::Dealer, cut);
            let Ok(Progress::Ready(peer)) = met else {
                panic!("{met:?}")
            };
            assert_eq!((&peer.metadata.identity[..], peer.minor), (&b"me"[..], 1));
        }
    }

    #[test]
    fn a_wrong_socket_type_is_told_so() {
        let (met, reason) = meet(SocketType::Pull, SocketType::Sub, 1000);
        assert_eq!(met, Err(Violation::SocketType("SUB".into(), "PULL")));
        assert!(String::from_utf8_lossy(&reason).contains("does not fit PULL"));
    }

    #[test]
    fn a_mechanism_that_is_not_here_is_named() {
        let mut out = Vec::new();
        let mut server = Handshake::new(Null, SocketType::Pull, b"", true, &mut out);
        let mut input = BytesMut::from(&Greeting::new("CURVE", false).to_bytes()[..]);
        let refused = server.advance(&mut input, &mut out).unwrap_err();
        assert_eq!(refused, Violation::Mechanism("CURVE".into(), "NULL"));
    }
}
