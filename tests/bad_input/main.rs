//! Whatever comes from the network, or out of a user's handler: it is counted, said in one line of the log, felt by nobody else, and
//! the broker goes on relaying. Each case runs over the in-memory transport and over both that speak
//! ZeroMQ, where it can be put on the wire there.
#![cfg(any(feature = "zmtp", feature = "zeromq"))]
#![allow(clippy::unwrap_used, reason = "the helpers of a test fail it where they fail")]

mod bodies;
mod brokers;
mod frames;
mod handlers;
mod lab;
mod logs;
mod raw;
