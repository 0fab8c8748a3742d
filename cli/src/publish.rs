use crate::connection::{Connection, Format};
use crate::failure::{Failure, chain};
use crate::lines::Lines;
use crate::signals::Signals;
use crate::value::{Kind, Value};
use distbus::{Client, Codec, Error, Json, MessagePack, Pattern, TopicError};
use std::time::Duration;
use tokio::time::{Interval, MissedTickBehavior, interval};

/// Send events to a topic
///
/// Returns once the broker has relayed everything.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  distbus pub --to tcp://127.0.0.1:5555 lab.temp 21.5
  distbus pub --to tcp://127.0.0.1:5555 lab.state '{\"door\": \"open\"}'
  distbus pub --to tcp://127.0.0.1:5555 lab.note 'any text' --type str
  distbus pub --to tcp://127.0.0.1:5555 lab.ping                              an event without data
  distbus pub --to tcp://127.0.0.1:5555 lab.temp 21.5 --count 100 --rate 10   for ten seconds
  sensor | distbus pub --to tcp://127.0.0.1:5555 lab.temp -                   an event for each line

Without DATA, or with --type null, the events carry no data. DATA that begins with a dash goes after --.")]
pub(crate) struct Args {
    #[command(flatten)]
    connection: Connection,
    /// Where to, as in lab.temp
    #[arg(value_parser = topic)]
    topic: String,
    /// What to send; - sends each line of stdin as it comes
    #[arg(allow_negative_numbers = true)]
    data: Option<String>,
    /// What DATA is [default: json]
    #[arg(long = "type", value_enum, value_name = "TYPE")]
    kind: Option<Kind>,
    /// Send it so many times [default: 1]; with -, at most so many lines
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,
    /// At most so many events a second [default: as fast as the broker takes them]
    #[arg(long, value_name = "EVENTS", value_parser = rate)]
    rate: Option<Duration>,
}

/// How long the broker may take to confirm the last events.
const FLUSH: Duration = Duration::from_secs(30);

fn topic(text: &str) -> Result<String, String> {
    match text.parse::<Pattern>() {
        Ok(pattern) if pattern.is_exact() => Ok(text.to_owned()),
        Ok(_) => Err(TopicError::Pattern(text.to_owned()).to_string()),
        Err(error) => Err(error.to_string()),
    }
}

/// The time between two events.
fn rate(text: &str) -> Result<Duration, String> {
    match text.parse::<f64>() {
        Ok(rate) if (0.001..=1e6).contains(&rate) => Ok(Duration::from_secs_f64(1.0 / rate)),
        _ => Err("write events a second, between 0.001 and 1000000".into()),
    }
}

pub(crate) async fn run(args: Args) -> Result<(), Failure> {
    let source = Source::new(&args)?;
    match args.connection.codec {
        Format::Json => publish(&args, source, Json).await,
        Format::Msgpack => publish(&args, source, MessagePack).await,
    }
}

/// What there is to send.
enum Source {
    Always(Value),
    Lines(Kind),
}

impl Source {
    fn new(args: &Args) -> Result<Self, Failure> {
        match (args.data.as_deref(), args.kind) {
            (None, None | Some(Kind::Null)) => Ok(Self::Always(Value::Nothing)),
            (None, Some(_)) => Err(Failure::usage("DATA is missing; - reads it from stdin")),
            (Some(_), Some(Kind::Null)) => Err(Failure::usage("--type null takes no DATA")),
            (Some("-"), kind) => Ok(Self::Lines(kind.unwrap_or(Kind::Json))),
            (Some(data), kind) => Value::read(data.as_bytes().to_vec(), kind.unwrap_or(Kind::Json))
                .map(Self::Always)
                .map_err(|why| Failure::usage(format!("DATA is {why}"))),
        }
    }
}

async fn publish<C: Codec>(args: &Args, source: Source, codec: C) -> Result<(), Failure> {
    let mut signals = Signals::listen()?;
    let stopped = |signal: &str, sent: u64| Failure::failed(format!("{signal} came after {sent} events"));
    let client = tokio::select! {
        client = args.connection.open(codec) => client?,
        signal = signals.next() => return Err(stopped(signal, 0)),
    };
    let mut sender = Sender {
        client: &client,
        topic: &args.topic,
        pace: args.rate.map(pace),
        sent: 0,
    };
    let done = tokio::select! {
        done = sender.send_all(source, args.count, args.connection.event_bytes) => done,
        signal = signals.next() => Err(stopped(signal, sender.sent)),
    };
    // What was sent is delivered even when something went wrong after it.
    let sent = sender.sent;
    let delivered = tokio::select! {
        delivered = deliver(&client, sent) => delivered,
        signal = signals.next() => Err(stopped(signal, sent)),
    };
    done.and(delivered)
}

async fn deliver<C: Codec>(client: &Client<C>, sent: u64) -> Result<(), Failure> {
    let flushed = client.flush_within(FLUSH).await;
    let report = client.close().await;
    flushed.map_err(|error| {
        let why = chain(&error);
        Failure::failed(format!(
            "the broker did not confirm that all of {sent} events have passed: {why}"
        ))
    })?;
    tracing::info!(sent, "the broker has relayed them");
    match report.undelivered {
        0 => Ok(()),
        lost => Err(Failure::failed(format!(
            "{lost} of {sent} events did not reach the broker"
        ))),
    }
}

fn pace(period: Duration) -> Interval {
    let mut pace = interval(period);
    // After a stall it catches up: the rate is an average.
    pace.set_missed_tick_behavior(MissedTickBehavior::Burst);
    pace
}

struct Sender<'a, C: Codec> {
    client: &'a Client<C>,
    topic: &'a str,
    pace: Option<Interval>,
    sent: u64,
}

impl<C: Codec> Sender<'_, C> {
    async fn send_all(&mut self, source: Source, count: Option<u64>, longest: usize) -> Result<(), Failure> {
        match source {
            Source::Always(value) => {
                for _ in 0..count.unwrap_or(1) {
                    self.send(&value).await?;
                }
                Ok(())
            }
            Source::Lines(kind) => {
                let mut lines = Lines::new(tokio::io::stdin(), longest);
                while count.is_none_or(|count| self.sent < count) {
                    match lines.next(kind).await? {
                        Some(value) => self.send(&value).await?,
                        None => break,
                    }
                }
                Ok(())
            }
        }
    }

    async fn send(&mut self, value: &Value) -> Result<(), Failure> {
        if let Some(pace) = &mut self.pace {
            pace.tick().await;
        }
        value
            .emit(self.client, self.topic)
            .await
            .map_err(|error| match error {
                Error::Closed => Failure::failed(format!("the broker closed after {} events", self.sent)),
                other => other.into(),
            })?;
        self.sent += 1;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn topics_and_rates() {
        assert!(topic("lab.temp").is_ok() && topic("lab.*").is_err() && topic("").is_err());
        assert_eq!(rate("10"), Ok(Duration::from_millis(100)));
        assert!(rate("0").is_err() && rate("inf").is_err() && rate("-1").is_err());
    }
}
