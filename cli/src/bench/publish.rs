use super::work::{Payload, Sample, TOPIC, Work, now_ns, opaque, stamp};
use crate::connection::Format;
use crate::failure::Failure;
use distbus::{Client, Codec, Json, MessagePack};
use std::time::Duration;
use tokio::task::block_in_place;
use tokio::time::Instant;

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
    let mut bytes = opaque(work.size);
    for i in 0..work.events {
        let sent_ns = match work.rate {
            None => now_ns(),
            Some(rate) => {
                let due = Duration::from_secs_f64(i as f64 / rate);
                let early = due.checked_sub(start.elapsed());
                if let Some(early) = early {
                    // Not the runtime's timer: it counts in milliseconds, and the next event may be due before that.
                    block_in_place(|| std::thread::sleep(early));
                    now_ns()
                } else {
                    // The bus held the publisher up. The event counts from when it was due: what it waited to be sent is latency as well
                    // (coordinated omission).
                    start_ns + due.as_nanos() as u64
                }
            }
        };
        match work.payload {
            Payload::Bytes => {
                stamp(&mut bytes, sent_ns);
                client.emit(TOPIC, &bytes).await?
            }
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
