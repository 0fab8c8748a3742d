//! Sinks of your own: what a broker feeds inside its own process. A log file, a table of averages, and one that fails.
//!
//! `cargo run --example custom_sink`

use async_trait::async_trait;
use distbus::{
    ALL, BoxError, Broker, Client, DropReason, Event, LocalSink, Memory, SinkOptions, SlowConsumer,
};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::fs::File;
use tokio::io::AsyncWriteExt;

/// Writes a line for each event. The next batch waits until this one is written: a sink needs no queue of its own.
struct Log(tokio::sync::Mutex<File>);

#[async_trait]
impl LocalSink for Log {
    async fn deliver(&self, events: &[Event]) -> Result<(), BoxError> {
        let mut lines = String::new();
        for event in events {
            let payload = event.payload()?.unwrap_or_default();
            let text = String::from_utf8_lossy(&payload);
            lines += &format!("{} {} {text}\n", event.timestamp(), event.topic());
        }
        let mut file = self.0.lock().await;
        file.write_all(lines.as_bytes()).await?;
        Ok(file.flush().await?)
    }
}

/// How many values each topic had, and their sum.
#[derive(Default)]
struct Averages(Mutex<BTreeMap<String, (u32, f64)>>);

#[async_trait]
impl LocalSink for Averages {
    async fn deliver(&self, events: &[Event]) -> Result<(), BoxError> {
        let mut table = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for event in events {
            // Decoded once, however many sinks and handlers ask. What is no number is not for this table.
            if let Ok(value) = event.get::<f64>() {
                let (count, sum) = table.entry(event.topic().to_owned()).or_default();
                *count += 1;
                *sum += *value;
            }
        }
        Ok(())
    }
}

/// A database that is down.
struct Down;

#[async_trait]
impl LocalSink for Down {
    async fn deliver(&self, _events: &[Event]) -> Result<(), BoxError> {
        Err("the database is down".into())
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let network = Memory::new();
    let broker = Broker::builder()
        .transport(network.clone())
        .bind("mem://lab")
        .await?;

    let path = std::env::temp_dir().join(format!("distbus-custom-sink-{}.log", std::process::id()));
    let file = File::create(&path).await?;
    // For events that must not be missed: the broker waits for the disk, up to a second, and everybody with it.
    let patient = SinkOptions {
        capacity: 10_000,
        slow_consumer: SlowConsumer::Block(Duration::from_secs(1)),
    };
    let log = broker.forward_with(Log(file.into()), ALL, patient)?;
    let averages = Arc::new(Averages::default());
    broker.forward(Arc::clone(&averages), ["lab.+.temp", "lab.+.humidity"])?;
    let down = broker.forward(Down, ALL)?;

    let client = Client::builder().transport(network).connect("mem://lab").await?;
    for i in 0..10 {
        client.emit("lab.north.temp", &(20.0 + f64::from(i))).await?;
        client.emit("lab.south.humidity", &0.5).await?;
    }
    client.emit("lab.door", "open").await?;
    client.flush().await?; // the broker has all of it
    broker.flush().await?; // and so have its sinks

    for (topic, (count, sum)) in &*averages.0.lock().unwrap_or_else(PoisonError::into_inner) {
        println!("{topic}: {count} values, {} on average", sum / f64::from(*count));
        assert_eq!(*count, 10);
    }
    assert_eq!(averages.0.lock().unwrap_or_else(PoisonError::into_inner).len(), 2);

    // One that fails, or panics, is felt by nobody else. What it missed is counted.
    let failed = down.stats();
    println!(
        "the sink that is down: {} offered, {:?}",
        failed.offered, failed.dropped
    );
    assert_eq!((failed.offered, failed.dropped_by(DropReason::Failed)), (21, 21));

    // Undone: it gets nothing new, and has written what had waited when this returns.
    log.end().await;
    client.emit("lab.door", "closed").await?;
    client.flush().await?;
    let lines = tokio::fs::read_to_string(&path).await?;
    tokio::fs::remove_file(&path).await?;
    println!(
        "{} lines in the log, the last one: {}",
        lines.lines().count(),
        lines.lines().last().unwrap_or("")
    );
    assert!(lines.ends_with("lab.door \"open\"\n"), "{lines}");
    assert_eq!(lines.lines().count(), 21);

    client.close().await;
    broker.close().await;
    Ok(())
}
