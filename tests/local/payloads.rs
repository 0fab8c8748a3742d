//! What handlers are given: the very value, a decoded one, an event.

use super::lab::{Seen, Temperature, assert_law, lab, not_called, warm, within};
use distbus::{DropReason, Event};
use serde::Serialize;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};

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
