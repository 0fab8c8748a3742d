//! The broker's side: a task that accepts, and one for each connection that reads and writes.
//!
//! What clients send goes through one queue to [`Inbound`], bounded in bytes: where it is full, their sockets are not read.

use crate::subscriber::Subscriber;
use crate::wire::{Message, Reader, Writer, split};
use async_trait::async_trait;
use bytes::Bytes;
use distbus_transport::{
    BrokerInbound, BrokerInbox, BrokerLink, BrokerOutbound, BrokerSignal, CloseReport, Counters, DropReason,
    Endpoint, Frame, Frames, Limits, PeerId, Reject, TransportError, TransportError::Closed,
};
use futures_util::{SinkExt, StreamExt, future::join_all};
use std::collections::BTreeMap;
use std::io::{self, ErrorKind};
use std::path::PathBuf;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::time::{Instant, sleep, timeout, timeout_at};
use tokio_util::codec::LengthDelimitedCodecError;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

/// What a broker's tasks share.
struct Hub {
    limits: Limits,
    counters: Arc<Counters>,
    subscribers: Mutex<BTreeMap<PeerId, Arc<Subscriber>>>,
    /// Bytes of room in the queue to [`Inbound`]. Each thing in it holds some, and gives it back when it is taken out.
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

type Sender = mpsc::Sender<(Input, OwnedSemaphorePermit)>;

/// Removes the file when the task that listens ends, however it does.
struct SocketFile(PathBuf);

impl Drop for SocketFile {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

pub(crate) fn link(listener: UnixListener, path: PathBuf, limits: &Limits) -> BrokerLink {
    let room_bytes = limits.queue_bytes.clamp(1, u32::MAX as usize >> 3);
    let (sender, inputs) = mpsc::channel(BrokerInbox::BOUND);
    let hub = Arc::new(Hub {
        limits: limits.clone(),
        counters: Arc::default(),
        subscribers: Mutex::default(),
        room: Arc::new(Semaphore::new(room_bytes)),
        room_bytes,
        closing: CancellationToken::new(),
        over: CancellationToken::new(),
        tasks: TaskTracker::new(),
    });
    let endpoint = Endpoint::ipc(path.to_string_lossy());
    hub.tasks
        .spawn(accept(Arc::clone(&hub), listener, SocketFile(path), sender));
    // Both halves hold it: dropping the last ends every task.
    let guard = Arc::new(hub.over.clone().drop_guard());
    BrokerLink {
        endpoint,
        counters: Arc::clone(&hub.counters),
        inbound: Box::new(Inbound {
            inputs,
            _guard: Arc::clone(&guard),
        }),
        outbound: Box::new(Outbound {
            hub,
            report: None,
            _guard: guard,
        }),
    }
}

/// Accepts until the end. It and the tasks it starts have the only senders: when they have ended, so has `recv`.
async fn accept(hub: Arc<Hub>, listener: UnixListener, _file: SocketFile, sender: Sender) {
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
        let (hub, sender) = (Arc::clone(&hub), sender.clone());
        hub.tasks.clone().spawn(async move {
            hub.over
                .run_until_cancelled(hub.welcome(stream, handshake, sender))
                .await;
        });
    }
}

impl Hub {
    fn subscribers(&self) -> MutexGuard<'_, BTreeMap<PeerId, Arc<Subscriber>>> {
        self.subscribers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn reject(&self, reason: Reject) {
        self.counters.rejected.add(reason, 1);
    }

    /// One connection, from its handshake to its end.
    async fn welcome(&self, stream: UnixStream, handshake: OwnedSemaphorePermit, sender: Sender) {
        let (mut reader, mut writer) = split(stream, &self.limits);
        let peer = match timeout(self.limits.handshake_time, reader.next()).await {
            Ok(Some(Ok(Message::Control(id)))) => PeerId::new(id),
            Ok(_) => None,
            Err(_) => return self.reject(Reject::HandshakeTimeout),
        };
        let Some(peer) = peer else {
            return self.reject(Reject::Handshake);
        };
        match self.admit(&peer) {
            Ok(place) => {
                drop(handshake);
                self.serve(place, reader, writer, &sender).await;
            }
            Err((reject, reason)) => {
                self.reject(reject);
                let _ = timeout(
                    self.limits.handshake_time,
                    writer.send(Message::Control(reason.into())),
                )
                .await;
            }
        }
    }

