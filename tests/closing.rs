//! How connections end when the other side does not play along. Raw links of the in-memory transport play that side.

use bytes::Bytes;
use distbus::{Client, ClosedBy, Endpoint, Error, Limits, Memory, Transport};
use distbus_transport::{BrokerInbox, BrokerLink, BrokerSignal};
use std::time::Duration;
use tokio::time::Instant;

/// Answers handshakes and relays, as a broker does, until `enough` says so; then it reads no more.
async fn serve(mut link: BrokerLink, enough: impl Fn(&BrokerInbox) -> bool) -> BrokerLink {
    let mut inbox = BrokerInbox::default();
    loop {
        inbox.clear();
        link.inbound.recv(&mut inbox).await.expect("clients are there");
        for signal in &inbox.signals {
            if let BrokerSignal::Control { peer, .. } = signal {
                let answer = Bytes::from_static(b"aiodistbus.eventbus.handshake");
                link.outbound
                    .reply(peer, answer)
                    .await
                    .expect("the client waits for it");
            }
        }
        link.outbound
            .publish(inbox.frames.all())
            .await
            .expect("the link is open");
        if enough(&inbox) {
            return link;
        }
    }
}

async fn bind(network: &Memory) -> BrokerLink {
    network
        .bind(&Endpoint::mem("raw"), &Limits::default())
        .await
        .expect("the name is free")
}

fn stop(inbox: &BrokerInbox) -> bool {
    inbox.frames.iter().any(|frame| frame.topic() == b"stop")
}

#[tokio::test(start_paused = true)]
async fn closing_ends_in_time_beside_a_broker_that_reads_no_more() {
    let network = Memory::new();
    let broker = tokio::spawn(serve(bind(&network).await, stop));
    let limits = Limits::default().with_queue_bytes(10_000);
    let client = Client::builder()
        .transport(network)
        .limits(limits)
        .connect("mem://raw")
        .await
        .unwrap();
    client.emit("stop", &()).await.unwrap();
    let _link = broker.await.unwrap();
    // More than the transport takes from a client whose broker does not read.
    let filler = "x".repeat(1000);
    let mut emitted = 0;
    while let Ok(emit) = tokio::time::timeout(Duration::from_secs(1), client.emit("fill", &filler)).await {
        emit.unwrap();
        emitted += 1;
    }
    let start = Instant::now();
    let report = client.close_within(Duration::from_secs(2)).await;
    assert!(
        start.elapsed() <= Duration::from_millis(2100),
        "{:?}",
        start.elapsed()
    );
    assert!(
        report.undelivered > 0 && report.undelivered <= emitted,
        "{report:?} of {emitted}"
    );
    assert!(matches!(client.emit("fill", &filler).await, Err(Error::Closed)));
    assert_eq!(client.closed().await, ClosedBy::User);
}

#[tokio::test(start_paused = true)]
async fn a_flush_that_is_not_answered_says_so() {
    let network = Memory::new();
    let broker = tokio::spawn(serve(bind(&network).await, stop));
    let client = Client::builder()
        .transport(network)
        .connect("mem://raw")
        .await
        .unwrap();
    client.emit("stop", &()).await.unwrap();
    let _link = broker.await.unwrap();
    let error = client.flush_within(Duration::from_secs(3)).await.unwrap_err();
    assert!(matches!(error, Error::NotConfirmed { .. }), "{error}");
    let error = client.on_sync("x", |_: u8| ()).await.unwrap_err();
    assert!(matches!(error, Error::NotConfirmed { .. }), "{error}");
    // What failed is not left registered.
    assert!(matches!(client.off("x").await, Err(Error::NotRegistered(_))));
}

#[tokio::test]
async fn a_connection_that_breaks_ends_the_client() {
    let network = Memory::new();
    let broker = tokio::spawn(serve(bind(&network).await, stop));
    let client = Client::builder()
        .transport(network)
        .connect("mem://raw")
        .await
        .unwrap();
    let mut stream = client.subscribe::<u8>("x").await.unwrap();
    client.emit("x", &7_u8).await.unwrap();
    client.emit("stop", &()).await.unwrap();
    drop(broker.await.unwrap());
    assert!(matches!(client.closed().await, ClosedBy::Lost(_)));
    assert_eq!(stream.next().await.as_deref(), Some(&7));
    assert!(stream.next().await.is_none());
    assert!(matches!(client.emit("x", &1_u8).await, Err(Error::Closed)));
    client.close().await;
}

#[tokio::test]
async fn dropping_the_last_clone_disconnects() {
    let network = Memory::new();
    let mut link = serve_in_background(&network).await;
    let client = Client::builder()
        .transport(network)
        .connect("mem://raw")
        .await
        .unwrap();
    let clone = client.clone();
    drop(client);
    clone.emit("still", &1).await.unwrap();
    clone.flush().await.unwrap();
    drop(clone);
    tokio::time::timeout(Duration::from_secs(10), link.recv())
        .await
        .unwrap()
        .unwrap();
}

/// Relays in the background; sends `()` when a client has left.
async fn serve_in_background(network: &Memory) -> tokio::sync::mpsc::Receiver<()> {
    let link = bind(network).await;
    let (left, gone) = tokio::sync::mpsc::channel(1);
    tokio::spawn(async move {
        let has_left = |inbox: &BrokerInbox| {
            inbox
                .signals
                .iter()
                .any(|signal| matches!(signal, BrokerSignal::Disconnected(_)))
        };
        serve(link, has_left).await;
        let _ = left.send(()).await;
    });
    gone
}
