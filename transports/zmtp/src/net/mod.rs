//! Sockets: the two kinds behind one type, accepting, shaking hands, and writing without waiting.

pub(crate) mod accept;
pub(crate) mod address;
pub(crate) mod greet;
pub(crate) mod outlet;
pub(crate) mod queue;
pub(crate) mod reader;
pub(crate) mod session;
pub(crate) mod stream;
