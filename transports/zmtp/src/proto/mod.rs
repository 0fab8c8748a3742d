//! The protocol without any I/O: bytes in, meaning out. ZMTP 3.0 and 3.1 (RFC 23 and 37), as far as
//! ROUTER, PUB, PULL, DEALER, SUB and PUSH need it.
//!
//! Nothing here allocates by what a peer announces: a size is judged by its [`Rules`] before a byte of it is awaited.
//!
//! ```
//! use bytes::BytesMut;
//! use distbus_zmtp::proto::{put_event, Decoder, Item, Rules};
//!
//! let mut wire = BytesMut::new();
//! put_event(&mut wire, b"lab.temp", b"21.5", 0x1234_5678);
//! let mut decoder = Decoder::new(Rules::default());
//! let Some(Item::Message(message)) = decoder.next(&mut wire)? else { panic!("a whole message") };
//! assert_eq!(message.event(&wire).unwrap().checksum, 0x1234_5678);
//! # Ok::<(), distbus_zmtp::proto::Violation>(())
//! ```

mod command;
mod decoder;
mod event;
mod frame;
mod greeting;
mod handshake;
mod mechanism;
mod metadata;
mod socket;
mod violation;

pub use command::{Command, put_error, put_ping, put_pong, put_subscribe, put_subscribe_message};
pub use decoder::{Decoder, Item, Message, Rules};
pub use event::{event_len, put_event, written_event};
pub use frame::{COMMAND, Head, LONG, MORE, put_frame, put_head};
pub use greeting::{GREETING_LEN, Greeting};
pub use handshake::{Handshake, PeerInfo, Progress};
pub use mechanism::{Mechanism, Null, Step};
pub use metadata::Metadata;
pub use socket::SocketType;
pub use violation::Violation;

#[cfg(test)]
mod properties;
