use super::ledger::{Ledger, topic_of};
use crate::Node;
use distbus::{Client, Error};
use rand::RngExt;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// One subscription of one connection, and what it may still see.
struct Watch {
    who: String,
    ledger: Ledger,
    topic: Option<u64>,
    lossless: bool,
    off: AtomicBool,
    /// The last number for each publisher, its run and the topic.
    last: Mutex<BTreeMap<u64, u64>>,
}

impl Watch {
    fn see(&self, event: u64) {
        let (stream, who) = (event >> 32, &self.who);
        if !self.ledger.was_emitted(event) {
            self.ledger
                .wrong(format!("{who} got {event:#x}, which nobody emitted"));
        }
        if self.topic.is_some_and(|topic| topic != topic_of(event)) {
            self.ledger
                .wrong(format!("{who} got {event:#x} of another topic"));
        }
        if self.off.load(Relaxed) {
            self.ledger.wrong(format!("{who} got {event:#x} after off"));
        }
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let before = last.insert(stream, event);
        if self.lossless && before.is_some_and(|before| before >= event) {
            self.ledger
                .wrong(format!("{who} got {event:#x} after {before:x?}"));
        }
    }
}

/// Connects and subscribes, again and again.
pub(super) async fn run(node: Node, ledger: Ledger, topics: u64, lossless: bool) {
    loop {
        let Ok(client) = node.connect("hub").await else {
            continue;
        };
        // A connection that ends while it subscribes is made again.
        let _ = session(&node, &client, &ledger, topics, lossless).await;
        client.close().await;
    }
}

async fn session(
    node: &Node,
    client: &Client,
    ledger: &Ledger,
    topics: u64,
    lossless: bool,
) -> Result<(), Error> {
    let mut rng = node.rng("subscriber");
    let watch = |topic: Option<u64>| {
        Arc::new(Watch {
            who: node.name().to_owned(),
            ledger: ledger.clone(),
            topic,
            lossless,
            off: AtomicBool::new(false),
            last: Mutex::default(),
        })
    };
    let (marks, name) = (ledger.clone(), node.name().to_owned());
    client
        .on_sync("mark.*", move |mark: u64| marks.mark(&name, mark))
        .await?;
    let mut stream = client.subscribe::<u64>("t.*").await?;
    let all = watch(None);
    node.spawn(async move {
        while let Some(event) = stream.next().await {
            all.see(*event);
        }
    });
    while !client.is_closed() {
        let topic = rng.random_range(0..topics);
        let pattern = format!("t.{topic}");
        let (watched, seen) = (watch(Some(topic)), rng.random_bool(0.5));
        let handler = watched.clone();
        if seen {
            client
                .on_sync(&pattern, move |event: u64| handler.see(event))
                .await?;
        } else {
            let slow = Duration::from_millis(rng.random_range(0..50));
            client
                .on(&pattern, move |event: u64| {
                    handler.see(event);
                    tokio::time::sleep(slow)
                })
                .await?;
        }
        tokio::time::sleep(Duration::from_millis(rng.random_range(100..5000))).await;
        client.off(&pattern).await?;
        watched.off.store(true, Relaxed);
    }
    Ok(())
}
