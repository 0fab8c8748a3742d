//! The contract between the `distbus` engine and whatever carries its frames.
//!
//! A transport author depends on this crate alone: implement [`Transport`] and the four halves of its
//! links ([`BrokerInbound`], [`BrokerOutbound`], [`ClientInbound`], [`ClientOutbound`]), then prove it with
//! one macro line, `conformance!` (feature `testing`): every property a user relies on becomes a
//! named test of your crate.
//!
//! Three ideas carry the whole contract:
//!
//! * **A batch is the unit.** [`BrokerInbound::recv`] appends all that is ready to an [`Inbox`], and
//!   [`BrokerOutbound::publish`] takes some of a [`Batch`]: frames that share the buffers they lie in. One boxed future and a few reference
//!   counts a batch, none an event.
//! * **A [`Frame`] travels verbatim**, even a corrupt one. The engine seals and verifies; a transport carries.
//! * **Nothing is lost in silence.** Every frame that does not arrive is counted in [`Counters`], by reason,
//!   and [`Guarantees`] say what a transport cannot promise.
//!
//! ```
//! use distbus_transport::{Endpoint, Frame, Limits, SlowConsumer};
//!
//! let endpoint: Endpoint = "tcp://127.0.0.1:5555".parse()?;
//! let limits = Limits::default().with_queue_bytes(1 << 20).with_slow_consumer(SlowConsumer::DropOldest);
//! let frame = Frame::sealed("lab.temp", "21.5");
//! assert!(frame.is_intact());
//! # let _ = (endpoint, limits);
//! # Ok::<(), distbus_transport::EndpointError>(())
//! ```

mod batch;
mod counters;
mod endpoint;
mod error;
mod frame;
mod frames;
mod guarantees;
mod limits;
mod link;
mod peer;
pub mod queue;
#[cfg(feature = "testing")]
pub mod testing;

pub use batch::{Batch, FrameAt};
pub use counters::{Counters, DropReason, Reason, Reject, Snapshot, Tally};
pub use endpoint::{Endpoint, EndpointError};
pub use error::TransportError;
pub use frame::Frame;
pub use frames::{FrameRef, Frames, FramesIter};
pub use guarantees::{Authentication, DropAccounting, Guarantees, Loss, Ordering, Relay};
pub use limits::{Limits, SlowConsumer};
pub use link::{
    BrokerInbound, BrokerInbox, BrokerLink, BrokerOutbound, BrokerSignal, ClientInbound, ClientInbox,
    ClientLink, ClientOutbound, ClientSignal, CloseReport, Inbox, Transport,
};
pub use peer::PeerId;
