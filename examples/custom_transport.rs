//! A transport of your own, over Unix sockets, that keeps every promise of the contract and passes its conformance suite.
//! Written to be copied.
//!
//! `cargo run --example custom_transport` runs a program over it;
//! `cargo test --example custom_transport` holds it to its promises, a test each: that is the one line at the end of this file.
//!
//! On the wire each message is a length of four bytes and that many more, which `tokio-util` reads and writes. A client first sends its peer
//! id; the broker answers with nothing, or with the reason of its refusal. After that each message begins with a byte that says what it is.
//!
//! One task accepts; each connection has one at the broker, which reads and writes. What clients send waits in `Hub::inputs`, what
//! is for a client in its `Client::state`. Both are bounded in bytes: where the first is full, a client's socket is not read any more,
//! and where the second is full, the broker's policy for slow consumers applies.

use async_trait::async_trait;
use bytes::{Buf, BufMut, Bytes, BytesMut};
use distbus::{Broker, Client as BusClient, Counters, DropReason, Endpoint, Guarantees, Limits, Reject};
use distbus_transport::queue::{Offer, SubscriberQueue};
use distbus_transport::{
    BrokerInbound, BrokerInbox, BrokerLink, BrokerOutbound, BrokerSignal, ClientInbound, ClientInbox, ClientLink,
    ClientOutbound, ClientSignal, CloseReport, Frame, PeerId, Transport, TransportError, TransportError::Closed,
};
use futures_util::{FutureExt, SinkExt, StreamExt, future::join_all};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::time::{Instant, sleep, timeout, timeout_at};
use tokio_util::codec::{FramedRead, FramedWrite, LengthDelimitedCodec};
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

/// Serves `ipc://path`, where the path is that of a socket file. Who may connect is decided by the rights on its folder. Both ends need the
/// same limits. A file that a killed process left behind has to be removed by hand: telling it from one in use would be a race.
#[derive(Clone, Copy, Debug, Default)]
struct Unix;

const NAME: &str = "unix";

#[async_trait]
impl Transport for Unix {
    fn name(&self) -> &'static str {
        NAME
    }

    /// All of them; start from fewer, and add what the suite confirms.
    fn guarantees(&self) -> Guarantees {
        Guarantees::strong()
    }

    async fn bind(&self, endpoint: &Endpoint, limits: &Limits) -> Result<BrokerLink, TransportError> {
        let (listener, path) = listen(path_of(endpoint)?)?;
        let room = limits.queue_bytes.clamp(1, u32::MAX as usize >> 3);
        let (sender, inputs) = mpsc::channel(BrokerInbox::BOUND);
        let counters = Arc::new(Counters::default());
        let hub = Arc::new(Hub {
            limits: limits.clone(),
            counters: Arc::clone(&counters),
            clients: Mutex::default(),
            room: Arc::new(Semaphore::new(room)),
            room_bytes: room,
            closing: CancellationToken::new(),
            over: CancellationToken::new(),
            tasks: TaskTracker::new(),
        });
        let endpoint = Endpoint::ipc(path.to_string_lossy());
        hub.tasks.spawn(accept(Arc::clone(&hub), listener, SocketFile(path), sender));
        // Dropping the last half drops this, and ends every task.
        let guard = Arc::new(hub.over.clone().drop_guard());
        Ok(BrokerLink {
            endpoint,
            counters,
            inbound: Box::new(FromClients { inputs, _guard: Arc::clone(&guard) }),
            outbound: Box::new(ToClients { hub, report: None, _guard: guard }),
        })
    }

    async fn connect(&self, endpoint: &Endpoint, peer: &PeerId, limits: &Limits) -> Result<ClientLink, TransportError> {
        let path = path_of(endpoint)?;
        loop {
            match shake_hands(path, peer, limits).await {
                Ok((reader, writer)) => return Ok(client_link(reader, writer, limits)),
                Err(Shake::Refused(reason)) => {
                    return Err(TransportError::Refused { endpoint: endpoint.clone(), reason });
                }
                Err(Shake::Failed(source)) => {
                    return Err(TransportError::Connect { endpoint: endpoint.clone(), source });
                }
                // Nothing tells when a file appears, so it looks again. Whoever has waited enough drops this future.
                Err(Shake::Nobody) => sleep(Duration::from_millis(10)).await,
            }
        }
    }
}

