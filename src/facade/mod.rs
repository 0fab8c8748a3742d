//! Where the engine meets the transports and the codec that it speaks by default.

mod local;
mod network;

pub use network::DefaultCodec;
