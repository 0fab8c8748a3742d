//! The local bus: typed, without serialization, one participant never felt by another.
// Clippy knows only the test functions themselves as tests, not their helpers.
#![allow(clippy::unwrap_used, reason = "the helpers of a test fail it where they fail")]

use distbus::{CLOSE, DropReason, EntryPoint, Error, Event, LocalBus, LocalBusBuilder, PULSE, SlowConsumer};
use serde::{Deserialize, Serialize};
use std::future::pending;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::{Notify, Semaphore, mpsc};
use tokio::time::{Instant, timeout};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Temperature {
    celsius: f64,
}

fn warm() -> Temperature {
    Temperature { celsius: 21.5 }
}

/// What handlers saw, in order.
#[derive(Clone, Default)]
struct Seen(Arc<Mutex<Vec<String>>>);

impl Seen {
    fn add(&self, what: impl ToString) {
        self.0.lock().unwrap().push(what.to_string());
    }

    fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().unwrap())
    }
}

async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    let result = timeout(Duration::from_secs(10), future).await;
    result.unwrap_or_else(|_| panic!("{what} did not happen in 10 s"))
}

fn lab() -> (LocalBus, EntryPoint) {
    let bus = LocalBus::new();
    let lab = bus.entry("lab");
    (bus, lab)
}

fn not_called<T>(_: &T) {
    panic!("this handler was called");
}

fn assert_law(bus: &LocalBus) {
    let now = bus.stats();
    assert_eq!(now.offered, now.delivered + now.total_dropped(), "{now:?}");
}

#[tokio::test]
async fn every_kind_of_handler_gets_it() {
    let (bus, _) = lab();
    let seen = Seen::default();
    let entries: Vec<_> = (0..4).map(|i| bus.entry(&format!("e{i}"))).collect();
    let s = seen.clone();
    entries[0]
        .on("lab.temp", move |t: Arc<Temperature>| {
            let s = s.clone();
            async move { s.add(format!("on {}", t.celsius)) }
        })
        .unwrap();
    let s = seen.clone();
    entries[1]
        .on_sync("lab.temp", move |t: &Temperature| {
            s.add(format!("sync {}", t.celsius));
        })
        .unwrap();
    let s = seen.clone();
    entries[2]
        .on_event("lab.*", move |e: Event| {
            let s = s.clone();
            async move {
                s.add(format!(
                    "{} {}",
                    e.topic(),
                    e.get::<Temperature>().unwrap().celsius
                ));
            }
        })
        .unwrap();
    let mut temps = entries[3].subscribe::<Temperature>("lab.+").unwrap();
    bus.emit("lab.temp", warm()).await.unwrap();
    let mut got = seen.take();
    got.sort();
    assert_eq!(got, ["lab.temp 21.5", "on 21.5", "sync 21.5"]);
    let temp = within("the stream's event", temps.next()).await.unwrap();
    assert_eq!(*temp, warm());
    assert_eq!(bus.stats().delivered, 4);
    assert_law(&bus);
}

#[tokio::test]
async fn the_very_value_is_shared_never_copied() {
    let (bus, lab) = lab();
    let places = Arc::new(Mutex::new(Vec::new()));
    let note = |places: &Arc<Mutex<Vec<usize>>>, t: &Temperature| {
        places.lock().unwrap().push(std::ptr::from_ref(t) as usize);
    };
    let p = Arc::clone(&places);
    lab.on_sync("lab.temp", move |t: &Temperature| note(&p, t))
        .unwrap();
    let p = Arc::clone(&places);
    bus.entry("b")
        .on("lab.temp", move |t: Arc<Temperature>| {
            note(&p, &t);
            async {}
        })
        .unwrap();
    let p = Arc::clone(&places);
    bus.entry("c")
        .on_event("*", move |e: Event| {
            note(&p, &e.get::<Temperature>().unwrap());
            async {}
        })
        .unwrap();
    let value = Arc::new(warm());
    let there = Arc::as_ptr(&value) as usize;
    bus.emit_shared("lab.temp", Arc::clone(&value)).await.unwrap();
    assert_eq!(*places.lock().unwrap(), [there; 3]);
    places.lock().unwrap().clear();
    bus.emit("lab.temp", warm()).await.unwrap();
    let all = places.lock().unwrap();
    assert!(all.len() == 3 && all.iter().all(|place| *place == all[0]));
}

