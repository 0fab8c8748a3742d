//! The in-process transport of `distbus`: [`Memory`].
//!
//! Brokers listen at `mem://name`, clients of the same [`Memory`] connect there. It keeps every promise of
//! [`Guarantees`](distbus_transport::Guarantees), which makes it the transport for tests and for
//! programs that are one process today, and the example to read before writing a transport.
//!
//! * **Bounded.** Each subscriber has a queue of [`Limits::queue_bytes`](distbus_transport::Limits::queue_bytes) under the
//!   [`SlowConsumer`](distbus_transport::SlowConsumer) policy of the broker. What clients send waits in one queue of the same size
//!   at the broker: when it is full, `push`, `control`, `subscribe` and `connect` wait, in the order they came. Of the limits, those on
//!   handshakes have nothing to bound here. What both sides limit, the tighter one decides.
//! * **Exact.** Each copy of a frame is counted once as delivered, when the client receives it, or once as dropped.
//! * **Repeatable.** No task, no thread, no clock but tokio's, no order that depends on a hash: on a `current_thread` runtime
//!   with a paused clock the same program does the same things in the same order.
//!
//! ```
//! use distbus_memory::Memory;
//! use distbus_transport::Transport;
//!
//! assert!(Memory::new().guarantees().missing().is_empty());
//! ```

mod broker;
mod broker_link;
mod client_link;
mod hub;
mod inbound;
mod index;
mod mailbox;
mod memory;
mod roster;

pub use memory::Memory;
