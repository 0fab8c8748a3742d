use super::ledger::stream;
use super::session::Session;
use super::world::World;
use crate::{Node, SimRng};
use distbus::{Codec, Error};
use rand::RngExt;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// What travels: an event's number, and something to make it longer.
pub(super) type Load = (u64, String);

const SECOND: Duration = Duration::from_secs(1);
/// How long there is something to publish.
const TIME: Duration = Duration::from_secs(30);

/// Emits numbered events, alone and in bursts, over one connection after the other; and when everything is healed, the last of each topic.
pub(super) async fn run<C: Codec>(node: Node, world: Arc<World>, codec: C, publisher: u64) {
    let mut rng = node.rng("pace");
    let until = Instant::now() + TIME;
    for connection in 0.. {
        let session = Session::connect(&node, &world, &codec, world.plan.home(publisher)).await;
        let streams = (0..world.plan.topics).map(|topic| stream(publisher, node.run(), connection, topic));
        let streams: Vec<_> = streams.collect();
        let ended = tokio::select! {
            biased;
            () = world.leave.cancelled() => Ok(()),
            ended = publish(&session, &world, &streams, &mut rng, until) => ended,
        };
        if let Err(error) = &ended {
            session.expect("publish", error);
        }
        session.close().await;
        if world.leave.is_cancelled() {
            return;
        }
    }
}

async fn publish<C: Codec>(
    session: &Session<C>,
    world: &World,
    streams: &[u32],
    rng: &mut SimRng,
    until: Instant,
) -> Result<(), Error> {
    while Instant::now() < until {
        let many = if rng.random_bool(0.1) {
            rng.random_range(2..=world.plan.burst)
        } else {
            1
        };
        for _ in 0..many {
            let at = rng.random_range(0..streams.len() as u64) as usize;
            let pad = rng.random_range(0..=world.plan.pad) as usize;
            emit(session, world, streams[at], pad).await?;
        }
        tokio::select! {
            biased;
            _ = session.client.closed() => return Err(Error::Closed),
            () = tokio::time::sleep(Duration::from_millis(rng.random_range(20..800))) => {}
        }
    }
    tokio::select! {
        biased;
        _ = session.client.closed() => return Err(Error::Closed),
        () = world.finale.cancelled() => {}
    }
    // A bridge that was just being put up again is there by then.
    tokio::time::sleep(2 * SECOND).await;
    for stream in streams {
        emit(session, world, *stream, 0).await?;
        // One at a time: no queue, however small, has a reason to drop any.
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    session.client.flush().await?;
    for stream in streams {
        world.ledger().complete(*stream);
    }
    session.client.closed().await;
    Err(Error::Closed)
}

async fn emit<C: Codec>(session: &Session<C>, world: &World, stream: u32, pad: usize) -> Result<(), Error> {
    let event = world.ledger().emit(stream);
    let load: Load = (event, "x".repeat(pad));
    let topic = format!("t.{}", super::ledger::topic_of(stream));
    let emitted = session.client.emit(&topic, &load).await;
    if emitted.is_err() {
        world.ledger().refused(stream);
    }
    emitted.map(drop)
}
