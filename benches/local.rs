//! What one emission on a local bus costs, beside `tokio::sync::broadcast`, which hands a value to several receivers and does nothing else.

use criterion::{Bencher, Criterion, Throughput, criterion_group, criterion_main};
use distbus::LocalBus;
use futures_util::FutureExt;
use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Runtime;
use tokio::time::Instant;

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .expect("a runtime")
}

fn with_sync_handlers(count: usize) -> LocalBus {
    let bus = LocalBus::new();
    for i in 0..count {
        let entry = bus.entry(&i.to_string());
        entry
            .on_sync("lab.temp", |value: &u64| {
                black_box(*value);
            })
            .expect("a topic");
    }
    bus
}

/// Awaits one after the other in one task, as programs do.
fn in_a_loop(b: &mut Bencher<'_>, runtime: &Runtime, mut each: impl AsyncFnMut()) {
    b.iter_custom(|rounds| {
        runtime.block_on(async {
            let start = Instant::now();
            for _ in 0..rounds {
                each().await;
            }
            start.elapsed()
        })
    });
}

fn one_emission(c: &mut Criterion) {
    let runtime = runtime();
    let mut group = c.benchmark_group("emit");
    group
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2))
        .sample_size(30);
    for count in [0, 1, 8] {
        let bus = with_sync_handlers(count);
        group.bench_function(format!("{count} sync handlers"), |b| {
            b.to_async(&runtime)
                .iter(|| bus.emit(black_box("lab.temp"), black_box(7_u64)));
        });
    }
    // In the very loop that a broadcast is awaited in, too.
    let bus = with_sync_handlers(1);
    group.bench_function("1 sync handler, in a loop", |b| {
        in_a_loop(b, &runtime, async || {
            let emitted = bus.emit(black_box("lab.temp"), black_box(7_u64)).await;
            emitted.expect("the bus is open");
        });
    });
    let bus = with_sync_handlers(1);
    for i in 0..100_000 {
        let entry = bus.entry("others");
        entry
            .on_sync(&format!("t.{i}"), |value: &u64| {
                black_box(*value);
            })
            .expect("a topic");
    }
    group.bench_function("1 sync handler among 100,000 topics", |b| {
        b.to_async(&runtime)
            .iter(|| bus.emit(black_box("lab.temp"), black_box(7_u64)));
    });
    let bus = LocalBus::new();
    bus.entry("a")
        .on("lab.temp", |value: Arc<u64>| async move {
            {
                black_box(*value);
            }
        })
        .expect("a topic");
    group.bench_function("1 async handler", |b| {
        b.to_async(&runtime)
            .iter(|| bus.emit(black_box("lab.temp"), black_box(7_u64)));
    });
    let bus = LocalBus::new();
    bus.entry("a")
        .on_event("lab.*", |event| async move { drop(black_box(event)) })
        .expect("a pattern");
    group.bench_function("1 wildcard event handler", |b| {
        b.to_async(&runtime)
            .iter(|| bus.emit(black_box("lab.temp"), black_box(7_u64)));
    });
    let bus = LocalBus::new();
    let mut stream = bus.entry("a").subscribe::<u64>("lab.temp").expect("a topic");
    group.bench_function("1 stream, and read", |b| {
        in_a_loop(b, &runtime, async || {
            let emitted = bus.emit(black_box("lab.temp"), black_box(7_u64)).await;
            emitted.expect("the bus is open");
            black_box(stream.next().await);
        });
    });
    group.finish();
}

fn broadcast(c: &mut Criterion) {
    let runtime = runtime();
    let mut group = c.benchmark_group("broadcast");
    group
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2))
        .sample_size(30);
    // Awaited, in the loop that an emission is awaited in.
    let (sender, mut receiver) = tokio::sync::broadcast::channel::<u64>(64);
    group.bench_function("1 receiver, awaited", |b| {
        in_a_loop(b, &runtime, async || {
            sender.send(black_box(7)).expect("a receiver");
            black_box(receiver.recv().await.expect("a value"));
        });
    });
    for count in [1, 8] {
        let (sender, _) = tokio::sync::broadcast::channel::<u64>(64);
        let mut receivers: Vec<_> = (0..count).map(|_| sender.subscribe()).collect();
        group.bench_function(format!("{count} receivers"), |b| {
            b.iter(|| {
                sender.send(black_box(7)).expect("a receiver");
                for receiver in &mut receivers {
                    black_box(receiver.try_recv().expect("a value"));
                }
            });
        });
    }
    group.finish();
}

/// All processors emit at once, to the same topic. The time is for one emission of one thread: it stays the same where emitters scale.
fn parallel(c: &mut Criterion) {
    let mut group = c.benchmark_group("parallel");
    group
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(3))
        .sample_size(20);
    const EVENTS: u64 = 50_000;
    let most = std::thread::available_parallelism().map_or(2, usize::from);
    for threads in [1, most] {
        let bus = with_sync_handlers(1);
        group.throughput(Throughput::Elements(EVENTS));
        group.bench_function(format!("{threads} emitters, 50,000 events each"), |b| {
            let emit = async || {
                for n in 0..EVENTS {
                    bus.emit(black_box("lab.temp"), n).await.expect("the bus is open");
                }
            };
            b.iter(|| {
                std::thread::scope(|scope| {
                    for _ in 0..threads {
                        scope.spawn(|| emit().now_or_never().expect("nothing to wait for"));
                    }
                });
            });
        });
    }
    group.finish();
}

fn registering(c: &mut Criterion) {
    let mut group = c.benchmark_group("on and off");
    group
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2))
        .sample_size(30);
    for patterns in [10, 100_000] {
        let bus = LocalBus::new();
        let entry = bus.entry("lab");
        for i in 0..patterns {
            for pattern in [format!("t.{i}"), format!("w.{i}.*")] {
                entry.on_sync(&pattern, |_: &u64| ()).expect("a pattern");
            }
        }
        for (kind, pattern) in [("exact", "t.x"), ("wildcard", "w.x.*")] {
            group.bench_function(format!("{kind}, among {patterns}"), |b| {
                b.iter(|| {
                    entry
                        .on_sync(black_box(pattern), |_: &u64| ())
                        .expect("a pattern");
                    entry.off(black_box(pattern)).expect("it is there");
                });
            });
        }
    }
    group.finish();
}

criterion_group!(benches, one_emission, broadcast, parallel, registering);
criterion_main!(benches);
