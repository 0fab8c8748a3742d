//! The other implementations: libzmq itself, through Python, and the `zeromq` crate, each in both parts.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

#[path = "../support/mod.rs"]
mod support;
/// The Python library brings pyzmq: one environment serves both.
#[path = "../../../../tests/interop/venv.rs"]
mod venv;

mod ours;
mod with_libzmq;
mod with_zeromq_crate;