#[tokio::test]
async fn no_data_is_a_unit_or_none() {
    let (bus, lab) = lab();
    let seen = Seen::default();
    let s = seen.clone();
    lab.on_sync("go", move |(): &()| s.add("unit")).unwrap();
    let s = seen.clone();
    bus.entry("b")
        .on("go", move |none: Arc<Option<u32>>| {
            s.add(format!("{none:?}"));
            async {}
        })
        .unwrap();
    let s = seen.clone();
    bus.entry("c")
        .on_event("go", move |e: Event| {
            s.add(e.is_empty());
            async {}
        })
        .unwrap();
    bus.entry("d").on_sync("go", not_called::<u32>).unwrap();
    bus.emit_empty("go").await.unwrap();
    let mut got = seen.take();
    got.sort();
    assert_eq!(got, ["None", "true", "unit"]);
    assert_eq!(bus.stats().dropped_by(DropReason::Undecodable), 1);
    assert_law(&bus);
}

#[tokio::test]
async fn another_type_goes_through_the_codec_and_a_mismatch_is_counted() {
    #[derive(Serialize)]
    struct Reading {
        celsius: f64,
        sensor: &'static str,
    }
    let (bus, lab) = lab();
    let seen = Seen::default();
    let s = seen.clone();
    lab.on_sync("lab.temp", move |t: &Temperature| s.add(t.celsius))
        .unwrap();
    bus.entry("wrong").on_sync("lab.temp", |_: &u32| ()).unwrap();
    bus.entry("wrong too")
        .on("lab.temp", |_: Arc<Vec<u8>>| async {})
        .unwrap();
    let reading = Reading {
        celsius: 3.0,
        sensor: "a",
    };
    assert_eq!(reading.sensor, "a");
    bus.emit("lab.temp", reading).await.unwrap();
    assert_eq!(seen.take(), ["3"]);
    let stats = bus.stats();
    assert_eq!(stats.delivered + stats.dropped_by(DropReason::Undecodable), 3);
    assert!(stats.dropped_by(DropReason::Undecodable) >= 1);
    assert_law(&bus);
}

#[tokio::test]
async fn a_local_value_needs_no_serialization_and_reaches_only_its_type() {
    struct Handle(AtomicUsize);
    let (bus, lab) = lab();
    lab.on_local("h", |h: Arc<Handle>| async move {
        h.0.fetch_add(1, SeqCst);
    })
    .unwrap();
    bus.entry("b")
        .on_local_sync("h", |h: &Handle| {
            h.0.fetch_add(10, SeqCst);
        })
        .unwrap();
    bus.entry("c").on_sync("h", not_called::<Temperature>).unwrap();
    let handle = Arc::new(Handle(AtomicUsize::new(0)));
    let h = Arc::clone(&handle);
    bus.entry("d")
        .on_local_sync("h2", move |_: &Handle| {
            h.0.fetch_add(100, SeqCst);
        })
        .unwrap();
    bus.emit_local("h", Handle(AtomicUsize::new(0))).await.unwrap();
    bus.emit_local("h2", Handle(AtomicUsize::new(0))).await.unwrap();
    // A value of another type never reaches a handler that cannot decode.
    bus.emit("h2", 5).await.unwrap();
    assert_eq!(handle.0.load(SeqCst), 100);
    assert_eq!(bus.stats().dropped_by(DropReason::Undecodable), 2);
    assert_law(&bus);
}

