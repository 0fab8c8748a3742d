//! The engine does the same things in the same order each time: no order of a hash map, and no random branch, shows outside.
//! On one thread and under a paused clock, which is where a program is repeated.

#![allow(clippy::unwrap_used, reason = "the helpers of a test fail it where they fail")]

use distbus::{Broker, Client, ClosedBy, LocalBus, Memory};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::task::JoinSet;

const MANY: usize = 40;

/// What is recorded in the order in which it happens.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<usize>>>);

impl Log {
    fn add(&self, n: usize) {
        self.0.lock().expect("nobody panics with it").push(n);
    }

    fn all(&self) -> Vec<usize> {
        self.0.lock().expect("nobody panics with it").clone()
    }
}

/// Says so when it is dropped, as part of a handler does.
struct Held(Log, usize);

impl Drop for Held {
    fn drop(&mut self) {
        self.0.add(self.1);
    }
}

async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(Duration::from_secs(60), future).await {
        Ok(output) => output,
        Err(_) => panic!("{what}: not within a minute"),
    }
}

async fn connected() -> (Broker, Client) {
    let network = Memory::new();
    let broker = Broker::builder()
        .transport(network.clone())
        .bind("mem://lab")
        .await
        .expect("in memory");
    let client = Client::builder()
        .transport(network)
        .connect("mem://lab")
        .await
        .expect("in memory");
    (broker, client)
}

fn in_order() -> Vec<usize> {
    (0..MANY).collect()
}

#[tokio::test(start_paused = true)]
async fn streams_and_handlers_of_a_client_end_in_the_order_in_which_they_came() {
    let (_broker, client) = connected().await;
    let (ended, dropped) = (Log::default(), Log::default());
    let mut readers = JoinSet::new();
    for n in 0..MANY {
        let mut stream = client
            .subscribe_events(&format!("stream.{n}"))
            .await
            .expect("in memory");
        let ended = ended.clone();
        readers.spawn(async move {
            while stream.next().await.is_some() {}
            ended.add(n);
        });
        let held = Held(dropped.clone(), n);
        let handler = move |_: ()| {
            let _ = &held;
        };
        client.on_sync(&format!("handler.{n}"), handler).await.unwrap();
    }
    // Looked up, and so remembered: that memory ends in order, too.
    for n in 0..MANY {
        client.emit(&format!("handler.{n}"), &()).await.unwrap();
    }
    client.flush().await.unwrap();
    client.close().await;
    within("the readers ending", readers.join_all()).await;
    drop(client);
    assert_eq!(ended.all(), in_order());
    assert_eq!(dropped.all(), in_order());
}

#[tokio::test(start_paused = true)]
async fn handlers_that_were_taken_off_are_dropped_in_the_order_of_their_events() {
    let (_broker, client) = connected().await;
    let dropped = Log::default();
    for n in 0..MANY {
        let held = Held(dropped.clone(), n);
        let handler = move |_: ()| {
            let _ = &held;
        };
        client.on_sync(&format!("handler.{n}"), handler).await.unwrap();
    }
    for n in 0..MANY {
        client.emit(&format!("handler.{n}"), &()).await.unwrap();
    }
    client.flush().await.unwrap();
    for n in (0..MANY).rev() {
        client.off(&format!("handler.{n}")).await.unwrap();
    }
    // The dispatcher finds that its memory is old.
    let mut end = client.subscribe::<()>("end").await.unwrap();
    client.emit("end", &()).await.unwrap();
    within("the last event", end.next())
        .await
        .expect("the client is open");
    assert_eq!(dropped.all(), in_order());
}

#[tokio::test(start_paused = true)]
async fn streams_and_handlers_of_a_bus_end_in_the_order_in_which_they_came() {
    for by_closing in [true, false] {
        let bus = LocalBus::new();
        let (ended, dropped) = (Log::default(), Log::default());
        let mut readers = JoinSet::new();
        for n in 0..MANY {
            let entry = bus.entry("lab");
            let mut stream = entry.subscribe::<u32>(&format!("stream.{n}")).unwrap();
            let ended = ended.clone();
            readers.spawn(async move {
                while stream.next().await.is_some() {}
                ended.add(n);
            });
            let held = Held(dropped.clone(), n);
            let handler = move |_: &u32| {
                let _ = &held;
            };
            entry.on_sync(&format!("handler.{n}.*"), handler).unwrap();
        }
        tokio::task::yield_now().await;
        if by_closing {
            bus.close().await;
        }
        drop(bus);
        within("the readers ending", readers.join_all()).await;
        assert_eq!(ended.all(), in_order(), "closed: {by_closing}");
        assert_eq!(dropped.all(), in_order(), "closed: {by_closing}");
    }
}

#[tokio::test(start_paused = true)]
async fn whoever_waits_for_the_end_hears_of_it_in_the_order_of_waiting() {
    let (broker, client) = connected().await;
    let log = Log::default();
    let mut waiting = JoinSet::new();
    for n in 0..MANY {
        let (client, log) = (client.clone(), log.clone());
        waiting.spawn(async move {
            assert_eq!(client.closed().await, ClosedBy::Broker);
            log.add(n);
        });
    }
    tokio::task::yield_now().await;
    broker.close().await;
    within("the waiting ending", waiting.join_all()).await;
    assert_eq!(log.all(), in_order());
}

/// A handler may hold a subscription of its own client: replacing it, and closing, drop the handler, and with it the subscription.
#[tokio::test(start_paused = true)]
async fn a_handler_that_holds_a_subscription_of_its_client_may_be_dropped() {
    let (_broker, client) = connected().await;
    for _ in 0..2 {
        let stream = Mutex::new(client.subscribe_events("held").await.unwrap());
        let handler = move |_: ()| {
            let _ = &stream;
        };
        within("a handler being replaced", client.on_sync("topic", handler))
            .await
            .unwrap();
    }
    within("closing", client.close()).await;
    assert!(client.is_closed());
}
