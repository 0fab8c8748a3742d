use crate::carrier::Carrier;
use crate::connection::Format;
use crate::failure::{Failure, chain};
use crate::signals::Signals;
use crate::units::{event_bytes, seconds, topic_bytes};
use distbus::{Broker, BrokerStats, CloseReport, Codec, Endpoint, Json, Limits, MessagePack, SlowConsumer};
use std::fmt::Display;
use std::io::Write;
use std::time::Duration;

/// Run a broker until SIGINT (Ctrl-C) or SIGTERM
///
/// Prints `ready tcp://IP:PORT` on stdout once clients can connect, and a summary on stderr when it has closed. Nobody is asked who they
/// are: keep it on 127.0.0.1 or on a network that you trust.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  distbus serve --port 5555                                for the programs on this machine
  distbus serve --ip 0.0.0.0 --port 5555                   for the whole network
  distbus serve --event-bytes 65536 --slow-consumer drop-oldest

It uses three ports: PORT and the next two. SIGINT and SIGTERM tell all clients that it closes and end with exit code 0; a second one
ends at once.")]
pub(crate) struct Args {
    /// Where to listen
    #[arg(long, default_value = "127.0.0.1", value_parser = host)]
    ip: String,
    /// The first of three ports in a row, up to 65533; 0 takes free ones
    #[arg(long, default_value_t = 0)]
    port: u32,
    /// The time between pulses, by which clients know that the broker lives
    #[arg(long, value_name = "SECONDS", default_value = "15", value_parser = seconds)]
    pulse: Duration,
    /// What carries the events
    #[arg(long, value_enum, default_value = "zmtp")]
    transport: Carrier,
    /// Relay only what is a whole event in --codec that names its own topic; shields fragile clients
    #[arg(long)]
    strict: bool,
    /// How the broker's own events are written, and with --strict everybody's. Otherwise any codec is relayed
    #[arg(long, value_enum, default_value = "json")]
    codec: Format,
    #[command(flatten)]
    bounds: Bounds,
}

/// What a client may cost.
#[derive(clap::Args)]
#[command(next_help_heading = "Limits")]
struct Bounds {
    /// The largest event [default: 16777216]
    #[arg(long, value_name = "BYTES", value_parser = event_bytes)]
    event_bytes: Option<usize>,
    /// The longest topic [default: 1024]
    #[arg(long, value_name = "BYTES", value_parser = topic_bytes)]
    topic_bytes: Option<usize>,
    /// Distinct subscriptions of one client [default: 16384]
    #[arg(long, value_name = "COUNT")]
    subscriptions: Option<usize>,
    /// All subscriptions of one client together [default: 1048576]
    #[arg(long, value_name = "BYTES")]
    subscription_bytes: Option<usize>,
    /// Clients connected at once [default: 4096]
    #[arg(long, value_name = "COUNT")]
    clients: Option<usize>,
    /// Connections that have not finished their handshake, at once [default: 256]
    #[arg(long, value_name = "COUNT")]
    pending_handshakes: Option<usize>,
    /// How long a handshake may take [default: 10]
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    handshake_time: Option<Duration>,
    /// What may wait for one subscriber [default: 16777216]
    #[arg(long, value_name = "BYTES")]
    queue_bytes: Option<usize>,
    /// What happens when more waits: drop-newest, drop-oldest, disconnect, or block:SECONDS, which makes everybody wait for that long
    /// before it drops [default: block:1]
    #[arg(long, value_name = "POLICY", value_parser = slow_consumer)]
    slow_consumer: Option<SlowConsumer>,
}

impl Bounds {
    fn limits(&self) -> Limits {
        let mut limits = Limits::default();
        macro_rules! take {
            ($($field:ident),*) => { $(if let Some(value) = self.$field { limits.$field = value; })* };
        }
        take!(
            event_bytes,
            topic_bytes,
            subscriptions,
            subscription_bytes,
            clients
        );
        take!(pending_handshakes, handshake_time, queue_bytes, slow_consumer);
        limits
    }
}

fn slow_consumer(text: &str) -> Result<SlowConsumer, String> {
    match text {
        "drop-newest" => Ok(SlowConsumer::DropNewest),
        "drop-oldest" => Ok(SlowConsumer::DropOldest),
        "disconnect" => Ok(SlowConsumer::Disconnect),
        _ => match text.strip_prefix("block:") {
            Some(time) => seconds(time).map(SlowConsumer::Block),
            None => Err("write drop-newest, drop-oldest, disconnect or block:SECONDS".into()),
        },
    }
}

