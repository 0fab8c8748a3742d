//! A [`Transport`](distbus_transport::Transport) that speaks ZMTP 3.0 and 3.1, the protocol of ZeroMQ (RFC 23 and 37), made for
//! brokers that face bad input and heavy load. [`Zmtp`] is all there is to know:
//!
//! ```
//! use distbus_transport::{Endpoint, Limits, Transport};
//! use distbus_zmtp::Zmtp;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), distbus_transport::TransportError> {
//! let link = Zmtp::new().bind(&Endpoint::tcp("127.0.0.1", 0), &Limits::default()).await?;
//! println!("clients connect to {}", link.endpoint);
//! # Ok(())
//! # }
//! ```
//!
//! # On the wire
//!
//! | role | broker | client | `tcp://host:p` | `ipc://path` |
//! | --- | --- | --- | --- | --- |
//! | control | ROUTER | DEALER, whose routing id is the peer id | port p | `path` |
//! | publish | PUB | SUB | port p+1 | `path.pub` |
//! | collect | PULL | PUSH | port p+2 | `path.pull` |
//!
//! An event is three frames: topic, body, and the body's CRC-32 in four bytes, big-endian. Port 0 takes a random p for which all
//! three ports are free; an empty path takes fresh files in the directory for temporary files. Socket files are removed with
//! the broker, and those that a killed one left are replaced.
//!
//! Any ZeroMQ peer with these sockets can be at the other end: subscriptions are understood as messages (3.0) and as commands
//! (3.1), and every PING is answered. The security mechanism is NULL: whoever can reach the endpoint is believed.
//!
//! # Promises
//!
//! All of [`Guarantees::strong`](distbus_transport::Guarantees::strong). Beside [`Limits`](distbus_transport::Limits), these hold:
//!
//! * A handshake's command has at most 2,048 bytes and a later one 4,096, or what the longest subscription takes; a
//!   message has at most eight frames; a topic or body at most 512 MiB, whatever the limits say.
//! * `clients` holds for each of the three sockets. A connection without a routing id gets one that begins with a zero byte.
//! * Under [`Block`](distbus_transport::SlowConsumer::Block) publishing already pauses for a subscriber with more than 1 MiB waiting, at most 20 ms,
//!   and not again until it has caught up: what waits is then small and warm. One that does not read at all costs the others that once.
//! * A queue is counted in bytes on the wire: headers too. Besides it a connection costs what the operating system buffers.
//! * A peer that takes nothing of what waits for it is disconnected after a
//!   [write deadline](Zmtp::write_deadline), whatever the slow-consumer policy.
//! * Whoever breaks the protocol or a limit is disconnected, counted in
//!   [`Counters::rejected`](distbus_transport::Counters::rejected), and logged in one line. A message that is no event,
//!   but within the limits, is only counted.
//!
//! # How it is fast
//!
//! Nothing is handed from task to task. `recv` reads the sockets of publishers itself, many frames at a read, and
//! hands them out as slices of one reused buffer; `publish` encodes a batch once, asks a prefix tree who wants a topic
//! once as long as subscriptions do not change, and writes to each subscriber's socket itself, once a batch. A connection's own task
//! takes over only when its socket is full, and hears the little that subscribers say. So a batch costs a system call
//! in and one a subscriber out, a single event leaves in the call that brought it, and an engine that is busy is
//! backpressure that publishers feel.
//!
//! It also means that a publisher's heartbeats are answered as often as `recv` is called, and that a frame that is
//! kept keeps the buffer that it came in: 320 KiB, shared with its neighbours.

mod broker;
mod chunk;
mod client;
mod index;
mod mailbox;
mod net;
pub mod proto;
mod refuse;
mod transport;

pub use transport::Zmtp;

/// This transport's name in logs and errors.
const NAME: &str = "zmtp";