fn path_of(endpoint: &Endpoint) -> Result<&Path, TransportError> {
    match endpoint {
        Endpoint::Ipc { path } => Ok(Path::new(path)),
        other => Err(TransportError::Unsupported { transport: NAME, endpoint: other.clone(), takes: "ipc://path" }),
    }
}

// ---------------------------------------------------------------------------------------------------------------------
// The wire, the same on both sides.

type Reader = FramedRead<OwnedReadHalf, LengthDelimitedCodec>;
type Writer = FramedWrite<OwnedWriteHalf, LengthDelimitedCodec>;

enum Message {
    Frame(Frame),
    Control(Bytes),
    Subscribe(Bytes),
    Unsubscribe(Bytes),
}

/// What a frame takes on the wire besides topic and body: what it is, the checksum, the length of the topic.
const HEAD: usize = 1 + 4 + 4;

impl Message {
    fn encode(&self) -> Bytes {
        let (kind, rest) = match self {
            Self::Frame(frame) => {
                let mut out = BytesMut::with_capacity(HEAD + frame.topic().len() + frame.body().len());
                out.put_u8(b'f');
                out.put_u32(frame.checksum());
                out.put_u32(frame.topic().len() as u32);
                out.put_slice(frame.topic());
                out.put_slice(frame.body());
                return out.freeze();
            }
            Self::Control(message) => (b'c', message),
            Self::Subscribe(prefix) => (b's', prefix),
            Self::Unsubscribe(prefix) => (b'u', prefix),
        };
        [&[kind], &rest[..]].concat().into()
    }

    /// `None` for anything that [`encode`](Self::encode) does not write. A frame's parts are slices of what was read: no copy.
    fn decode(mut bytes: Bytes) -> Option<Self> {
        match bytes.try_get_u8().ok()? {
            b'f' => {
                let checksum = bytes.try_get_u32().ok()?;
                let length = bytes.try_get_u32().ok()? as usize;
                let topic = (length <= bytes.len()).then(|| bytes.split_to(length))?;
                Some(Self::Frame(Frame::new(topic, bytes, checksum)))
            }
            b'c' => Some(Self::Control(bytes)),
            b's' => Some(Self::Subscribe(bytes)),
            b'u' => Some(Self::Unsubscribe(bytes)),
            _ => None,
        }
    }
}

fn split(stream: UnixStream, limits: &Limits) -> (Reader, Writer) {
    // Checked as soon as the length has been read, before anything is reserved for it.
    let longest = HEAD.saturating_add(limits.topic_bytes).saturating_add(limits.event_bytes);
    let codec = LengthDelimitedCodec::builder().max_frame_length(longest).new_codec();
    let (read, write) = stream.into_split();
    (FramedRead::new(read, codec.clone()), FramedWrite::new(write, codec))
}

/// The frames before the first that is above a limit, and the error for that one.
fn within<'a>(frames: &'a [Frame], limits: &Limits) -> (&'a [Frame], Result<(), TransportError>) {
    for (at, frame) in frames.iter().enumerate() {
        let sizes = [("a topic", frame.topic().len(), limits.topic_bytes), ("an event", frame.body().len(), limits.event_bytes)];
        if let Some((what, size, limit)) = sizes.into_iter().find(|(_, size, limit)| size > limit) {
            return (&frames[..at], Err(TransportError::TooLarge { what, size, limit }));
        }
    }
    (frames, Ok(()))
}

/// The subscriptions of one client. It keeps them as well as its broker, so that a limit is an error at once and at home.
#[derive(Default)]
struct Prefixes {
    set: BTreeSet<Bytes>,
    bytes: usize,
}

impl Prefixes {
    /// Whether it is new.
    fn insert(&mut self, prefix: &Bytes, limits: &Limits) -> Result<bool, TransportError> {
        let (size, limit) = (prefix.len(), limits.topic_bytes);
        if size > limit {
            return Err(TransportError::TooLarge { what: "a subscription", size, limit });
        }
        if self.set.contains(prefix) {
            return Ok(false);
        }
        if self.set.len() >= limits.subscriptions {
            return Err(TransportError::LimitReached { what: "subscriptions", limit: limits.subscriptions });
        }
        if self.bytes + size > limits.subscription_bytes {
            return Err(TransportError::LimitReached { what: "bytes of subscriptions", limit: limits.subscription_bytes });
        }
        self.bytes += size;
        // A copy: the bytes are a slice of a whole read buffer.
        Ok(self.set.insert(Bytes::copy_from_slice(prefix)))
    }

