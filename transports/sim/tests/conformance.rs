//! With nothing wrong, the network keeps every promise of the transport below it; and as long as it is lossless, however slow it is.

mod memory {
    use distbus_memory::Memory;
    use distbus_sim::Faulty;

    distbus_transport::conformance!(Faulty::new(Memory::new()), "mem://");
}

mod zmtp {
    use distbus_sim::Faulty;
    use distbus_zmtp::Zmtp;

    distbus_transport::conformance!(Faulty::new(Zmtp::new()), "tcp://127.0.0.1:0");
}

/// Each frame takes its time, no two the same, through a narrow line.
mod slow_memory {
    use distbus_memory::Memory;
    use distbus_sim::{Faulty, Latency, LinkConfig};
    use std::time::Duration;

    fn network() -> Faulty<Memory> {
        let network = Faulty::new(Memory::new());
        let latency = Latency::uniform(Duration::from_millis(1), Duration::from_millis(4));
        let config = LinkConfig::default().with_latency(latency).with_window(64 << 10);
        network.set_default(config.with_bandwidth(Some(200 << 20)));
        network
    }

    distbus_transport::conformance!(network(), "mem://");
}
