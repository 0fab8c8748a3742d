use super::command::{Command, put_ready};
use super::{Metadata, Violation};

/// What a mechanism made of a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// More commands must come.
    Continue,
    /// The peer is who it says, as far as this mechanism can tell, and says this of itself.
    Ready(Metadata),
}

/// A security mechanism's handshake: a state machine over commands, without I/O.
///
/// NULL is here. PLAIN answers HELLO with WELCOME before READY; CURVE adds two more rounds, and will also
/// need to stand between the connection and its [`Decoder`](super::Decoder), because it wraps every later frame.
///
/// The bound side is asked to [`accept`](Self::accept) only after the caller has judged the peer's metadata, so that a
/// peer that is refused gets ERROR in place of the last command.
pub trait Mechanism: Send {
    /// As it stands in the greeting: up to 20 bytes.
    fn name(&self) -> &'static str;

    /// Which side of a bound and a connecting peer is the server; `None` when there are no such roles.
    fn as_server(&self, bound: bool) -> Option<bool>;

    /// The greetings fit. The connecting side writes its first command.
    fn start(&mut self, bound: bool, ours: &Metadata, out: &mut Vec<u8>);

    /// A command came.
    ///
    /// # Errors
    /// A [`Violation`]; the connection is over then.
    fn command(&mut self, body: &[u8], ours: &Metadata, out: &mut Vec<u8>) -> Result<Step, Violation>;

    /// The bound side takes the peer: its last command.
    fn accept(&mut self, ours: &Metadata, out: &mut Vec<u8>);
}

/// No security: whoever connects is believed.
#[derive(Clone, Copy, Debug, Default)]
pub struct Null;

impl Mechanism for Null {
    fn name(&self) -> &'static str {
        "NULL"
    }

    fn as_server(&self, _bound: bool) -> Option<bool> {
        None
    }

    fn start(&mut self, bound: bool, ours: &Metadata, out: &mut Vec<u8>) {
        if !bound {
            self.accept(ours, out);
        }
    }

    fn command(&mut self, body: &[u8], _ours: &Metadata, _out: &mut Vec<u8>) -> Result<Step, Violation> {
        match Command::parse(body) {
            Command::Ready(metadata) => Metadata::parse(metadata).map(Step::Ready),
            Command::Error(reason) => Err(Violation::PeerError(
                String::from_utf8_lossy(reason)
                    .chars()
                    .filter(|c| !c.is_control())
                    .collect(),
            )),
            Command::Unknown => Ok(Step::Continue),
            _ => Err(Violation::Handshake("a command that has no place there")),
        }
    }

    fn accept(&mut self, ours: &Metadata, out: &mut Vec<u8>) {
        let mut metadata = Vec::new();
        ours.put(&mut metadata);
        put_ready(out, &metadata);
    }
}
