//! What the tests of this crate share. Each uses some of it.
#![allow(dead_code, clippy::unwrap_used)]

use distbus_memory::Memory;
use distbus_transport::{
    Batch, BrokerInbox, BrokerLink, BrokerSignal, ClientInbox, ClientLink, Endpoint, Frame, Limits, PeerId,
    SlowConsumer, Transport,
};
use std::time::Duration;

/// Runs a test on one thread with a paused clock: whatever waits for nothing fails at once, after ten days of that clock.
pub(crate) fn run<T>(test: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    let bound = Duration::from_secs(10 * 86_400);
    match runtime.block_on(async { tokio::time::timeout(bound, test).await }) {
        Ok(output) => output,
        Err(_) => panic!("everything waits and nothing is left to happen"),
    }
}

/// A frame that costs exactly 100 bytes.
pub(crate) fn frame(topic: &'static str, number: u8) -> Frame {
    Frame::sealed(topic, vec![number; 96 - topic.len()])
}

/// The numbers of frames.
pub(crate) fn numbers(frames: &Batch) -> Vec<u8> {
    frames.iter().map(|frame| frame.body()[0]).collect()
}

/// Queues for so many frames of 100 bytes, with this policy.
pub(crate) fn queues(frames: usize, policy: SlowConsumer) -> Limits {
    Limits::default()
        .with_queue_bytes(100 * frames)
        .with_slow_consumer(policy)
}

/// The default policy.
pub(crate) fn block(milliseconds: u64) -> SlowConsumer {
    SlowConsumer::Block(Duration::from_millis(milliseconds))
}

pub(crate) fn peer(name: &str) -> PeerId {
    PeerId::new(name.to_owned()).unwrap()
}

pub(crate) async fn bind(memory: &Memory, limits: &Limits) -> BrokerLink {
    memory.bind(&Endpoint::mem("lab"), limits).await.unwrap()
}

pub(crate) async fn connect(memory: &Memory, name: &str) -> ClientLink {
    memory
        .connect(&Endpoint::mem("lab"), &peer(name), &Limits::default())
        .await
        .unwrap()
}

/// A client that has subscribed to everything; the broker has heard of it.
pub(crate) async fn subscriber(memory: &Memory, broker: &mut BrokerLink, name: &str) -> ClientLink {
    let mut client = connect(memory, name).await;
    let subscribing = client.outbound.subscribe("".into());
    let hearing = async {
        // In a small queue there is no room for the subscription until the broker has heard of the client.
        let mut inbox = BrokerInbox::default();
        while !matches!(inbox.signals.last(), Some(BrokerSignal::Subscribed { .. })) {
            broker.inbound.recv(&mut inbox).await.unwrap();
        }
    };
    let (subscribed, ()) = tokio::join!(subscribing, hearing);
    subscribed.unwrap();
    client
}

/// One batch at a client.
pub(crate) async fn receive(client: &mut ClientLink) -> ClientInbox {
    let mut inbox = ClientInbox::default();
    client.inbound.recv(&mut inbox).await.unwrap();
    inbox
}

/// One batch at a broker.
pub(crate) async fn collect(broker: &mut BrokerLink) -> BrokerInbox {
    let mut inbox = BrokerInbox::default();
    broker.inbound.recv(&mut inbox).await.unwrap();
    inbox
}
