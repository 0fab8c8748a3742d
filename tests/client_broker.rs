//! A client and a broker over the in-memory transport: what the rest of the tests build on.

use distbus::{Broker, Client, ClosedBy, Error, Event, Flushed, Memory, TopicError};
use serde::{Deserialize, Serialize};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::Duration;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Temperature {
    celsius: f64,
}

async fn lab() -> (Memory, Broker) {
    let network = Memory::new();
    let broker = Broker::builder()
        .transport(network.clone())
        .bind("mem://lab")
        .await
        .expect("the name is free");
    (network, broker)
}

async fn join(network: &Memory) -> Client {
    Client::builder()
        .transport(network.clone())
        .connect("mem://lab")
        .await
        .expect("a broker is there")
}

#[tokio::test]
async fn typed_handlers_wildcards_and_streams() {
    let (network, broker) = lab().await;
    let (sender, receiver) = (join(&network).await, join(&network).await);
    let exact = Arc::new(Mutex::new(Vec::new()));
    let wild = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&exact);
    receiver
        .on("lab.temp", move |t: Temperature| {
            seen.lock().unwrap().push(t.celsius);
            async {}
        })
        .await
        .unwrap();
    let seen = Arc::clone(&wild);
    receiver
        .on_event("lab.*", move |event: Event| {
            seen.lock().unwrap().push(event.topic().to_owned());
            async {}
        })
        .await
        .unwrap();
    let mut temps = receiver.subscribe::<Temperature>("lab.temp").await.unwrap();
    for i in 0..100 {
        sender
            .emit(
                "lab.temp",
                &Temperature {
                    celsius: f64::from(i),
                },
            )
            .await
            .unwrap();
    }
    sender
        .emit("lab.temperature", "a neighbour of the prefix")
        .await
        .unwrap();
    for i in 0..100 {
        let temp = temps.next().await.unwrap();
        assert_eq!(temp.celsius, f64::from(i));
        assert_eq!(temp.event().topic(), "lab.temp");
        assert_eq!(temp.event().id().origin().unwrap().sequence, i as u64 + 1);
    }
    sender.flush().await.unwrap();
    assert_eq!(broker.flush().await.unwrap(), Flushed::Quiet);
    receiver.close().await;
    assert_eq!(
        *exact.lock().unwrap(),
        (0..100).map(f64::from).collect::<Vec<_>>()
    );
    assert_eq!(wild.lock().unwrap().len(), 101);
    let stats = receiver.stats();
    assert_eq!(
        (stats.dispatched, stats.missing, stats.waiting),
        (101, 0, 0),
        "{stats:?}"
    );
    assert_eq!(
        (stats.handled.offered, stats.handled.delivered),
        (301, 301),
        "{stats:?}"
    );
    let stats = sender.stats();
    assert_eq!(
        (stats.emitted, stats.sent, stats.queued),
        (101, 101, 0),
        "{stats:?}"
    );
    sender.close().await;
    broker.close().await;
}

#[tokio::test]
async fn newest_handler_wins_and_off_is_final() {
    let (network, broker) = lab().await;
    let client = join(&network).await;
    let calls = [(); 2].map(|()| Arc::new(AtomicU64::new(0)));
    for count in &calls {
        let count = Arc::clone(count);
        client
            .on_sync("a", move |_: u32| {
                count.fetch_add(1, Relaxed);
            })
            .await
            .unwrap();
    }
    let mut stream = client.subscribe::<u32>("a").await.unwrap();
    client.emit("a", &1).await.unwrap();
    assert_eq!(*stream.next().await.unwrap(), 1);
    assert_eq!((calls[0].load(Relaxed), calls[1].load(Relaxed)), (0, 1));
    client.off("a").await.unwrap();
    assert!(matches!(client.off("a").await, Err(Error::NotRegistered(_))));
    client.emit("a", &2).await.unwrap();
    assert_eq!(*stream.next().await.unwrap(), 2);
    assert_eq!(calls[1].load(Relaxed), 1);
    drop(stream);
    client.emit("a", &3).await.unwrap();
    client.flush().await.unwrap();
    broker.close().await;
}

#[tokio::test]
async fn every_kind_of_payload_arrives_as_it_was() {
    let (network, broker) = lab().await;
    let client = join(&network).await;
    macro_rules! there_and_back {
        ($type:ty, $value:expr) => {{
            let value: $type = $value;
            let mut stream = client.subscribe::<$type>("kind").await.unwrap();
            client.emit("kind", &value).await.unwrap();
            assert_eq!(*stream.next().await.unwrap(), value);
        }};
    }
    there_and_back!(String, "hi \"there\" \u{1F600}".into());
    there_and_back!(Vec<u8>, vec![0, 255, 34]);
    there_and_back!(bytes::Bytes, bytes::Bytes::from_static(b"\x00\xff"));
    there_and_back!(u64, u64::MAX);
    there_and_back!(i64, i64::MIN);
    there_and_back!(f64, -1.5e300);
    there_and_back!(bool, true);
    there_and_back!((), ());
    there_and_back!(Option<u8>, None);
    there_and_back!(Option<u8>, Some(7));
    there_and_back!(Vec<Option<i8>>, vec![Some(-1), None]);
    there_and_back!(std::collections::BTreeMap<String, f32>, [("a".to_owned(), 0.5)].into());
    there_and_back!(Temperature, Temperature { celsius: 21.5 });
    there_and_back!(Result<u8, String>, Err("no".into()));
    let mut nothing = client.subscribe::<()>("nothing").await.unwrap();
    client.emit_empty("nothing").await.unwrap();
    assert!(nothing.next().await.unwrap().event().is_empty());
    assert!(matches!(
        client.emit("kind", &f64::NAN).await,
        Err(Error::Codec(_))
    ));
    broker.close().await;
}

