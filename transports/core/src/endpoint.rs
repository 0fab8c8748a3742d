use std::fmt;
use std::str::FromStr;

/// Where a broker listens: `tcp://host:port`, `ipc://path` or `mem://name`.
///
/// Port 0, an empty path and an empty name ask the transport for a free one; the link that it returns holds the real one.
///
/// ```
/// use distbus_transport::Endpoint;
///
/// let endpoint: Endpoint = "tcp://127.0.0.1:5555".parse()?;
/// assert_eq!(endpoint.port(), Some(5555));
/// assert_eq!("tcp://[::1]:0".parse::<Endpoint>()?.to_string(), "tcp://[::1]:0");
/// assert_eq!(
///     "http://x".parse::<Endpoint>().unwrap_err().to_string(),
///     "\"http://x\" is not an endpoint: unknown scheme \"http\"; write tcp://host:port, ipc://path or mem://name",
/// );
/// # Ok::<(), distbus_transport::EndpointError>(())
/// ```
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Endpoint {
    /// A host and a TCP port.
    Tcp {
        /// A name, an IPv4 address, or an IPv6 address without its brackets.
        host: String,
        /// The port; 0 asks for a free one.
        port: u16,
    },
    /// Socket files on this machine: what a path means in full is the transport's to say.
    Ipc {
        /// The path, as UTF-8; empty asks for a fresh one.
        path: String,
    },
    /// A name inside this process.
    Mem {
        /// The name; empty asks for a fresh one.
        name: String,
    },
}

impl Endpoint {
    /// `tcp://host:port`.
    pub fn tcp(host: impl Into<String>, port: u16) -> Self {
        Self::Tcp {
            host: host.into(),
            port,
        }
    }

    /// `ipc://path`.
    pub fn ipc(path: impl Into<String>) -> Self {
        Self::Ipc { path: path.into() }
    }

    /// `mem://name`.
    pub fn mem(name: impl Into<String>) -> Self {
        Self::Mem { name: name.into() }
    }

    /// The part before `://`.
    pub fn scheme(&self) -> &'static str {
        match self {
            Self::Tcp { .. } => "tcp",
            Self::Ipc { .. } => "ipc",
            Self::Mem { .. } => "mem",
        }
    }

    /// The TCP port, where there is one.
    pub fn port(&self) -> Option<u16> {
        match self {
            Self::Tcp { port, .. } => Some(*port),
            Self::Ipc { .. } | Self::Mem { .. } => None,
        }
    }

    /// Whether the transport is asked to choose a port or a name.
    pub fn is_any(&self) -> bool {
        match self {
            Self::Tcp { port, .. } => *port == 0,
            Self::Ipc { path } => path.is_empty(),
            Self::Mem { name } => name.is_empty(),
        }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp { host, port } if host.contains(':') => write!(f, "tcp://[{host}]:{port}"),
            Self::Tcp { host, port } => write!(f, "tcp://{host}:{port}"),
            Self::Ipc { path } => write!(f, "ipc://{path}"),
            Self::Mem { name } => write!(f, "mem://{name}"),
        }
    }
}

/// A text that is not an [`Endpoint`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{input:?} is not an endpoint: {problem}; write tcp://host:port, ipc://path or mem://name")]
pub struct EndpointError {
    input: String,
    problem: String,
}

impl FromStr for Endpoint {
    type Err = EndpointError;

    fn from_str(input: &str) -> Result<Self, EndpointError> {
        let fail = |problem: String| EndpointError {
            input: input.to_owned(),
            problem,
        };
        let Some((scheme, rest)) = input.split_once("://") else {
            return Err(fail("it has no scheme".into()));
        };
        match scheme {
            "tcp" => parse_tcp(rest).map_err(fail),
            "ipc" if rest.chars().any(char::is_control) => {
                Err(fail("a path holds no control characters".into()))
            }
            "ipc" => Ok(Self::ipc(rest)),
            "mem" if rest.chars().any(|c| c.is_whitespace() || c.is_control()) => {
                Err(fail("a name holds no white space".into()))
            }
            "mem" => Ok(Self::mem(rest)),
            other => Err(fail(format!("unknown scheme {other:?}"))),
        }
    }
}

fn parse_tcp(rest: &str) -> Result<Endpoint, String> {
    let (host, port) = match rest.strip_prefix('[') {
        Some(v6) => v6
            .split_once("]:")
            .ok_or("an IPv6 address is written [address]:port")?,
        None => rest.rsplit_once(':').ok_or("the port is missing")?,
    };
    if host.is_empty() {
        return Err("the host is missing".into());
    }
    if rest.starts_with('[') {
        host.parse::<std::net::Ipv6Addr>()
            .map_err(|_| format!("{host:?} is not an IPv6 address"))?;
    } else if !host
        .bytes()
        .all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b))
    {
        return Err(format!(
            "{host:?} is not a host name; an IPv6 address is written [address]:port"
        ));
    }
    if port.is_empty() || !port.bytes().all(|b| b.is_ascii_digit()) {
        return Err(format!("{port:?} is not a port"));
    }
    let port = port.parse().map_err(|_| format!("port {port} is above 65535"))?;
    Ok(Endpoint::tcp(host, port))
}

impl TryFrom<&str> for Endpoint {
    type Error = EndpointError;

    fn try_from(text: &str) -> Result<Self, EndpointError> {
        text.parse()
    }
}

impl TryFrom<String> for Endpoint {
    type Error = EndpointError;

    fn try_from(text: String) -> Result<Self, EndpointError> {
        text.parse()
    }
}

impl TryFrom<&String> for Endpoint {
    type Error = EndpointError;

    fn try_from(text: &String) -> Result<Self, EndpointError> {
        text.parse()
    }
}

impl From<&Endpoint> for Endpoint {
    fn from(endpoint: &Endpoint) -> Self {
        endpoint.clone()
    }
}

/// So that `impl TryInto<Endpoint, Error: Into<EndpointError>>` takes an `Endpoint` as well as a text.
impl From<std::convert::Infallible> for EndpointError {
    fn from(never: std::convert::Infallible) -> Self {
        match never {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_parses_prints_back() {
        for text in [
            "tcp://127.0.0.1:5555",
            "tcp://localhost:0",
            "tcp://[::1]:80",
            "ipc:///run/lab bus.sock",
            "ipc://",
            "mem://lab",
            "mem://",
        ] {
            assert_eq!(text.parse::<Endpoint>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn anything_else_is_one_clear_line() {
        for (text, part) in [
            ("", "no scheme"),
            ("127.0.0.1:5555", "no scheme"),
            ("tcp://127.0.0.1", "port is missing"),
            ("tcp://:80", "host is missing"),
            ("tcp://h:99999", "above 65535"),
            ("tcp://h:+1", "not a port"),
            ("tcp://h:", "not a port"),
            ("tcp://::1:80", "[address]:port"),
            ("tcp://[::1:80", "[address]:port"),
            ("tcp://[zz]:80", "not an IPv6"),
            ("tcp://a b:80", "not a host name"),
            ("udp://h:1", "unknown scheme"),
            ("mem://a b", "white space"),
            ("ipc://a\0b", "control characters"),
        ] {
            let error = text.parse::<Endpoint>().unwrap_err().to_string();
            assert!(error.contains(part), "{text}: {error}");
            assert!(!error.contains('\n'));
        }
    }
}
