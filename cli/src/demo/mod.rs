mod cast;
mod checks;
mod python;

use crate::failure::Failure;
use cast::{Display, Inside, Packed, READINGS, REPORT_EVERY, Reading, SAMPLES};
use checks::Checks;
use distbus::{Broker, Client, Error, Flushed};
use python::Python;
use std::io::Write;
use std::time::Duration;
use tokio::time::{Instant, timeout};

/// Show everything at once: a broker, handlers, a local bus, two formats, and Python
///
/// Needs no server and no argument, and takes a few seconds at most. Where python3 has aiodistbus, a Python process joins. Ends with counts;
/// the exit code is 1 if they do not add up.
#[derive(clap::Args)]
pub(crate) struct Args {}

/// How long the last event may take to arrive.
const ARRIVAL: Duration = Duration::from_secs(10);
/// Nothing here may take for ever.
const LONGEST: Duration = Duration::from_secs(60);

pub(crate) async fn run(_: Args) -> Result<(), Failure> {
    let finished = timeout(LONGEST, demo()).await;
    finished.unwrap_or_else(|_| {
        Err(Failure::failed(format!(
            "the demo did not finish within {LONGEST:?}"
        )))
    })
}

/// A line of the story. Whether anybody reads it changes nothing.
fn say(line: impl AsRef<str>) {
    let _ = writeln!(std::io::stdout(), "{}", line.as_ref());
}

async fn demo() -> Result<(), Failure> {
    let start = Instant::now();
    let broker = Broker::bind("tcp://127.0.0.1:0").await?;
    let endpoint = broker.endpoint().clone();
    say(format!(
        "A broker listens on {endpoint}: ZeroMQ, as Python's aiodistbus speaks it."
    ));
    let joining = tokio::spawn(Python::join(endpoint.clone(), REPORT_EVERY));

    let display = Display::join(&endpoint).await?;
    let inside = Inside::new(&broker)?;
    let packed = Packed::join(&endpoint).await?;
    let python = joining.await.unwrap_or_else(|error| Err(error.to_string()));
    match &python {
        Ok(_) => say("A Python process has joined; it handles each lab.temp and reports on lab.report."),
        Err(why) => say(format!("Python is left out: {why}.")),
    }

    let sensor = Client::connect(&endpoint).await?;
    send_readings(&sensor).await?;
    say(format!(
        "A sensor has sent {READINGS} readings to lab.temp, as JSON."
    ));
    packed.send().await?;
    say(format!(
        "Two clients exchange {SAMPLES} samples as MessagePack, through the same broker."
    ));

    let reports = if python.is_ok() {
        READINGS / REPORT_EVERY
    } else {
        0
    };
    let arrived = async {
        display.arrived(reports).await;
        inside.arrived(reports).await;
        packed.received.reach(SAMPLES).await;
    };
    if timeout(ARRIVAL, arrived).await.is_err() {
        say(format!("Not everything has arrived within {ARRIVAL:?}."));
    }
    if let Ok(python) = python {
        python.end().await;
        say(format!(
            "Python has sent {reports} reports about what it saw, and has gone."
        ));
    }
    let quiet = broker.flush().await?;
    sensor.close().await;
    display.client.close().await;
    packed.close().await;
    let forwarded = inside.forward.stats();
    let undelivered = broker.close().await.undelivered;
    say(format!(
        "All have left, the broker has closed; it took {:.1} seconds.\n",
        start.elapsed().as_secs_f64()
    ));

    let mut checks = Checks::default();
    checks.row("readings sent by the sensor", sensor.stats().emitted, READINGS);
    display.check(&mut checks, reports);
    inside.check(&mut checks, reports);
    checks.row(
        "events that the broker forwarded to that bus",
        forwarded.delivered,
        READINGS + reports,
    );
    checks.deliveries("broker to bus", &forwarded);
    packed.check(&mut checks);
    checks.client("sensor", &sensor.stats());
    let stats = broker.stats();
    let events = READINGS + reports + SAMPLES;
    checks.broker(&stats, events);
    checks.row("copies that could not be delivered", undelivered, 0);
    say(format!(
        "The broker relayed {events} events, and {} probes by which clients know that they are subscribed.",
        stats.probes
    ));
    conclude(&checks, quiet)
}

fn conclude(checks: &Checks, quiet: Flushed) -> Result<(), Failure> {
    for line in checks.lines() {
        say(line);
    }
    match (checks.wrong(), quiet) {
        (0, Flushed::Quiet) => {
            say("\nEverything adds up: nothing was lost, nothing came twice.");
            Ok(())
        }
        (0, Flushed::Deadline) => Err(Failure::failed("the broker was still busy at the end")),
        (wrong, _) => Err(Failure::failed(format!("{wrong} counts do not add up"))),
    }
}

async fn send_readings(sensor: &Client) -> Result<(), Error> {
    for number in 0..READINGS {
        let reading = Reading {
            room: format!("room {}", number % 7),
            celsius: 15.0 + (number % 200) as f64 / 10.0,
        };
        sensor.emit("lab.temp", &reading).await?;
    }
    sensor.flush().await
}
