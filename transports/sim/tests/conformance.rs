//! With nothing wrong, the network keeps every promise of the transport below it.

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
