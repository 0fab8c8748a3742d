//! How often the hot paths allocate for each event. Times on shared machines are noise; these counts are not, so they are what keeps the bus quick.
//!
//! Each test warms a path up, then counts over thousands of events. All of a path runs on the test's own thread, where the
//! counter counts. What is left of buffers that many events share shows as a small fraction; each bound says what it is made of, and is there to be lowered.
//! `cargo test --test allocations -- --nocapture` prints the counts.
#![cfg(feature = "zmtp")]

mod scripted;
mod wire;

use bytes::Bytes;
use distbus::{Broker, Client, Codec, Json, LocalBus, Memory, MessagePack, Transport, Zmtp};
use distbus_transport::{Endpoint, Limits};
use scripted::Scripted;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::future::Future;
use std::hint::black_box;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;
use tokio::runtime::Runtime;
use tokio::sync::Notify;
use wire::Wire;

/// Enough to amortise what many events share.
const EVENTS: u64 = 10_000;
const TOPIC: &str = "lab.temp";

#[derive(Clone, Serialize, Deserialize)]
struct Sample {
    sent_ns: u64,
    value: f64,
    note: String,
}

fn sample() -> Sample {
    Sample {
        sent_ns: 1_795_368_196_123_456_789,
        value: 21.537,
        note: "x".repeat(64),
    }
}

/// All of it runs on this thread.
fn runtime() -> Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime")
}

/// Bounds a wait for something that always comes.
async fn within<T>(what: &str, wait: impl Future<Output = T>) -> T {
    match tokio::time::timeout(Duration::from_secs(60), wait).await {
        Ok(done) => done,
        Err(_) => panic!("waited a minute for {what}"),
    }
}

/// Runs `work` of [`EVENTS`] events, which is warm, and holds it to at most so many allocations for each.
#[track_caller]
fn hold(what: &str, most: f64, runtime: &Runtime, work: impl Future<Output = ()>) {
    let counted = allocation_counter::measure(|| runtime.block_on(within(what, work)));
    let each = counted.count_total as f64 / EVENTS as f64;
    let bytes = counted.bytes_total as f64 / EVENTS as f64;
    println!("{what}: {each:.4} allocations and {bytes:.0} bytes for each event; at most {most}");
    assert!(
        each <= most,
        "{what}: {each} allocations for each event, and no more than {most} are allowed"
    );
}

/// Counts deliveries, and wakes whoever waits for the last.
#[derive(Clone, Default)]
struct Arrivals {
    seen: Arc<AtomicU64>,
    changed: Arc<Notify>,
}

impl Arrivals {
    fn hit(&self) {
        if (self.seen.fetch_add(1, Relaxed) + 1).is_multiple_of(EVENTS) {
            self.changed.notify_one();
        }
    }

    /// Returns when [`EVENTS`] more have come since the last time.
    async fn all(&self) {
        self.changed.notified().await;
    }
}

async fn join<C: Codec>(transport: impl Transport, endpoint: &Endpoint, codec: C) -> Client<C> {
    let builder = Client::builder().codec(codec).transport(transport);
    within("a client", builder.connect(endpoint))
        .await
        .expect("a broker is there")
}

/// The broker's part alone: verified frames from one bare connection to another, in batches as a busy socket brings them.
fn relay(transport: impl Transport + Clone, endpoint: &str, most: f64) {
    let runtime = runtime();
    let name = transport.name();
    let (_broker, mut wire) = runtime.block_on(async {
        let builder = Broker::builder().transport(transport.clone());
        let broker = builder.bind(endpoint).await.expect("it is free");
        let wire = Wire::through(&transport, broker.endpoint(), &Limits::default()).await;
        (broker, wire)
    });
    runtime.block_on(within("the warm-up", wire.carry(EVENTS)));
    hold(&format!("relay over {name}"), most, &runtime, wire.carry(EVENTS));
}

#[test]
fn the_relay_allocates_for_batches_not_for_events() {
    // Four boxed futures for a batch of a thousand events: push, receive, publish, receive. The chunks that sockets are read into are used again.
    relay(Memory::new(), "mem://lab", 0.005);
    relay(Zmtp::new(), "tcp://127.0.0.1:0", 0.01);
}

/// What emitting takes, down to a transport that hands frames over.
fn emit<C: Codec, T: Serialize>(what: &str, codec: C, value: T, most: f64) {
    let runtime = runtime();
    let (_broker, client) = runtime.block_on(async {
        let memory = Memory::new();
        let broker = Scripted::start(&memory).await;
        let client = join(memory, broker.endpoint(), codec).await;
        (broker, client)
    });
    let emit_all = || async {
        for _ in 0..EVENTS {
            client.emit(TOPIC, black_box(&value)).await.expect("it is open");
        }
        client.flush().await.expect("it is open");
    };
    runtime.block_on(within("the warm-up", emit_all()));
    hold(&format!("emit {what}"), most, &runtime, emit_all());
}

