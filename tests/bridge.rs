//! Bridges between local buses and brokers, over the in-memory transport.
// Clippy knows only the test functions themselves as tests, not their helpers.
#![allow(clippy::unwrap_used, reason = "the helpers of a test fail it where they fail")]

use distbus::{
    ALL, Broker, CLOSE, Client, DropReason, Endpoint, Error, Event, LocalBus, Memory, MessagePack, PULSE,
    Reject,
};
use serde::{Deserialize, Serialize};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::timeout;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Temperature {
    celsius: f64,
}

fn warm() -> Temperature {
    Temperature { celsius: 21.5 }
}

async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    let result = timeout(Duration::from_secs(10), future).await;
    result.unwrap_or_else(|_| panic!("{what} did not happen in 10 s"))
}

/// Waits for a condition that other tasks bring about.
async fn until(what: &str, condition: impl Fn() -> bool) {
    within(what, async {
        while !condition() {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

async fn broker(network: &Memory, name: &str) -> Broker {
    let builder = Broker::builder().transport(network.clone());
    builder.bind(Endpoint::mem(name)).await.unwrap()
}

async fn client(network: &Memory, name: &str) -> Client {
    let builder = Client::builder().transport(network.clone());
    builder.connect(Endpoint::mem(name)).await.unwrap()
}

/// Counts what a bus sees, by topic and value.
#[derive(Clone, Default)]
struct Seen(Arc<Mutex<Vec<(String, u32)>>>);

impl Seen {
    fn on(bus: &LocalBus) -> Self {
        let seen = Self::default();
        let all = seen.clone();
        bus.entry("seen")
            .on_event("*", move |event: Event| {
                let value = *event.get::<u32>().unwrap();
                all.0.lock().unwrap().push((event.topic().to_owned(), value));
                async {}
            })
            .unwrap();
        seen
    }

    fn all(&self) -> Vec<(String, u32)> {
        self.0.lock().unwrap().clone()
    }

    fn len(&self) -> usize {
        self.0.lock().unwrap().len()
    }
}

fn loops(bus: &LocalBus) -> u64 {
    bus.stats().rejected_by(Reject::Loop)
}

fn assert_law(bus: &LocalBus) {
    let now = bus.stats();
    assert_eq!(
        now.offered,
        now.delivered + now.total_dropped() + now.in_flight(),
        "{now:?}"
    );
}

#[tokio::test]
async fn local_events_go_out_with_their_ids_and_only_those_asked_for() {
    let network = Memory::new();
    let broker = broker(&network, "x").await;
    let (near, far) = (client(&network, "x").await, client(&network, "x").await);
    let mut got = far.subscribe::<Temperature>("lab.*").await.unwrap();
    let bus = LocalBus::new();
    let mut here = bus.entry("here").subscribe_events("lab.temp").unwrap();
    bus.forward_to(&near, ["lab.temp", "lab.*"]).unwrap();
    assert_eq!(bus.stats().clients, 1);
    bus.emit("kitchen.temp", warm()).await.unwrap();
    bus.emit("lab.temp", warm()).await.unwrap();
    let there = within("the event", got.next()).await.unwrap();
    let here = within("the event here", here.next()).await.unwrap();
    assert_eq!((&*there, there.event().topic()), (&warm(), "lab.temp"));
    assert_eq!(
        (there.event().id(), there.event().timestamp()),
        (here.id(), here.timestamp())
    );
    bus.emit("lab.end", warm()).await.unwrap();
    let end = within("the end", got.next()).await.unwrap();
    assert_eq!(
        end.event().topic(),
        "lab.end",
        "two patterns matched, and it went twice"
    );
    assert_eq!(loops(&bus), 0);
    bus.close().await;
    assert_eq!(bus.stats().clients, 0);
    assert!(!near.is_closed(), "a client that was lent stays open");
    assert_law(&bus);
    broker.close().await;
}

#[tokio::test]
async fn deforward_sends_what_waits_and_then_nothing() {
    let network = Memory::new();
    let _broker = broker(&network, "x").await;
    let (near, far) = (client(&network, "x").await, client(&network, "x").await);
    let mut got = far.subscribe::<u32>("*").await.unwrap();
    let bus = LocalBus::new();
    bus.forward_to(&near, ALL).unwrap();
    for i in 0..100_u32 {
        bus.emit("n", i).await.unwrap();
    }
    within("deforward", bus.deforward(near.endpoint())).await.unwrap();
    bus.emit("n", 1000_u32).await.unwrap();
    far.emit("n", &2000_u32).await.unwrap();
    for i in (0..100).chain([2000]) {
        assert_eq!(*within("an event", got.next()).await.unwrap(), i);
    }
    assert!(matches!(
        bus.deforward(near.endpoint()).await,
        Err(Error::NotRegistered(_))
    ));
    bus.forward_to(&near, ALL).unwrap();
    bus.emit("n", 3000_u32).await.unwrap();
    assert_eq!(*within("forwarded again", got.next()).await.unwrap(), 3000);
}

#[tokio::test]
async fn a_brokers_events_come_in_until_unlisten() {
    let network = Memory::new();
    let broker = broker(&network, "x").await;
    let (near, far) = (client(&network, "x").await, client(&network, "x").await);
    let bus = LocalBus::new();
    let seen = Seen::on(&bus);
    let mut events = bus.entry("e").subscribe_events("a.*").unwrap();
    // Each of these matches a.b: it comes once all the same.
    within("listen", bus.listen_to(&near, ["a.*", "a.+", "b"]))
        .await
        .unwrap();
    far.emit("a.b", &1_u32).await.unwrap();
    far.emit("c", &2_u32).await.unwrap();
    far.emit("b", &3_u32).await.unwrap();
    until("two events", || seen.len() >= 2).await;
    assert_eq!(seen.all(), [("a.b".into(), 1), ("b".into(), 3)]);
    assert_eq!(loops(&bus), 0);
    let event = within("the event", events.next()).await.unwrap();
    assert_eq!(event.via(), Some(broker.endpoint()));
    within("unlisten", bus.unlisten(near.endpoint())).await.unwrap();
    far.emit("b", &4_u32).await.unwrap();
    far.flush().await.unwrap();
    near.flush().await.unwrap();
    assert_eq!(seen.len(), 2);
    assert!(matches!(
        bus.unlisten(near.endpoint()).await,
        Err(Error::NotRegistered(_))
    ));
    assert_law(&bus);
}

#[tokio::test]
async fn two_linked_buses_see_each_event_once() {
    let network = Memory::new();
    let _broker = broker(&network, "x").await;
    let (a, b) = (LocalBus::new(), LocalBus::new());
    let (in_a, in_b) = (Seen::on(&a), Seen::on(&b));
    for bus in [&a, &b] {
        bus.link_with(&client(&network, "x").await, ALL).await.unwrap();
    }
    for i in 0..50_u32 {
        a.emit("from.a", i).await.unwrap();
        b.emit("from.b", i).await.unwrap();
    }
    until("all events", || in_a.len() >= 100 && in_b.len() >= 100).await;
    // Each bus hears its own 50 again, and refuses them.
    until("the echoes", || loops(&a) >= 50 && loops(&b) >= 50).await;
    for seen in [in_a, in_b] {
        let mut all = seen.all();
        all.sort();
        all.dedup();
        assert_eq!((all.len(), seen.len()), (100, 100));
    }
    // What came in is not offered to the broker again: each bus refuses the other's 50 on the way out.
    assert_eq!((loops(&a), loops(&b)), (100, 100));
    assert_law(&a);
    assert_law(&b);
}

#[tokio::test]
async fn a_ring_of_three_buses_over_two_brokers_ends() {
    let network = Memory::new();
    let brokers = [broker(&network, "x").await, broker(&network, "y").await];
    let buses = [LocalBus::new(), LocalBus::new(), LocalBus::new()];
    let seen: Vec<_> = buses.iter().map(Seen::on).collect();
    for bus in &buses {
        for name in ["x", "y"] {
            bus.link_with(&client(&network, name).await, ALL).await.unwrap();
        }
    }
    for (i, bus) in buses.iter().enumerate() {
        bus.emit("ring", i as u32).await.unwrap();
    }
    until("all events everywhere", || {
        seen.iter().all(|seen| seen.len() >= 3)
    })
    .await;
    for broker in &brokers {
        broker.flush().await.unwrap();
    }
    for bus in &buses {
        within("close", bus.close()).await;
        assert_law(bus);
    }
    for seen in &seen {
        let mut all = seen.all();
        all.sort();
        let once: Vec<_> = (0..3).map(|i| ("ring".to_owned(), i)).collect();
        assert_eq!(all, once);
    }
}

#[tokio::test]
async fn a_bus_relays_from_one_broker_to_another() {
    let network = Memory::new();
    let _brokers = [broker(&network, "x").await, broker(&network, "y").await];
    let (x, y) = (client(&network, "x").await, client(&network, "y").await);
    let mut out = y.subscribe::<u32>("n").await.unwrap();
    let bus = LocalBus::new();
    bus.listen_to(&client(&network, "x").await, ALL).await.unwrap();
    bus.forward_to(&client(&network, "y").await, ALL).unwrap();
    let id = x.emit("n", &7_u32).await.unwrap();
    let event = within("the event", out.next()).await.unwrap();
    assert_eq!((*event, event.event().id()), (7, &id));
}

#[tokio::test]
async fn a_broker_that_forwards_to_a_bus_that_forwards_to_it() {
    let network = Memory::new();
    let broker = broker(&network, "x").await;
    let (near, far) = (client(&network, "x").await, client(&network, "x").await);
    let mut got = far.subscribe::<u32>("*").await.unwrap();
    let bus = LocalBus::new();
    let seen = Seen::on(&bus);
    broker.forward(bus.clone(), ALL).unwrap();
    bus.forward_to(&near, ALL).unwrap();
    for i in 0..20_u32 {
        far.emit("far", &i).await.unwrap();
        bus.emit("here", i).await.unwrap();
    }
    until("all events", || seen.len() >= 40).await;
    let mut events = Vec::new();
    for _ in 0..40 {
        let event = within("an event", got.next()).await.unwrap();
        events.push((event.event().topic().to_owned(), *event));
    }
    events.sort();
    let expected: Vec<_> = ["far", "here"]
        .iter()
        .flat_map(|topic| (0..20).map(move |i| (topic.to_string(), i)))
        .collect();
    assert_eq!(events, expected);
    // The far ones on their way back, and the echoes of those from here.
    until("what is refused", || loops(&bus) >= 40).await;
    broker.flush().await.unwrap();
    assert_eq!((loops(&bus), seen.len()), (40, 40));
    assert_law(&bus);
}

#[tokio::test]
async fn codecs_may_differ() {
    let network = Memory::new();
    let builder = Broker::builder().codec(MessagePack).transport(network.clone());
    let _broker = builder.bind("mem://x").await.unwrap();
    let connect = || Client::builder().codec(MessagePack).transport(network.clone());
    let near = connect().connect("mem://x").await.unwrap();
    let far = connect().connect("mem://x").await.unwrap();
    let mut got = far.subscribe::<Temperature>("lab.temp").await.unwrap();
    let bus = LocalBus::new();
    let mut back = bus.entry("view").subscribe::<Temperature>("lab.back").unwrap();
    bus.link_with(&near, ALL).await.unwrap();
    bus.emit("lab.temp", warm()).await.unwrap();
    assert_eq!(*within("out", got.next()).await.unwrap(), warm());
    far.emit("lab.back", &warm()).await.unwrap();
    assert_eq!(*within("in", back.next()).await.unwrap(), warm());
}

#[tokio::test]
async fn what_cannot_leave_is_counted_and_the_rest_goes_on() {
    struct Handle;
    let network = Memory::new();
    let _broker = broker(&network, "x").await;
    let (near, far) = (client(&network, "x").await, client(&network, "x").await);
    let mut got = far.subscribe::<u32>("*").await.unwrap();
    let bus = LocalBus::new();
    bus.forward_to(&near, ALL).unwrap();
    bus.emit_local("handle", Handle).await.unwrap();
    bus.emit("nan", f64::NAN).await.unwrap();
    bus.emit("n", 1_u32).await.unwrap();
    assert_eq!(*within("the good one", got.next()).await.unwrap(), 1);
    assert_eq!(bus.stats().dropped_by(DropReason::Undecodable), 2);
}

#[tokio::test]
async fn reserved_topics_do_not_cross() {
    let network = Memory::new();
    let broker = broker(&network, "x").await;
    let near = client(&network, "x").await;
    let bus = LocalBus::new();
    for reserved in [CLOSE, PULSE] {
        assert!(matches!(bus.forward_to(&near, reserved), Err(Error::Topic(_))));
        assert!(matches!(
            bus.link_with(&near, reserved).await,
            Err(Error::Topic(_))
        ));
    }
    assert_eq!(bus.stats().clients, 0);
    let closing = Arc::new(Mutex::new(0));
    let c = Arc::clone(&closing);
    bus.entry("e")
        .on_sync(CLOSE, move |(): &()| *c.lock().unwrap() += 1)
        .unwrap();
    bus.link_with(&near, ALL).await.unwrap();
    broker.close().await;
    until("the bridges' end", || bus.lost_bridges() == 2).await;
    assert_eq!(*closing.lock().unwrap(), 0, "the broker closes, not the bus");
    assert_eq!(bus.stats().clients, 0);
    bus.close().await;
    assert_eq!(*closing.lock().unwrap(), 1);
}

#[tokio::test]
async fn a_bridge_whose_client_ends_is_taken_away_and_nobody_else_notices() {
    let network = Memory::new();
    let _broker = broker(&network, "x").await;
    let near = client(&network, "x").await;
    let bus = LocalBus::new();
    let seen = Seen::on(&bus);
    bus.link_with(&near, ALL).await.unwrap();
    near.close().await;
    until("the bridges' end", || bus.lost_bridges() == 2).await;
    bus.emit("n", 1_u32).await.unwrap();
    assert_eq!(seen.len(), 1);
    assert!(matches!(
        bus.deforward(near.endpoint()).await,
        Err(Error::NotRegistered(_))
    ));
    assert!(matches!(
        bus.unlisten(near.endpoint()).await,
        Err(Error::NotRegistered(_))
    ));
    assert!(bus.listen_to(&near, ALL).await.is_err());
    assert_law(&bus);
}

#[tokio::test]
async fn a_slow_handler_of_the_bus_does_not_hold_up_what_goes_out() {
    let network = Memory::new();
    let _broker = broker(&network, "x").await;
    let (near, far) = (client(&network, "x").await, client(&network, "x").await);
    let bus = LocalBus::new();
    let gate = Arc::new(Notify::new());
    let g = Arc::clone(&gate);
    bus.entry("slow")
        .on("slow", move |_: Arc<u32>| {
            let g = Arc::clone(&g);
            async move { g.notified().await }
        })
        .unwrap();
    bus.link_with(&near, ALL).await.unwrap();
    let mut got = far.subscribe::<u32>("fine").await.unwrap();
    far.emit("slow", &1_u32).await.unwrap();
    until("the handler's start", || bus.stats().in_flight() == 1).await;
    bus.emit("fine", 2_u32).await.unwrap();
    assert_eq!(*within("what goes out", got.next()).await.unwrap(), 2);
    gate.notify_one();
    within("close", bus.close()).await;
    assert_law(&bus);
}

#[tokio::test]
async fn closing_the_bus_ends_its_bridges_and_sends_what_waits() {
    let network = Memory::new();
    let _broker = broker(&network, "x").await;
    let (near, far) = (client(&network, "x").await, client(&network, "x").await);
    let mut got = far.subscribe::<u32>("*").await.unwrap();
    let bus = LocalBus::new();
    bus.link_with(&near, ALL).await.unwrap();
    for i in 0..500_u32 {
        bus.emit("n", i).await.unwrap();
    }
    assert_eq!(within("close", bus.close()).await.undelivered, 0);
    for i in 0..500 {
        assert_eq!(*within("an event", got.next()).await.unwrap(), i);
    }
    assert_eq!((bus.lost_bridges(), bus.stats().clients), (0, 0));
    assert!(matches!(bus.forward_to(&near, ALL), Err(Error::Closed)));
    assert!(matches!(bus.listen_to(&near, ALL).await, Err(Error::Closed)));
    assert_law(&bus);
}

#[tokio::test]
async fn dropping_the_bus_ends_its_bridges() {
    let network = Memory::new();
    let _broker = broker(&network, "x").await;
    let near = client(&network, "x").await;
    let tasks = || tokio::runtime::Handle::current().metrics().num_alive_tasks();
    let before = tasks();
    let bus = LocalBus::new();
    bus.link_with(&near, ALL).await.unwrap();
    assert_eq!(tasks(), before + 2);
    drop(bus);
    until("the bridges' end", || tasks() == before).await;
}

#[cfg(feature = "zeromq")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn by_address_a_bus_connects_itself() {
    let broker = Broker::bind("tcp://127.0.0.1:0").await.unwrap();
    let address = broker.endpoint().to_string();
    let (a, b) = (LocalBus::new(), LocalBus::new());
    let seen = Seen::on(&b);
    within("link", a.link(&address, ALL)).await.unwrap();
    within("listen", b.listen(address.as_str(), "n")).await.unwrap();
    a.emit("n", 1_u32).await.unwrap();
    until("the event", || seen.len() == 1).await;
    within("deforward", a.deforward(&address)).await.unwrap();
    assert_eq!(a.stats().clients, 1);
    assert!(matches!(a.deforward("nowhere").await, Err(Error::Endpoint(_))));
    within("close", a.close()).await;
    within("close", b.close()).await;
    broker.close().await;
}
