//! ZeroMQ transport for `distbus`, on the [`zeromq`](https://docs.rs/zeromq) crate: client and broker, on exactly the wire
//! that Python's `aiodistbus` speaks.
//!
//! ```
//! use distbus_transport::{Batch, BrokerInbox, ClientInbox, Endpoint, Frame, Limits, PeerId, Transport};
//! use distbus_zeromq::ZeroMq;
//!
//! # #[tokio::main]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let (transport, limits) = (ZeroMq::new(), Limits::default());
//! let mut broker = transport.bind(&Endpoint::tcp("127.0.0.1", 0), &limits).await?;
//!
//! let id = PeerId::new("0191a3c4-0000-8000-8000-000000000001").ok_or("an empty id")?;
//! let mut client = transport.connect(&broker.endpoint, &id, &limits).await?;
//! client.outbound.push(Batch::from([Frame::sealed("lab.temp", "21.5")]).all()).await?;
//!
//! let mut inbox = BrokerInbox::default();
//! broker.inbound.recv(&mut inbox).await?;
//! assert_eq!(inbox.frames, [Frame::sealed("lab.temp", "21.5")]);
//! # Ok(())
//! # }
//! ```
//!
//! # The wire
//!
//! An endpoint is `tcp://host:port` and takes three neighbouring ports. Port 0 asks for three free ones. Listen on
//! `127.0.0.1` unless everybody who can reach the host is trusted; the table below says why.
//!
//! | port | broker binds | client connects | carries |
//! | --- | --- | --- | --- |
//! | p | ROUTER | DEALER, its routing id is the [`PeerId`](distbus_transport::PeerId) | control: one frame |
//! | p+1 | PUB | SUB | events: topic, body, CRC-32 of the body in 4 bytes, big-endian |
//! | p+2 | PULL | PUSH | events |
//!
//! Nothing else is ever sent: no probe, no fourth frame. What comes in any other shape is counted in
//! [`Counters::rejected`](distbus_transport::Counters::rejected), logged once a kind, and harms nobody else.
//!
//! # How load is bounded
//!
//! The crate's queues hold 100,000 messages, tell nobody how many there are, and PUB drops without a word when one is full. So each
//! frame that is handed to the crate keeps a ticket in the memory of its checksum; the crate drops a message once it is
//! in the buffer of the connection (of the last subscriber's connection, for PUB), and the ticket counts it out.
//! [`push`](distbus_transport::ClientOutbound::push) and [`publish`](distbus_transport::BrokerOutbound::publish) never have
//! more outstanding than 8,192 frames or [`Limits::queue_bytes`](distbus_transport::Limits::queue_bytes), whichever comes
//! first, so subscribers that keep up lose nothing. A subscriber that takes nothing at all costs publishing one deadline of
//! [`SlowConsumer::Block`](distbus_transport::SlowConsumer::Block); then its 100,000 fill, and the crate drops what is newest,
//! for it alone. It sees the loss as gaps in the sequence of event ids.
//!
//! # What the counters mean here
//!
//! How often PUB copies a frame is hidden, so a broker counts frames, not copies. `offered`: given to PUB. `delivered`: no longer held by
//! it, because every subscriber's connection took it, or the queue of a stalled one was full. `dropped`: held at the
//! deadline of a close, and replies to a peer that reads none. `clients`: what ROUTER's monitor says, which forgets events
//! under a flood of connections. At a client, `offered` was pushed and `delivered` was written to the connection; what a
//! connection that breaks still held is not known.
//!
//! # What this transport cannot promise, and what to use instead
//!
//! These are limits of the crate, version 0.7. `distbus-zmtp` speaks the same wire and has none of them; prefer it for
//! everything but a trusted network.
//!
//! | cannot | what happens | what to do |
//! | --- | --- | --- |
//! | refuse a large frame before it is there | 9 bytes that announce 64 GiB abort the process; `event_bytes` and `topic_bytes` are checked afterwards | loopback, or zmtp |
//! | time out a handshake, cap clients or subscriptions at the broker | silent connections are held until the broker closes | loopback, or zmtp |
//! | count what a stalled subscriber loses | gaps at that subscriber; and its 100,000 frames are held, whatever they weigh | zmtp |
//! | keep [`SlowConsumer`](distbus_transport::SlowConsumer) policies | `Block` waits as it should; under all, the newest are dropped at 100,000 a subscriber, and nobody is disconnected; the others wait 20 ms at most | zmtp |
//! | tell who subscribes to what, or reliably who is there | no presence signals | zmtp |
//! | keep a peer id to its owner | a second connection with the same id gets the replies of the first, which is closed; SUB and PUSH peers may name themselves as well | use fresh random ids, also when connecting again |
//! | answer heartbeats | a libzmq peer with heartbeats on is disconnected at its first PING | leave heartbeats off, which is the default |
//! | reconnect | any sign of loss on any of the three connections ends the client's link | connect again: that is the engine's part |
//! | notice that the PUSH connection alone broke | PUSH is not read; the second or third frame after that fails | flush, which is end to end |
//! | stop a writer whose peer reads nothing | at a broker closing ends it; at a client a close that gave up leaves it to wait until the peer reads or goes | |
//! | subscribe to bytes that are not text | asks for the longest text that begins them and leaves out the rest here: right, but more traffic | |
//! | compute on many cores | all the crate does for one broker runs on one thread, because on several it can stop for ever | zmtp |
//!
//! # Runtimes and threads
//!
//! A broker has one thread of its own, which ends with its link. A client's task and connections run in the runtime that calls
//! `connect`, which needs its I/O and time drivers, and end with it.

mod batch;
mod batches;
mod broker;
mod client;
mod gate;
mod linger;
mod ports;
mod transport;
mod wire;

pub use transport::ZeroMq;

/// The name in logs and errors.
const NAME: &str = "zeromq";

/// Locks what is never left half changed, so that a panic elsewhere is no reason to stop.
fn lock<T>(mutex: &std::sync::Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}
