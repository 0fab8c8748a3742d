//! Every promise of the contract, over TCP.

use distbus_zmtp::Zmtp;

distbus_transport::conformance!(Zmtp::new(), "tcp://127.0.0.1:0");
