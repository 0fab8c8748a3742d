//! The same faults around a transport over real sockets, in real time and on several threads.

#![allow(clippy::unwrap_used, reason = "the helpers of a test fail it where they fail")]

use distbus::{Broker, Client, ClosedBy, Reject};
use distbus_sim::{Faulty, Injected, LinkConfig};
use distbus_zmtp::Zmtp;
use std::time::Duration;
use tokio::time::{Instant, timeout};

const PATIENCE: Duration = Duration::from_secs(30);

async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    match timeout(PATIENCE, future).await {
        Ok(output) => output,
        Err(_) => panic!("{what}: not within {PATIENCE:?}"),
    }
}

/// A broker, a publisher that is the node `sensor`, and a subscriber that is not on the faulty network.
async fn lab() -> (Faulty<Zmtp>, Broker, Client, Client) {
    let network = Faulty::seeded(Zmtp::new(), 7);
    let broker = Broker::builder()
        .transport(network.clone())
        .bind("tcp://127.0.0.1:0")
        .await
        .unwrap();
    let at = broker.endpoint().clone();
    let sensor = Client::builder()
        .transport(network.at("sensor"))
        .connect(&at)
        .await
        .unwrap();
    let display = Client::builder()
        .transport(Zmtp::new())
        .connect(&at)
        .await
        .unwrap();
    (network, broker, sensor, display)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn latency_is_real() {
    let (network, broker, sensor, _display) = lab().await;
    let hub = broker.endpoint().to_string();
    network
        .link("sensor", &hub)
        .set(LinkConfig::default().with_latency(Duration::from_millis(100)));
    let start = Instant::now();
    within("a flush", sensor.flush()).await.unwrap();
    assert!(
        start.elapsed() >= Duration::from_millis(200),
        "{:?}",
        start.elapsed()
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn loss_and_damage_are_counted() {
    let (network, broker, sensor, display) = lab().await;
    let hub = broker.endpoint().to_string();
    let link = network.link("sensor", &hub).one_way();
    let mut numbers = display.subscribe::<u64>("n").await.unwrap();
    let before = link.flow().entered;
    link.set(LinkConfig::default().with_loss(0.1).with_corrupt(0.1));
    for number in 0..1000_u64 {
        sensor.emit("n", &number).await.unwrap();
    }
    // Not by a flush: its markers would be lost as well.
    let gone = async {
        while link.flow().entered < before + 1000 || link.flow().in_flight > 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    within("all of it having gone", gone).await;
    link.set(LinkConfig::default());
    sensor.emit("n", &1000_u64).await.unwrap();
    let mut received = Vec::new();
    while received.last() != Some(&1000) {
        let number = within("the last event", numbers.next())
            .await
            .expect("the client is open");
        received.push(*number);
    }
    let flow = link.flow();
    let (lost, spoiled) = (flow.count(Injected::Lost), flow.count(Injected::Corrupted));
    assert!(flow.adds_up() && lost > 50 && spoiled > 50, "{flow:?}");
    assert_eq!(received.len() as u64, 1001 - lost - spoiled);
    assert!(received.is_sorted());
    assert_eq!(broker.stats().rejected_by(Reject::Checksum), spoiled);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disconnect_is_heard_on_both_sides() {
    let (network, broker, sensor, display) = lab().await;
    let hub = broker.endpoint().to_string();
    network.link("sensor", &hub).disconnect();
    let closed = within("the client ending", sensor.closed()).await;
    assert!(matches!(closed, ClosedBy::Lost(_)), "{closed:?}");
    let gone = async {
        while broker.stats().transport.clients != 1 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    within("the broker hearing of it", gone).await;
    within("another's flush", display.flush()).await.unwrap();
}
