use super::work::{Payload, Sample, TOPIC, Work, now_ns, opaque};
use crate::connection::Format;
use crate::failure::Failure;
use distbus::{Client, Codec, Json, MessagePack};
use std::time::Duration;
use tokio::time::{Instant, sleep_until};

/// Send events, and see that the broker has relayed them
#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    work: Work,
}

pub(crate) async fn run(Args { work }: Args) -> Result<(), Failure> {
    match work.connection.codec {
        Format::Json => send(work.connection.open(Json).await?, &work).await,
        Format::Msgpack => send(work.connection.open(MessagePack).await?, &work).await,
    }
}

/// How long the broker may take to relay what is still on its way in the end.
const FLUSH: Duration = Duration::from_secs(60);

async fn send<C: Codec>(client: Client<C>, work: &Work) -> Result<(), Failure> {
    let start = Instant::now();
    let start_ns = now_ns();
    let mut sample = Sample {
        sent_ns: 0,
        value: 0.0,
        note: "x".repeat(work.size),
    };
    for i in 0..work.events {
        let sent_ns = match work.rate {
            None => now_ns(),
            // The time at which it is due, not that at which it goes out: a publisher that is late must not hide how long an event that was
            // due has waited (coordinated omission).
            Some(rate) => {
                let due = Duration::from_secs_f64(i as f64 / rate);
                sleep_until(start + due).await;
                start_ns + due.as_nanos() as u64
            }
        };
        match work.payload {
            Payload::Bytes => client.emit(TOPIC, &opaque(work.size, sent_ns)).await?,
            Payload::Sample => {
                (sample.sent_ns, sample.value) = (sent_ns, i as f64 * 0.5);
                client.emit(TOPIC, &sample).await?
            }
        };
    }
    client.flush_within(FLUSH).await?;
    let report = client.close().await;
    if report.undelivered > 0 {
        return Err(Failure::failed(format!(
            "{} events did not reach the broker",
            report.undelivered
        )));
    }
    Ok(())
}