    /// Whether it was there.
    fn remove(&mut self, prefix: &Bytes) -> bool {
        let removed = self.set.remove(prefix);
        self.bytes -= if removed { prefix.len() } else { 0 };
        removed
    }

    /// With thousands of subscriptions you would want an index here.
    fn match_topic(&self, topic: &[u8]) -> bool {
        self.set.iter().any(|prefix| topic.starts_with(prefix))
    }
}

// ---------------------------------------------------------------------------------------------------------------------
// The broker.

/// What the tasks of one broker share.
struct Hub {
    limits: Limits,
    counters: Arc<Counters>,
    clients: Mutex<BTreeMap<PeerId, Arc<Client>>>,
    /// Bytes of room in the queue to [`FromClients`]: each thing in it holds a permit, and frees it when it is taken out.
    room: Arc<Semaphore>,
    room_bytes: usize,
    /// No new clients; those that are there get what waits for them, and then the end.
    closing: CancellationToken,
    /// Everything ends now.
    over: CancellationToken,
    tasks: TaskTracker,
}

enum Input {
    Frame(Frame),
    Signal(BrokerSignal),
}

type Inputs = mpsc::Sender<(Input, OwnedSemaphorePermit)>;

/// One client, as its broker knows it.
struct Client {
    state: Mutex<State>,
    /// For the task that writes: there is something.
    ready: Notify,
    /// For `publish`: there is room.
    room: Notify,
    evicted: CancellationToken,
}

