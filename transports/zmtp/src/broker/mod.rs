//! The broker's side: ROUTER, PUB and PULL.

mod admit;
mod fanout;
mod hub;
mod inbound;
mod outbound;
mod peers;
mod subscribers;

pub(crate) use hub::bind;
