//! Ours beside real Python processes that run the unchanged `aiodistbus` 0.0.2: our broker with their clients, their broker with
//! our clients, and both kinds of client through either.
//!
//! The first run makes a venv under `target/`, which takes a network and a minute. Without `python3`, `venv` or `pip` each test says
//! that it was skipped, and passes; with `DISTBUS_REQUIRE_INTEROP=1` in the environment it fails instead.
#![cfg(feature = "zeromq")]
#![allow(clippy::unwrap_used, reason = "the helpers of a test fail it where they fail")]

mod node;
#[path = "../bad_input/raw.rs"]
mod raw;
mod support;
mod venv;

mod bridges;
mod hostile;
mod life;
mod payloads;
mod topics;
mod volume;

fn transport() -> impl distbus::Transport {
    distbus::Zmtp::new()
}