    fn admit(&self, peer: &PeerId) -> Result<Place<'_>, (Reject, String)> {
        let mut subscribers = self.subscribers();
        if subscribers.contains_key(peer) {
            return Err((
                Reject::DuplicatePeer,
                format!("peer id {peer} is in use; choose another"),
            ));
        }
        let count = subscribers.len();
        if count >= self.limits.clients {
            return Err((
                Reject::Clients,
                format!("it has {count} clients, as many as it takes"),
            ));
        }
        let subscriber = Arc::new(Subscriber::new(&self.limits, &self.counters));
        subscribers.insert(peer.clone(), Arc::clone(&subscriber));
        self.counters.clients.fetch_add(1, Relaxed);
        Ok(Place {
            hub: self,
            peer: peer.clone(),
            subscriber,
        })
    }

    /// A client that was let in, until it leaves, breaks the rules or is evicted.
    async fn serve(&self, place: Place<'_>, reader: Reader, mut writer: Writer, sender: &Sender) {
        let (peer, subscriber) = (&place.peer, &place.subscriber);
        self.signal(BrokerSignal::Connected(peer.clone()), sender).await;
        if writer.send(Message::Control(Bytes::new())).await.is_ok() {
            // Side by side: a client that reads nothing is still heard, and one whose events find no room still gets others'.
            tokio::select! {
                () = self.read(peer, subscriber, reader, sender) => {}
                _ = self.write(subscriber, &mut writer) => {}
                () = subscriber.evicted.cancelled() => {}
            }
        }
        drop(writer);
        subscriber.end(DropReason::Disconnected);
        // Before its id is free for another. While the broker closes, nobody may be there to hear it.
        tokio::select! {
            () = self.signal(BrokerSignal::Disconnected(peer.clone()), sender) => {}
            () = self.closing.cancelled() => {}
        }
    }

    /// Takes in what a client sends, until it ends.
    async fn read(&self, peer: &PeerId, subscriber: &Subscriber, mut reader: Reader, sender: &Sender) {
        while let Some(message) = reader.next().await {
            let (peer, limits) = (peer.clone(), &self.limits);
            let signal = match message {
                Ok(Message::Frame(frame)) => {
                    self.frame(frame, sender).await;
                    continue;
                }
                Ok(Message::Control(message)) => BrokerSignal::Control { peer, message },
                Ok(Message::Subscribe(prefix)) => match subscriber.state().prefixes.insert(&prefix, limits) {
                    Ok(true) => BrokerSignal::Subscribed { peer, prefix },
                    Ok(false) => continue,
                    // An honest client has kept the limits itself.
                    Err(_) => return self.reject(Reject::Subscriptions),
                },
                Ok(Message::Unsubscribe(prefix)) => match subscriber.state().prefixes.remove(&prefix) {
                    true => BrokerSignal::Unsubscribed { peer, prefix },
                    false => continue,
                },
                Err(error) => return self.reject_broken(&error),
            };
            self.signal(signal, sender).await;
        }
    }

    async fn frame(&self, frame: Frame, sender: &Sender) {
        self.counters.received.fetch_add(1, Relaxed);
        if self.limits.fault(frame.view()).is_some() {
            return self.reject(Reject::TooLarge);
        }
        let bytes = frame.cost();
        self.input(Input::Frame(frame), bytes, sender).await;
    }

    /// A connection that ended in the middle, or sends what no client sends: nothing after it can be trusted.
    fn reject_broken(&self, error: &io::Error) {
        let too_large = error
            .get_ref()
            .is_some_and(|inner| inner.is::<LengthDelimitedCodecError>());
        match error.kind() {
            ErrorKind::InvalidData if too_large => self.reject(Reject::TooLarge),
            ErrorKind::InvalidData => self.reject(Reject::Malformed),
            _ => self.reject(Reject::Truncated),
        }
    }

    /// Writes what waits for a client. When the broker closes, it ends when nothing does.
    async fn write(&self, subscriber: &Subscriber, writer: &mut Writer) -> io::Result<()> {
        loop {
            // Asked first: when it is so, nothing more is added to what waits.
            let closing = self.closing.is_cancelled();
            if let Some(message) = subscriber.next() {
                writer.feed(message).await?;
                continue;
            }
            writer.flush().await?;
            if closing {
                return Ok(());
            }
            tokio::select! {
                () = subscriber.ready.notified() => {}
                () = self.closing.cancelled() => {}
            }
        }
    }

