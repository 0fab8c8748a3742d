//! What the tests of this crate share. Each uses some of it.
#![allow(dead_code, clippy::unwrap_used)]

use distbus::{Client, Subscription};
use distbus_sim::{Node, Options, Run, Sim, run};
use std::sync::{Arc, Mutex};
use std::time::Duration;

pub(crate) const MS: Duration = Duration::from_millis(1);
pub(crate) const SECOND: Duration = Duration::from_secs(1);

/// Plays a scenario that must not fail.
pub(crate) fn play<F>(seed: u64, scenario: impl FnOnce(Sim) -> F) -> Run
where
    F: Future<Output = ()> + Send + 'static,
{
    let mut options = Options::seed(seed);
    options.trace = 100_000;
    let run = run(&options, scenario);
    if let Some(failure) = &run.failure {
        let trace: Vec<_> = run.trace.iter().map(ToString::to_string).collect();
        panic!("{failure}\n{}", trace.join("\n"));
    }
    run
}

/// What is recorded in the order in which it happens, with its time.
#[derive(Clone, Default)]
pub(crate) struct Log(Arc<Mutex<Vec<(u128, u64)>>>);

impl Log {
    pub(crate) fn add(&self, sim: &Sim, number: u64) {
        self.0.lock().unwrap().push((sim.now().as_millis(), number));
    }

    /// Milliseconds and numbers.
    pub(crate) fn all(&self) -> Vec<(u128, u64)> {
        self.0.lock().unwrap().clone()
    }

    pub(crate) fn numbers(&self) -> Vec<u64> {
        self.all().iter().map(|(_, number)| *number).collect()
    }

    pub(crate) fn len(&self) -> usize {
        self.0.lock().unwrap().len()
    }
}

/// A client that logs the numbers on a topic.
pub(crate) async fn listener(sim: &Sim, name: &str, topic: &str) -> (Client, Log) {
    let client = sim.at(name).connect("hub").await.unwrap();
    let log = Log::default();
    let (sim, seen) = (sim.clone(), log.clone());
    client
        .on_sync(topic, move |number: u64| seen.add(&sim, number))
        .await
        .unwrap();
    (client, log)
}

/// Connects until it succeeds.
pub(crate) async fn connect(node: &Node, broker: &str) -> Client {
    loop {
        match node.connect(broker).await {
            Ok(client) => return client,
            Err(error) => {
                node.note(format!("not connected: {error}"));
                tokio::time::sleep(100 * MS).await;
            }
        }
    }
}

/// All that a stream brings until it ends.
pub(crate) async fn drain(mut stream: Subscription<u64>) -> Vec<u64> {
    let mut numbers = Vec::new();
    while let Some(number) = stream.next().await {
        numbers.push(*number);
    }
    numbers
}
