//! Ten thousand events, each way, none lost, all in order.

use crate::node::Node;
use crate::support::{Bus, event, on_both, soon, value};
use crate::venv::{Python, python};

on_both!(rust_to_python, python_to_rust);

const EVENTS: usize = 10_000;
/// Python takes a millisecond for each when the machine is busy.
const EACH_OF_TWO: usize = 2_000;

async fn rust_to_python(python: Python, bus: Bus) {
    let mut receiver = Node::client(python, bus.endpoint()).await;
    receiver.count("number").await;
    let sender = bus.client().await;
    for number in 0..EVENTS {
        sender.emit("number", &number).await.unwrap();
    }
    receiver.counted("number", EVENTS).await;
    let report = sender.close().await;
    assert_eq!((report.undelivered, sender.stats().sent), (0, EVENTS as u64));
}

async fn python_to_rust(python: Python, bus: Bus) {
    let receiver = bus.client().await;
    let mut numbers = receiver.subscribe::<usize>("number").await.unwrap();
    let mut sender = Node::client(python, bus.endpoint()).await;
    sender.emit_many("number", EVENTS).await;
    for number in 0..EVENTS {
        assert_eq!(value(&mut numbers).await, number);
    }
    let stats = receiver.stats();
    assert_eq!(
        (stats.handled.delivered, stats.handled.total_dropped()),
        (EVENTS as u64, 0),
        "{stats:?}"
    );
}

/// Both kinds of sender at once, both kinds of receiver: each receiver gets all of each sender, in that sender's order.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everybody_at_once_through_our_broker() {
    let python = python!();
    let bus = Bus::ours().await;
    let (rust, mut snake) = (bus.client().await, Node::client(python, bus.endpoint()).await);
    let mut receiver = Node::client(python, bus.endpoint()).await;
    receiver.count("rust").await;
    receiver.count("python").await;
    let client = bus.client().await;
    let mut numbers = client.subscribe_events("*").await.unwrap();
    let sending = tokio::spawn(async move {
        for number in 0..EACH_OF_TWO {
            rust.emit("rust", &number).await.unwrap();
        }
        rust.close().await
    });
    let reading = tokio::spawn(async move {
        let mut next = [0, 0];
        while next != [EACH_OF_TWO; 2] {
            let event = event(&mut numbers).await;
            let of = usize::from(event.topic() == "python");
            assert_eq!(*event.get::<usize>().unwrap(), next[of], "{event:?}");
            next[of] += 1;
        }
    });
    snake.emit_many("python", EACH_OF_TWO).await;
    reading.await.unwrap();
    receiver.counted("rust", EACH_OF_TWO).await;
    receiver.counted("python", EACH_OF_TWO).await;
    assert_eq!(sending.await.unwrap().undelivered, 0);
    let Bus::Ours(broker) = &bus else {
        unreachable!("it is ours")
    };
    soon("quiet", broker.flush()).await.unwrap();
    let stats = broker.stats();
    assert_eq!(stats.received, stats.relayed + stats.probes, "{stats:?}");
    assert_eq!(
        (stats.rejected.len(), stats.transport.total_dropped()),
        (0, 0),
        "{stats:?}"
    );
}
