//! The local bus: typed, without serialization, one participant never felt by another.
// Clippy knows only the test functions themselves as tests, not their helpers.
#![allow(clippy::unwrap_used, reason = "the helpers of a test fail it where they fail")]

mod closing;
mod handlers;
mod lab;
mod parallel;
mod payloads;
mod registering;
mod streams;