    async fn signal(&self, signal: BrokerSignal, sender: &Sender) {
        let bytes = match &signal {
            BrokerSignal::Control { message, .. } => message.len(),
            BrokerSignal::Subscribed { prefix, .. } | BrokerSignal::Unsubscribed { prefix, .. } => {
                prefix.len()
            }
            _ => 0,
        };
        self.input(Input::Signal(signal), 64 + bytes, sender).await;
    }

    /// Waits for room. Whatever is larger than all of it passes when the queue is empty.
    async fn input(&self, input: Input, bytes: usize, sender: &Sender) {
        let share = bytes.clamp(1, self.room_bytes) as u32;
        if let Ok(room) = Arc::clone(&self.room).acquire_many_owned(share).await {
            // It fails when nobody receives any more: then the link is over.
            let _ = sender.send((input, room)).await;
        }
    }
}

/// A client's place at the broker, given up when its task ends, however it does.
struct Place<'a> {
    hub: &'a Hub,
    peer: PeerId,
    subscriber: Arc<Subscriber>,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.subscriber.end(DropReason::Disconnected);
        self.hub.subscribers().remove(&self.peer);
        self.hub.counters.clients.fetch_sub(1, Relaxed);
    }
}

struct Inbound {
    inputs: mpsc::Receiver<(Input, OwnedSemaphorePermit)>,
    _guard: Arc<DropGuard>,
}

#[async_trait]
impl BrokerInbound for Inbound {
    async fn recv(&mut self, inbox: &mut BrokerInbox) -> Result<(), TransportError> {
        // Cancel-safe: this is the only wait, and it takes nothing unless it returns.
        let (mut input, _room) = self.inputs.recv().await.ok_or(Closed)?;
        loop {
            match input {
                Input::Frame(frame) => inbox.frames.push(frame),
                Input::Signal(signal) => inbox.signals.push(signal),
            }
            if inbox.room() == 0 {
                return Ok(());
            }
            match self.inputs.try_recv() {
                Ok((next, _room)) => input = next,
                Err(_) => return Ok(()),
            }
        }
    }
}

struct Outbound {
    hub: Arc<Hub>,
    report: Option<CloseReport>,
    _guard: Arc<DropGuard>,
}

impl Outbound {
    fn open(&self) -> Result<&Hub, TransportError> {
        if self.report.is_some() {
            Err(Closed)
        } else {
            Ok(&self.hub)
        }
    }
}

#[async_trait]
impl BrokerOutbound for Outbound {
    async fn publish(&mut self, frames: Frames<'_>) -> Result<(), TransportError> {
        let hub = self.open()?;
        let (frames, outcome) = hub.limits.within(frames);
        let subscribers: Vec<_> = hub.subscribers().values().cloned().collect();
        // Together: who has room has everything before anybody is waited for, and deadlines run side by side.
        join_all(subscribers.iter().map(|subscriber| subscriber.deliver(frames))).await;
        outcome
    }

    async fn reply(&mut self, peer: &PeerId, message: Bytes) -> Result<(), TransportError> {
        let subscriber = self.open()?.subscribers().get(peer).cloned();
        match subscriber {
            Some(subscriber) if subscriber.reply(message) => Ok(()),
            _ => Err(TransportError::UnknownPeer(peer.clone())),
        }
    }

    async fn close(&mut self, deadline: Instant) -> CloseReport {
        if let Some(report) = self.report {
            return report;
        }
        let hub = &self.hub;
        hub.closing.cancel();
        hub.tasks.close();
        // Each task ends when it has written all that waited for its client.
        let _ = timeout_at(deadline, hub.tasks.wait()).await;
        let late: Vec<_> = hub.subscribers().values().cloned().collect();
        let undelivered = late
            .iter()
            .map(|subscriber| subscriber.end(DropReason::Closed))
            .sum();
        hub.over.cancel();
        hub.tasks.wait().await;
        *self.report.insert(CloseReport::undelivered(undelivered))
    }
}
