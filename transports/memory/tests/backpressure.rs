//! What clients feel of a broker that does not receive, and what each side's limits do.

mod support;

use distbus_memory::Memory;
use distbus_transport::{Batch, BrokerInbox, Endpoint, Limits, Reject, Transport, TransportError};
use std::future::Future;
use std::pin::pin;
use std::task::Poll;
use support::{bind, block, collect, connect, frame, numbers, peer, queues, receive, run, subscriber};

/// Polls once.
async fn is_pending(future: &mut (impl Future + Unpin)) -> bool {
    std::future::poll_fn(|cx| Poll::Ready(std::pin::Pin::new(&mut *future).poll(cx).is_pending())).await
}

#[test]
fn a_push_waits_for_room_and_goes_on_when_there_is() {
    run(async {
        let memory = Memory::new();
        let mut broker = bind(&memory, &queues(3, block(700))).await;
        let mut client = connect(&memory, "client").await;
        collect(&mut broker).await; // Connected
        let batch: Batch = (0..8).map(|n| frame("t", n)).collect();
        let mut push = client.outbound.push(batch.all());
        assert!(is_pending(&mut push).await, "eight frames in a queue for three");
        assert_eq!(numbers(&collect(&mut broker).await.frames), [0, 1, 2]);
        assert!(is_pending(&mut push).await);
        assert_eq!(numbers(&collect(&mut broker).await.frames), [3, 4, 5]);
        push.await.unwrap();
        assert_eq!(numbers(&collect(&mut broker).await.frames), [6, 7]);
        assert_eq!(client.counters.snapshot().delivered, 8);
        assert_eq!(broker.counters.snapshot().received, 8);
    });
}

#[test]
fn whoever_waits_is_served_in_the_order_of_asking() {
    run(async {
        let memory = Memory::new();
        let mut broker = bind(&memory, &queues(2, block(700))).await;
        let mut clients = Vec::new();
        for name in ["a", "b", "c"] {
            clients.push(connect(&memory, name).await);
            collect(&mut broker).await;
        }
        clients[0]
            .outbound
            .push(Batch::from([0, 1].map(|n| frame("t", n))).all())
            .await
            .unwrap();
        let [mut a, mut b, mut c] = <[_; 3]>::try_from(clients).map_err(|_| "three clients").unwrap();
        // Each asks in turn, and the broker does not read: c, a, b, and a newcomer behind them.
        let third = tokio::spawn(async move {
            c.outbound
                .push(Batch::from([frame("t", 2)]).all())
                .await
                .map(|()| c)
        });
        tokio::task::yield_now().await;
        let first = tokio::spawn(async move {
            a.outbound
                .push(Batch::from([frame("t", 3)]).all())
                .await
                .map(|()| a)
        });
        tokio::task::yield_now().await;
        let second = tokio::spawn(async move { b.outbound.subscribe("x".into()).await.map(|()| b) });
        tokio::task::yield_now().await;
        let late = tokio::spawn(async move { connect(&memory, "late").await });
        tokio::task::yield_now().await;
        assert!(
            ![
                third.is_finished(),
                first.is_finished(),
                second.is_finished(),
                late.is_finished()
            ]
            .contains(&true)
        );
        let mut seen = Vec::new();
        while seen.len() < 6 {
            let mut inbox = collect(&mut broker).await;
            seen.extend(
                inbox
                    .frames
                    .drain()
                    .into_iter()
                    .map(|frame| frame.body()[0].to_string()),
            );
            seen.extend(inbox.signals.drain(..).map(|signal| format!("{signal:?}")));
        }
        let _clients = (
            third.await.unwrap().unwrap(),
            first.await.unwrap().unwrap(),
            second.await.unwrap().unwrap(),
        );
        late.await.unwrap();
        assert_eq!(seen[..4], ["0", "1", "2", "3"]);
        assert!(
            seen[4].starts_with("Subscribed") && seen[5].starts_with("Connected"),
            "{seen:?}"
        );
    });
}

