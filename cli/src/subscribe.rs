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

pub(crate) async fn run(args: Args) -> Result<(), Failure> {
    match args.connection.codec {
        Format::Json => listen(args, Json).await,
        Format::Msgpack => listen(args, MessagePack).await,
    }
}

type Printing = oneshot::Receiver<io::Result<Printed>>;

/// What ended the listening.
enum End {
    Printer,
    Client(ClosedBy),
    Timeout,
    Signal,
}

async fn listen<C: Codec>(args: Args, codec: C) -> Result<(), Failure> {
    let mut signals = Signals::listen()?;
    let (feed, mut printing) = printer::start(args.format, args.count);
    let client = tokio::select! {
        client = subscribe(&args, codec, feed) => client?,
        _ = signals.next() => return Ok(()),
    };
    // Whoever waits for this line reads it; if nobody does, that is no reason to stop.
    let _ = writeln!(io::stderr(), "ready");
    let (end, printed) = tokio::select! {
        // When the client ends the printer follows by itself: the client's end is the reason.
        biased;
        by = client.closed() => (End::Client(by), None),
        printed = &mut printing => (End::Printer, Some(printed)),
        () = time_is_over(args.timeout) => (End::Timeout, None),
        _ = signals.next() => (End::Signal, None),
    };
    let printed = match (printed, &end) {
        (Some(printed), _) => printed,
        (None, End::Client(_)) => tokio::select! {
            // When the broker has ended there is no hurry: what has come is printed, however long that takes.
            printed = printing => printed,
            _ = signals.next() => return Ok(()),
        },
        (None, _) => finish(&client, printing).await,
    };
    client.close_within(HURRY).await;
    match printed {
        Ok(Ok(printed)) => verdict(&args, &end, printed),
        Ok(Err(error)) => Err(Failure::failed(format!("stdout cannot be written: {error}"))),
        Err(_) => Err(Failure::failed("the printer ended unexpectedly")),
    }
}

/// Prints what has come, if somebody reads it, and no more.
async fn finish<C: Codec>(
    client: &Client<C>,
    printing: Printing,
) -> Result<io::Result<Printed>, oneshot::error::RecvError> {
    client.close_within(HURRY).await;
    let unread = Ok(Ok(Printed {
        events: 0,
        stop: Stop::Unread,
    }));
    timeout(HURRY, printing).await.unwrap_or(unread)
}

/// Connects and registers a handler for each pattern.
async fn subscribe<C: Codec>(args: &Args, codec: C, feed: Feed) -> Result<Client<C>, Failure> {
    let client = args.connection.open(codec).await?;
    let patterns: Arc<[Pattern]> = args.patterns.clone().into();
    for (at, pattern) in patterns.iter().enumerate() {
        if patterns[..at].contains(pattern) {
            continue;
        }
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
        client.on_event(pattern.as_str(), print).await?;
    }
    // From here on the handlers alone feed the printer: it ends when the client drops them.
    Ok(client)
}

async fn time_is_over(time: Option<Duration>) {
    match time {
        Some(time) => sleep(time).await,
        None => std::future::pending().await,
    }
}

/// What the exit code says about it all.
fn verdict(args: &Args, end: &End, printed: Printed) -> Result<(), Failure> {
    if printed.stop != Stop::Ended {
        return Ok(());
    }
    let wanted = args
        .count
        .map(|count| format!("{} of {count} events", printed.events));
    match (end, wanted) {
        (End::Timeout, Some(seen)) => Err(Failure::timed_out(format!("only {seen} came in time"))),
        (End::Client(ClosedBy::Broker), Some(seen)) => {
            Err(Failure::failed(format!("the broker closed after {seen}")))
        }
        (End::Client(ClosedBy::Lost(why)), _) => Err(Failure::failed(format!(
            "the connection to the broker was lost: {why}"
        ))),
        (End::Client(ClosedBy::Disrupted), _) => {
            Err(Failure::failed("no pulse came from the broker for too long"))
        }
        _ => Ok(()),
    }
}
