//! Handlers declared apart and attached later.
// Clippy knows only the test functions themselves as tests, not their helpers.
#![allow(clippy::unwrap_used, reason = "the helpers of a test fail it where they fail")]

use distbus::{Broker, Client, Error, Event, LocalBus, Memory, Registry};
use std::sync::{Arc, Mutex};

#[derive(Default)]
struct Lab {
    name: &'static str,
    seen: Mutex<Vec<String>>,
}

impl Lab {
    fn named(name: &'static str) -> Arc<Self> {
        Arc::new(Self {
            name,
            seen: Mutex::default(),
        })
    }

    fn note(&self, what: impl std::fmt::Display) {
        self.seen.lock().unwrap().push(format!("{} {what}", self.name));
    }

    fn seen(&self) -> Vec<String> {
        let mut seen = self.seen.lock().unwrap().clone();
        seen.sort();
        seen
    }

    async fn start(self: Arc<Self>, rpm: Arc<u32>) {
        self.note(rpm);
    }

    fn stop(&self, rpm: &u32) -> Result<(), String> {
        self.note(format!("stop {rpm}"));
        Err("counted".into())
    }

    async fn log(self: Arc<Self>, event: Event) {
        self.note(event.topic());
    }
}

fn registry() -> Registry<Lab> {
    let declare = || {
        Registry::new()
            .on("pump.start", Lab::start)?
            .on_sync("pump.stop", Lab::stop)?
            .on_event("*", Lab::log)?
            .in_namespace("background")
            .on_detached("pump.start", Lab::start)?
            .on_event_detached("pump.*", Lab::log)
    };
    declare().unwrap()
}

#[tokio::test]
async fn each_attachment_has_a_self_of_its_own() {
    let registry = registry();
    let bus = LocalBus::new();
    let labs = [Lab::named("a"), Lab::named("b")];
    for lab in &labs {
        bus.entry(lab.name)
            .use_registry(&registry, Arc::clone(lab))
            .unwrap();
    }
    bus.emit("pump.start", 7_u32).await.unwrap();
    bus.emit("pump.stop", 8_u32).await.unwrap();
    assert_eq!(labs[0].seen(), ["a 7", "a pump.start", "a pump.stop", "a stop 8"]);
    assert_eq!(labs[1].seen(), ["b 7", "b pump.start", "b pump.stop", "b stop 8"]);
    assert_eq!(bus.stats().total_dropped(), 2);
}

#[tokio::test]
async fn a_namespace_is_attached_alone_and_detached_handlers_stay_detached() {
    let bus = LocalBus::new();
    let lab = Lab::named("a");
    let entry = bus.entry("a");
    entry
        .use_namespace(&registry(), "background", Arc::clone(&lab))
        .unwrap();
    bus.emit("pump.start", 7_u32).await.unwrap();
    assert!(lab.seen().is_empty(), "detached handlers have not run yet");
    assert_eq!(bus.close().await.undelivered, 0);
    assert_eq!(lab.seen(), ["a 7", "a pump.start"]);
}

#[test]
fn what_is_not_there_is_an_error() {
    let bus = LocalBus::new();
    let missing = bus
        .entry("a")
        .use_namespace(&registry(), "nowhere", Lab::named("a"));
    assert!(matches!(missing, Err(Error::NotRegistered(name)) if name == "nowhere"));
    assert!(Registry::<()>::new().on_sync("te*", |(), _: &u32| ()).is_err());
    assert_eq!(
        registry().namespaces().collect::<Vec<_>>(),
        ["default", "background"]
    );
}

#[tokio::test]
async fn a_later_declaration_wins() {
    let bus = LocalBus::new();
    let registry = Registry::<Mutex<u32>>::new()
        .on_sync("a", |seen: &Mutex<u32>, _: &u32| *seen.lock().unwrap() = 1)
        .and_then(|registry| registry.on_sync("a", |seen: &Mutex<u32>, _: &u32| *seen.lock().unwrap() = 2))
        .unwrap();
    let seen = Arc::new(Mutex::new(0));
    bus.entry("x").use_registry(&registry, Arc::clone(&seen)).unwrap();
    bus.emit("a", 0_u32).await.unwrap();
    assert_eq!(*seen.lock().unwrap(), 2);
}

#[tokio::test]
async fn a_client_takes_a_registry_too() {
    let network = Memory::new();
    let broker = Broker::builder()
        .transport(network.clone())
        .bind("mem://x")
        .await
        .unwrap();
    let client = Client::builder()
        .transport(network)
        .connect("mem://x")
        .await
        .unwrap();
    let lab = Lab::named("a");
    client.use_registry(&registry(), Arc::clone(&lab)).await.unwrap();
    let nowhere = client
        .use_namespace(&registry(), "nowhere", Arc::clone(&lab))
        .await;
    assert!(matches!(nowhere, Err(Error::NotRegistered(_))));
    client.emit("pump.start", &7_u32).await.unwrap();
    client.emit("pump.stop", &8_u32).await.unwrap();
    client.flush().await.unwrap();
    client.close().await;
    assert_eq!(lab.seen(), ["a 7", "a pump.start", "a pump.stop", "a stop 8"]);
    broker.close().await;
}
