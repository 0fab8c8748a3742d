//! Every promise of the transport contract, as a named test.

distbus_transport::conformance!(distbus_zeromq::ZeroMq::new(), "tcp://127.0.0.1:0");
