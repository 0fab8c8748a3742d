//! A local bus as most programs want it.

use crate::{Json, LocalBus, LocalBusBuilder};

impl LocalBus {
    /// A bus whose codec is [`Json`].
    ///
    /// ```
    /// use distbus::LocalBus;
    ///
    /// let bus = LocalBus::new();
    /// assert_eq!(bus.stats().offered, 0);
    /// ```
    pub fn new() -> Self {
        Self::with_codec(Json)
    }

    /// A builder of a bus whose codec is [`Json`].
    pub fn builder() -> LocalBusBuilder {
        LocalBusBuilder::with_codec(Json)
    }
}

impl Default for LocalBus {
    fn default() -> Self {
        Self::new()
    }
}
