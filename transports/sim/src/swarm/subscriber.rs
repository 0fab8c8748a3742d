use super::publisher::Load;
use super::session::Session;
use super::watch::Watch;
use super::world::World;
use crate::{Node, SimRng};
use distbus::{Codec, Error, Event};
use futures_util::{Stream, StreamExt};
use rand::RngExt;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

/// How a subscriber takes what everybody is to have in the end: each way of being called.
pub(super) const WAYS: [&str; 3] = ["a handler", "a handler of events", "a stream"];

/// Connects and subscribes, again and again.
pub(super) async fn run<C: Codec>(node: Node, world: Arc<World>, codec: C, number: u64) {
    while !world.leave.is_cancelled() {
        let session = Session::connect(&node, &world, &codec, world.plan.home(number)).await;
        match subscribe(&node, &session, &world).await {
            // It has taken everything off, and stays until all leave.
            Ok(()) => tokio::select! {
                biased;
                _ = session.client.closed() => {}
                () = world.leave.cancelled() => {}
            },
            // Where it cannot subscribe it makes another connection.
            Err(error) => session.expect("subscribe", &error),
        }
        session.close().await;
    }
}

async fn subscribe<C: Codec>(node: &Node, session: &Session<C>, world: &Arc<World>) -> Result<(), Error> {
    let mut rng = node.rng("subscriber");
    let client = &session.client;
    marks(node, session, world).await?;
    let who = &session.parts.who;
    let all = Watch::new(world, format!("the stream of {who}"), session.parts.hub, None);
    let stream = client.subscribe::<Load>("t.*").await?;
    all.live();
    let _ = session.parts.all.set(all.clone());
    follow(node, world, stream, move |load| all.see(load.0));
    let turns = async {
        loop {
            turn(node, session, world, &mut rng).await?;
            // Nobody subscribes for a while: what comes now comes after `off`.
            tokio::time::sleep(Duration::from_millis(rng.random_range(0..1000))).await;
        }
    };
    let ended = tokio::select! {
        biased;
        _ = client.closed() => return Ok(()),
        () = world.quiet.cancelled() => Ok(()),
        ended = turns => ended,
    };
    for pattern in patterns(world) {
        match client.off(&pattern).await {
            Ok(()) | Err(Error::NotRegistered(_)) => {}
            Err(error) => return Err(error),
        }
    }
    ended
}

/// All that it may have a handler for.
fn patterns(world: &World) -> impl Iterator<Item = String> {
    let topics = (0..world.plan.topics).map(|topic| format!("t.{topic}"));
    topics.chain(["mark.*", "mark.all"].map(str::to_owned))
}

/// Takes marks in each way.
async fn marks<C: Codec>(node: &Node, session: &Session<C>, world: &Arc<World>) -> Result<(), Error> {
    let client = &session.client;
    let names = WAYS.map(|way| format!("{} by {way}", node.name()));
    let [sync, whole, streamed] = names;
    let mark = |name: String| {
        let world = world.clone();
        move |mark: u64| world.ledger().mark(&name, mark)
    };
    client.on_sync("mark.*", mark(sync)).await?;
    let note = mark(whole);
    client
        .on_event("mark.all", move |event: Event| {
            // Not the handler's fault: what is no number is missed by the one who looks for it.
            let noted = event.get::<u64>().map(|number| note(*number));
            async move { noted }
        })
        .await?;
    let (stream, note) = (client.subscribe::<u64>("mark.+").await?, mark(streamed));
    follow(node, world, stream, move |number| note(*number));
    Ok(())
}

/// Shows each event of a stream to `see`, and drops the stream when everybody is to take everything off.
fn follow<E: Send>(
    node: &Node,
    world: &World,
    mut stream: impl Stream<Item = E> + Unpin + Send + 'static,
    see: impl Fn(E) + Send + 'static,
) {
    let quiet = world.quiet.clone();
    node.spawn(async move {
        loop {
            let next = tokio::select! {
                biased;
                () = quiet.cancelled() => return,
                next = stream.next() => next,
            };
            let Some(event) = next else { return };
            see(event);
        }
    });
}

/// One subscription more, for a while.
async fn turn<C: Codec>(
    node: &Node,
    session: &Session<C>,
    world: &Arc<World>,
    rng: &mut SimRng,
) -> Result<(), Error> {
    let client = &session.client;
    let topic = rng.random_range(0..world.plan.topics);
    let pattern = format!("t.{topic}");
    let watch = Watch::new(
        world,
        format!("{pattern} of {}", session.parts.who),
        session.parts.hub,
        Some(topic),
    );
    let while_there = Duration::from_millis(rng.random_range(100..5000));
    let (seen, parts) = (watch.clone(), session.parts.clone());
    let fails = rng.random_bool(0.3);
    let see = move |load: Load| {
        seen.see(load.0);
        // Handlers may fail, which is counted and nobody else's concern.
        if fails && load.0.is_multiple_of(5) {
            parts.fails.fetch_add(1, Relaxed);
            return Err("a failure of the handler's own");
        }
        Ok(())
    };
    let mut slow = Duration::from_millis(rng.random_range(0..20));
    if world.plan.is_prompt() {
        // What asks for an answer waits for the handlers of what came before.
        slow /= 10;
    }
    let kind = rng.random_range(0..4_u32);
    if kind == 0 {
        client.on_sync(&pattern, see).await?;
    } else if kind == 1 {
        return stream(node, session, &pattern, &watch, while_there).await;
    } else {
        let later = move |load: Load| {
            let seen = see(load);
            async move {
                tokio::time::sleep(slow).await;
                seen
            }
        };
        if kind == 2 {
            client.on(&pattern, later).await?;
        } else {
            client.on_detached(&pattern, later).await?;
        }
    }
    watch.live();
    tokio::time::sleep(while_there).await;
    client.off(&pattern).await?;
    watch.off();
    Ok(())
}

/// A stream that is dropped after a while, with what waits in it.
async fn stream<C: Codec>(
    node: &Node,
    session: &Session<C>,
    pattern: &str,
    watch: &Watch,
    while_there: Duration,
) -> Result<(), Error> {
    let mut stream = session.client.subscribe::<Load>(pattern).await?;
    watch.live();
    let reading = async {
        while let Some(load) = stream.next().await {
            watch.see(load.0);
        }
    };
    if tokio::time::timeout(while_there, reading).await.is_ok() {
        node.note(format!("the stream of {pattern} ended"));
        return Err(Error::Closed);
    }
    Ok(())
}