#[test]
fn whoever_waits_for_a_broker_that_goes_is_told() {
    run(async {
        let memory = Memory::new();
        let broker = bind(&memory, &queues(1, block(700))).await;
        let mut client = connect(&memory, "client").await;
        let batch = Batch::from([0, 1].map(|n| frame("t", n)));
        let mut push = client.outbound.push(batch.all());
        assert!(is_pending(&mut push).await);
        drop(broker);
        let pushed = push.await;
        assert!(matches!(pushed, Err(TransportError::Closed)), "{pushed:?}");
    });
}

#[test]
fn a_dropped_push_gives_its_place_back() {
    run(async {
        let memory = Memory::new();
        let mut broker = bind(&memory, &queues(2, block(700))).await;
        let mut client = connect(&memory, "client").await;
        collect(&mut broker).await;
        let batch = Batch::from([0, 1, 2].map(|n| frame("t", n)));
        {
            let mut push = pin!(client.outbound.push(batch.all()));
            assert!(is_pending(&mut push).await);
        }
        assert_eq!(numbers(&collect(&mut broker).await.frames), [0, 1]);
        client.outbound.push(batch.all().slice(..2)).await.unwrap();
        assert_eq!(numbers(&collect(&mut broker).await.frames), [0, 1]);
    });
}

#[test]
fn the_tighter_side_decides_what_a_client_may_send() {
    run(async {
        let memory = Memory::new();
        let _broker = bind(
            &memory,
            &Limits::default().with_event_bytes(10).with_subscriptions(1),
        )
        .await;
        let mut client = connect(&memory, "client").await;
        let pushed = client.outbound.push(Batch::from([frame("t", 0)]).all()).await;
        assert!(
            matches!(pushed, Err(TransportError::TooLarge { limit: 10, .. })),
            "{pushed:?}"
        );
        client.outbound.subscribe("a".into()).await.unwrap();
        let second = client.outbound.subscribe("b".into()).await;
        assert!(
            matches!(second, Err(TransportError::LimitReached { limit: 1, .. })),
            "{second:?}"
        );
    });
}

#[test]
fn a_client_refuses_what_is_above_its_own_limit() {
    run(async {
        let memory = Memory::new();
        let mut broker = bind(&memory, &Limits::default()).await;
        let limits = Limits::default().with_event_bytes(10);
        let mut client = memory
            .connect(&Endpoint::mem("lab"), &peer("small"), &limits)
            .await
            .unwrap();
        client.outbound.subscribe("".into()).await.unwrap();
        let small = distbus_transport::Frame::sealed("t", "small");
        broker
            .outbound
            .publish(Batch::from([frame("t", 0), small.clone(), frame("t", 1)]).all())
            .await
            .unwrap();
        assert_eq!(receive(&mut client).await.frames, [small]);
        assert_eq!(client.counters.snapshot().rejected, [(Reject::TooLarge, 2)]);
    });
}

/// A broker that always publishes and a client that always receives share one thread fairly.
#[test]
fn a_busy_link_lets_others_run() {
    run(async {
        let memory = Memory::new();
        let mut broker = bind(&memory, &Limits::default()).await;
        let _client = subscriber(&memory, &mut broker, "client").await;
        let other = tokio::spawn(async {});
        for n in 0..100_000_u32 {
            broker
                .outbound
                .publish(Batch::from([frame("t", n as u8)]).all())
                .await
                .unwrap();
            if other.is_finished() {
                break;
            }
            assert!(n < 10_000, "another task did not run in ten thousand calls");
        }
    });
}

#[test]
fn an_empty_inbox_is_never_returned() {
    run(async {
        let memory = Memory::new();
        let mut broker = bind(&memory, &Limits::default()).await;
        let mut inbox = BrokerInbox::default();
        assert!(is_pending(&mut broker.inbound.recv(&mut inbox)).await);
        assert!(inbox.is_empty());
    });
}