#[test]
fn emitting_shares_buffers() {
    // A chunk of 64 KiB for as many bodies as fit into it, and a few boxed futures for each batch.
    let bytes = || Bytes::from_static(&[7; 64]);
    emit("f64 as Json", Json, 21.5, 0.01);
    emit("64 bytes as Json", Json, bytes(), 0.015);
    emit("a struct as Json", Json, sample(), 0.03);
    emit("f64 as MessagePack", MessagePack, 21.5, 0.005);
    emit("64 bytes as MessagePack", MessagePack, bytes(), 0.007);
    emit("a struct as MessagePack", MessagePack, sample(), 0.009);
}

/// What delivery to a synchronous handler takes, from a transport that hands frames over.
fn deliver<C, T>(what: &str, codec: C, value: T, most: f64)
where
    C: Codec,
    T: Serialize + DeserializeOwned + Send + 'static,
{
    let runtime = runtime();
    let arrivals = Arrivals::default();
    let (broker, _client, frames) = runtime.block_on(async {
        let memory = Memory::new();
        let broker = Scripted::start(&memory).await;
        let emitter = join(memory.clone(), broker.endpoint(), codec.clone()).await;
        for _ in 0..2 * EVENTS {
            emitter.emit(TOPIC, &value).await.expect("it is open");
        }
        emitter.flush().await.expect("it is open");
        let frames = broker.kept(TOPIC);
        assert_eq!(frames.len() as u64, 2 * EVENTS);
        let client = join(memory, broker.endpoint(), codec).await;
        let seen = arrivals.clone();
        let handler = move |value: T| {
            black_box(&value);
            seen.hit();
        };
        client.on_sync(TOPIC, handler).await.expect("the broker answers");
        (broker, client, frames)
    });
    let (warm_up, counted) = (
        frames.all().slice(..EVENTS as usize),
        frames.all().slice(EVENTS as usize..),
    );
    let (broker, arrivals) = (&broker, &arrivals);
    let deliver_all = |frames| async move {
        broker.publish(frames).await;
        arrivals.all().await;
    };
    runtime.block_on(within("the warm-up", deliver_all(warm_up)));
    hold(
        &format!("delivery of {what}"),
        most,
        &runtime,
        deliver_all(counted),
    );
    assert_eq!(arrivals.seen.load(Relaxed), 2 * EVENTS);
}

#[test]
fn delivery_allocates_what_the_value_owns() {
    // A chunk of 64 KiB for as many payloads as fit into it, and little for each batch.
    let bytes = || Bytes::from_static(&[7; 64]);
    deliver("f64 as Json", Json, 21.5, 0.007);
    deliver("f64 as MessagePack", MessagePack, 21.5, 0.007);
    // And the bytes, or the text, that the handler is given to keep.
    deliver("64 bytes as Json", Json, bytes(), 1.01);
    deliver("64 bytes as MessagePack", MessagePack, bytes(), 1.01);
    deliver("a struct as Json", Json, sample(), 1.015);
    deliver("a struct as MessagePack", MessagePack, sample(), 1.01);
}

/// All of it: emit, relay and delivery over real sockets.
fn whole<C, T>(what: &str, codec: C, value: T, most: f64)
where
    C: Codec,
    T: Serialize + DeserializeOwned + Send + 'static,
{
    let runtime = runtime();
    let arrivals = Arrivals::default();
    let (_broker, emitter, _subscriber) = runtime.block_on(async {
        let broker = Broker::bind("tcp://127.0.0.1:0").await.expect("a free port");
        let emitter = join(Zmtp::new(), broker.endpoint(), codec.clone()).await;
        let subscriber = join(Zmtp::new(), broker.endpoint(), codec).await;
        let seen = arrivals.clone();
        let handler = move |value: T| {
            black_box(&value);
            seen.hit();
        };
        subscriber
            .on_sync(TOPIC, handler)
            .await
            .expect("the broker answers");
        (broker, emitter, subscriber)
    });
    let all = || async {
        for _ in 0..EVENTS {
            emitter.emit(TOPIC, black_box(&value)).await.expect("it is open");
        }
        arrivals.all().await;
    };
    runtime.block_on(within("the warm-up", all()));
    hold(
        &format!("emit, relay and delivery of {what}"),
        most,
        &runtime,
        all(),
    );
}

#[test]
fn the_whole_way_over_sockets() {
    // The parts above together, with smaller batches, and chunks that sockets are read into while events still refer to those before. How
    // much a read brings is the system's to say: these bounds leave it room.
    whole("f64 as Json", Json, 21.5, 0.05);
    whole(
        "64 bytes as MessagePack",
        MessagePack,
        Bytes::from_static(&[7; 64]),
        1.05,
    );
    whole("a struct as Json", Json, sample(), 1.12);
}

#[test]
fn inside_a_process_nothing_is_allocated() {
    let runtime = runtime();
    for handlers in [1, 8] {
        let bus = LocalBus::new();
        for number in 0..handlers {
            let entry = bus.entry(&number.to_string());
            let handler = |value: &f64| {
                black_box(*value);
            };
            entry.on_sync(TOPIC, handler).expect("a topic");
        }
        let emit_all = || async {
            for _ in 0..EVENTS {
                bus.emit(TOPIC, black_box(21.5)).await.expect("it is open");
            }
        };
        runtime.block_on(emit_all());
        hold(
            &format!("local, to {handlers} handlers"),
            0.0,
            &runtime,
            emit_all(),
        );
        assert_eq!(bus.stats().delivered, 2 * EVENTS * handlers);
    }
}
