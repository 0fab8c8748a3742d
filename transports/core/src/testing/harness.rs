use crate::{BrokerLink, ClientLink, Endpoint, Frame, Guarantees, Limits, PeerId, Transport, TransportError};
use bytes::Bytes;
use std::fmt::Display;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;
use tokio::time::{Instant, interval, timeout};

use super::{Peer, Relay};

/// How long one test may take before it fails.
pub const DEADLINE: Duration = Duration::from_secs(60);
/// How long one step of a test may take before it fails with the name of the step.
pub const STEP: Duration = Duration::from_secs(20);

/// Runs one property: builds a runtime of two workers, makes the transport inside it, and fails with the property's
/// name when it takes longer than [`DEADLINE`]. `conformance!` writes the calls.
///
/// # Panics
/// When the property does not hold.
pub fn run<T, F, R>(property: &str, transport: impl FnOnce() -> T, any: &str, test: F)
where
    T: Transport,
    F: FnOnce(Subject) -> R,
    R: Future<Output = ()> + Send + 'static,
{
    let any: Endpoint = any.parse().unwrap_or_else(|error| panic!("{property}: {error}"));
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime can be built");
    // A task of its own: a transport that blocks its thread is caught by the deadline too.
    let outcome = runtime.block_on(async {
        let subject = Subject::new(transport(), any);
        timeout(DEADLINE, tokio::spawn(test(subject))).await
    });
    runtime.shutdown_background();
    match outcome {
        Ok(Ok(())) => {}
        Ok(Err(failed)) => match failed.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(failed) => panic!("{property}: {failed}"),
        },
        Err(_) => panic!("{property}: not done after {DEADLINE:?}"),
    }
}

/// The transport that is tested, with what every test does to it.
#[derive(Clone)]
pub struct Subject {
    transport: Arc<dyn Transport>,
    any: Endpoint,
}

impl Subject {
    /// Tests `transport` at endpoints like `any`.
    ///
    /// # Panics
    /// When `any` is not an endpoint that asks for a free one.
    pub fn new(transport: impl Transport, any: Endpoint) -> Self {
        assert!(
            any.is_any(),
            "{any} is one fixed endpoint; the suite needs port 0 or an empty name"
        );
        Self {
            transport: Arc::new(transport),
            any,
        }
    }

    /// The transport.
    pub fn transport(&self) -> &dyn Transport {
        &*self.transport
    }

    /// The endpoint that asks for a free one.
    pub fn any(&self) -> &Endpoint {
        &self.any
    }

    /// Whether the transport promises this; says so when it does not, and the test is over.
    pub fn promises(&self, words: &str, promised: impl FnOnce(&Guarantees) -> bool) -> bool {
        let promised = promised(&self.transport.guarantees());
        if !promised {
            println!("not promised by {}: {words}", self.transport.name());
        }
        promised
    }

    /// [`Guarantees::limits`].
    pub fn promises_limits(&self) -> bool {
        self.promises("limits and slow-consumer policies", |g| g.limits)
    }

    /// [`Guarantees::presence`].
    pub fn promises_presence(&self) -> bool {
        self.promises("presence of clients and subscriptions", |g| g.presence)
    }

    /// A broker at a free endpoint.
    pub async fn bind(&self, limits: &Limits) -> BrokerLink {
        within("binding a free endpoint", self.transport.bind(&self.any, limits))
            .await
            .unwrap_or_else(|error| panic!("binding {}: {error}", self.any))
    }

    /// A broker at a free endpoint that relays what it receives.
    pub async fn relay(&self, limits: &Limits) -> Relay {
        Relay::over(self.bind(limits).await)
    }

    /// An endpoint where nobody listens.
    pub async fn vacant(&self) -> Endpoint {
        let mut link = self.bind(&Limits::default()).await;
        within("closing an idle broker", link.outbound.close(soon())).await;
        link.endpoint
    }

    /// A client link.
    ///
    /// # Errors
    /// Whatever the transport answered.
    pub async fn try_connect(
        &self,
        endpoint: &Endpoint,
        name: &str,
        limits: &Limits,
    ) -> Result<ClientLink, TransportError> {
        let id = peer_id(name);
        let connect = self.transport.connect(endpoint, &id, limits);
        within(format!("{name} connecting to {endpoint}"), connect).await
    }

    /// A client of this relay.
    pub async fn client(&self, relay: &Relay, name: &str, limits: &Limits) -> Peer {
        match self.try_connect(&relay.endpoint, name, limits).await {
            Ok(link) => Peer::new(name, link),
            Err(error) => panic!("{name} connecting to {}: {error}", relay.endpoint),
        }
    }

    /// A client of this relay, as soon as it is not refused any more: a broker may learn late that another one left.
    pub async fn client_once_accepted(&self, relay: &Relay, name: &str, limits: &Limits) -> Peer {
        let attempts = async {
            let mut tick = interval(Duration::from_millis(5));
            loop {
                tick.tick().await;
                match self.try_connect(&relay.endpoint, name, limits).await {
                    Ok(link) => return Peer::new(name, link),
                    Err(TransportError::Refused { .. } | TransportError::LimitReached { .. }) => {}
                    Err(error) => panic!("{name} connecting to {}: {error}", relay.endpoint),
                }
            }
        };
        within(format!("{name} being accepted"), attempts).await
    }
}

/// The id of the peer of this name.
pub fn peer_id(name: &str) -> PeerId {
    PeerId::new(Bytes::copy_from_slice(name.as_bytes())).expect("a name of 1 to 255 bytes")
}

/// A deadline for a close that has nothing to wait for.
pub fn soon() -> Instant {
    Instant::now() + STEP / 2
}

/// The output of `future`, or a failure that names the step.
pub async fn within<T>(step: impl Display, future: impl Future<Output = T>) -> T {
    match timeout(STEP, future).await {
        Ok(output) => output,
        Err(_) => panic!("{step}: not within {STEP:?}"),
    }
}

/// Waits until something is so that sends no signal, a counter for instance.
pub async fn eventually(what: impl Display, mut is_so: impl FnMut() -> bool) {
    let looking = async {
        let mut tick = interval(Duration::from_millis(2));
        while !is_so() {
            tick.tick().await;
        }
    };
    within(what, looking).await;
}

/// Polls at most so many times, and lets other tasks run in between: dropping the future then cancels it at an
/// arbitrary point.
pub async fn poll_times<F: Future + ?Sized>(future: &mut Pin<Box<F>>, times: usize) -> Option<F::Output> {
    for _ in 0..times {
        if let Poll::Ready(output) = poll_fn(|cx| Poll::Ready(future.as_mut().poll(cx))).await {
            return Some(output);
        }
        tokio::task::yield_now().await;
    }
    None
}

/// A sealed frame of `bytes` body bytes (at least 4) that begin with a number.
pub fn numbered(topic: &str, number: u32, bytes: usize) -> Frame {
    let mut body = number.to_be_bytes().to_vec();
    body.resize(bytes.max(4), b'.');
    Frame::sealed(topic.to_owned(), body)
}

/// The number of a [`numbered`] frame.
///
/// # Panics
/// When the frame is not as it was sent.
pub fn number(frame: &Frame) -> u32 {
    assert!(frame.is_intact(), "{frame:?} was changed on the way");
    let (number, _) = frame.body().split_first_chunk().expect("a numbered frame");
    u32::from_be_bytes(*number)
}

/// The numbers of numbered frames.
pub fn numbers(frames: &[Frame]) -> Vec<u32> {
    frames.iter().map(number).collect()
}