#[tokio::test]
async fn closing_is_seen_by_everybody_and_refuses_politely() {
    let (network, broker) = lab().await;
    let (first, second) = (join(&network).await, join(&network).await);
    let told = Arc::new(AtomicU64::new(0));
    let count = Arc::clone(&told);
    first
        .on_sync(distbus::CLOSE, move |(): ()| {
            count.fetch_add(1, Relaxed);
        })
        .await
        .unwrap();
    let mut stream = second.subscribe::<u8>("x").await.unwrap();
    assert_eq!(broker.close().await.undelivered, 0);
    assert_eq!(broker.close().await.undelivered, 0);
    assert_eq!(first.closed().await, ClosedBy::Broker);
    assert_eq!(second.closed().await, ClosedBy::Broker);
    assert!(stream.next().await.is_none());
    assert!(matches!(second.emit("x", &1).await, Err(Error::Closed)));
    assert!(matches!(
        second.on_sync("x", |_: u8| ()).await,
        Err(Error::Closed)
    ));
    assert!(matches!(broker.flush().await, Err(Error::Closed)));
    first.close().await;
    assert_eq!(told.load(Relaxed), 1);
    // The endpoint is free again.
    let again = Broker::builder()
        .transport(network)
        .bind("mem://lab")
        .await
        .unwrap();
    again.close().await;
}

#[tokio::test(start_paused = true)]
async fn a_broker_that_pulses_no_more_is_noticed() {
    let network = Memory::new();
    // Its only pulse is the one on start.
    let broker = Broker::builder()
        .transport(network.clone())
        .pulse(Duration::from_secs(3600));
    let broker = broker.bind("mem://lab").await.unwrap();
    let called = Arc::new(AtomicU64::new(0));
    let count = Arc::clone(&called);
    let client = Client::builder()
        .transport(network)
        .pulse_ttl(Duration::from_secs(50))
        .pulse_limit(4)
        .on_disrupt(move || async move {
            count.fetch_add(1, Relaxed);
        })
        .connect("mem://lab")
        .await
        .unwrap();
    let start = tokio::time::Instant::now();
    assert_eq!(client.closed().await, ClosedBy::Disrupted);
    // The first look finds the pulse and the probe of the connection, five more find nothing.
    assert_eq!(start.elapsed().as_secs(), 300);
    client.close().await;
    tokio::task::yield_now().await;
    assert_eq!(called.load(Relaxed), 1);
    broker.close().await;
}

#[tokio::test(start_paused = true)]
async fn pulses_keep_a_client_alive() {
    let network = Memory::new();
    let broker = Broker::builder()
        .transport(network.clone())
        .bind("mem://lab")
        .await
        .unwrap();
    let client = join(&network).await;
    let nearly_a_day = Duration::from_secs(24 * 3600 - 1);
    assert!(tokio::time::timeout(nearly_a_day, client.closed()).await.is_err());
    assert_eq!(broker.stats().pulses, 24 * 3600 / 15);
    broker.close().await;
}

#[tokio::test(start_paused = true)]
async fn nobody_home_is_a_clear_error() {
    let error = Client::builder()
        .transport(Memory::new())
        .connect("mem://lab")
        .await
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "no broker answered at mem://lab within 5s (nobody listens); start one there, or allow more time"
    );
}

#[tokio::test]
async fn topics_that_cannot_be_emitted_to() {
    let (network, broker) = lab().await;
    let client = join(&network).await;
    for topic in ["", "a.*", "+", distbus::CLOSE, "distbus.probe.x"] {
        assert!(
            matches!(client.emit(topic, &1).await, Err(Error::Topic(_))),
            "{topic}"
        );
    }
    let long = "x".repeat(1025);
    assert!(matches!(client.emit(&long, &1).await, Err(Error::Transport(_))));
    let huge = vec![7_u8; 17 << 20];
    assert!(matches!(
        client.emit("big", &huge).await,
        Err(Error::Transport(_))
    ));
    assert!(matches!(
        client.on_sync("te*", |_: u8| ()).await,
        Err(Error::Topic(TopicError::InsideSegment { .. }))
    ));
    assert_eq!(client.stats().emitted, 0);
    broker.close().await;
}