#[tokio::test]
async fn the_newest_handler_of_an_entry_point_wins() {
    let (bus, lab) = lab();
    let seen = Seen::default();
    for name in ["old", "new"] {
        let s = seen.clone();
        lab.on_sync("a", move |_: &u32| s.add(name)).unwrap();
        let s = seen.clone();
        lab.on_event("*", move |_| {
            s.add(format!("{name} *"));
            async {}
        })
        .unwrap();
    }
    let s = seen.clone();
    bus.entry("other")
        .on_sync("a", move |_: &u32| s.add("other"))
        .unwrap();
    bus.emit("a", 1_u32).await.unwrap();
    let mut got = seen.take();
    got.sort();
    assert_eq!(got, ["new", "new *", "other"]);
}

#[tokio::test]
async fn off_takes_a_handler_out_and_leaves_streams() {
    let (bus, lab) = lab();
    let seen = Seen::default();
    let s = seen.clone();
    lab.on_sync("a", move |_: &u32| s.add("a")).unwrap();
    let mut stream = lab.subscribe::<u32>("a").unwrap();
    lab.off("a").unwrap();
    assert!(matches!(lab.off("a"), Err(Error::NotRegistered(p)) if p == "a"));
    assert!(matches!(bus.entry("b").off("a"), Err(Error::NotRegistered(_))));
    bus.emit("a", 1_u32).await.unwrap();
    assert!(seen.take().is_empty());
    assert_eq!(*within("the event", stream.next()).await.unwrap(), 1);
    drop(stream);
    bus.emit("a", 2_u32).await.unwrap();
    assert_eq!(bus.stats().offered, 1);
}

#[tokio::test]
async fn an_entry_point_that_closes_takes_its_own_away() {
    let (bus, lab) = lab();
    let seen = Seen::default();
    let s = seen.clone();
    lab.on_sync("a", move |_: &u32| s.add("closed")).unwrap();
    let mut stream = lab.subscribe::<u32>("a.*").unwrap();
    let s = seen.clone();
    bus.entry("b").on_sync("a", move |_: &u32| s.add("b")).unwrap();
    bus.emit("a.b", 1_u32).await.unwrap();
    lab.close();
    bus.emit("a", 1_u32).await.unwrap();
    bus.emit("a.b", 2_u32).await.unwrap();
    assert_eq!(seen.take(), ["b"]);
    assert_eq!(*within("what waited", stream.next()).await.unwrap(), 1);
    assert!(within("the end", stream.next()).await.is_none());
    assert_law(&bus);
}

#[tokio::test]
async fn failing_and_panicking_handlers_hurt_nobody() {
    let (bus, _) = lab();
    let seen = Seen::default();
    bus.entry("fails")
        .on_sync("a", |_: &u32| Err::<(), _>("no"))
        .unwrap();
    bus.entry("panics").on_sync("a", not_called::<u32>).unwrap();
    bus.entry("fails later")
        .on("a", |_: Arc<u32>| async { Err::<(), _>("later") })
        .unwrap();
    bus.entry("panics at once")
        .on("a", |v: Arc<u32>| {
            assert!(*v > 100, "at once");
            async {}
        })
        .unwrap();
    bus.entry("panics later")
        .on_event("*", |_| async {
            tokio::task::yield_now().await;
            not_called(&());
        })
        .unwrap();
    let s = seen.clone();
    bus.entry("good").on_sync("a", move |v: &u32| s.add(v)).unwrap();
    for i in 0..3_u32 {
        bus.emit("a", i).await.unwrap();
    }
    assert_eq!(seen.take(), ["0", "1", "2"]);
    assert_eq!(bus.stats().dropped_by(DropReason::Failed), 15);
    assert_eq!(bus.stats().delivered, 3);
    assert_law(&bus);
}

