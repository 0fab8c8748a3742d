use super::case::Case;
use super::program::{Program, Voice};
use super::work::Payload;
use crate::carrier::Carrier;
use crate::connection::Format;
use crate::failure::Failure;
use serde::Serialize;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::process::Command;

/// How long a program may take until it is ready.
pub(super) const START: Duration = Duration::from_secs(30);
/// What Python runs.
const SCRIPT: &str = include_str!("peer.py");
/// Events for Python, at most: it moves thousands a second, where the others move a million.
const FEW: u64 = 3000;

/// A bus that is measured: how its broker and its two roles are started.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Contestant {
    pub(super) name: &'static str,
    pub(super) version: String,
    #[serde(skip)]
    kind: Kind,
}

#[derive(Clone, Debug)]
enum Kind {
    Distbus(Carrier),
    #[cfg(feature = "peers")]
    Nats,
    Python(PathBuf),
}

/// A broker that runs, and where.
pub(super) struct Serving {
    pub(super) program: Program,
    pub(super) endpoint: String,
}

impl Contestant {
    pub(super) fn distbus(carrier: Carrier) -> Self {
        Self {
            name: "distbus",
            version: env!("CARGO_PKG_VERSION").into(),
            kind: Kind::Distbus(carrier),
        }
    }

    /// `nats-server` from the PATH.
    ///
    /// # Errors
    /// Why it is left out, in words for people.
    pub(super) async fn nats() -> Result<Self, String> {
        let output = Command::new("nats-server").arg("--version").output().await;
        let output = output.map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => "NATS is left out: nats-server is not on the PATH".into(),
            _ => format!("NATS is left out: nats-server does not start ({error})"),
        })?;
        let version = String::from_utf8_lossy(&output.stdout);
        let version = version.rsplit([' ', '\n']).find(|word| !word.is_empty());
        Self::of_nats(version.unwrap_or("?").trim_start_matches('v'))
    }

    #[cfg(feature = "peers")]
    fn of_nats(version: &str) -> Result<Self, String> {
        Ok(Self {
            name: "NATS",
            version: version.into(),
            kind: Kind::Nats,
        })
    }

    #[cfg(not(feature = "peers"))]
    fn of_nats(version: &str) -> Result<Self, String> {
        Err(format!(
            "NATS is left out: nats-server {version} is there, but this program has no client for it; build it with \
             `cargo build --release -p distbus-cli --features peers`"
        ))
    }

    /// `aiodistbus` of this interpreter.
    ///
    /// # Errors
    /// Why it is left out, in words for people.
    pub(super) async fn python(interpreter: &Path) -> Result<Self, String> {
        let who = interpreter.display();
        let why = |reason: String| format!("aiodistbus is left out: {reason}");
        let mut probe = Program::start(&who.to_string(), python(interpreter, ["probe"]), Voice::Stdout)
            .map_err(|failure| why(failure.to_string()))?;
        let answer = probe
            .find(START, |line| Some(line.to_owned()))
            .await
            .map_err(|failure| why(failure.to_string()))?;
        match answer.strip_prefix("ready ") {
            Some(version) => Ok(Self {
                name: "aiodistbus",
                version: version.into(),
                kind: Kind::Python(interpreter.to_owned()),
            }),
            None => Err(why(format!(
                "{who} cannot import it; try --python with one that can"
            ))),
        }
    }

    /// Whether it can do this, and whether anybody would have the patience.
    pub(super) fn takes(&self, case: &Case) -> bool {
        match self.kind {
            Kind::Python(_) => {
                case.payload == Payload::Sample && case.codec == Format::Json && case.rate.is_none()
            }
            _ => true,
        }
    }

    /// How many of so many events it is given.
    pub(super) fn share(&self, events: u64) -> u64 {
        match self.kind {
            Kind::Python(_) => events.min(FEW),
            _ => events,
        }
    }

    /// How it writes the events of this case.
    pub(super) fn writes(&self, case: &Case) -> &'static str {
        match (&self.kind, case.payload, case.codec) {
            (Kind::Distbus(_), _, Format::Msgpack) => "msgpack",
            (Kind::Distbus(_), _, Format::Json) | (_, Payload::Sample, _) => "json",
            (_, Payload::Bytes, _) => "none",
        }
    }

    /// Starts its broker on a free port of the loopback interface.
    pub(super) async fn serve(&self) -> Result<Serving, Failure> {
        let (name, command, voice) = match &self.kind {
            Kind::Distbus(carrier) => {
                let command = own(["serve", "--transport", carrier.name()])?;
                ("distbus serve", command, Voice::Stdout)
            }
            #[cfg(feature = "peers")]
            Kind::Nats => {
                let mut command = Command::new("nats-server");
                // Port -1 takes a free one, and the log says which.
                command.args(["--addr", "127.0.0.1", "--port", "-1"]);
                ("nats-server", command, Voice::Stderr)
            }
            Kind::Python(interpreter) => (
                "the broker of aiodistbus",
                python(interpreter, ["broker"]),
                Voice::Stdout,
            ),
        };
        let mut program = Program::start(name, command, voice)?;
        let endpoint = program.find(START, endpoint_in).await?;
        Ok(Serving { program, endpoint })
    }

    /// Starts `sub` or `pub`.
    pub(super) fn role(
        &self,
        role: &str,
        at: &Serving,
        case: &Case,
        events: u64,
    ) -> Result<Program, Failure> {
        let (events, size) = (events.to_string(), case.size.to_string());
        let command = match &self.kind {
            Kind::Python(interpreter) => {
                let port = at.endpoint.rsplit(':').next().unwrap_or_default();
                python(interpreter, [role, port, &events, &size])
            }
            other => {
                let mut command = own([
                    "bench",
                    role,
                    "--to",
                    &at.endpoint,
                    "--events",
                    &events,
                    "--size",
                    &size,
                ])?;
                command.args(["--payload", case.payload.name(), "--codec", case.codec.name()]);
                if let Some(rate) = case.rate {
                    // Subscribers only need to know that there is one.
                    command.args(["--rate", &(rate as f64 / case.publishers as f64).to_string()]);
                }
                match other {
                    Kind::Distbus(carrier) => command.args(["--transport", carrier.name()]),
                    #[cfg(feature = "peers")]
                    Kind::Nats => command.args(["--system", "nats"]),
                    Kind::Python(_) => &mut command,
                };
                command
            }
        };
        Program::start(&format!("{} {role}", self.name), command, Voice::Stdout)
    }
}

