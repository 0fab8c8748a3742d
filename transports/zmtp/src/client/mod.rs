//! The client's side: DEALER, SUB and PUSH.

mod connect;
mod inbound;
mod line;
mod outbound;

pub(crate) use connect::connect;