struct State {
    queue: SubscriberQueue,
    replies: VecDeque<Bytes>,
    prefixes: Prefixes,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Removes the file when the task that listens ends, however it does.
struct SocketFile(PathBuf);

impl Drop for SocketFile {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// Listens at a path; the empty one stands for a fresh one.
fn listen(path: &Path) -> Result<(UnixListener, PathBuf), TransportError> {
    static FRESH: AtomicU64 = AtomicU64::new(0);
    let any = path.as_os_str().is_empty();
    loop {
        let path = match any {
            true => {
                let name = format!("distbus-{}-{}.sock", std::process::id(), FRESH.fetch_add(1, Relaxed));
                std::env::temp_dir().join(name)
            }
            false => path.to_owned(),
        };
        let endpoint = Endpoint::ipc(path.to_string_lossy());
        match UnixListener::bind(&path) {
            Ok(listener) => return Ok((listener, path)),
            Err(error) if error.kind() == ErrorKind::AddrInUse && any => {}
            Err(error) if error.kind() == ErrorKind::AddrInUse => return Err(TransportError::AddressInUse { endpoint }),
            Err(source) => return Err(TransportError::Bind { endpoint, source }),
        }
    }
}

/// The task that listens. It holds the file and, with its clients' tasks, the only senders of `inputs`: when they end, so does `recv`.
async fn accept(hub: Arc<Hub>, listener: UnixListener, _file: SocketFile, inputs: Inputs) {
    let handshakes = Arc::new(Semaphore::new(hub.limits.pending_handshakes));
    loop {
        let accepted = tokio::select! {
            () = hub.closing.cancelled() => return,
            () = hub.over.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        let Ok((stream, _)) = accepted else {
            // Too many open files, perhaps: later there may be fewer.
            sleep(Duration::from_millis(10)).await;
            continue;
        };
        let Ok(handshake) = Arc::clone(&handshakes).try_acquire_owned() else {
            hub.counters.rejected.add(Reject::Clients, 1);
            continue;
        };
        let (hub, inputs) = (Arc::clone(&hub), inputs.clone());
        let (tasks, over) = (hub.tasks.clone(), hub.over.clone());
        tasks.spawn(async move {
            over.run_until_cancelled(hub.welcome(stream, handshake, inputs)).await;
        });
    }
}

impl Hub {
    /// One connection, from its handshake to its end.
    async fn welcome(&self, stream: UnixStream, handshake: OwnedSemaphorePermit, inputs: Inputs) {
        let (mut reader, mut writer) = split(stream, &self.limits);
        let peer = match timeout(self.limits.handshake_time, reader.next()).await {
            Ok(Some(Ok(id))) => PeerId::new(id.freeze()),
            Ok(_) => None,
            Err(_) => {
                self.counters.rejected.add(Reject::HandshakeTimeout, 1);
                return;
            }
        };
        let Some(peer) = peer else {
            self.counters.rejected.add(Reject::Handshake, 1);
            return;
        };
        match self.admit(&peer) {
            Ok(client) => {
                drop(handshake);
                let _entry = Entry { hub: self, peer: &peer, client: &client };
                self.serve(&peer, &client, reader, writer, &inputs).await;
            }
            Err((reject, reason)) => {
                self.counters.rejected.add(reject, 1);
                let _ = timeout(self.limits.handshake_time, writer.send(Bytes::from(reason))).await;
            }
        }
    }

    fn admit(&self, peer: &PeerId) -> Result<Arc<Client>, (Reject, String)> {
        let mut clients = lock(&self.clients);
        if clients.contains_key(peer) {
            return Err((Reject::DuplicatePeer, format!("peer id {peer} is in use; choose another")));
        }
        if clients.len() >= self.limits.clients {
            return Err((Reject::Clients, format!("it has {} clients, as many as it takes", clients.len())));
        }
        let client = Arc::new(Client {
            state: Mutex::new(State {
                queue: SubscriberQueue::new(&self.limits, Arc::clone(&self.counters)),
                replies: VecDeque::new(),
                prefixes: Prefixes::default(),
            }),
            ready: Notify::new(),
            room: Notify::new(),
            evicted: CancellationToken::new(),
        });
        clients.insert(peer.clone(), Arc::clone(&client));
        self.counters.clients.fetch_add(1, Relaxed);
        Ok(client)
    }

    /// A client that was let in, until it leaves, breaks the rules or is evicted.
    async fn serve(&self, peer: &PeerId, client: &Client, reader: Reader, mut writer: Writer, inputs: &Inputs) {
        let served = async {
            self.signal(BrokerSignal::Connected(peer.clone()), inputs).await?;
            writer.send(Bytes::new()).await.ok()?;
            // Together: a client that reads nothing is still heard, and one whose events find no room is still served.
            tokio::select! {
                _ = self.read(peer, client, reader, inputs) => {}
                _ = self.write(client, &mut writer) => {}
                () = client.evicted.cancelled() => {}
            }
            Some(())
        };
        served.await;
        drop(writer);
        client.end(DropReason::Disconnected);
        // Before its id is free for another. While the broker closes, nobody may be there to hear it.
        tokio::select! {
            _ = self.signal(BrokerSignal::Disconnected(peer.clone()), inputs) => {}
            () = self.closing.cancelled() => {}
        }
    }

    /// Takes in what a client sends. `None` is its end.
    async fn read(&self, peer: &PeerId, client: &Client, mut reader: Reader, inputs: &Inputs) -> Option<()> {
        while let Some(read) = reader.next().await {
            let message = read.map_err(|error| self.reject_broken(&error)).ok()?.freeze();
            let Some(message) = Message::decode(message) else {
                self.counters.rejected.add(Reject::Malformed, 1);
                return None;
            };
            match message {
                Message::Frame(frame) => {
                    self.counters.received.fetch_add(1, Relaxed);
                    if within(std::slice::from_ref(&frame), &self.limits).1.is_err() {
                        self.counters.rejected.add(Reject::TooLarge, 1);
                        continue;
                    }
                    let bytes = frame.cost();
                    self.input(Input::Frame(frame), bytes, inputs).await?;
                }
                Message::Control(message) => {
                    self.signal(BrokerSignal::Control { peer: peer.clone(), message }, inputs).await?;
                }
                Message::Subscribe(prefix) => match client.state().prefixes.insert(&prefix, &self.limits) {
                    Ok(true) => self.signal(BrokerSignal::Subscribed { peer: peer.clone(), prefix }, inputs).await?,
                    Ok(false) => {}
                    Err(_) => {
                        self.counters.rejected.add(Reject::Subscriptions, 1);
                        return None;
                    }
                },
                Message::Unsubscribe(prefix) => {
                    if client.state().prefixes.remove(&prefix) {
                        self.signal(BrokerSignal::Unsubscribed { peer: peer.clone(), prefix }, inputs).await?;
                    }
                }
            }
        }
        None
    }

    fn reject_broken(&self, error: &io::Error) {
        match error.kind() {
            ErrorKind::InvalidData => self.counters.rejected.add(Reject::TooLarge, 1),
            ErrorKind::Other => self.counters.rejected.add(Reject::Truncated, 1),
            _ => 0,
        };
    }

    /// Writes what waits for a client; when the broker closes, until nothing does.
    async fn write(&self, client: &Client, writer: &mut Writer) -> io::Result<()> {
        loop {
            // Asked first: once it is so, nothing is added to what waits.
            let closing = self.closing.is_cancelled();
            match client.next() {
                Some(message) => writer.feed(message.encode()).await?,
                None => {
                    writer.flush().await?;
                    if closing {
                        return Ok(());
                    }
                    tokio::select! {
                        () = client.ready.notified() => {}
                        () = self.closing.cancelled() => {}
                    }
                }
            }
        }
    }

    async fn signal(&self, signal: BrokerSignal, inputs: &Inputs) -> Option<()> {
        let bytes = match &signal {
            BrokerSignal::Control { message: bytes, .. } | BrokerSignal::Subscribed { prefix: bytes, .. } => bytes.len(),
            _ => 0,
        };
        self.input(Input::Signal(signal), bytes + 64, inputs).await
    }

    /// Waits for room. `None` when nobody receives any more.
    async fn input(&self, input: Input, bytes: usize, inputs: &Inputs) -> Option<()> {
        let room = Arc::clone(&self.room).acquire_many_owned(bytes.clamp(1, self.room_bytes) as u32);
        inputs.send((input, room.await.ok()?)).await.ok()
    }
}

/// A client's place in the hub: given up when its task ends, however it does.
struct Entry<'a> {
    hub: &'a Hub,
    peer: &'a PeerId,
    client: &'a Client,
}

impl Drop for Entry<'_> {
    fn drop(&mut self) {
        self.client.end(DropReason::Disconnected);
        lock(&self.hub.clients).remove(self.peer);
        self.hub.counters.clients.fetch_sub(1, Relaxed);
    }
}

impl Client {
    /// Replies that one client may leave unread.
    const REPLIES: usize = 1024;

    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    /// What to write next.
    fn next(&self) -> Option<Message> {
        let mut state = self.state();
        if let Some(reply) = state.replies.pop_front() {
            return Some(Message::Control(reply));
        }
        let mut frame = Vec::with_capacity(1);
        state.queue.take(1, &mut frame);
        drop(state);
        self.room.notify_one();
        frame.pop().map(Message::Frame)
    }

