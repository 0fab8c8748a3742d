use crate::carrier::Carrier;
use crate::failure::{Failure, chain};
use crate::units::{event_bytes, seconds};
use clap::ValueEnum;
use distbus::{Client, ClientBuilder, Codec, Endpoint, Error, Limits};
use std::time::Duration;

/// How values are written on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// As Python's aiodistbus reads it
    Json,
    /// Smaller and quicker, for Rust on both ends
    Msgpack,
}

impl Format {
    /// As it is written on the command line.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::Msgpack => "msgpack",
        }
    }
}

/// Where the broker is, and how it is spoken to.
#[derive(clap::Args)]
pub(crate) struct Connection {
    /// The broker, as `distbus serve` announces it: tcp://127.0.0.1:5555
    #[arg(long, value_name = "ENDPOINT", value_parser = broker)]
    pub(crate) to: Endpoint,
    /// How events are written; everybody who shares a topic must agree
    #[arg(long, value_enum, default_value = "json")]
    pub(crate) codec: Format,
    /// How long to try to connect
    #[arg(long, value_name = "SECONDS", default_value = "5", value_parser = seconds)]
    connect_timeout: Duration,
    /// The largest event to send or to take, in bytes as written on the wire
    #[arg(long, value_name = "BYTES", default_value_t = Limits::default().event_bytes, value_parser = event_bytes)]
    pub(crate) event_bytes: usize,
}

impl Connection {
    /// Connects; whatever stands in the way is a failure to connect.
    pub(crate) async fn open<C: Codec>(&self, codec: C) -> Result<Client<C>, Failure> {
        self.connect(Client::builder().codec(codec)).await
    }

    /// As [`open`](Self::open), over this transport.
    pub(crate) async fn open_over<C: Codec>(&self, carrier: Carrier, codec: C) -> Result<Client<C>, Failure> {
        self.connect(carrier.client(Client::builder().codec(codec))).await
    }

    async fn connect<C: Codec>(&self, builder: ClientBuilder<C>) -> Result<Client<C>, Failure> {
        let client = builder
            .connect_timeout(self.connect_timeout)
            .limits(Limits::default().with_event_bytes(self.event_bytes))
            .connect(&self.to)
            .await;
        let client = client.map_err(|error| match error {
            Error::Closed => Failure::unreachable(format!("the broker at {} is closing", self.to)),
            other => Failure::unreachable(chain(&other)),
        })?;
        tracing::info!(endpoint = %self.to, "connected");
        Ok(client)
    }
}

/// An endpoint that another process can listen on.
fn broker(text: &str) -> Result<Endpoint, String> {
    let endpoint: Endpoint = text.parse().map_err(|error| format!("{error}"))?;
    match endpoint {
        Endpoint::Tcp { port: 0, .. } => Err("a broker never has port 0; use the one it announced".into()),
        Endpoint::Tcp { port, .. } if port > u16::MAX - 2 => Err(format!(
            "no broker can have port {port}: it needs the next two as well"
        )),
        Endpoint::Tcp { .. } => Ok(endpoint),
        _ => Err("write tcp://host:port; the others are for use inside one program".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_endpoints_that_a_broker_can_have() {
        assert!(broker("tcp://localhost:5555").is_ok() && broker("tcp://[::1]:65533").is_ok());
        for text in ["", "localhost:5555", "tcp://h:0", "tcp://h:65534", "mem://x"] {
            assert!(broker(text).is_err(), "{text}");
        }
    }
}
