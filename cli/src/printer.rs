//! The thread that writes events to stdout, and the bounded way there.

use crate::render::{Style, render};
use distbus::Event;
use std::io::{self, ErrorKind, Write};
use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};

/// Events on their way, at most.
const EVENTS: usize = 1024;
/// Their bytes, at most; one larger event passes alone.
const BYTES: usize = 16 << 20;
/// Written together while more is waiting.
const CHUNK: usize = 64 << 10;

type Job = (Event, OwnedSemaphorePermit);

/// Where events go in. Whoever puts one waits while the printer is behind. When the last clone is gone, the printer ends.
#[derive(Clone)]
pub(crate) struct Feed {
    jobs: mpsc::Sender<Job>,
    room: Arc<Semaphore>,
}

impl Feed {
    pub(crate) async fn put(&self, event: Event) {
        let payload = event.payload().ok().flatten().map_or(0, |bytes| bytes.len());
        let cost = (payload + event.topic().len()).clamp(1, BYTES) as u32;
        // Neither fails but when the printer has ended: then nothing is to be printed any more.
        if let Ok(room) = Arc::clone(&self.room).acquire_many_owned(cost).await {
            let _ = self.jobs.send((event, room)).await;
        }
    }
}

/// Why a printer ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stop {
    /// All that it was fed is printed.
    Ended,
    /// It has printed as many as were asked for.
    Enough,
    /// Nobody reads stdout any more.
    Unread,
}

/// What a printer has done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Printed {
    pub(crate) events: u64,
    pub(crate) stop: Stop,
}

/// Starts one. A thread of its own, because writing to stdout may block for ever.
pub(crate) fn start(style: Style, most: Option<u64>) -> (Feed, oneshot::Receiver<io::Result<Printed>>) {
    let (jobs, queue) = mpsc::channel(EVENTS);
    let (done, printed) = oneshot::channel();
    std::thread::spawn(move || {
        let mut events = 0;
        let stop = match print(queue, style, most, &mut io::stdout().lock(), &mut events) {
            Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(Stop::Unread),
            other => other,
        };
        // Nobody may be waiting for it any more.
        let _ = done.send(stop.map(|stop| Printed { events, stop }));
    });
    let room = Arc::new(Semaphore::new(BYTES));
    (Feed { jobs, room }, printed)
}

fn print(
    mut jobs: mpsc::Receiver<Job>,
    style: Style,
    most: Option<u64>,
    out: &mut impl Write,
    events: &mut u64,
) -> io::Result<Stop> {
    let mut chunk = Vec::new();
    let mut flush = |chunk: &mut Vec<u8>| {
        out.write_all(chunk)?;
        out.flush()?;
        chunk.clear();
        Ok::<_, io::Error>(())
    };
    loop {
        let next = match jobs.try_recv() {
            Ok(job) => Some(job),
            Err(_) => {
                // Nothing is waiting: what is there may be seen before the next one comes.
                flush(&mut chunk)?;
                jobs.blocking_recv()
            }
        };
        let Some((event, _room)) = next else {
            return Ok(Stop::Ended);
        };
        render(&event, style, &mut chunk)?;
        *events += 1;
        if most == Some(*events) {
            flush(&mut chunk)?;
            return Ok(Stop::Enough);
        }
        if chunk.len() >= CHUNK {
            flush(&mut chunk)?;
        }
    }
}
