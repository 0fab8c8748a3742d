#[cfg(feature = "peers")]
use super::nats::Nats;
use super::work::{Payload, Sample, System, TOPIC, Work, now_ns, opaque, stamp};
use crate::connection::Format;
use crate::failure::Failure;
use bytes::BytesMut;
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

impl Args {
    /// Where three processes share few processors, waking a second thread takes longer than it saves. With a rate, the client must go on while
    /// the publisher sleeps. A client of another system has threads as it likes.
    pub(super) fn one_thread(&self) -> bool {
        self.work.system == System::Distbus && self.work.rate.is_none()
    }
}

/// Where the events of a benchmark go.
pub(super) trait Outlet {
    async fn bytes(&self, bytes: &BytesMut) -> Result<(), Failure>;
    async fn sample(&self, sample: &Sample) -> Result<(), Failure>;
    /// Returns when all of it is with the broker.
    async fn finish(self) -> Result<(), Failure>;
}

/// How long the broker may take to relay what is still on its way in the end.
pub(super) const FLUSH: Duration = Duration::from_secs(60);

impl<C: Codec> Outlet for Client<C> {
    async fn bytes(&self, bytes: &BytesMut) -> Result<(), Failure> {
        self.emit(TOPIC, bytes).await?;
        Ok(())
    }

    async fn sample(&self, sample: &Sample) -> Result<(), Failure> {
        self.emit(TOPIC, sample).await?;
        Ok(())
    }

    async fn finish(self) -> Result<(), Failure> {
        self.flush_within(FLUSH).await?;
        match self.close().await.undelivered {
            0 => Ok(()),
            left => Err(Failure::failed(format!("{left} events did not reach the broker"))),
        }
    }
}

pub(crate) async fn run(Args { work }: Args) -> Result<(), Failure> {
    let (carrier, connection) = (work.transport, &work.connection);
    match (work.system, connection.codec) {
        (System::Distbus, Format::Json) => send(connection.open_over(carrier, Json).await?, &work).await,
        (System::Distbus, Format::Msgpack) => {
            send(connection.open_over(carrier, MessagePack).await?, &work).await
        }
        #[cfg(feature = "peers")]
        (System::Nats, _) => send(Nats::connect(&work).await?, &work).await,
    }
}

async fn send(outlet: impl Outlet, work: &Work) -> Result<(), Failure> {
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
                outlet.bytes(&bytes).await?;
            }
            Payload::Sample => {
                (sample.sent_ns, sample.value) = (sent_ns, i as f64 * 0.5);
                outlet.sample(&sample).await?;
            }
        }
    }
    outlet.finish().await
}
