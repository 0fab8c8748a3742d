//! The client's side: DEALER to p, SUB to p+1, PUSH to p+2.

mod actor;
mod connect;
mod end;
mod filters;
mod inbound;
mod outbound;
mod sockets;

pub(crate) use connect::connect;
