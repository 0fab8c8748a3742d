//! What the tests share on the Rust side.

use crate::node::{Node, PATIENCE};
use crate::venv::Python;
use distbus::{Broker, Client, Endpoint, Event, EventStream, Subscription};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::future::Future;
use tokio::time::timeout;

/// The dataclass of `node.py`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Sample {
    pub(crate) msg: String,
    pub(crate) n: i64,
}

/// Either broker.
pub(crate) enum Bus {
    Ours(Broker),
    Theirs(Box<Node>),
}

impl Bus {
    pub(crate) async fn ours() -> Self {
        Self::Ours(our_broker().await)
    }

    pub(crate) async fn theirs(python: Python) -> Self {
        Self::Theirs(Box::new(Node::broker(python).await))
    }

    pub(crate) fn endpoint(&self) -> &Endpoint {
        match self {
            Self::Ours(broker) => broker.endpoint(),
            Self::Theirs(node) => node.endpoint(),
        }
    }

    pub(crate) async fn client(&self) -> Client {
        client(self.endpoint()).await
    }

    /// Closes it politely.
    pub(crate) async fn close(&mut self) {
        match self {
            Self::Ours(broker) => assert_eq!(broker.close().await.undelivered, 0),
            Self::Theirs(node) => node.close().await,
        }
    }
}

/// Runs each case once with our broker and once with theirs.
macro_rules! on_both {
    ($($case:ident),* $(,)?) => {
        mod our_broker {$(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $case() {
                let python = crate::venv::python!();
                super::$case(python, crate::support::Bus::ours().await).await;
            }
        )*}
        mod their_broker {$(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $case() {
                let python = crate::venv::python!();
                super::$case(python, crate::support::Bus::theirs(python).await).await;
            }
        )*}
    };
}
pub(crate) use on_both;

pub(crate) async fn our_broker() -> Broker {
    Broker::builder()
        .transport(crate::transport())
        .bind("tcp://127.0.0.1:0")
        .await
        .expect("a free port")
}

pub(crate) async fn client(broker: &Endpoint) -> Client {
    Client::builder()
        .transport(crate::transport())
        .connect_timeout(PATIENCE)
        .confirm_timeout(PATIENCE)
        .connect(broker.clone())
        .await
        .expect("the broker is there")
}

/// Waits for something, but not for ever.
pub(crate) async fn soon<F: Future>(what: &str, wanted: F) -> F::Output {
    match timeout(PATIENCE, wanted).await {
        Ok(output) => output,
        Err(_) => panic!("{what} did not come within {PATIENCE:?}"),
    }
}

/// The next value of a typed stream.
pub(crate) async fn value<T>(stream: &mut Subscription<T>) -> T
where
    T: DeserializeOwned + Clone + Send + Sync + 'static,
{
    let received = soon("a value", stream.next()).await.expect("the client is open");
    T::clone(&received)
}

/// The next event of a stream that a Python node's `ready` did not send.
pub(crate) async fn event(stream: &mut EventStream) -> Event {
    loop {
        let event = soon("an event", stream.next()).await.expect("the client is open");
        if !event.topic().starts_with("distbus.ready.") {
            return event;
        }
    }
}
