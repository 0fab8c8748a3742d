//! Slow consumers under a paused clock, where a deadline takes exactly as long as it says.

mod support;

use distbus_memory::Memory;
use distbus_transport::{Batch, ClientInbox, DropReason, SlowConsumer, TransportError};
use std::time::Duration;
use support::{bind, block, collect, connect, frame, numbers, peer, queues, receive, run, subscriber};
use tokio::time::Instant;

#[test]
fn a_stall_costs_exactly_one_deadline() {
    run(async {
        let memory = Memory::new();
        let mut broker = bind(&memory, &queues(2, block(700))).await;
        let mut slow = subscriber(&memory, &mut broker, "slow").await;
        let started = Instant::now();
        broker
            .outbound
            .publish(Batch::from([0, 1, 2, 3].map(|n| frame("t", n))).all())
            .await
            .unwrap();
        assert_eq!(started.elapsed(), Duration::from_millis(700));
        broker
            .outbound
            .publish(Batch::from([4, 5].map(|n| frame("t", n))).all())
            .await
            .unwrap();
        assert_eq!(
            started.elapsed(),
            Duration::from_millis(700),
            "it was known to lag"
        );
        assert_eq!(numbers(&receive(&mut slow).await.frames), [0, 1]);
        broker
            .outbound
            .publish(Batch::from([frame("t", 6)]).all())
            .await
            .unwrap();
        assert_eq!(
            numbers(&receive(&mut slow).await.frames),
            [6],
            "served again once its queue is empty"
        );
        assert_eq!(broker.counters.snapshot().dropped, [(DropReason::Deadline, 4)]);
    });
}

#[test]
fn deadlines_of_several_run_side_by_side() {
    run(async {
        let memory = Memory::new();
        let mut broker = bind(&memory, &queues(1, block(700))).await;
        let mut slow = Vec::new();
        for name in ["a", "b", "c"] {
            slow.push(subscriber(&memory, &mut broker, name).await);
        }
        let started = Instant::now();
        broker
            .outbound
            .publish(Batch::from([0, 1, 2].map(|n| frame("t", n))).all())
            .await
            .unwrap();
        assert_eq!(started.elapsed(), Duration::from_millis(700));
        assert_eq!(broker.counters.snapshot().dropped_by(DropReason::Deadline), 6);
    });
}

#[test]
fn deadlines_run_side_by_side_for_those_who_read_a_little_as_well() {
    run(async {
        let memory = Memory::new();
        let mut broker = bind(&memory, &queues(1, block(700))).await;
        let mut slow = Vec::new();
        for name in ["a", "b", "c"] {
            slow.push(subscriber(&memory, &mut broker, name).await);
        }
        let started = Instant::now();
        let reading = async {
            tokio::time::sleep(Duration::from_millis(600)).await;
            for client in &mut slow {
                assert_eq!(numbers(&receive(client).await.frames), [0]);
            }
        };
        let batch = Batch::from([0, 1, 2].map(|n| frame("t", n)));
        let (published, ()) = tokio::join!(broker.outbound.publish(batch.all()), reading);
        published.unwrap();
        // The second event had room after 600 ms; the third had none 700 ms after that, at any of them.
        assert_eq!(started.elapsed(), Duration::from_millis(1300));
        assert_eq!(broker.counters.snapshot().dropped_by(DropReason::Deadline), 3);
    });
}

#[test]
fn others_have_everything_before_anybody_is_waited_for() {
    run(async {
        let memory = Memory::new();
        let mut broker = bind(&memory, &queues(10, block(700))).await;
        let _slow = subscriber(&memory, &mut broker, "slow").await;
        let mut fast = subscriber(&memory, &mut broker, "fast").await;
        broker
            .outbound
            .publish(Batch::from([0; 10].map(|n| frame("t", n))).all())
            .await
            .unwrap();
        receive(&mut fast).await;
        let started = Instant::now();
        let reading = async {
            let inbox = receive(&mut fast).await;
            (started.elapsed(), numbers(&inbox.frames))
        };
        let batch = Batch::from([1, 2, 3].map(|n| frame("t", n)));
        let (published, read) = tokio::join!(broker.outbound.publish(batch.all()), reading);
        published.unwrap();
        assert_eq!(read, (Duration::ZERO, vec![1, 2, 3]));
        assert_eq!(started.elapsed(), Duration::from_millis(700));
    });
}