/// This very program.
fn own<const N: usize>(arguments: [&str; N]) -> Result<Command, Failure> {
    let path = std::env::current_exe()
        .map_err(|error| Failure::failed(format!("cannot find the program itself: {error}")))?;
    let mut command = Command::new(path);
    command.args(arguments);
    Ok(command)
}

fn python<const N: usize>(interpreter: &Path, arguments: [&str; N]) -> Command {
    let mut command = Command::new(interpreter);
    command.args(["-c", SCRIPT]).args(arguments);
    command
}

/// Where a broker says that it listens: `ready ENDPOINT`, or a line of nats-server's log.
fn endpoint_in(line: &str) -> Option<String> {
    let address = line
        .split_once("client connections on ")
        .map(|(_, address)| address);
    line.strip_prefix("ready ")
        .map(str::to_owned)
        .or_else(|| Some(format!("tcp://{}", address?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn brokers_say_where_they_are() {
        let at = |line| endpoint_in(line).unwrap_or_default();
        assert_eq!(at("ready tcp://127.0.0.1:5"), "tcp://127.0.0.1:5");
        assert_eq!(
            at("[7] 2026/11/22 10:00:00.1 [INF] Listening for client connections on 127.0.0.1:4222"),
            "tcp://127.0.0.1:4222"
        );
        assert_eq!(at("[7] 2026/11/22 10:00:00.1 [INF] Server is ready"), "");
    }
}
