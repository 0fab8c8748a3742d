//! Who is registered, until when, and for what.

use super::lab::{Seen, assert_law, lab, not_called, within};
use distbus::{CLOSE, Error, PULSE};
use std::sync::Arc;

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
