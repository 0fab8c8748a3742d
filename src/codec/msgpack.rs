/// Under construction.
#[derive(Clone, Copy, Debug, Default)]
pub struct MessagePack;