    /// Offers it a frame; `None` when it does not want it.
    fn offer(&self, frame: &Frame) -> Option<Offer> {
        let mut state = self.state();
        let offer = state.prefixes.match_topic(frame.topic()).then(|| state.queue.offer(frame))?;
        drop(state);
        match offer {
            Offer::Queued => self.ready.notify_one(),
            Offer::Evicted => self.evict(),
            _ => {}
        }
        Some(offer)
    }

    /// Gives it the frames it wants, in order, waiting for room where the policy says so.
    async fn deliver(&self, frames: &[Frame]) {
        for frame in frames {
            let mut deadline = None;
            while let Some(Offer::Full(wait)) = self.offer(frame) {
                let deadline = *deadline.get_or_insert_with(|| Instant::now() + wait);
                if timeout_at(deadline, self.room.notified()).await.is_err() {
                    self.state().queue.give_up();
                    break;
                }
            }
        }
    }

    fn evict(&self) {
        self.end(DropReason::Evicted);
        self.evicted.cancel();
    }

    /// It wants nothing any more. Returns how many frames had waited for it.
    fn end(&self, reason: DropReason) -> u64 {
        let mut state = self.state();
        state.prefixes = Prefixes::default();
        let dropped = state.queue.discard(reason);
        drop(state);
        self.room.notify_one();
        dropped
    }
}

struct FromClients {
    inputs: mpsc::Receiver<(Input, OwnedSemaphorePermit)>,
    _guard: Arc<DropGuard>,
}

#[async_trait]
impl BrokerInbound for FromClients {
    async fn recv(&mut self, inbox: &mut BrokerInbox) -> Result<(), TransportError> {
        // Cancel-safe: nothing has been taken until this returns, and nothing waits after it.
        let mut next = Some(self.inputs.recv().await.ok_or(Closed)?);
        while let Some((input, _room)) = next {
            match input {
                Input::Frame(frame) => inbox.frames.push(frame),
                Input::Signal(signal) => inbox.signals.push(signal),
            }
            next = (inbox.room() > 0).then(|| self.inputs.try_recv().ok()).flatten();
        }
        Ok(())
    }
}

struct ToClients {
    hub: Arc<Hub>,
    report: Option<CloseReport>,
    _guard: Arc<DropGuard>,
}

#[async_trait]
impl BrokerOutbound for ToClients {
    async fn publish(&mut self, frames: &[Frame]) -> Result<(), TransportError> {
        self.open()?;
        let (frames, outcome) = within(frames, &self.hub.limits);
        let clients: Vec<_> = lock(&self.hub.clients).values().cloned().collect();
        // All at once: whoever has room has everything before anybody is waited for, and deadlines run side by side.
        join_all(clients.iter().map(|client| client.deliver(frames))).await;
        outcome
    }

