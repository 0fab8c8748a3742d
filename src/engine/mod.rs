pub(crate) mod host;
pub(crate) mod id;
pub(crate) mod timestamp;
