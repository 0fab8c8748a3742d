//! The conformance suite catches what it is for: a transport with one fault fails the test of that promise.

use async_trait::async_trait;
use bytes::Bytes;
use distbus_memory::Memory;
use distbus_transport::{
    BrokerInbound, BrokerInbox, BrokerLink, BrokerOutbound, ClientInbound, ClientInbox, ClientLink,
    ClientOutbound, CloseReport, Counters, Endpoint, Frame, Guarantees, Limits, PeerId, Transport,
    TransportError,
};
use distbus_transport::{
    FrameRef, Frames,
    testing::{self, Subject},
};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use tokio::time::Instant;

/// One thing that is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    None,
    EndpointStaysAny,
    ConnectGivesUp,
    ServesEverything,
    Duplicates,
    Reverses,
    RepairsChecksums,
    ReceivesNothing,
    ClearsTheInbox,
    TakesBeforeItWaits,
    PublishesTooMuch,
    DropsAfterTooLarge,
    ForgetsToCount,
    ClosesWithAnotherError,
    ReportsTwice,
    UnsubscribesHalf,
    AnswersEverybody,
}

/// [`Memory`] with that.
struct Faulty {
    memory: Memory,
    fault: Fault,
}

struct Half<T> {
    half: T,
    fault: Fault,
    counters: Arc<Counters>,
    calls: u64,
}

fn wrong() -> TransportError {
    let source = "the fault".into();
    TransportError::Other {
        transport: "faulty",
        source,
    }
}

#[async_trait]
impl Transport for Faulty {
    fn name(&self) -> &'static str {
        "faulty"
    }

    fn guarantees(&self) -> Guarantees {
        Guarantees::strong()
    }

    async fn bind(&self, endpoint: &Endpoint, limits: &Limits) -> Result<BrokerLink, TransportError> {
        let endpoint = match (self.fault, endpoint) {
            (Fault::ServesEverything, Endpoint::Tcp { .. }) => &Endpoint::mem("tcp"),
            _ => endpoint,
        };
        let mut link = self.memory.bind(endpoint, limits).await?;
        if self.fault == Fault::EndpointStaysAny {
            link.endpoint = Endpoint::mem("");
        }
        let (fault, counters) = (self.fault, link.counters.clone());
        link.inbound = Box::new(Half {
            half: link.inbound,
            fault,
            counters: counters.clone(),
            calls: 0,
        });
        link.outbound = Box::new(Half {
            half: link.outbound,
            fault,
            counters,
            calls: 0,
        });
        Ok(link)
    }

    async fn connect(
        &self,
        endpoint: &Endpoint,
        peer: &PeerId,
        limits: &Limits,
    ) -> Result<ClientLink, TransportError> {
        let connect = self.memory.connect(endpoint, peer, limits);
        let mut link = match self.fault {
            Fault::ConnectGivesUp => {
                let patience = std::time::Duration::from_millis(20);
                tokio::time::timeout(patience, connect)
                    .await
                    .map_err(|_| wrong())??
            }
            _ => connect.await?,
        };
        let (fault, counters) = (self.fault, link.counters.clone());
        link.inbound = Box::new(Half {
            half: link.inbound,
            fault,
            counters: counters.clone(),
            calls: 0,
        });
        link.outbound = Box::new(Half {
            half: link.outbound,
            fault,
            counters,
            calls: 0,
        });
        Ok(link)
    }
}

#[async_trait]
impl BrokerInbound for Half<Box<dyn BrokerInbound>> {
    async fn recv(&mut self, inbox: &mut BrokerInbox) -> Result<(), TransportError> {
        match self.fault {
            Fault::ClearsTheInbox => inbox.clear(),
            Fault::ReceivesNothing if self.calls == 0 => {
                self.calls += 1;
                return Ok(());
            }
            _ => {}
        }
        let received = self.half.recv(inbox).await;
        if self.fault == Fault::TakesBeforeItWaits {
            tokio::task::yield_now().await;
        }
        received.map_err(|error| {
            if self.fault == Fault::ClosesWithAnotherError {
                wrong()
            } else {
                error
            }
        })
    }
}

#[async_trait]
impl ClientInbound for Half<Box<dyn ClientInbound>> {
    async fn recv(&mut self, inbox: &mut ClientInbox) -> Result<(), TransportError> {
        let before = inbox.frames.len();
        self.half.recv(inbox).await?;
        match self.fault {
            Fault::Duplicates => {
                let again: Vec<_> = inbox.frames.iter().skip(before).map(FrameRef::to_frame).collect();
                inbox.frames.extend(again);
            }
            Fault::Reverses => {
                let mut frames = inbox.frames.drain();
                frames[before..].reverse();
                inbox.frames.extend(frames);
            }
            Fault::RepairsChecksums => {
                let frames = inbox.frames.drain().into_iter();
                let repaired = frames.map(|frame| Frame::sealed(frame.topic().clone(), frame.body().clone()));
                inbox.frames.extend(repaired);
            }
            _ => {}
        }
        Ok(())
    }
}

