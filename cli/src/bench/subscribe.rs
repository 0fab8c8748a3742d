use super::figures::Figures;
use super::meter::Meter;
#[cfg(feature = "peers")]
use super::nats;
use super::work::{Payload, Sample, System, TOPIC, Work, sent_ns};
use crate::connection::Format;
use crate::failure::Failure;
use bytes::Bytes;
use distbus::{Client, Codec, Json, MessagePack};
use std::io::Write;
use std::sync::Arc;

/// Take events: prints `ready`, and in the end one line of figures as JSON
///
/// It ends after that many events, or when none has come for three seconds.
#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    work: Work,
}

impl Args {
    /// One handler has nothing to hand to a second thread. A client of another system has threads as it likes.
    pub(super) fn one_thread(&self) -> bool {
        self.work.system == System::Distbus
    }
}

pub(crate) async fn run(Args { work }: Args) -> Result<(), Failure> {
    let (carrier, connection) = (work.transport, &work.connection);
    match (work.system, connection.codec) {
        (System::Distbus, Format::Json) => take(connection.open_over(carrier, Json).await?, &work).await,
        (System::Distbus, Format::Msgpack) => {
            take(connection.open_over(carrier, MessagePack).await?, &work).await
        }
        #[cfg(feature = "peers")]
        (System::Nats, _) => nats::take(&work).await,
    }
}

async fn take<C: Codec>(client: Client<C>, work: &Work) -> Result<(), Failure> {
    let meter = Meter::new(work)?;
    let hit = Arc::clone(&meter);
    match work.payload {
        Payload::Bytes => {
            client
                .on_sync(TOPIC, move |bytes: Bytes| hit.hit(sent_ns(&bytes)))
                .await
        }
        Payload::Sample => {
            client
                .on_sync(TOPIC, move |sample: Sample| hit.hit(sample.sent_ns))
                .await
        }
    }?;
    ready()?;
    meter.finished().await;
    report(&meter.figures(client.stats().missing))?;
    client.close().await;
    Ok(())
}

/// Says that the subscription is live.
pub(super) fn ready() -> Result<(), Failure> {
    print("ready")
}

/// Says what came.
pub(super) fn report(figures: &Figures) -> Result<(), Failure> {
    print(&serde_json::to_string(figures).map_err(|error| Failure::failed(error.to_string()))?)
}

fn print(line: &str) -> Result<(), Failure> {
    let mut out = std::io::stdout();
    writeln!(out, "{line}")
        .and_then(|()| out.flush())
        .map_err(|error| Failure::failed(error.to_string()))
}
