//! The in-process bus.
//!
//! `table` says who is registered for what, as an immutable value that `core` swaps; `dispatch` is the path of one emission, over what
//! `source` makes of the emitted value; `delivery` is what is left to wait for; `ledger` counts; `border` keeps bridges from looping.

mod border;
mod builder;
mod bus;
mod close;
mod core;
mod delivery;
mod dispatch;
mod entry;
mod ledger;
mod outlet;
mod registration;
mod source;
mod table;

pub(crate) use self::core::lock;
pub use builder::LocalBusBuilder;
pub use bus::LocalBus;
pub use entry::EntryPoint;
pub(crate) use registration::Handler;
