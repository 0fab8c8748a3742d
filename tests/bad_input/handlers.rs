//! Handlers that misbehave, and calls that come too late.
//!
//! To emit before connecting cannot be written down: there is no `Client` before `connect` has returned one.

use crate::lab::{Lab, Net, on_each, soon};
use distbus::{DropReason, Error};
use std::sync::Arc;
use tokio::sync::{Notify, Semaphore, mpsc};

on_each!(
    fails,
    fails_without_a_future,
    panics,
    panics_without_a_future,
    panics_before_its_future,
    takes_its_time,
    takes_its_time_detached,
    emits_to_its_own_topic,
    emit_after_close,
    emit_after_the_broker_closed,
);

/// One event makes the handler of `x` misbehave: others who want that event get it, and the handler gets the next.
async fn misbehaves(mut lab: Lab, mut handled: mpsc::Receiver<u8>) {
    let second = lab.net.client(lab.broker.endpoint()).await;
    let mut stream = second.subscribe::<u8>("x").await.unwrap();
    for number in [0, 1] {
        lab.sender.emit("x", &number).await.unwrap();
        let event = lab.next().await;
        assert_eq!(*event.get::<u8>().unwrap(), number);
        assert_eq!(*soon("a value", stream.next()).await.unwrap(), number);
    }
    assert_eq!(soon("the handler's next event", handled.recv()).await, Some(1));
    lab.still_works().await;
    lab.witness.close().await;
    let stats = lab.witness.stats();
    let dropped = &stats.handled;
    assert_eq!(
        (dropped.dropped_by(DropReason::Failed), dropped.total_dropped()),
        (1, 1),
        "{stats:?}"
    );
    assert_eq!(dropped.in_flight(), 0, "{stats:?}");
    lab.said_once("a handler did not take an event");
    assert_eq!((lab.refused(), lab.witness_refused()), (vec![], vec![]));
}

/// What handlers write to when they behave.
fn channel() -> (mpsc::Sender<u8>, mpsc::Receiver<u8>) {
    mpsc::channel(16)
}

async fn fails(net: Net) {
    let lab = Lab::new(net).await;
    let (sender, handled) = channel();
    let handler = move |number: u8| {
        let sender = sender.clone();
        async move {
            match number {
                0 => Err("the handler does not like 0".into()),
                _ => sender.send(number).await.map_err(distbus::BoxError::from),
            }
        }
    };
    lab.witness.on("x", handler).await.unwrap();
    misbehaves(lab, handled).await;
}

async fn fails_without_a_future(net: Net) {
    let lab = Lab::new(net).await;
    let (sender, handled) = channel();
    let handler = move |number: u8| match number {
        0 => Err("the handler does not like 0".into()),
        _ => sender.try_send(number).map_err(distbus::BoxError::from),
    };
    lab.witness.on_sync("x", handler).await.unwrap();
    misbehaves(lab, handled).await;
}

async fn panics(net: Net) {
    let lab = Lab::new(net).await;
    let (sender, handled) = channel();
    let handler = move |number: u8| {
        let sender = sender.clone();
        async move {
            tokio::task::yield_now().await;
            assert_ne!(number, 0, "the handler panics at 0");
            sender.send(number).await
        }
    };
    lab.witness.on("x", handler).await.unwrap();
    misbehaves(lab, handled).await;
}

async fn panics_without_a_future(net: Net) {
    let lab = Lab::new(net).await;
    let (sender, handled) = channel();
    let handler = move |number: u8| {
        assert_ne!(number, 0, "the handler panics at 0");
        sender.try_send(number)
    };
    lab.witness.on_sync("x", handler).await.unwrap();
    misbehaves(lab, handled).await;
}

async fn panics_before_its_future(net: Net) {
    let lab = Lab::new(net).await;
    let (sender, handled) = channel();
    let handler = move |event: distbus::Event| {
        let number = *event.get::<u8>().unwrap();
        assert_ne!(number, 0, "the handler panics at 0");
        let sender = sender.clone();
        async move { sender.send(number).await }
    };
    lab.witness.on_event("x", handler).await.unwrap();
    misbehaves(lab, handled).await;
}