    async fn reply(&mut self, peer: &PeerId, message: Bytes) -> Result<(), TransportError> {
        self.open()?;
        let unknown = || TransportError::UnknownPeer(peer.clone());
        let client = lock(&self.hub.clients).get(peer).cloned().ok_or_else(unknown)?;
        let mut state = client.state();
        if state.replies.len() >= Client::REPLIES {
            drop(state);
            // It asks, and does not read the answers.
            client.evict();
            return Err(unknown());
        }
        state.replies.push_back(message);
        drop(state);
        client.ready.notify_one();
        Ok(())
    }

    async fn close(&mut self, deadline: Instant) -> CloseReport {
        if let Some(report) = self.report {
            return report;
        }
        let hub = &self.hub;
        hub.closing.cancel();
        hub.tasks.close();
        // Each task ends when it has written all that its client had waiting.
        let _ = timeout_at(deadline, hub.tasks.wait()).await;
        let late: Vec<_> = lock(&hub.clients).values().cloned().collect();
        let undelivered = late.iter().map(|client| client.end(DropReason::Closed)).sum();
        hub.over.cancel();
        hub.tasks.wait().await;
        *self.report.insert(CloseReport::undelivered(undelivered))
    }
}

impl ToClients {
    fn open(&self) -> Result<(), TransportError> {
        self.report.map_or(Ok(()), |_| Err(Closed))
    }
}

// ---------------------------------------------------------------------------------------------------------------------
// The client.

/// Why there is no connection.
enum Shake {
    Nobody,
    Refused(String),
    Failed(io::Error),
}

async fn shake_hands(path: &Path, peer: &PeerId, limits: &Limits) -> Result<(Reader, Writer), Shake> {
    let stream = UnixStream::connect(path).await.map_err(|error| match error.kind() {
        // No file; one that nobody listens at; more clients than the system lets wait.
        ErrorKind::NotFound | ErrorKind::ConnectionRefused | ErrorKind::WouldBlock => Shake::Nobody,
        _ => Shake::Failed(error),
    })?;
    let (mut reader, mut writer) = split(stream, limits);
    // A broker that ends in the middle of this is one that is not there.
    writer.send(peer.as_bytes().clone()).await.map_err(|_| Shake::Nobody)?;
    match reader.next().await {
        Some(Ok(answer)) if answer.is_empty() => Ok((reader, writer)),
        Some(Ok(reason)) => Err(Shake::Refused(String::from_utf8_lossy(&reason).into_owned())),
        _ => Err(Shake::Nobody),
    }
}

fn client_link(reader: Reader, writer: Writer, limits: &Limits) -> ClientLink {
    let (counters, closed) = (Arc::new(Counters::default()), CancellationToken::new());
    ClientLink {
        inbound: Box::new(FromBroker { reader, ended: false, closed: closed.clone(), counters: Arc::clone(&counters) }),
        outbound: Box::new(ToBroker {
            writer,
            closed,
            prefixes: Prefixes::default(),
            limits: limits.clone(),
            counters: Arc::clone(&counters),
        }),
        counters,
    }
}

struct FromBroker {
    reader: Reader,
    ended: bool,
    closed: CancellationToken,
    counters: Arc<Counters>,
}

#[async_trait]
impl ClientInbound for FromBroker {
    async fn recv(&mut self, inbox: &mut ClientInbox) -> Result<(), TransportError> {
        if self.ended {
            return Err(Closed);
        }
        // Cancel-safe, because `next` is. What comes is bounded by not reading the socket: then the broker's queue fills.
        let mut next = tokio::select! {
            biased;
            () = self.closed.cancelled() => return Err(Closed),
            next = self.reader.next() => Some(next),
        };
        let before = (inbox.frames.len(), inbox.signals.len());
        while let Some(read) = next {
            match read.and_then(Result::ok).and_then(|bytes| Message::decode(bytes.freeze())) {
                Some(Message::Frame(frame)) => inbox.frames.push(frame),
                Some(Message::Control(message)) => inbox.signals.push(ClientSignal::Control(message)),
                // The end, or nothing that a broker says. What came before it is returned first.
                _ => {
                    self.ended = true;
                    break;
                }
            }
            next = (inbox.room() > 0).then(|| self.reader.next().now_or_never()).flatten();
        }
        self.counters.received.fetch_add((inbox.frames.len() - before.0) as u64, Relaxed);
        if before == (inbox.frames.len(), inbox.signals.len()) { Err(Closed) } else { Ok(()) }
    }
}

struct ToBroker {
    writer: Writer,
    closed: CancellationToken,
    prefixes: Prefixes,
    limits: Limits,
    counters: Arc<Counters>,
}

impl ToBroker {
    /// Writes, and waits until the socket has taken all of it. A broker that does not read is felt here.
    async fn send(&mut self, messages: impl Iterator<Item = Message> + Send) -> Result<(), TransportError> {
        if self.closed.is_cancelled() {
            return Err(Closed);
        }
        for message in messages {
            self.writer.feed(message.encode()).await?;
        }
        Ok(self.writer.flush().await?)
    }
}

#[async_trait]
impl ClientOutbound for ToBroker {
    async fn push(&mut self, frames: &[Frame]) -> Result<(), TransportError> {
        let (frames, outcome) = within(frames, &self.limits);
        let count = frames.len() as u64;
        self.counters.offered.fetch_add(count, Relaxed);
        if let Err(error) = self.send(frames.iter().cloned().map(Message::Frame)).await {
            self.counters.dropped.add(DropReason::Disconnected, count);
            return Err(error);
        }
        self.counters.delivered.fetch_add(count, Relaxed);
        outcome
    }

