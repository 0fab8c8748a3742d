//! The same work through nats-server, as one would write it with its own client.

use super::meter::Meter;
use super::publish::{FLUSH, Outlet};
use super::subscribe::{ready, report};
use super::work::{Payload, Sample, TOPIC, Work, sent_ns};
use crate::failure::Failure;
use async_nats::{Client, ConnectOptions, Subscriber};
use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;
use std::fmt::Display;
use std::sync::Arc;
use tokio::time::timeout;

/// A publisher.
pub(super) struct Nats(Client);

impl Nats {
    pub(super) async fn connect(work: &Work) -> Result<Self, Failure> {
        Ok(Self(connect(work).await?))
    }
}

impl Outlet for Nats {
    /// Its client wants bytes of its own.
    async fn bytes(&self, bytes: &BytesMut) -> Result<(), Failure> {
        let bytes = Bytes::copy_from_slice(bytes);
        self.0.publish(TOPIC, bytes).await.map_err(failed)
    }

    async fn sample(&self, sample: &Sample) -> Result<(), Failure> {
        let body = serde_json::to_vec(sample).map_err(failed)?;
        self.0.publish(TOPIC, body.into()).await.map_err(failed)
    }

    async fn finish(self) -> Result<(), Failure> {
        echo(&self.0).await
    }
}

/// The subscriber's role.
pub(super) async fn take(work: &Work) -> Result<(), Failure> {
    let client = connect(work).await?;
    let events = client.subscribe(TOPIC).await.map_err(failed)?;
    echo(&client).await?;
    let meter = Meter::new(work)?;
    let reading = tokio::spawn(read(events, work.payload, Arc::clone(&meter)));
    ready()?;
    meter.finished().await;
    reading.abort();
    report(&meter.figures(0))
}

async fn read(mut events: Subscriber, payload: Payload, meter: Arc<Meter>) {
    while let Some(event) = events.next().await {
        match payload {
            Payload::Bytes => meter.hit(sent_ns(&event.payload)),
            Payload::Sample => match serde_json::from_slice::<Sample>(&event.payload) {
                Ok(sample) => meter.hit(sample.sent_ns),
                Err(error) => tracing::warn!(%error, "an event that is no sample"),
            },
        }
    }
}

async fn connect(work: &Work) -> Result<Client, Failure> {
    // Its default drops events that the reader is behind with; here it has to lose nothing either.
    let room = usize::try_from(work.events)
        .unwrap_or(usize::MAX)
        .clamp(1 << 16, 1 << 24);
    let address = work.connection.to.to_string().replacen("tcp", "nats", 1);
    ConnectOptions::new()
        .subscription_capacity(room)
        .connect(address)
        .await
        .map_err(|error| Failure::unreachable(error.to_string()))
}

/// Returns when the server has had all that this client asked of it and sent.
async fn echo(client: &Client) -> Result<(), Failure> {
    let inbox = client.new_inbox();
    let round_trip = async {
        let mut back = client.subscribe(inbox.clone()).await.map_err(failed)?;
        client.publish(inbox, Bytes::new()).await.map_err(failed)?;
        client.flush().await.map_err(failed)?;
        Ok(back.next().await)
    };
    match timeout(FLUSH, round_trip).await {
        Ok(Ok(Some(_))) => Ok(()),
        Ok(Ok(None)) => Err(Failure::failed("nats-server closed the connection")),
        Ok(Err(failure)) => Err(failure),
        Err(_) => Err(Failure::failed(format!(
            "nats-server did not answer within {FLUSH:?}"
        ))),
    }
}

fn failed(error: impl Display) -> Failure {
    Failure::failed(error.to_string())
}