/// While a handler is busy, its client's next events wait; nobody else does.
async fn takes_its_time(net: Net) {
    let mut lab = Lab::new(net).await;
    let busy = lab.net.client(lab.broker.endpoint()).await;
    let (begun, allowed) = (Arc::new(Notify::new()), Arc::new(Semaphore::new(0)));
    let (sender, mut handled) = channel();
    let (begins, waits) = (Arc::clone(&begun), Arc::clone(&allowed));
    let handler = move |number: u8| {
        let (begins, waits, sender) = (Arc::clone(&begins), Arc::clone(&waits), sender.clone());
        async move {
            begins.notify_one();
            waits.acquire().await?.forget();
            sender.send(number).await.map_err(distbus::BoxError::from)
        }
    };
    busy.on("x", handler).await.unwrap();
    for number in 0..3 {
        lab.sender.emit("x", &number).await.unwrap();
        assert_eq!(*lab.next().await.get::<u8>().unwrap(), number);
    }
    soon("the handler's begin", begun.notified()).await;
    lab.still_works().await;
    // What concerns the busy client itself does not wait either.
    soon("the flush", busy.flush()).await.unwrap();
    assert!(handled.try_recv().is_err());
    assert_eq!(busy.stats().handled.in_flight(), 1);
    allowed.add_permits(3);
    for number in 0..3 {
        assert_eq!(soon("what waited", handled.recv()).await, Some(number));
    }
    busy.close().await;
    let stats = busy.stats();
    assert_eq!(
        (stats.handled.delivered, stats.handled.total_dropped()),
        (3, 0),
        "{stats:?}"
    );
}

/// Detached, it does not even hold up its own client's next events.
async fn takes_its_time_detached(net: Net) {
    let mut lab = Lab::new(net).await;
    let allowed = Arc::new(Semaphore::new(0));
    let (sender, mut handled) = channel();
    let waits = Arc::clone(&allowed);
    let handler = move |number: u8| {
        let (waits, sender) = (Arc::clone(&waits), sender.clone());
        async move {
            if number == 0 {
                waits.acquire().await?.forget();
            }
            sender.send(number).await.map_err(distbus::BoxError::from)
        }
    };
    lab.witness.on_detached("x", handler).await.unwrap();
    for number in 0..3 {
        lab.sender.emit("x", &number).await.unwrap();
        assert_eq!(*lab.next().await.get::<u8>().unwrap(), number);
    }
    let mut overtook = [(); 2].map(|()| 0);
    for number in &mut overtook {
        *number = soon("what did not wait", handled.recv()).await.unwrap();
    }
    overtook.sort_unstable();
    assert_eq!(overtook, [1, 2]);
    lab.still_works().await;
    allowed.add_permits(1);
    assert_eq!(soon("what waited", handled.recv()).await, Some(0));
}

/// A handler that emits, and waits for that, cannot hold up the loop that calls it.
async fn emits_to_its_own_topic(net: Net) {
    const ROUNDS: u64 = 1000;
    let mut lab = Lab::new(net).await;
    let own = lab.witness.clone();
    let handler = move |number: u64| {
        let own = own.clone();
        async move {
            if number < ROUNDS {
                own.emit("x", &(number + 1)).await?;
            }
            Ok::<(), Error>(())
        }
    };
    lab.witness.on("x", handler).await.unwrap();
    lab.sender.emit("x", &0_u64).await.unwrap();
    for number in 0..=ROUNDS {
        assert_eq!(*lab.next().await.get::<u64>().unwrap(), number);
    }
    lab.still_works().await;
    let stats = lab.witness.stats();
    assert_eq!(
        (stats.emitted, stats.handled.total_dropped(), stats.missing),
        (ROUNDS, 0, 0),
        "{stats:?}"
    );
    // The handler holds a clone: only this ends it.
    soon("the end", lab.witness.close()).await;
}

async fn emit_after_close(net: Net) {
    let mut lab = Lab::new(net).await;
    let late = lab.net.client(lab.broker.endpoint()).await;
    late.emit("in.time", &1).await.unwrap();
    assert_eq!(lab.next().await.topic(), "in.time");
    assert_eq!(soon("the end", late.close()).await.undelivered, 0);
    refuses_politely(&late).await;
    assert_eq!(late.stats().emitted, 1);
    lab.still_works().await;
}

async fn emit_after_the_broker_closed(net: Net) {
    let lab = Lab::new(net).await;
    soon("the end", lab.broker.close()).await;
    assert_eq!(
        soon("the farewell", lab.sender.closed()).await,
        distbus::ClosedBy::Broker
    );
    refuses_politely(&lab.sender).await;
    assert_eq!(lab.sender.stats().emitted, 0);
}

async fn refuses_politely(late: &distbus::Client) {
    assert!(matches!(late.emit("too.late", &1).await, Err(Error::Closed)));
    assert!(matches!(late.emit_empty("too.late").await, Err(Error::Closed)));
    assert!(matches!(late.flush().await, Err(Error::Closed)));
    assert!(matches!(
        late.on_sync("too.late", |_: u8| ()).await,
        Err(Error::Closed)
    ));
    assert!(matches!(
        late.subscribe::<u8>("too.late").await,
        Err(Error::Closed)
    ));
}
