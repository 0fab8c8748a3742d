//! The in-process bus.
//!
//! `table` says who is registered for what, as an immutable value that `core` swaps; `dispatch` is the path of one emission, over what
//! `source` makes of the emitted value; `delivery` is what is left to wait for; `ledger` counts, by thread, in
//! `slot`s; `border` keeps bridges from looping.

mod border;
mod bridges;
mod builder;
mod bus;
mod close;
mod core;
mod delivery;
mod dispatch;
mod entry;
mod ledger;
mod recent;
mod registration;
mod slot;
mod source;
mod table;

pub use builder::LocalBusBuilder;
pub use bus::LocalBus;
pub use entry::EntryPoint;

pub(crate) use self::core::{Core, lock};
pub(crate) use bridges::{Direction, Outlet};
pub(crate) use registration::{Handler, Registration, Target};
