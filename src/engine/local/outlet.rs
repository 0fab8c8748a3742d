use crate::engine::event::Event;
use crate::engine::queue::Queue;
use distbus_transport::Endpoint;
use std::sync::Arc;

/// Where events leave a bus for a broker: a queue that a bridge empties.
pub(crate) struct Outlet {
    /// Which of the bus's bridges, from 1.
    pub(crate) number: u64,
    /// The broker: what came from there does not go back.
    pub(crate) endpoint: Endpoint,
    pub(crate) queue: Arc<Queue<Event>>,
}