#[tokio::test]
async fn a_handler_may_emit_to_its_own_topic_and_register() {
    let (bus, lab) = lab();
    let count = Arc::new(AtomicUsize::new(0));
    let (b, c) = (bus.clone(), Arc::clone(&count));
    lab.on("countdown", move |n: Arc<u32>| {
        let (bus, count) = (b.clone(), Arc::clone(&c));
        async move {
            count.fetch_add(1, SeqCst);
            bus.entry("more").on_sync("other", |_: &u32| ()).unwrap();
            if *n > 0 {
                bus.emit("countdown", *n - 1).await.unwrap();
            }
        }
    })
    .unwrap();
    let (l, c) = (lab.clone(), Arc::clone(&count));
    bus.entry("sync")
        .on_sync("countdown", move |_: &u32| {
            c.fetch_add(1, SeqCst);
            l.on_sync("fresh", |_: &u32| ()).unwrap();
        })
        .unwrap();
    within("the countdown", bus.emit("countdown", 20_u32))
        .await
        .unwrap();
    assert_eq!(count.load(SeqCst), 42);
    assert_law(&bus);
}

#[tokio::test]
async fn a_handler_may_take_itself_off() {
    let (bus, lab) = lab();
    let seen = Seen::default();
    let (l, s) = (lab.clone(), seen.clone());
    lab.on_sync("a", move |_: &u32| {
        s.add("once");
        l.off("a").map_err(|error| error.to_string())
    })
    .unwrap();
    bus.emit("a", 1_u32).await.unwrap();
    bus.emit("a", 1_u32).await.unwrap();
    assert_eq!(seen.take(), ["once"]);
}

#[tokio::test]
async fn handlers_of_one_event_run_together_and_the_emitter_waits() {
    let (bus, _) = lab();
    let (first, second) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    for (name, mine, other) in [("a", &first, &second), ("b", &second, &first)] {
        let (mine, other) = (Arc::clone(mine), Arc::clone(other));
        bus.entry(name)
            .on("meet", move |_: Arc<u32>| {
                let (mine, other) = (Arc::clone(&mine), Arc::clone(&other));
                async move {
                    other.notify_one();
                    mine.notified().await;
                }
            })
            .unwrap();
    }
    // Each waits for the other: one after the other they would wait for ever.
    within("the meeting", bus.emit("meet", 1_u32)).await.unwrap();
    assert_eq!(bus.stats().delivered, 2);
}

#[tokio::test]
async fn detached_handlers_and_emissions_are_not_waited_for() {
    let (bus, lab) = lab();
    let gate = Arc::new(Semaphore::new(0));
    let (done, mut finished) = mpsc::channel(8);
    let (g, d) = (Arc::clone(&gate), done.clone());
    lab.on_detached("slow", move |v: Arc<u32>| {
        let (g, d) = (Arc::clone(&g), d.clone());
        async move {
            g.acquire().await.unwrap().forget();
            d.send(*v).await.unwrap();
        }
    })
    .unwrap();
    within("emit", bus.emit("slow", 1_u32)).await.unwrap();
    let (g, d) = (Arc::clone(&gate), done.clone());
    bus.entry("b")
        .on("patient", move |v: Arc<u32>| {
            let (g, d) = (Arc::clone(&g), d.clone());
            async move {
                g.acquire().await.unwrap().forget();
                d.send(*v).await.unwrap();
            }
        })
        .unwrap();
    within("emit_detached", bus.emit_detached("patient", 2_u32))
        .await
        .unwrap();
    assert_eq!(bus.stats().in_flight(), 2);
    gate.add_permits(2);
    let mut got = vec![
        within("one", finished.recv()).await.unwrap(),
        within("two", finished.recv()).await.unwrap(),
    ];
    got.sort_unstable();
    assert_eq!(got, [1, 2]);
    assert_eq!(within("close", bus.close()).await.undelivered, 0);
    assert_law(&bus);
}

