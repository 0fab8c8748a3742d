use crate::connection::{Connection, Format};
use crate::failure::Failure;
use crate::printer::{self, Feed, Printed, Stop};
use crate::render::Style;
use crate::signals::Signals;
use crate::units::seconds;
use distbus::{Client, ClosedBy, Codec, Event, Json, MessagePack, Pattern};
use std::io::{self, Write};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::time::{sleep, timeout};

/// Print the events of some topics as they come
///
/// Prints `ready` on stderr once the broker sends them. Each event is one line of JSON on stdout:
/// {"topic":…,"data":…,"id":…,"timestamp":…}. The data is null for an event without data, and {"base64":"…"} for raw bytes. All that comes
/// is printed: a slow reader slows the reading down, and the broker's --slow-consumer decides about the rest.
#[derive(clap::Args)]
#[command(after_help = "\
Patterns:
  lab.temp    that topic alone
  lab.*       everything below lab: lab.temp, lab.fan.on
  lab.+.on    one segment in between: lab.fan.on
  '*'         everything (quote it, or the shell expands it)

Examples:
  distbus sub --to tcp://127.0.0.1:5555 '*'
  distbus sub --to tcp://127.0.0.1:5555 lab.temp --count 1 --timeout 10
  distbus sub --to tcp://127.0.0.1:5555 'lab.*' | jq .data

Ends with 0 on SIGINT, SIGTERM, after --count, or when stdout is closed. When the broker closes: 0, or 1 if --count is not reached.")]
pub(crate) struct Args {
    #[command(flatten)]
    connection: Connection,
    /// What to listen to; an event that several match is printed once
    #[arg(required = true, value_name = "PATTERN", value_parser = pattern)]
    patterns: Vec<Pattern>,
    /// End after so many events
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,
    /// End after this time; with exit code 4 if --count has not been reached by then
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    timeout: Option<Duration>,
    /// How to print events
    #[arg(long, value_enum, default_value = "json")]
    format: Style,
}

fn pattern(text: &str) -> Result<Pattern, String> {
    text.parse().map_err(|error| format!("{error}"))
}

/// How long the last events may take to be printed when the user wants to end.
const HURRY: Duration = Duration::from_secs(1);
/// The same when the broker has ended: as long as it takes. A signal ends the wait.
const PATIENCE: Duration = Duration::from_secs(24 * 3600);

pub(crate) async fn run(args: Args) -> Result<(), Failure> {
    match args.connection.codec {
        Format::Json => listen(args, Json).await,
        Format::Msgpack => listen(args, MessagePack).await,
    }
}

/// What ended the listening.
enum End {
    Printer(Result<io::Result<Printed>, oneshot::error::RecvError>),
    Client(ClosedBy),
    Timeout,
    Signal,
}

async fn listen<C: Codec>(args: Args, codec: C) -> Result<(), Failure> {
    let mut signals = Signals::listen()?;
    let (feed, mut printed) = printer::start(args.format, args.count);
    let client = tokio::select! {
        client = subscribe(&args, codec, &feed) => client?,
        _ = signals.next() => return Ok(()),
    };
    // Whoever waits for this line reads it; if nobody does, that is no reason to stop.
    let _ = writeln!(io::stderr(), "ready");
    let end = tokio::select! {
        printed = &mut printed => End::Printer(printed),
        by = client.closed() => End::Client(by),
        () = time_is_over(args.timeout) => End::Timeout,
        _ = signals.next() => End::Signal,
    };
    let patience = if matches!(end, End::Client(_)) {
        PATIENCE
    } else {
        HURRY
    };
    let (end, printed) = match end {
        End::Printer(printed) => {
            client.close_within(HURRY).await;
            (None, Some(printed))
        }
        end => {
            let last = timeout(patience, finish(&client, &feed, printed, patience));
            let printed = tokio::select! {
                last = last => last.ok(),
                _ = signals.next() => return Ok(()),
            };
            (Some(end), printed)
        }
    };
    verdict(&args, end, printed)
}

/// Connects and registers a handler for each pattern.
async fn subscribe<C: Codec>(args: &Args, codec: C, feed: &Feed) -> Result<Client<C>, Failure> {
    let client = args.connection.open(codec).await?;
    let patterns: Arc<[Pattern]> = args.patterns.clone().into();
    for (at, pattern) in patterns.iter().enumerate() {
        let (patterns, feed) = (Arc::clone(&patterns), feed.clone());
        let print = move |event: Event| {
            // An event that an earlier pattern matches is that one's.
            let mine = !patterns[..at]
                .iter()
                .any(|earlier| earlier.matches(event.topic()));
            let feed = feed.clone();
            async move {
                if mine {
                    feed.put(event).await;
                }
            }
        };
        if !patterns_before(&args.patterns, at).contains(pattern) {
            client.on_event(pattern.as_str(), print).await?;
        }
    }
    Ok(client)
}

fn patterns_before(patterns: &[Pattern], at: usize) -> &[Pattern] {
    &patterns[..at]
}

async fn time_is_over(time: Option<Duration>) {
    match time {
        Some(time) => sleep(time).await,
        None => std::future::pending().await,
    }
}

/// Prints what has come, and no more.
async fn finish<C: Codec>(
    client: &Client<C>,
    feed: &Feed,
    printed: oneshot::Receiver<io::Result<Printed>>,
    patience: Duration,
) -> Result<io::Result<Printed>, oneshot::error::RecvError> {
    client.close_within(patience).await;
    feed.end().await;
    printed.await
}

/// What the exit code says about it all.
fn verdict(
    args: &Args,
    end: Option<End>,
    printed: Option<Result<io::Result<Printed>, oneshot::error::RecvError>>,
) -> Result<(), Failure> {
    let printed = match printed {
        Some(Ok(Ok(printed))) => printed,
        Some(Ok(Err(error))) => return Err(Failure::failed(format!("stdout cannot be written: {error}"))),
        Some(Err(_)) => return Err(Failure::failed("the printer ended unexpectedly")),
        None => Printed {
            events: 0,
            stop: Stop::Ended,
        },
    };
    if printed.stop != Stop::Ended {
        return Ok(());
    }
    let wanted = args
        .count
        .map(|count| format!("{} of {count} events", printed.events));
    match (end, wanted) {
        (Some(End::Timeout), Some(seen)) => Err(Failure::timed_out(format!("only {seen} came in time"))),
        (Some(End::Client(ClosedBy::Broker)), Some(seen)) => {
            Err(Failure::failed(format!("the broker closed after {seen}")))
        }
        (Some(End::Client(ClosedBy::Lost(why))), _) => Err(Failure::failed(format!(
            "the connection to the broker was lost: {why}"
        ))),
        (Some(End::Client(ClosedBy::Disrupted)), _) => {
            Err(Failure::failed("no pulse came from the broker for too long"))
        }
        _ => Ok(()),
    }
}
