//! Publishers share a broker: one with much to say does not keep it from hearing the others.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod support;

use distbus_transport::{Batch, BrokerInbox, Frame, Limits, Transport};
use distbus_zmtp::Zmtp;
use std::time::Duration;
use support::{id, within};

#[tokio::test]
async fn a_single_event_is_heard_among_floods() {
    let (zmtp, limits) = (Zmtp::new(), Limits::default());
    let mut link = zmtp
        .bind(&"tcp://127.0.0.1:0".parse().unwrap(), &limits)
        .await
        .unwrap();
    let mut floods = Vec::new();
    for i in 0..4 {
        let mut client = zmtp
            .connect(&link.endpoint, &id(format!("flood-{i}")), &limits)
            .await
            .unwrap();
        let batch: Batch = (0..1024).map(|_| Frame::sealed("flood", vec![7; 256])).collect();
        floods.push(tokio::spawn(async move {
            while client.outbound.push(batch.all()).await.is_ok() {}
        }));
    }
    let mut quiet = zmtp.connect(&link.endpoint, &id("quiet"), &limits).await.unwrap();
    let mut inbox = BrokerInbox::default();
    let mut heard = 0;
    // All of the floods are under way, and there is always more of them than one batch takes.
    while heard < 100_000 {
        inbox.clear();
        within("the floods", link.inbound.recv(&mut inbox)).await.unwrap();
        heard += inbox.frames.len();
    }
    quiet
        .outbound
        .push(Batch::from([Frame::sealed("quiet", "1")]).all())
        .await
        .unwrap();
    let mut batches = 0;
    loop {
        inbox.clear();
        within("the single event", link.inbound.recv(&mut inbox))
            .await
            .unwrap();
        if inbox.frames.iter().any(|frame| frame.topic() == b"quiet") {
            break;
        }
        batches += 1;
        assert!(batches < 100, "not heard in {batches} batches");
        // The runtime, which notices the socket, and the floods have their turn: all on this thread, so that it does not depend on the
        // system which of them comes when.
        tokio::task::yield_now().await;
    }
    floods.iter().for_each(tokio::task::JoinHandle::abort);
    link.outbound
        .close(tokio::time::Instant::now() + Duration::from_secs(1))
        .await;
}
