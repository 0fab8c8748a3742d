//! The same program does the same things in the same order, and nothing is shared that was not handed over.

#![allow(clippy::unwrap_used, reason = "the helpers of a test fail it where they fail")]

mod support;

use distbus_memory::Memory;
use distbus_transport::{
    Batch, BrokerInbox, ClientInbox, Endpoint, Frame, Limits, Transport, TransportError,
};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use support::{bind, block, connect, numbers, peer, queues, receive, run};
use tokio::time::Instant;

/// Five clients that publish, subscribe and read at their own pace, one of them too slowly; everything seen, with its time.
async fn program() -> Vec<String> {
    let memory = Memory::new();
    let trace = Arc::new(Mutex::new(Vec::new()));
    let started = Instant::now();
    let log = {
        let trace = trace.clone();
        move |who: &str, what: String| {
            let at = started.elapsed().as_millis();
            trace.lock().unwrap().push(format!("{at} {who}: {what}"));
        }
    };
    let mut tasks = Vec::new();
    for n in 0..5_u64 {
        let (memory, log) = (memory.clone(), log.clone());
        tasks.push(tokio::spawn(async move {
            let name = format!("client{n}");
            let mut client = connect(&memory, &name).await;
            for prefix in ["a", "b", "a.b"].iter().take(1 + n as usize % 3) {
                client.outbound.subscribe((*prefix).into()).await.unwrap();
            }
            for k in 0..10_u64 {
                let topic = ["a.b", "b", "c"][((n + k) % 3) as usize];
                let body = vec![(10 * n + k) as u8; 60 + 7 * n as usize];
                client
                    .outbound
                    .push(Batch::from([Frame::sealed(topic, body)]).all())
                    .await
                    .unwrap();
                tokio::time::sleep(Duration::from_millis(3 + 5 * n * k % 11)).await;
                let mut inbox = ClientInbox::default();
                let patience = Duration::from_millis(1 + n);
                match tokio::time::timeout(patience, client.inbound.recv(&mut inbox)).await {
                    Ok(received) => log(&name, format!("{received:?} {:?}", numbers(&inbox.frames))),
                    Err(_) => log(&name, "nothing".into()),
                }
            }
            log(&name, format!("{:?}", client.counters.snapshot()));
        }));
    }
    let mut broker = bind(&memory, &queues(3, block(4))).await;
    let counters = broker.counters.clone();
    let relay = tokio::spawn({
        let log = log.clone();
        async move {
            let mut inbox = BrokerInbox::default();
            while broker.inbound.recv(&mut inbox).await.is_ok() {
                log(
                    "broker",
                    format!("{:?} {:?}", numbers(&inbox.frames), inbox.signals),
                );
                broker.outbound.publish(inbox.frames.all()).await.unwrap();
                inbox.clear();
            }
        }
    });
    for task in tasks {
        task.await.unwrap();
    }
    relay.abort();
    log("counters", format!("{:?}", counters.snapshot()));
    let trace = trace.lock().unwrap().clone();
    assert!(
        counters.snapshot().total_dropped() > 0,
        "somebody was slow: {trace:#?}"
    );
    trace
}

#[test]
fn the_same_program_twice_leaves_the_same_trace() {
    let first = run(program());
    assert!(first.len() > 50, "{first:#?}");
    for _ in 0..5 {
        assert_eq!(run(program()), first);
    }
}

#[test]
fn two_hubs_do_not_see_each_other() {
    run(async {
        let (one, two) = (Memory::new(), Memory::new());
        let broker = bind(&one, &Limits::default()).await;
        let (id, limits) = (peer("client"), Limits::default());
        // The clock is paused: a day passes at once, and nobody has come.
        let waiting = two.connect(&broker.endpoint, &id, &limits);
        assert!(
            tokio::time::timeout(Duration::from_secs(86_400), waiting)
                .await
                .is_err()
        );
        bind(&two, &Limits::default()).await;
        assert_eq!(broker.counters.snapshot().clients, 0);
    });
}

#[test]
fn clones_share_their_names() {
    run(async {
        let memory = Memory::new();
        let mut broker = bind(&memory.clone(), &Limits::default()).await;
        let mut client = connect(&memory, "client").await;
        client.outbound.subscribe("t".into()).await.unwrap();
        broker
            .outbound
            .publish(Batch::from([Frame::sealed("t", "x")]).all())
            .await
            .unwrap();
        assert_eq!(receive(&mut client).await.frames.len(), 1);
        let taken = memory.bind(&broker.endpoint, &Limits::default()).await.err();
        assert!(
            matches!(taken, Some(TransportError::AddressInUse { .. })),
            "{taken:?}"
        );
    });
}

#[test]
fn fresh_names_are_fresh() {
    run(async {
        let memory = Memory::new();
        let any = Endpoint::mem("");
        let named = memory
            .bind(&Endpoint::mem("fresh-2"), &Limits::default())
            .await
            .unwrap();
        let mut seen = vec![named.endpoint.clone()];
        for _ in 0..3 {
            // Each is dropped at once, and its name is not given out again.
            let link = memory.bind(&any, &Limits::default()).await.unwrap();
            assert!(!seen.contains(&link.endpoint), "{} again", link.endpoint);
            seen.push(link.endpoint);
        }
    });
}

#[test]
fn a_link_lives_while_one_half_does() {
    run(async {
        let memory = Memory::new();
        let broker = bind(&memory, &Limits::default()).await;
        let (mut inbound, outbound) = (broker.inbound, broker.outbound);
        let client = connect(&memory, "client").await;
        drop(client.inbound);
        drop(outbound);
        let mut pushing = client.outbound;
        pushing
            .push(Batch::from([Frame::sealed("t", "x")]).all())
            .await
            .unwrap();
        let mut inbox = BrokerInbox::default();
        inbound.recv(&mut inbox).await.unwrap();
        assert_eq!(inbox.frames.len(), 1);
        assert_eq!(broker.counters.snapshot().clients, 1);
        drop(pushing);
        assert_eq!(broker.counters.snapshot().clients, 0);
        drop(inbound);
        bind(&memory, &Limits::default()).await;
    });
}