/// A host as it stands in an endpoint.
fn host(text: &str) -> Result<String, String> {
    let bare = text.trim_start_matches('[').trim_end_matches(']');
    let written = if bare.contains(':') {
        format!("[{bare}]")
    } else {
        bare.to_owned()
    };
    match format!("tcp://{written}:0").parse::<Endpoint>() {
        Ok(_) => Ok(bare.to_owned()),
        Err(_) => Err("write an address such as 127.0.0.1 or ::1, or a host name".into()),
    }
}

pub(crate) async fn run(args: Args) -> Result<(), Failure> {
    let port = u16::try_from(args.port).map_err(|_| {
        let port = args.port;
        Failure::failed(format!(
            "there is no port {port}; choose one up to 65533, or 0 for a free one"
        ))
    })?;
    let endpoint = Endpoint::tcp(&args.ip, port);
    match args.codec {
        Format::Json => serve(&args, endpoint, Json).await,
        Format::Msgpack => serve(&args, endpoint, MessagePack).await,
    }
}

async fn serve<C: Codec>(args: &Args, endpoint: Endpoint, codec: C) -> Result<(), Failure> {
    // Before anybody can know that it runs: no signal may find it without its handlers.
    let mut signals = Signals::listen()?;
    let limits = args.bounds.limits();
    let builder = Broker::builder()
        .codec(codec)
        .pulse(args.pulse)
        .strict(args.strict);
    let bounded = limits != Limits::default();
    let builder = args.transport.broker(builder, bounded).limits(limits);
    let broker = builder
        .bind(endpoint)
        .await
        .map_err(|error| Failure::failed(chain(&error)))?;
    announce(broker.endpoint());
    let ended = tokio::select! {
        signal = signals.next() => {
            tracing::info!(signal, "closing");
            Ok(())
        }
        ended = broker.closed() => ended,
    };
    let report = tokio::select! {
        report = broker.close() => report,
        signal = signals.next() => {
            return Err(Failure::failed(format!("{signal} again: ended before all was delivered")));
        }
    };
    // The summary is a courtesy: a closed stderr changes nothing.
    let _ = writeln!(std::io::stderr(), "{}", summary(&broker.stats(), report));
    ended.map_err(|error| Failure::failed(format!("the broker ended: {}", chain(&*error))))
}

fn announce(endpoint: &Endpoint) {
    let mut out = std::io::stdout().lock();
    if let Err(error) = writeln!(out, "ready {endpoint}").and_then(|()| out.flush()) {
        tracing::warn!(%error, %endpoint, "it is ready, but stdout does not take it");
    }
}

fn summary(stats: &BrokerStats, report: CloseReport) -> String {
    let copies = &stats.transport;
    let refused = stats.rejected.iter().chain(&copies.rejected);
    let refused = by_reason(refused.map(|(reason, count)| (reason, *count)));
    let dropped = by_reason(copies.dropped.iter().map(|(reason, count)| (reason, *count)));
    format!(
        "closed: {} messages received, {} relayed, refused {refused}; {} handshakes; copies to subscribers: {} offered, {} delivered, \
         dropped {dropped}, {} undelivered",
        stats.received, stats.relayed, stats.handshakes, copies.offered, copies.delivered, report.undelivered,
    )
}

/// `3 (2 checksum, 1 reserved)`
fn by_reason<R: Display>(counts: impl Iterator<Item = (R, u64)>) -> String {
    let counts: Vec<_> = counts.filter(|(_, count)| *count > 0).collect();
    let total: u64 = counts.iter().map(|(_, count)| count).sum();
    let named: Vec<_> = counts
        .iter()
        .map(|(reason, count)| format!("{count} {reason}"))
        .collect();
    match total {
        0 => "0".into(),
        _ => format!("{total} ({})", named.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn policies_by_name() {
        assert_eq!(slow_consumer("drop-oldest"), Ok(SlowConsumer::DropOldest));
        assert_eq!(
            slow_consumer("block:0.5"),
            Ok(SlowConsumer::Block(Duration::from_millis(500)))
        );
        for text in ["", "block", "block:", "block:-1", "drop"] {
            assert!(slow_consumer(text).is_err(), "{text}");
        }
    }

    #[test]
    fn hosts() {
        assert_eq!(host("::1").as_deref(), Ok("::1"));
        assert_eq!(host("[::1]").as_deref(), Ok("::1"));
        assert_eq!(host("localhost").as_deref(), Ok("localhost"));
        assert!(host("").is_err() && host("a b").is_err() && host("zz::1").is_err());
    }

    #[test]
    fn reasons_are_named() {
        assert_eq!(
            by_reason([("checksum", 2), ("loop", 0), ("reserved", 1)].into_iter()),
            "3 (2 checksum, 1 reserved)"
        );
        assert_eq!(by_reason(std::iter::empty::<(&str, u64)>()), "0");
    }
}
