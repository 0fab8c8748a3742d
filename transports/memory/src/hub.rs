use crate::broker::Broker;
use distbus_transport::{Endpoint, Limits, TransportError};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::Notify;

/// The names of one [`Memory`](crate::Memory), and who listens there.
#[derive(Debug, Default)]
pub(crate) struct Hub {
    names: Mutex<Names>,
    /// For clients that came first: somebody has bound.
    pub(crate) bound: Notify,
}

#[derive(Debug, Default)]
struct Names {
    brokers: BTreeMap<String, Arc<Broker>>,
    /// The number of the next fresh name: none is given out twice.
    fresh: u64,
}

impl Names {
    fn fresh(&mut self) -> String {
        loop {
            self.fresh += 1;
            let name = format!("fresh-{}", self.fresh);
            if !self.brokers.contains_key(&name) {
                return name;
            }
        }
    }
}

impl Hub {
    fn names(&self) -> MutexGuard<'_, Names> {
        self.names.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn bind(&self, name: &str, limits: &Limits) -> Result<Arc<Broker>, TransportError> {
        let mut names = self.names();
        if names.brokers.contains_key(name) {
            let endpoint = Endpoint::mem(name);
            return Err(TransportError::AddressInUse { endpoint });
        }
        let name = if name.is_empty() {
            names.fresh()
        } else {
            name.to_owned()
        };
        let broker = Arc::new(Broker::new(Endpoint::mem(&name), limits.clone()));
        names.brokers.insert(name, broker.clone());
        drop(names);
        self.bound.notify_waiters();
        Ok(broker)
    }

    pub(crate) fn find(&self, name: &str) -> Option<Arc<Broker>> {
        self.names().brokers.get(name).cloned()
    }

    /// Frees the name of this broker, unless another listens there by now.
    pub(crate) fn release(&self, broker: &Arc<Broker>) {
        let mut names = self.names();
        if let Endpoint::Mem { name } = &broker.endpoint
            && names
                .brokers
                .get(name)
                .is_some_and(|other| Arc::ptr_eq(other, broker))
        {
            names.brokers.remove(name);
        }
    }
}