#[tokio::test(start_paused = true)]
async fn detached_tasks_are_bounded() {
    let bus = LocalBus::builder().detached(2).build();
    bus.entry("stuck")
        .on_detached("a", |_: Arc<u32>| pending::<()>())
        .unwrap();
    let start = Instant::now();
    for i in 0..10_u32 {
        bus.emit("a", i).await.unwrap();
    }
    // One stall costs one deadline, not one for each event.
    assert_eq!(start.elapsed(), Duration::from_secs(1));
    let stats = bus.stats();
    assert_eq!(
        (stats.in_flight(), stats.dropped_by(DropReason::Deadline)),
        (2, 8)
    );
    let report = bus.close().await;
    assert_eq!(report.undelivered, 2);
    // The tasks drop what they held as soon as they are told.
    for _ in 0..10 {
        tokio::task::yield_now().await;
    }
    assert_eq!(bus.stats().dropped_by(DropReason::Closed), 2);
    assert_law(&bus);
}

#[tokio::test]
async fn an_abandoned_emission_is_counted() {
    let (bus, lab) = lab();
    lab.on("a", |_: Arc<u32>| pending::<()>()).unwrap();
    let emitting = tokio::spawn({
        let bus = bus.clone();
        async move { bus.emit("a", 1_u32).await }
    });
    within("the handler's start", async {
        while bus.stats().in_flight() == 0 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    emitting.abort();
    assert!(emitting.await.unwrap_err().is_cancelled());
    assert_eq!(bus.stats().dropped_by(DropReason::Failed), 1);
    assert_law(&bus);
}

#[tokio::test(start_paused = true)]
async fn a_full_stream_holds_the_emitter_up_once_a_stall_and_counts() {
    let bus = LocalBus::builder().queue_events(3).build();
    let mut stream = bus.entry("slow").subscribe::<u32>("a").unwrap();
    let seen = Arc::new(AtomicUsize::new(0));
    let s = Arc::clone(&seen);
    bus.entry("fast")
        .on_sync("a", move |_: &u32| {
            s.fetch_add(1, SeqCst);
        })
        .unwrap();
    let start = Instant::now();
    for i in 0..10_u32 {
        bus.emit("a", i).await.unwrap();
    }
    assert_eq!(start.elapsed(), Duration::from_secs(1));
    assert_eq!(seen.load(SeqCst), 10);
    assert_eq!(bus.stats().dropped_by(DropReason::Deadline), 7);
    for i in 0..3 {
        assert_eq!(*stream.next().await.unwrap(), i);
    }
    assert_law(&bus);
}

#[tokio::test]
async fn policies_of_full_streams() {
    for (policy, kept) in [
        (SlowConsumer::DropNewest, vec![0, 1]),
        (SlowConsumer::DropOldest, vec![3, 4]),
        (SlowConsumer::Disconnect, vec![]),
    ] {
        let bus = LocalBus::builder().queue_events(2).slow_consumer(policy).build();
        let mut stream = bus.entry("slow").subscribe::<u32>("a").unwrap();
        for i in 0..5_u32 {
            bus.emit("a", i).await.unwrap();
        }
        bus.entry("x").close();
        let mut got = Vec::new();
        while got.len() < kept.len() {
            got.push(*within("an event", stream.next()).await.unwrap());
        }
        assert_eq!(got, kept, "{policy:?}");
        assert_law(&bus);
    }
}

#[tokio::test]
async fn a_stream_passes_over_what_is_another_type() {
    let (bus, lab) = lab();
    let mut temps = lab.subscribe::<Temperature>("*").unwrap();
    bus.emit("a", 5_u32).await.unwrap();
    bus.emit("b", warm()).await.unwrap();
    let temp = within("the event", temps.next()).await.unwrap();
    assert_eq!((temp.event().topic(), &**temp.data()), ("b", &warm()));
    assert_eq!(bus.stats().dropped_by(DropReason::Undecodable), 1);
    assert_law(&bus);
}

#[tokio::test]
async fn streams_end_when_the_last_handle_is_dropped() {
    let (bus, lab) = lab();
    let mut stream = lab.subscribe_events("*").unwrap();
    bus.emit("a", 1_u32).await.unwrap();
    drop((bus, lab));
    assert_eq!(within("what waited", stream.next()).await.unwrap().topic(), "a");
    assert!(within("the end", stream.next()).await.is_none());
}

#[tokio::test]
async fn topics_are_checked() {
    let (bus, lab) = lab();
    assert!(matches!(bus.emit("", 1).await, Err(Error::Topic(_))));
    assert!(matches!(bus.emit("a.*", 1).await, Err(Error::Topic(_))));
    for reserved in [CLOSE, PULSE, "distbus.probe.x"] {
        assert!(matches!(bus.emit(reserved, 1).await, Err(Error::Topic(_))));
        // A handler for its exact name changes nothing about that.
        lab.on_sync(reserved, not_called::<i32>).unwrap();
        assert!(matches!(lab.emit(reserved, 1).await, Err(Error::Topic(_))));
    }
    assert!(matches!(lab.on_sync("te*", |_: &i32| ()), Err(Error::Topic(_))));
    assert_eq!(bus.stats().offered, 0);
}

#[tokio::test]
async fn ids_say_where_an_event_stands() {
    let (bus, lab) = lab();
    let mut events = lab.subscribe_events("*").unwrap();
    for (topic, value) in [("a", 1), ("b", 2), ("a", 3)] {
        bus.emit(topic, value).await.unwrap();
    }
    bus.emit_with_id("a", 4, "mine").await.unwrap();
    let mut places = Vec::new();
    for _ in 0..3 {
        let origin = within("an event", events.next())
            .await
            .unwrap()
            .id()
            .origin()
            .unwrap();
        places.push((origin.publisher, origin.slot, origin.sequence));
    }
    let publisher = places[0].0;
    assert_eq!(places, [(publisher, 1, 1), (publisher, 2, 1), (publisher, 1, 2)]);
    let mine = within("mine", events.next()).await.unwrap();
    assert_eq!(mine.id().as_text(), Some("mine"));
    // Passed on, it is the same event.
    bus.emit_event(&mine).await.unwrap();
    let again = within("again", events.next()).await.unwrap();
    assert_eq!((again.id(), again.timestamp()), (mine.id(), mine.timestamp()));
}

#[tokio::test]
async fn closing_tells_refuses_and_ends() {
    let (bus, lab) = lab();
    let seen = Seen::default();
    let (s, b) = (seen.clone(), bus.clone());
    lab.on(CLOSE, move |_: Arc<()>| {
        let (s, b) = (s.clone(), b.clone());
        // It may still say good bye.
        async move { s.add(format!("close {}", b.emit("bye", 1_u32).await.is_ok())) }
    })
    .unwrap();
    let s = seen.clone();
    lab.on_sync("bye", move |_: &u32| s.add("bye")).unwrap();
    let s = seen.clone();
    lab.on_event("*", move |e: Event| {
        s.add(e.topic());
        async {}
    })
    .unwrap();
    let mut stream = lab.subscribe_events("nothing").unwrap();
    let (first, second) = tokio::join!(bus.close(), lab.bus().close());
    assert_eq!((first, first.undelivered), (second, 0));
    assert_eq!(bus.close().await, first);
    let mut got = seen.take();
    got.sort();
    assert_eq!(got, ["bye", "bye", "close true"]);
    assert!(bus.is_closed());
    assert!(matches!(bus.emit("a", 1).await, Err(Error::Closed)));
    assert!(matches!(bus.emit_empty("a").await, Err(Error::Closed)));
    assert!(matches!(lab.on_sync("a", |_: &u32| ()), Err(Error::Closed)));
    assert!(matches!(lab.subscribe::<u32>("a"), Err(Error::Closed)));
    assert!(within("the end", stream.next()).await.is_none());
    within("closed", bus.closed()).await;
    assert_law(&bus);
}

#[tokio::test(start_paused = true)]
async fn closing_waits_for_handlers_until_the_deadline() {
    let (bus, lab) = lab();
    let done = Arc::new(AtomicBool::new(false));
    let d = Arc::clone(&done);
    lab.on("slow", move |_: Arc<u32>| {
        let d = Arc::clone(&d);
        async move {
            tokio::time::sleep(Duration::from_secs(3)).await;
            d.store(true, SeqCst);
        }
    })
    .unwrap();
    bus.emit_detached("slow", 1_u32).await.unwrap();
    let start = Instant::now();
    assert_eq!(bus.close().await.undelivered, 0);
    assert!(done.load(SeqCst));
    assert_eq!(start.elapsed(), Duration::from_secs(3));

    let (bus, lab) = self::lab();
    lab.on("stuck", |_: Arc<u32>| pending::<()>()).unwrap();
    let emitter = tokio::spawn({
        let bus = bus.clone();
        async move { bus.emit("stuck", 1_u32).await }
    });
    tokio::task::yield_now().await;
    assert_eq!(bus.close_within(Duration::from_secs(1)).await.undelivered, 1);
    assert!(matches!(emitter.await.unwrap(), Err(Error::Closed)));
    assert_eq!(bus.stats().dropped_by(DropReason::Closed), 1);
    assert_law(&bus);
}

#[tokio::test(start_paused = true)]
async fn closing_reports_what_a_stream_still_holds_and_leaves_it_readable() {
    let (bus, lab) = lab();
    let mut stream = lab.subscribe::<u32>("a").unwrap();
    for i in 0..3_u32 {
        bus.emit("a", i).await.unwrap();
    }
    assert_eq!(bus.close_within(Duration::from_secs(1)).await.undelivered, 3);
    for i in 0..3 {
        assert_eq!(*stream.next().await.unwrap(), i);
    }
    assert!(stream.next().await.is_none());
    assert_law(&bus);
}

#[test]
fn emitting_needs_no_runtime() {
    let (bus, lab) = lab();
    let seen = Seen::default();
    let s = seen.clone();
    lab.on_sync("a", move |v: &u32| s.add(v)).unwrap();
    let s = seen.clone();
    bus.entry("b")
        .on_detached("a", move |v: Arc<u32>| {
            let s = s.clone();
            async move { s.add(v) }
        })
        .unwrap();
    futures_util::future::FutureExt::now_or_never(bus.emit("a", 7_u32))
        .unwrap()
        .unwrap();
    assert_eq!(seen.take(), ["7", "7"]);
}

#[test]
fn emitters_in_parallel_while_others_subscribe_and_leave() {
    const EMITTERS: u64 = 4;
    const EVENTS: u64 = 20_000;
    let bus = LocalBus::new();
    let sum = Arc::new(AtomicU64::new(0));
    let s = Arc::clone(&sum);
    bus.entry("steady")
        .on_sync("n", move |n: &u64| {
            s.fetch_add(*n, SeqCst);
        })
        .unwrap();
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let churn = (0..2).map(|i| {
            let (bus, over) = (&bus, &over);
            scope.spawn(move || {
                let entry = bus.entry("churn");
                let mut changes = 0_u64;
                while !over.load(SeqCst) {
                    let pattern = ["n".into(), "*".into(), format!("n.{i}.*"), format!("x.{changes}")];
                    for pattern in &pattern {
                        entry.on_sync(pattern, |_: &u64| ()).unwrap();
                    }
                    drop(entry.subscribe_events("n"));
                    for pattern in &pattern {
                        entry.off(pattern).unwrap();
                    }
                    changes += 1;
                }
                changes
            })
        });
        let churn: Vec<_> = churn.collect();
        let emitters: Vec<_> = (0..EMITTERS)
            .map(|_| {
                let bus = &bus;
                scope.spawn(move || {
                    for n in 0..EVENTS {
                        let emitted = futures_util::future::FutureExt::now_or_never(bus.emit("n", n));
                        emitted.expect("nothing to wait for").unwrap();
                    }
                })
            })
            .collect();
        for emitter in emitters {
            emitter.join().unwrap();
        }
        over.store(true, SeqCst);
        for churn in churn {
            assert!(churn.join().unwrap() > 0);
        }
    });
    assert_eq!(sum.load(SeqCst), EMITTERS * EVENTS * (EVENTS - 1) / 2);
    assert_law(&bus);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn closing_while_others_emit_leaves_no_handler_running() {
    for _ in 0..50 {
        let bus = LocalBusBuilder::with_codec(distbus::Json).build();
        let (running, late) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
        let (r, l) = (Arc::clone(&running), Arc::clone(&late));
        let closed = Arc::new(AtomicBool::new(false));
        let c = Arc::clone(&closed);
        bus.entry("a")
            .on_sync("a", move |_: &u32| {
                r.fetch_add(1, SeqCst);
                if c.load(SeqCst) {
                    l.store(true, SeqCst);
                }
                r.fetch_sub(1, SeqCst);
            })
            .unwrap();
        let emitter = tokio::spawn({
            let bus = bus.clone();
            async move {
                while bus.emit("a", 1_u32).await.is_ok() {
                    tokio::task::yield_now().await;
                }
            }
        });
        tokio::task::yield_now().await;
        assert_eq!(within("close", bus.close()).await.undelivered, 0);
        closed.store(true, SeqCst);
        within("the emitter's end", emitter).await.unwrap();
        assert!(!late.load(SeqCst) && running.load(SeqCst) == 0);
        assert_law(&bus);
    }
}

#[test]
fn no_emission_that_begins_after_off_calls_the_handler() {
    const EMITTERS: usize = 2;
    const ROUNDS: usize = 200;
    let bus = LocalBus::new();
    let (pump, keeper) = (bus.entry("pump"), bus.entry("keeper"));
    // Somebody is always there, so that emitters find the topic in every table.
    keeper.on_sync("n", |_: &usize| ()).unwrap();
    // The last round whose handler is off again, and the rounds that emissions were called in which began after that.
    let (off, late) = (AtomicUsize::new(0), Arc::new(Mutex::new(Vec::new())));
    let (over, begun) = (AtomicBool::new(false), AtomicU64::new(0));
    std::thread::scope(|scope| {
        for _ in 0..EMITTERS {
            scope.spawn(|| {
                while !over.load(SeqCst) {
                    let off_before = off.load(SeqCst);
                    let emitted = futures_util::future::FutureExt::now_or_never(bus.emit("n", off_before));
                    emitted.expect("nothing to wait for").unwrap();
                    begun.fetch_add(1, SeqCst);
                }
            });
        }
        for round in 1..=ROUNDS {
            let late = Arc::clone(&late);
            let handler = move |off_before: &usize| {
                if *off_before >= round {
                    late.lock().unwrap().push(round);
                }
            };
            pump.on_sync("n", handler).unwrap();
            let before = begun.load(SeqCst);
            while begun.load(SeqCst) < before + EMITTERS as u64 {
                std::thread::yield_now();
            }
            pump.off("n").unwrap();
            off.store(round, SeqCst);
        }
        over.store(true, SeqCst);
    });
    assert_eq!(*late.lock().unwrap(), [0_usize; 0]);
    assert_law(&bus);
}

#[test]
fn a_handler_that_is_off_is_dropped_once_no_emission_uses_it() {
    let (bus, lab) = lab();
    let held = Arc::new(());
    let h = Arc::clone(&held);
    lab.on_sync("n", move |_: &u32| {
        let _ = &h;
    })
    .unwrap();
    // Threads that have emitted, and are still there, keep nothing.
    let (emitted, done) = (std::sync::Barrier::new(2), std::sync::Barrier::new(2));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let emission = futures_util::future::FutureExt::now_or_never(bus.emit("n", 1_u32));
            emission.expect("nothing to wait for").unwrap();
            emitted.wait();
            done.wait();
        });
        emitted.wait();
        lab.off("n").unwrap();
        let left = Arc::strong_count(&held);
        done.wait();
        assert_eq!(left, 1);
    });
}
