//! The memory transport keeps every promise of the contract.

use distbus_memory::Memory;

distbus_transport::conformance!(Memory::new(), "mem://");
