use super::plan::hub;
use super::watch::Watch;
use super::world::{Audit, Audited, World};
use crate::Node;
use distbus::{Client, ClientStats, Codec, DropReason, Error, Reject};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio::time::Instant;

/// A client of the swarm: its books are looked at as long as it is there, and once more when it ends, however it does.
pub(super) struct Session<C: Codec> {
    pub(super) client: Client<C>,
    pub(super) parts: Arc<Parts>,
    /// Before the client's handle: the other handle that this drops must not be the last.
    _audited: Audited,
}

struct Auditing<C: Codec> {
    client: Client<C>,
    parts: Arc<Parts>,
}

impl<C: Codec> Audit for Auditing<C> {
    fn check(&self, quiet: bool) -> Result<(), String> {
        let stats = self.client.stats();
        let checked = adds_up(&stats).and_then(|()| if quiet { self.parts.at_rest(&stats) } else { Ok(()) });
        checked.map_err(|why| format!("{}: {why}: {stats:?}", self.parts.who))
    }

    fn behind(&self) -> Result<(), String> {
        let all = self.parts.all.get();
        // Through bridges, too.
        all.map_or(Ok(()), |all| all.behind(|stream| self.parts.reaches(stream)))
    }

    fn came(&self) -> u64 {
        let stats = self.client.stats();
        stats.received - stats.internal
    }
}

/// What is known of a client besides what it counts itself.
pub(super) struct Parts {
    pub(super) who: String,
    pub(super) hub: u64,
    node: String,
    world: Arc<World>,
    /// Its one subscription that is there from its beginning to its end.
    pub(super) all: OnceLock<Arc<Watch>>,
    /// How often its handlers failed.
    pub(super) fails: AtomicU64,
}

/// Between two attempts: some brokers say no at once.
const PAUSE: Duration = Duration::from_millis(100);

/// One attempt to connect: counted as failed until it succeeds, and for good when its node crashes meanwhile.
struct Attempt<'a> {
    world: &'a World,
    at: (String, u64),
    failed: bool,
}

impl Drop for Attempt<'_> {
    fn drop(&mut self) {
        if self.failed {
            self.world
                .books()
                .nodes
                .entry(self.at.clone())
                .or_default()
                .failed += 1;
        }
    }
}

impl<C: Codec> Session<C> {
    /// Connects, again and again.
    pub(super) async fn connect(node: &Node, world: &Arc<World>, codec: &C, number: u64) -> Self {
        loop {
            let mut attempt = Attempt {
                world,
                at: (node.name().to_owned(), number),
                failed: true,
            };
            let limits = distbus::Limits::default().with_queue_bytes(world.plan.client_queue);
            let builder = node.client().codec(codec.clone()).limits(limits);
            match builder.connect(format!("mem://{}", hub(number))).await {
                Ok(client) => {
                    attempt.failed = false;
                    return Self::new(node, world, client, number);
                }
                Err(error) => world.expect(node.name(), "connect", &error),
            }
            drop(attempt);
            tokio::time::sleep(PAUSE).await;
        }
    }

    fn new(node: &Node, world: &Arc<World>, client: Client<C>, number: u64) -> Self {
        *world.books().clients.entry(number).or_default() += 1;
        let parts = Arc::new(Parts {
            who: format!("{} (run {})", node.name(), node.run()),
            hub: number,
            node: node.name().to_owned(),
            world: world.clone(),
            all: OnceLock::new(),
            fails: AtomicU64::new(0),
        });
        let audited = world.audit(Auditing {
            client: client.clone(),
            parts: parts.clone(),
        });
        Self {
            client,
            parts,
            _audited: audited,
        }
    }

    /// Says what is wrong with an error, if anything is.
    pub(super) fn expect(&self, what: &str, error: &Error) {
        self.parts.world.expect(&self.parts.who, what, error);
    }