    async fn control(&mut self, message: Bytes) -> Result<(), TransportError> {
        let (what, size, limit) = ("a control message", message.len(), self.limits.event_bytes);
        if size > limit {
            return Err(TransportError::TooLarge { what, size, limit });
        }
        self.send([Message::Control(message)].into_iter()).await
    }

    async fn subscribe(&mut self, prefix: Bytes) -> Result<(), TransportError> {
        let new = self.prefixes.insert(&prefix, &self.limits)?;
        self.send(new.then_some(Message::Subscribe(prefix)).into_iter()).await
    }

    async fn unsubscribe(&mut self, prefix: Bytes) -> Result<(), TransportError> {
        let removed = self.prefixes.remove(&prefix);
        self.send(removed.then_some(Message::Unsubscribe(prefix)).into_iter()).await
    }

    async fn close(&mut self, deadline: Instant) -> CloseReport {
        self.closed.cancel();
        // Every push has waited for its bytes to be with the system, which hands them on: nothing is left behind.
        let _ = timeout_at(deadline, self.writer.close()).await;
        CloseReport::undelivered(0)
    }
}

// ---------------------------------------------------------------------------------------------------------------------
// A program over it.

#[tokio::main]
async fn main() -> Result<(), distbus::Error> {
    let broker = Broker::builder().transport(Unix).bind("ipc://").await?;
    println!("the broker listens at {}", broker.endpoint());
    let lab = BusClient::builder().transport(Unix).connect(broker.endpoint()).await?;
    let desk = BusClient::builder().transport(Unix).connect(broker.endpoint()).await?;

    let mut temps = desk.subscribe::<f64>("lab.temp").await?;
    for celsius in [20.5, 21.0, 21.5] {
        lab.emit("lab.temp", &celsius).await?;
    }
    for expected in [20.5, 21.0, 21.5] {
        let temp = temps.next().await.expect("the client is open");
        println!("{} °C came through {}", *temp, desk.endpoint());
        assert_eq!(*temp, expected);
    }

    assert_eq!(broker.stats().transport.clients, 2);
    lab.close().await;
    assert_eq!(broker.close().await.undelivered, 0);
    desk.close().await;
    println!("promises that it does not make: {:?}", Unix.guarantees().missing());
    Ok(())
}

// The whole test of a transport.
#[cfg(test)]
distbus_transport::conformance!(Unix, "ipc://");
