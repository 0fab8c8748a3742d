//! Every promise of the contract, over socket files.
#![cfg(unix)]

use distbus_zmtp::Zmtp;

distbus_transport::conformance!(Zmtp::new(), "ipc://");