    /// Closes, in time, whatever is wrong. In a task of its own, which a stall of the node does not hold up.
    pub(super) async fn close(self) {
        let (client, parts) = (self.client.clone(), self.parts.clone());
        let closing = tokio::spawn(async move {
            let start = Instant::now();
            let report = client.close().await;
            (report, start.elapsed(), client.stats())
        });
        let Ok((report, took, stats)) = closing.await else {
            return;
        };
        let world = &parts.world;
        if took > Client::<C>::CLOSE_TIME + Duration::from_millis(200) {
            world.wrong(format!("{}: closing took {took:?}", parts.who));
        }
        if took < Client::<C>::CLOSE_TIME && stats.queued > 0 {
            world.wrong(format!(
                "{}: closed with events that are nowhere: {stats:?}",
                parts.who
            ));
        }
        if world.leave.is_cancelled() && report.undelivered > 0 {
            world.wrong(format!("{}: could not deliver: {report:?}, {stats:?}", parts.who));
        }
    }
}

impl<C: Codec> Drop for Session<C> {
    fn drop(&mut self) {
        self.parts.end(&self.client.stats());
    }
}

/// What holds at every moment.
fn adds_up(stats: &ClientStats) -> Result<(), String> {
    let rejected: u64 = stats.rejected.iter().map(|(_, count)| count).sum();
    let handled = &stats.handled;
    for (law, part, whole) in [
        ("emitted", stats.sent + stats.unsent, stats.emitted),
        (
            "received",
            rejected + stats.internal + stats.unmatched + stats.dispatched,
            stats.received,
        ),
        (
            "handled",
            handled.delivered + handled.total_dropped(),
            handled.offered,
        ),
    ] {
        if part > whole {
            return Err(format!("more than was {law}, {part} of {whole}"));
        }
    }
    Ok(())
}

impl Parts {
    /// Whether a stream leads here: from this broker, or through a bridge.
    fn reaches(&self, stream: u32) -> bool {
        self.world.home(stream) == Some(self.hub) || self.world.plan.bridges > 0
    }

    /// What holds while nothing moves.
    fn at_rest(&self, stats: &ClientStats) -> Result<(), String> {
        let fails = self.fails.load(Relaxed);
        for (what, found, expected) in [
            ("waiting", stats.waiting, 0),
            ("queued", stats.queued, 0),
            ("being handled", stats.handled.in_flight(), 0),
            ("failed", stats.handled.dropped_by(DropReason::Failed), fails),
            ("unsent", stats.unsent, 0),
        ] {
            if found != expected {
                return Err(format!("{found} are {what}, not {expected}"));
            }
        }
        let Some(all) = self.all.get() else { return Ok(()) };
        let (gaps, blur) = (all.gaps(), all.blur());
        let exact = self.world.plan.lossless() && self.world.plan.bridges == 0;
        if exact && gaps != stats.missing || gaps > stats.missing + blur {
            return Err(format!("{gaps} have not come, and it counted {}", stats.missing));
        }
        Ok(())
    }

    /// It is over, closed or not.
    fn end(&self, stats: &ClientStats) {
        let rejected = |reason| {
            stats
                .rejected
                .iter()
                .find(|(r, _)| *r == reason)
                .map_or(0, |(_, n)| *n)
        };
        if let Err(why) = adds_up(stats) {
            self.world
                .wrong(format!("{} at its end: {why}: {stats:?}", self.who));
        }
        if let Some(all) = self.all.get() {
            let (gaps, blur) = (all.gaps(), all.blur());
            if gaps > stats.missing + stats.handled.total_dropped() + blur {
                let who = &self.who;
                self.world
                    .wrong(format!("{who} at its end: {gaps} have not come: {stats:?}"));
            }
        }
        let missed = self.all.get().map_or(0, |all| {
            all.missed(|stream| self.world.home(stream) == Some(self.hub))
        });
        let mut books = self.world.books();
        *books.missed.entry(self.hub).or_default() += missed;
        let node = books.nodes.entry((self.node.clone(), self.hub)).or_default();
        node.received += stats.received;
        node.damaged += rejected(Reject::Checksum);
        node.waiting += stats.waiting;
    }
}
