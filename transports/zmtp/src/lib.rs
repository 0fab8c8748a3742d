//! Under construction.

mod broker;
mod chunk;
mod client;
mod index;
mod mailbox;
mod net;
pub mod proto;
mod transport;

pub use transport::Zmtp;

use broker::within;

/// This transport's name in logs and errors.
const NAME: &str = "zmtp";
