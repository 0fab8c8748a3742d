//! The program under test: water meters that report to a dashboard. Nothing in it knows of a simulation.
//!
//! `join` is how a part of it connects: `|| Client::connect("tcp://10.0.0.7:5555")` in the field.

use distbus::{Client, Error, Received, Timestamp};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::sleep;

/// Asks every sensor to say again what it has said last.
const ASK: &str = "fleet.ask";
const SECOND: Duration = Duration::from_secs(1);

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Reading {
    meter: String,
    litres: u64,
}

/// Looks at its meter once a second, and says what it reads when that has changed, or when somebody asks.
pub(crate) async fn sensor<J, C, M>(name: String, join: J, measure: M)
where
    J: Fn() -> C + Send,
    C: Future<Output = Result<Client, Error>> + Send,
    M: Fn() -> u64 + Send + Sync,
{
    loop {
        if let Ok(client) = join().await {
            // However this connection ends, another is made.
            let _ = report(&client, &name, &measure).await;
            client.close().await;
        }
        sleep(SECOND).await;
    }
}

async fn report<M>(client: &Client, name: &str, measure: &M) -> Result<(), Error>
where
    M: Fn() -> u64 + Sync,
{
    // The handler emits nothing itself: what comes from one loop cannot overtake itself.
    let asked = Arc::new(Notify::new());
    let ask = Arc::clone(&asked);
    client.on_sync(ASK, move |()| ask.notify_one()).await?;
    let topic = format!("fleet.reading.{name}");
    let mut said = None;
    loop {
        let litres = measure();
        if said != Some(litres) {
            let meter = name.to_owned();
            client.emit(&topic, &Reading { meter, litres }).await?;
            said = Some(litres);
        }
        tokio::select! {
            biased;
            _ = client.closed() => return Ok(()),
            () = asked.notified() => said = None,
            () = sleep(SECOND) => {}
        }
    }
}

/// Shows on the board what the meters say.
///
/// A reading that was sent while there was no connection is gone, so each new connection begins with a question. Without `asks_again` only
/// the first does: easily forgotten, and everything looks right until the hub is restarted.
pub(crate) async fn dashboard<J, C>(join: J, board: Board, asks_again: bool)
where
    J: Fn() -> C + Send,
    C: Future<Output = Result<Client, Error>> + Send,
{
    let mut asks = true;
    loop {
        if let Ok(client) = join().await {
            let _ = follow(&client, &board, asks).await;
            client.close().await;
            asks = asks_again;
        }
        sleep(SECOND).await;
    }
}

async fn follow(client: &Client, board: &Board, asks: bool) -> Result<(), Error> {
    // The broker sends readings when this returns: no answer can be missed.
    let mut readings = client.subscribe::<Reading>("fleet.reading.*").await?;
    if asks {
        client.emit(ASK, &()).await?;
    }
    while let Some(reading) = readings.next().await {
        board.show(&reading);
    }
    Ok(())
}

/// What the dashboard shows: a line a meter.
#[derive(Clone, Default)]
pub(crate) struct Board(Arc<Mutex<BTreeMap<String, Line>>>);

#[derive(Clone, Copy, Debug)]
pub(crate) struct Line {
    pub(crate) litres: u64,
    /// By the clock of the sensor. It is shown; nothing is decided by it, because the clocks of a fleet differ.
    pub(crate) read_at: Timestamp,
}

impl Board {
    fn show(&self, reading: &Received<Reading>) {
        let line = Line {
            litres: reading.litres,
            read_at: reading.event().timestamp(),
        };
        let mut lines = self.locked();
        let shown = lines.entry(reading.meter.clone()).or_insert(line);
        // Water does not run back: what says so comes late, from a connection that has ended.
        if line.litres >= shown.litres {
            *shown = line;
        }
    }

    pub(crate) fn lines(&self) -> BTreeMap<String, Line> {
        self.locked().clone()
    }

    fn locked(&self) -> MutexGuard<'_, BTreeMap<String, Line>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
