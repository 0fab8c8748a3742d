//! What `tests/interop` has, over the `zeromq` crate: two implementations of one wire keep each other honest.
#![cfg(feature = "zeromq")]
#![allow(clippy::unwrap_used, reason = "the helpers of a test fail it where they fail")]

#[path = "interop/bridges.rs"]
mod bridges;
#[path = "interop/hostile.rs"]
mod hostile;
#[path = "interop/life.rs"]
mod life;
#[path = "interop/node.rs"]
mod node;
#[path = "interop/payloads.rs"]
mod payloads;
#[path = "bad_input/raw.rs"]
mod raw;
#[path = "interop/support.rs"]
mod support;
#[path = "interop/topics.rs"]
mod topics;
#[path = "interop/venv.rs"]
mod venv;
#[path = "interop/volume.rs"]
mod volume;

fn transport() -> impl distbus::Transport {
    distbus::ZeroMq::new()
}
