//! What the tests share.

use distbus::{EntryPoint, LocalBus};
use serde::{Deserialize, Serialize};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::time::timeout;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Temperature {
    pub(crate) celsius: f64,
}

pub(crate) fn warm() -> Temperature {
    Temperature { celsius: 21.5 }
}

/// What handlers saw, in order.
#[derive(Clone, Default)]
pub(crate) struct Seen(Arc<Mutex<Vec<String>>>);

impl Seen {
    pub(crate) fn add(&self, what: impl ToString) {
        self.0.lock().unwrap().push(what.to_string());
    }

    pub(crate) fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().unwrap())
    }
}

pub(crate) async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    let result = timeout(Duration::from_secs(10), future).await;
    result.unwrap_or_else(|_| panic!("{what} did not happen in 10 s"))
}

pub(crate) fn lab() -> (LocalBus, EntryPoint) {
    let bus = LocalBus::new();
    let lab = bus.entry("lab");
    (bus, lab)
}

pub(crate) fn not_called<T>(_: &T) {
    panic!("this handler was called");
}

pub(crate) fn assert_law(bus: &LocalBus) {
    let now = bus.stats();
    assert_eq!(now.offered, now.delivered + now.total_dropped(), "{now:?}");
}
