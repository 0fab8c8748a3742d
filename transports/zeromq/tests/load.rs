//! Nothing is lost on the way to subscribers that keep up, whatever the others do.

use distbus_transport::{
    Batch,
    testing::{Peer, Subject, number, numbered, soon, within},
};
use distbus_transport::{Endpoint, Frame, Limits, SlowConsumer};
use distbus_zeromq::ZeroMq;
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use zeromq::{Socket, SocketRecv, SubSocket};

const BATCH: u32 = 1000;

fn subject() -> Subject {
    Subject::new(ZeroMq::new(), Endpoint::tcp("127.0.0.1", 0))
}

async fn receive_all(mut client: Peer, events: u32) {
    for at in 0..events {
        let frame = client.try_frame().await.expect("a frame");
        assert_eq!(number(&frame), at, "lost on the way");
    }
}

/// A machine that is busy with other things may need a while for so many.
async fn all_received(receiver: JoinHandle<()>) {
    let received = timeout(Duration::from_secs(90), receiver).await;
    received
        .expect("the last event within 90 s")
        .expect("every event");
}

fn batch(first: u32) -> Vec<Frame> {
    (first..first + BATCH)
        .map(|at| numbered("load", at, 200))
        .collect()
}

/// Far more than the 100,000 messages at which the crate's PUB begins to drop.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fast_publisher_loses_nothing_to_three_subscribers() {
    const EVENTS: u32 = 110_000;
    let limits = Limits::default();
    let (subject, mut receivers) = (subject(), Vec::new());
    let relay = subject.relay(&limits).await;
    for name in ["first", "second", "third"] {
        let mut client = subject.client(&relay, name, &limits).await;
        client.subscribe("load").await;
        client.ready().await;
        receivers.push(tokio::spawn(receive_all(client, EVENTS)));
    }
    let mut publisher = subject
        .try_connect(&relay.endpoint, "publisher", &limits)
        .await
        .unwrap();
    for first in (0..EVENTS).step_by(BATCH as usize) {
        within(
            "pushing",
            publisher.outbound.push(Batch::from(&batch(first)[..]).all()),
        )
        .await
        .unwrap();
    }
    let report = within("closing", publisher.outbound.close(soon())).await;
    assert_eq!(report.undelivered, 0);
    for receiver in receivers {
        all_received(receiver).await;
    }
}

/// One that reads nothing fills its queue of 100,000 and loses the rest. It costs one deadline; the other loses nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stalled_subscriber_takes_nothing_from_another() {
    const EVENTS: u32 = 150_000;
    let limits = Limits::default().with_slow_consumer(SlowConsumer::Block(Duration::from_millis(50)));
    let subject = subject();
    let relay = subject.relay(&limits).await;
    let mut healthy = subject.client(&relay, "healthy", &limits).await;
    healthy.subscribe("load").await;
    healthy.ready().await;
    let mut stalled = SubSocket::new();
    let port = relay.endpoint.port().unwrap();
    stalled
        .connect(&format!("tcp://127.0.0.1:{}", port + 1))
        .await
        .unwrap();
    stalled.subscribe("load").await.unwrap();
    stalled.subscribe("warm").await.unwrap();
    within("the subscription", async {
        let wait = Duration::from_millis(20);
        while timeout(wait, stalled.recv()).await.is_err() {
            relay.publish(&[numbered("warm", 0, 4)]).await;
        }
    })
    .await;
    let receiver = tokio::spawn(receive_all(healthy, EVENTS));
    for first in (0..EVENTS).step_by(BATCH as usize) {
        relay.publish(&batch(first)).await;
    }
    all_received(receiver).await;
    let counted = relay.counters.snapshot();
    assert!(counted.in_flight() > 0, "nothing waited: nobody was stalled");
    drop(stalled);
    let report = relay.close_soon().await;
    assert_eq!(report.undelivered, 0, "a subscriber that has gone holds nothing");
}

/// What one batch of large events weighs is bounded too.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn large_events_wait_for_a_broker_that_does_not_read() {
    let limits = Limits::default().with_queue_bytes(4 << 20);
    let subject = subject();
    let mut link = subject.bind(&limits).await;
    let mut client = subject.try_connect(&link.endpoint, "p", &limits).await.unwrap();
    let large: Batch = std::iter::repeat_n(numbered("load", 0, 1 << 20), 64).collect();
    let pushing = timeout(Duration::from_millis(300), client.outbound.push(large.all())).await;
    assert!(pushing.is_err(), "64 MiB fitted into a queue of 4");
    let held = client.counters.snapshot().queued_bytes;
    assert!(held <= 5 << 20, "{held} bytes are held");
    let mut inbox = Default::default();
    within("reading", link.inbound.recv(&mut inbox)).await.unwrap();
    assert!(
        inbox.frames.len() <= 3,
        "{} frames in one batch",
        inbox.frames.len()
    );
}

/// A broker of another kind that never speaks: the deadline holds, and the report says what was not taken.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_close_gives_up_at_its_deadline_and_says_so() {
    let limits = Limits::default().with_queue_bytes(32 << 20);
    let subject = subject();
    let link = subject.bind(&limits).await;
    let mut client = subject.try_connect(&link.endpoint, "p", &limits).await.unwrap();
    let large: Batch = std::iter::repeat_n(numbered("load", 0, 1 << 20), 40).collect();
    let _ = timeout(Duration::from_millis(500), client.outbound.push(large.all())).await;
    let deadline = tokio::time::Instant::now() + Duration::from_millis(100);
    let report = within("closing", client.outbound.close(deadline)).await;
    assert!(
        report.undelivered > 0,
        "the broker reads nothing, and yet nothing is undelivered"
    );
    assert_eq!(
        within("closing again", client.outbound.close(deadline)).await,
        report
    );
    let counted = client.counters.snapshot();
    assert_eq!(counted.in_flight(), 0, "{counted:?}");
}
