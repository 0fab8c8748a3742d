use super::hub::{Hub, Seats};
use super::inbound::Pull;
use super::peers::Dealer;
use super::subscribers::Subscriber;
use crate::net::greet::{GreetError, Greeted, greet};
use crate::net::outlet::Outlet;
use crate::net::reader::{EventReader, event_rules};
use crate::net::session::{End, Heartbeat, Role, Session};
use crate::net::stream::Stream;
use crate::proto::{SocketType, put_error};
use distbus_transport::{BrokerSignal, DropReason, PeerId, Reject, SlowConsumer};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use tokio::time::timeout;

/// One of a bounded number of places, given back when dropped.
pub(crate) struct Seat(Arc<AtomicUsize>);

impl Seat {
    fn take(taken: &Arc<AtomicUsize>, limit: usize) -> Option<Self> {
        let fits = |n: usize| (n < limit).then_some(n + 1);
        taken.fetch_update(Relaxed, Relaxed, fits).ok()?;
        Some(Self(taken.clone()))
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

impl Seats {
    fn of(&self, socket: SocketType) -> &Arc<AtomicUsize> {
        match socket {
            SocketType::Pub => &self.publish,
            SocketType::Pull => &self.collect,
            _ => &self.control,
        }
    }
}

/// A peer that has said who it is, and the place it takes.
struct Guest {
    greeted: Greeted,
    outlet: Arc<Outlet>,
    place: Seat,
}

impl Guest {
    fn accept(&mut self) {
        let ready = self.greeted.acceptance();
        // The queue is empty: there is room.
        let _ = self.outlet.send_control(&ready);
    }

    fn peer(&self, hub: &Hub) -> PeerId {
        PeerId::new(self.greeted.peer.metadata.identity.clone()).unwrap_or_else(|| hub.peers.unnamed())
    }

    fn session<R: Role>(self, hub: &Hub, role: R) -> (Session<R>, Seat) {
        let session = Session {
            heartbeat: Heartbeat::new(hub.options.heartbeat, self.greeted.peer.minor),
            read: self.greeted.read,
            buffer: self.greeted.rest,
            outlet: self.outlet,
            role,
            room: hub.mailbox.room().clone(),
            write_time: hub.options.write_time,
            writes: true,
        };
        (session, self.place)
    }
}

fn refuse(outlet: &Outlet, why: &str) {
    let mut error = Vec::new();
    put_error(&mut error, why);
    // It is over either way.
    let _ = outlet.send_control(&error);
}

/// Takes a connection in, if there is room for one more handshake.
pub(crate) fn admit(hub: &Arc<Hub>, stream: Stream, socket: SocketType) {
    let Some(pending) = Seat::take(&hub.seats.handshakes, hub.limits.pending_handshakes) else {
        hub.reject(socket, None, Reject::Clients, "too many handshakes at once");
        return;
    };
    let of = hub.clone();
    hub.spawn(async move {
        let mut closing = of.closing.subscribe();
        let guest = tokio::select! {
            _ = closing.wait_for(Option::is_some) => return,
            guest = handshake(&of, stream, socket) => guest,
        };
        let Some(guest) = guest else { return };
        match socket {
            SocketType::Pub => serve_subscriber(&of, guest, pending).await,
            SocketType::Pull => serve_publisher(&of, guest),
            _ => serve_dealer(&of, guest, pending).await,
        }
    });
}

/// Until the peer has said who it is, and there is a place for it.
async fn handshake(hub: &Arc<Hub>, stream: Stream, socket: SocketType) -> Option<Guest> {
    let limits = &hub.limits;
    let mut greeted = match timeout(limits.handshake_time, greet(stream, socket, b"", true)).await {
        Ok(Ok(greeted)) => greeted,
        Ok(Err(GreetError::Violation(violation))) => {
            hub.reject(socket, None, violation.reject(), &violation.to_string());
            return None;
        }
        Ok(Err(GreetError::Gone)) => {
            let why = "it went away during its handshake";
            hub.reject(socket, None, Reject::Handshake, why);
            return None;
        }
        Ok(Err(GreetError::Io(error))) => {
            let why = format!("its connection broke during its handshake: {error}");
            hub.reject(socket, None, Reject::Handshake, &why);
            return None;
        }
        Err(_) => {
            let why = "its handshake took too long";
            hub.reject(socket, None, Reject::HandshakeTimeout, why);
            return None;
        }
    };
    let policy = match socket {
        SocketType::Pub => limits.slow_consumer,
        _ => SlowConsumer::Disconnect,
    };
    let outlet = Arc::new(Outlet::new(
        greeted.write.take(),
        hub.counters.clone(),
        limits.queue_bytes,
        policy,
        hub.room.clone(),
    ));
    let Some(place) = Seat::take(hub.seats.of(socket), limits.clients) else {
        let why = format!("no more than {} clients are allowed here", limits.clients);
        hub.reject(socket, None, Reject::Clients, &why);
        refuse(&outlet, &why);
        return None;
    };
    Some(Guest {
        greeted,
        outlet,
        place,
    })
}

async fn serve_subscriber(hub: &Arc<Hub>, mut guest: Guest, pending: Seat) {
    let peer = guest.peer(hub);
    let role = Subscriber::new(hub.clone(), peer.clone(), guest.outlet.clone());
    guest.accept();
    drop(pending);
    let (mut session, _place) = guest.session(hub, role);
    let end = session.run(&mut hub.closing.subscribe()).await;
    report(hub, SocketType::Pub, &peer, &end);
    if let End::Closing(deadline) = end {
        session.role.leave();
        session.finish(deadline, DropReason::Closed).await;
        return;
    }
    session.outlet.close(match end {
        End::Stalled | End::Silent => DropReason::Evicted,
        _ => DropReason::Disconnected,
    });
    session.role.leave();
    let signals = session.role.take_signals();
    drop(session);
    post_all(hub, signals).await;
}

fn serve_publisher(hub: &Arc<Hub>, mut guest: Guest) {
    guest.accept();
    let peer = guest.peer(hub);
    let Guest {
        greeted,
        outlet,
        place,
    } = guest;
    let rules = event_rules(hub.limits.topic_bytes, hub.limits.event_bytes);
    let reader = EventReader::new(greeted.read, outlet, rules, greeted.rest);
    hub.mailbox
        .arrive(Pull::new(reader, peer, greeted.peer.minor, place));
}

async fn serve_dealer(hub: &Arc<Hub>, mut guest: Guest, pending: Seat) {
    let peer = guest.peer(hub);
    if !hub.peers.enter(&peer, &guest.outlet).await {
        let why = format!("the peer id {peer} is in use");
        hub.reject(SocketType::Router, Some(&peer), Reject::DuplicatePeer, &why);
        refuse(&guest.outlet, &why);
        return;
    }
    let role = Dealer::new(hub.clone(), peer.clone());
    guest.accept();
    drop(pending);
    let (mut session, _place) = guest.session(hub, role);
    let end = session.run(&mut hub.closing.subscribe()).await;
    report(hub, SocketType::Router, &peer, &end);
    if let End::Closing(deadline) = end {
        session.finish(deadline, DropReason::Closed).await;
        return;
    }
    session.outlet.close(DropReason::Disconnected);
    let signals = session.role.take_signals();
    // First the id is free, then the engine hears of it.
    drop(session);
    post_all(hub, signals).await;
}

/// A connection's last signals wait for room like all others.
async fn post_all(hub: &Hub, mut signals: Vec<BrokerSignal>) {
    let mut closing = hub.closing.subscribe();
    loop {
        let room = hub.mailbox.room().notified();
        if hub.mailbox.post(&mut signals) {
            return;
        }
        tokio::select! {
            () = room => {}
            _ = closing.wait_for(Option::is_some) => return,
        }
    }
}

pub(crate) fn report(hub: &Hub, socket: SocketType, peer: &PeerId, end: &End) {
    match end.fault() {
        Some((reject, why)) => hub.reject(socket, Some(peer), reject, &why),
        None => tracing::debug!(%socket, %peer, ?end, "a connection is over"),
    }
}