#[test]
fn one_that_reads_in_time_loses_nothing_however_long_it_takes() {
    run(async {
        let memory = Memory::new();
        let mut broker = bind(&memory, &queues(2, block(700))).await;
        let mut slow = subscriber(&memory, &mut broker, "slow").await;
        let reading = async {
            let mut read = Vec::new();
            while read.len() < 20 {
                tokio::time::advance(Duration::from_millis(600)).await;
                read.extend(numbers(&receive(&mut slow).await.frames));
            }
            read
        };
        let batch: Batch = (0..20).map(|n| frame("t", n)).collect();
        let (published, read) = tokio::join!(broker.outbound.publish(batch.all()), reading);
        published.unwrap();
        assert_eq!(read, (0..20).collect::<Vec<_>>());
        assert_eq!(broker.counters.snapshot().total_dropped(), 0);
    });
}

#[test]
fn one_that_leaves_while_it_is_waited_for_ends_the_wait() {
    run(async {
        let memory = Memory::new();
        let mut broker = bind(&memory, &queues(1, block(700))).await;
        let slow = subscriber(&memory, &mut broker, "slow").await;
        let started = Instant::now();
        let batch = Batch::from([0, 1].map(|n| frame("t", n)));
        let (published, ()) = tokio::join!(broker.outbound.publish(batch.all()), async { drop(slow) });
        published.unwrap();
        assert_eq!(started.elapsed(), Duration::ZERO);
        let now = broker.counters.snapshot();
        assert_eq!(
            now.dropped,
            [(DropReason::Disconnected, 1)],
            "the second was never offered to anybody"
        );
        assert_eq!((now.offered, now.in_flight(), now.queued_bytes), (1, 0, 0));
    });
}

#[test]
fn an_evicted_client_is_told_at_once() {
    run(async {
        let memory = Memory::new();
        let mut broker = bind(&memory, &queues(1, SlowConsumer::Disconnect)).await;
        let mut slow = subscriber(&memory, &mut broker, "slow").await;
        broker
            .outbound
            .publish(Batch::from([0, 1, 2].map(|n| frame("t", n))).all())
            .await
            .unwrap();
        let ended = slow.inbound.recv(&mut ClientInbox::default()).await;
        assert!(matches!(ended, Err(TransportError::Closed)), "{ended:?}");
        let pushed = slow.outbound.push(Batch::from([frame("t", 9)]).all()).await;
        assert!(matches!(pushed, Err(TransportError::Closed)), "{pushed:?}");
        assert_eq!(broker.counters.snapshot().dropped, [(DropReason::Evicted, 2)]);
        assert_eq!(broker.counters.snapshot().clients, 0);
    });
}

#[test]
fn a_client_that_asks_and_does_not_read_the_answers_is_dismissed() {
    run(async {
        let memory = Memory::new();
        let mut broker = bind(&memory, &queues(1, block(700))).await;
        let _client = connect(&memory, "client").await;
        let answer = bytes::Bytes::from(vec![0; 60]);
        broker
            .outbound
            .reply(&peer("client"), answer.clone())
            .await
            .unwrap();
        let second = broker.outbound.reply(&peer("client"), answer).await;
        assert!(
            matches!(second, Err(TransportError::UnknownPeer(_))),
            "{second:?}"
        );
        assert_eq!(
            collect(&mut broker).await.signals.len(),
            2,
            "connected, disconnected"
        );
    });
}

#[test]
fn close_waits_for_those_that_do_not_read_until_its_deadline() {
    run(async {
        let memory = Memory::new();
        let mut broker = bind(&memory, &queues(8, block(700))).await;
        let _slow = subscriber(&memory, &mut broker, "slow").await;
        broker
            .outbound
            .publish(Batch::from([0, 1, 2].map(|n| frame("t", n))).all())
            .await
            .unwrap();
        let started = Instant::now();
        let report = broker.outbound.close(started + Duration::from_millis(250)).await;
        assert_eq!(
            (report.undelivered, started.elapsed()),
            (3, Duration::from_millis(250))
        );
        let again = broker.outbound.close(started + Duration::from_secs(9)).await;
        assert_eq!((again, started.elapsed()), (report, Duration::from_millis(250)));
        assert_eq!(broker.counters.snapshot().dropped, [(DropReason::Closed, 3)]);
    });
}