#[async_trait]
impl BrokerOutbound for Half<Box<dyn BrokerOutbound>> {
    async fn publish(&mut self, frames: Frames<'_>) -> Result<(), TransportError> {
        if self.fault == Fault::DropsAfterTooLarge
            && frames.iter().any(|frame| frame.body().len() > 256 << 10)
        {
            return Err(TransportError::TooLarge {
                what: "an event",
                size: 1,
                limit: 0,
            });
        }
        let published = self.half.publish(frames).await;
        match (self.fault, published) {
            (Fault::PublishesTooMuch, Err(TransportError::TooLarge { .. })) => Ok(()),
            (Fault::ForgetsToCount, published) => {
                self.counters.offered.fetch_sub(1, Relaxed);
                published
            }
            (_, published) => published,
        }
    }

    async fn reply(&mut self, peer: &PeerId, message: Bytes) -> Result<(), TransportError> {
        if self.fault == Fault::AnswersEverybody {
            for name in ["one", "two", "three"] {
                self.half.reply(&testing::peer_id(name), message.clone()).await?;
            }
            return Ok(());
        }
        self.half.reply(peer, message).await
    }

    async fn close(&mut self, deadline: Instant) -> CloseReport {
        self.calls += 1;
        let report = self.half.close(deadline).await;
        match self.fault {
            Fault::ReportsTwice => CloseReport::undelivered(self.calls),
            _ => report,
        }
    }
}

#[async_trait]
impl ClientOutbound for Half<Box<dyn ClientOutbound>> {
    async fn push(&mut self, frames: Frames<'_>) -> Result<(), TransportError> {
        self.half.push(frames).await
    }

    async fn control(&mut self, message: Bytes) -> Result<(), TransportError> {
        self.half.control(message).await
    }

    async fn subscribe(&mut self, prefix: Bytes) -> Result<(), TransportError> {
        self.half.subscribe(prefix).await
    }

    async fn unsubscribe(&mut self, prefix: Bytes) -> Result<(), TransportError> {
        self.calls += 1;
        // As a transport that counts subscriptions would.
        if self.fault == Fault::UnsubscribesHalf && self.calls == 1 {
            return Ok(());
        }
        self.half.unsubscribe(prefix).await
    }

    async fn close(&mut self, deadline: Instant) -> CloseReport {
        self.half.close(deadline).await
    }
}

/// Whether this property holds for the transport with that fault.
fn holds<R>(fault: Fault, property: fn(Subject) -> R) -> bool
where
    R: Future<Output = ()> + Send + 'static,
{
    let memory = Memory::new();
    let transport = || Faulty { memory, fault };
    catch_unwind(AssertUnwindSafe(|| {
        testing::run("a property", transport, "mem://", property);
    }))
    .is_ok()
}

macro_rules! catches {
    ($($fault:ident: $module:ident::$property:ident,)*) => {$(
        #[test]
        #[expect(non_snake_case, reason = "named after the fault")]
        fn $fault() {
            assert!(holds(Fault::None, testing::$module::$property), "it fails without the fault");
            assert!(!holds(Fault::$fault, testing::$module::$property), "it did not see the fault");
        }
    )*};
}

catches! {
    EndpointStaysAny: endpoints::an_any_endpoint_becomes_a_real_one,
    ConnectGivesUp: endpoints::connecting_first_succeeds_once_somebody_binds,
    ServesEverything: endpoints::an_endpoint_of_another_scheme_is_unsupported,
    Duplicates: delivery::a_frame_that_matches_twice_arrives_once,
    Reverses: delivery::a_broker_publishes_in_order,
    RepairsChecksums: delivery::a_corrupt_frame_travels_verbatim,
    ReceivesNothing: delivery::receiving_appends,
    ClearsTheInbox: delivery::receiving_appends,
    TakesBeforeItWaits: cancel::a_cancelled_broker_receive_loses_nothing,
    PublishesTooMuch: limits::a_publish_above_the_limit_is_too_large,
    DropsAfterTooLarge: limits::a_publish_above_the_limit_is_too_large,
    ForgetsToCount: accounting::every_drop_is_counted_drop_newest,
    ClosesWithAnotherError: close::both_halves_of_a_closed_broker_are_closed,
    ReportsTwice: close::closing_twice_reports_the_same,
    UnsubscribesHalf: delivery::subscriptions_are_a_set,
    AnswersEverybody: control::a_reply_reaches_only_its_peer,
}
