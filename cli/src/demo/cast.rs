//! Who takes part.

use super::checks::{Checks, Tally};
use super::say;
use distbus::{Broker, Client, Endpoint, Error, Event, Forward, LocalBus, MessagePack};
use serde::{Deserialize, Serialize};
use tokio::task::JoinHandle;

/// Temperatures that the sensor sends.
pub(super) const READINGS: u64 = 1000;
/// Python reports each time it has seen so many.
pub(super) const REPORT_EVERY: u64 = 100;
/// Events that the MessagePack clients exchange.
pub(super) const SAMPLES: u64 = 500;
#[derive(Serialize, Deserialize)]
pub(super) struct Reading {
    pub(super) room: String,
    pub(super) celsius: f64,
}

#[derive(Deserialize)]
struct Report {
    seen: u64,
    warmest: f64,
}

#[derive(Serialize, Deserialize)]
struct Sample {
    number: u64,
    wave: [f32; 4],
}

/// A client with typed handlers and a wildcard listener.
pub(super) struct Display {
    pub(super) client: Client,
    readings: Tally,
    reports: Tally,
    all: Tally,
}

impl Display {
    pub(super) async fn join(endpoint: &Endpoint) -> Result<Self, Error> {
        let client = Client::connect(endpoint).await?;
        let (readings, reports, all) = (Tally::default(), Tally::default(), Tally::default());
        let count = readings.clone();
        client
            .on("lab.temp", move |reading: Reading| {
                let count = count.clone();
                async move {
                    if reading.celsius >= 15.0 && reading.room.starts_with("room") {
                        count.add();
                    }
                }
            })
            .await?;
        let count = reports.clone();
        // One that makes no sense is an error of this handler, and shows as such in the counts.
        let check = move |report: Report| {
            count.add();
            let sense = report.seen == count.now() * REPORT_EVERY && report.warmest > 20.0;
            sense.then_some(()).ok_or("Python's report makes no sense")
        };
        client.on_sync("lab.report", check).await?;
        let count = all.clone();
        client
            .on_event("lab.*", move |event: Event| {
                let count = count.clone();
                async move {
                    if event.topic().starts_with("lab.") {
                        count.add();
                    }
                }
            })
            .await?;
        say(
            "A display handles lab.temp and lab.report as its own types, and listens to lab.* for everything.",
        );
        Ok(Self {
            client,
            readings,
            reports,
            all,
        })
    }

    pub(super) async fn arrived(&self, reports: u64) {
        self.reports.reach(reports).await;
        self.all.reach(READINGS + reports).await;
    }

    pub(super) fn check(&self, checks: &mut Checks, reports: u64) {
        checks.row(
            "readings at the display's typed handler",
            self.readings.now(),
            READINGS,
        );
        checks.row("reports from Python", self.reports.now(), reports);
        checks.row(
            "events at its listener for lab.*",
            self.all.now(),
            READINGS + reports,
        );
        checks.client("display", &self.client.stats());
    }
}

/// A local bus in the broker's own process.
pub(super) struct Inside {
    bus: LocalBus,
    pub(super) forward: Forward,
    readings: Tally,
    all: Tally,
}

impl Inside {
    pub(super) fn new(broker: &Broker) -> Result<Self, Error> {
        let bus = LocalBus::new();
        let (readings, all) = (Tally::default(), Tally::default());
        let desk = bus.entry("desk");
        let count = readings.clone();
        desk.on_sync("lab.temp", move |reading: &Reading| {
            if reading.celsius >= 15.0 {
                count.add();
            }
        })?;
        let count = all.clone();
        desk.on_event("*", move |_: Event| {
            let count = count.clone();
            async move { count.add() }
        })?;
        let forward = broker.forward(bus.clone(), "lab.*")?;
        say(
            "A local bus in the broker's own process gets lab.* as well: no socket, one decoding for all its handlers.",
        );
        Ok(Self {
            bus,
            forward,
            readings,
            all,
        })
    }

    pub(super) async fn arrived(&self, reports: u64) {
        self.all.reach(READINGS + reports).await;
    }

    pub(super) fn check(&self, checks: &mut Checks, reports: u64) {
        checks.row(
            "readings at the local bus's handler",
            self.readings.now(),
            READINGS,
        );
        checks.row(
            "events at the local bus's listener",
            self.all.now(),
            READINGS + reports,
        );
        checks.deliveries("local bus", &self.bus.stats());
    }
}

/// Two clients that speak MessagePack.
pub(super) struct Packed {
    sender: Client<MessagePack>,
    reader: Client<MessagePack>,
    pub(super) received: Tally,
    reading: JoinHandle<()>,
}

impl Packed {
    pub(super) async fn join(endpoint: &Endpoint) -> Result<Self, Error> {
        let sender = Client::builder().codec(MessagePack).connect(endpoint).await?;
        let reader = Client::builder().codec(MessagePack).connect(endpoint).await?;
        let mut samples = reader.subscribe::<Sample>("packed.sample").await?;
        let received = Tally::default();
        let count = received.clone();
        let reading = tokio::spawn(async move {
            // In order, and with what was sent.
            while let Some(sample) = samples.next().await {
                if sample.number == count.now() && sample.wave[0] == sample.number as f32 {
                    count.add();
                }
            }
        });
        Ok(Self {
            sender,
            reader,
            received,
            reading,
        })
    }

    pub(super) async fn send(&self) -> Result<(), Error> {
        for number in 0..SAMPLES {
            let wave = [number as f32, 0.5, 0.25, 0.125];
            self.sender
                .emit("packed.sample", &Sample { number, wave })
                .await?;
        }
        self.sender.flush().await
    }

    pub(super) async fn close(&self) {
        self.sender.close().await;
        self.reader.close().await;
        // Closing ends the stream; this is only for the case that it did not.
        self.reading.abort();
    }

    pub(super) fn check(&self, checks: &mut Checks) {
        checks.row(
            "samples sent as MessagePack",
            self.sender.stats().emitted,
            SAMPLES,
        );
        checks.row(
            "samples read from a stream, in order",
            self.received.now(),
            SAMPLES,
        );
        checks.client("MessagePack sender", &self.sender.stats());
        checks.client("MessagePack reader", &self.reader.stats());
    }
}
