//! The tasks that carry between a connection's two ends: one a direction, each owns a half of the connection below.

use crate::Injected;
use crate::lane::{Cargo, End};
use crate::link::Link;
use crate::trace::{Sight, What};
use distbus_transport::{
    Batch, ClientInbound, ClientInbox, ClientOutbound, ClientSignal, Counters, Frame, Inbox, TransportError,
};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

/// Carries to the broker until the connection is over.
pub(crate) async fn up(link: Arc<Link>, outbound: Box<dyn ClientOutbound>, counters: Arc<Counters>) {
    let mut carrier = Up {
        link,
        outbound,
        counters,
        frames: Batch::new(),
        lost: false,
    };
    let over = carrier.link.over.clone();
    let mut arrived = Vec::new();
    loop {
        let link = carrier.link.clone();
        tokio::select! {
            biased;
            () = over.cancelled() => return,
            () = link.up.arrivals(Inbox::<()>::BOUND, &mut arrived) => {}
        }
        for cargo in arrived.drain(..) {
            carrier.deliver(cargo).await;
        }
        carrier.push().await;
    }
}

struct Up {
    link: Arc<Link>,
    outbound: Box<dyn ClientOutbound>,
    counters: Arc<Counters>,
    /// Those that have arrived and are not with the broker.
    frames: Batch,
    /// The connection below is over: whatever else arrives is lost.
    lost: bool,
}

impl Up {
    async fn deliver(&mut self, cargo: Cargo) {
        if let Cargo::Frame(frame) = cargo {
            return self.frames.push(frame);
        }
        self.push().await;
        if self.lost {
            return;
        }
        let link = self.link.clone();
        let bytes = cargo.cost();
        tokio::select! {
            biased;
            () = link.over.cancelled() => self.lost = true,
            () = self.obey(cargo) => {}
        }
        link.up.free(bytes, 0);
    }

    async fn obey(&mut self, cargo: Cargo) {
        let link = self.link.clone();
        let place = &link.up.way.place;
        let failed = match cargo {
            Cargo::Frame(_) => Ok(()),
            Cargo::Control(message) => {
                link.net.record(place, What::Control(message.len()));
                self.outbound.control(message).await
            }
            Cargo::Subscribe(prefix) => {
                link.net.record(place, What::Subscribed(prefix.clone()));
                self.outbound.subscribe(prefix).await
            }
            Cargo::Unsubscribe(prefix) => {
                link.net.record(place, What::Unsubscribed(prefix.clone()));
                self.outbound.unsubscribe(prefix).await
            }
            Cargo::End(End::Closed) => {
                let report = self.outbound.close(link.close_deadline()).await;
                link.set_report(report);
                link.over.cancel();
                Ok(())
            }
            Cargo::End(_) => {
                link.over.cancel();
                Ok(())
            }
        };
        match failed {
            Err(error) if error.is_closed() => self.lose(),
            // The client was told of its own limits; what the broker's say of an order is between the two below.
            _ => {}
        }
    }

    /// Hands over what has arrived.
    async fn push(&mut self) {
        while !self.frames.is_empty() && !self.lost {
            let link = self.link.clone();
            let before = self.counters.delivered.load(Relaxed);
            let pushed = tokio::select! {
                biased;
                () = link.over.cancelled() => Err(TransportError::Closed),
                pushed = self.outbound.push(self.frames.all()) => pushed,
            };
            let error = match pushed {
                Ok(()) => {
                    self.arrived(self.frames.len());
                    return;
                }
                Err(error) => error,
            };
            // A push that did not end well may have sent some.
            let sent = self.counters.delivered.load(Relaxed) - before;
            self.arrived(self.frames.len().min(sent as usize));
            if matches!(error, TransportError::TooLarge { .. }) {
                self.refused();
            } else {
                self.lose();
            }
        }
        self.cut();
    }

    /// The first so many are with the broker.
    fn arrived(&mut self, count: usize) {
        let (net, side) = (&self.link.net, &self.link.up);
        let mut bytes = 0;
        let there = self.frames.all().slice(..count);
        side.way.flow.arrive(there.iter());
        for frame in there {
            bytes += frame.cost();
            net.record(&side.way.place, What::Arrived(Sight::of(&frame.to_frame())));
        }
        self.frames.skip(count);
        side.free(bytes, count);
    }

    /// The first is above a limit of the broker's that the client does not know.
    fn refused(&mut self) {
        let (net, side) = (&self.link.net, &self.link.up);
        for frame in self.frames.take(1) {
            side.way.flow.lose(Injected::Refused, 1);
            net.record(
                &side.way.place,
                What::Injected(Injected::Refused, Sight::of(&frame)),
            );
            side.free(frame.cost(), 1);
        }
    }

    fn lose(&mut self) {
        self.lost = true;
        self.link.nothing_gets_there();
    }

    /// What could not be handed over.
    fn cut(&mut self) {
        let side = &self.link.up;
        let frames = self.frames.drain();
        side.count_cut(&self.link.net, &frames);
        side.free(frames.iter().map(Frame::cost).sum(), frames.len());
    }
}

impl Drop for Up {
    fn drop(&mut self) {
        self.cut();
    }
}

/// Carries to the client until the connection is over.
pub(crate) async fn down(link: Arc<Link>, mut inbound: Box<dyn ClientInbound>) {
    let mut inbox = ClientInbox::default();
    loop {
        if link.down.is_closed() {
            // Nobody is there who would take more; until the broker hears of that, what it has for this client stays with it.
            return link.over.cancelled().await;
        }
        let received = tokio::select! {
            biased;
            () = link.over.cancelled() => return,
            received = inbound.recv(&mut inbox) => received,
        };
        for signal in inbox.signals.drain(..) {
            if let ClientSignal::Control(message) = signal {
                let cargo = Cargo::Control(message);
                while !link.down.order(&cargo, link.held()) && !link.is_over() {
                    room(&link).await;
                }
            }
        }
        let mut rest = inbox.frames.all();
        while !rest.is_empty() {
            let (sent, broken) = link.down.send(&link.net, rest, link.held());
            rest = rest.slice(sent..);
            if broken {
                link.sever(End::Reset);
            } else if !rest.is_empty() {
                room(&link).await;
            }
        }
        inbox.clear();
        if received.is_err() {
            link.broker_ended();
            return;
        }
    }
}

/// Waits for room on the way to the client. Once the connection is over there is always some: what is sent then is lost, and counted.
async fn room(link: &Link) {
    if !link.is_over() {
        tokio::select! {
            biased;
            () = link.over.cancelled() => {}
            () = link.down.room.notified() => {}
        }
    }
}
