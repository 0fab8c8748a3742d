use super::outlet::Outlet;
use super::stream::ReadHalf;
use crate::proto::{Command, Decoder, Item, Rules, Violation, put_ping, put_pong};
use bytes::BytesMut;
use distbus_transport::Reject;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, Interval, MissedTickBehavior, interval, timeout_at};

/// The least room for one read: these connections carry little.
const READ: usize = 1 << 10;
/// Answers that wait for a peer that does not read; more are not given.
const ANSWERS: usize = 64;

/// Why a connection is over.
#[derive(Debug)]
pub(crate) enum End {
    /// The peer closed it.
    Gone,
    /// The peer closed it in the middle of a message.
    Truncated,
    Io(#[expect(dead_code, reason = "logs show it")] io::Error),
    Violation(Violation),
    /// It took nothing of what waited for it, for too long.
    Stalled,
    /// It answered no heartbeat.
    Silent,
    /// This side closed its outlet: a slow consumer policy.
    Evicted,
    /// This side is closing, until then.
    Closing(Instant),
}

impl End {
    pub(crate) fn gone(truncated: bool) -> Self {
        if truncated { Self::Truncated } else { Self::Gone }
    }

    /// What it counts as, if it is the peer's fault, and why in words.
    pub(crate) fn fault(&self) -> Option<(Reject, String)> {
        match self {
            Self::Violation(violation) => Some((violation.reject(), violation.to_string())),
            Self::Truncated => Some((
                Reject::Truncated,
                "it went away in the middle of a message".into(),
            )),
            Self::Stalled => Some((Reject::Stalled, "it stopped reading".into())),
            Self::Silent => Some((Reject::Stalled, "it answered no heartbeat".into())),
            Self::Gone | Self::Io(_) | Self::Evicted | Self::Closing(_) => None,
        }
    }
}

/// Acts on what every kind of connection may receive.
pub(crate) fn answer(outlet: &Outlet, command: Command<'_>) -> Result<(), End> {
    match command {
        Command::Ping(context) if outlet.controls() < ANSWERS => {
            let mut pong = Vec::with_capacity(32);
            put_pong(&mut pong, context);
            outlet.send_control(&pong).map_err(|_| End::Stalled)
        }
        Command::Error(reason) => {
            let reason = String::from_utf8_lossy(reason);
            let reason = reason.chars().filter(|c| !c.is_control()).collect();
            Err(End::Violation(Violation::PeerError(reason)))
        }
        Command::Broken => Err(End::Violation(Violation::Malformed("a command without a name"))),
        _ => Ok(()),
    }
}

/// What a connection is for.
pub(crate) trait Role: Send {
    /// What the peer may send.
    fn rules(&self) -> Rules;
    /// A message: its first frame, and how many there were.
    fn message(&mut self, first: &[u8], frames: usize) -> Result<(), Violation>;
    /// SUBSCRIBE or CANCEL.
    fn subscribe(&mut self, _on: bool, _prefix: &[u8]) -> Result<(), Violation> {
        Ok(())
    }
    /// Hands what was heard to the engine; `false` when it has no room, and the peer is not read until it has.
    fn hand_over(&mut self) -> bool;
}

/// A PING now and then on a connection that is silent.
pub(crate) struct Heartbeat {
    interval: Interval,
    heard: bool,
    asked: bool,
}

impl Heartbeat {
    /// `None` unless wanted and known to the peer.
    pub(crate) fn new(every: Option<Duration>, minor: u8) -> Option<Self> {
        let every = every.filter(|_| minor >= 1)?;
        let mut interval = interval(every);
        interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Some(Self {
            interval,
            heard: true,
            asked: false,
        })
    }

    async fn tick(this: &mut Option<Self>) {
        match this {
            Some(heartbeat) => {
                heartbeat.interval.tick().await;
            }
            None => std::future::pending().await,
        }
    }

    fn check(&mut self, outlet: &Outlet) -> Result<(), End> {
        beat(&mut self.heard, &mut self.asked, outlet)
    }
}

/// One beat: after a silent interval a PING, after a second one the end.
pub(crate) fn beat(heard: &mut bool, asked: &mut bool, outlet: &Outlet) -> Result<(), End> {
    if std::mem::take(heard) {
        *asked = false;
        return Ok(());
    }
    if std::mem::replace(asked, true) {
        return Err(End::Silent);
    }
    let mut ping = Vec::with_capacity(16);
    put_ping(&mut ping, 0, b"");
    outlet.send_control(&ping).map_err(|_| End::Stalled)
}

/// One connection's task: reads what little comes, and writes what the outlet could not.
pub(crate) struct Session<R> {
    pub(crate) read: ReadHalf,
    pub(crate) outlet: Arc<Outlet>,
    pub(crate) buffer: BytesMut,
    pub(crate) role: R,
    /// Tells that the engine may have room again.
    pub(crate) room: Arc<Notify>,
    pub(crate) heartbeat: Option<Heartbeat>,
    /// How long the peer may take nothing of what waits for it.
    pub(crate) write_time: Duration,
    /// Whether this task writes what the outlet could not.
    pub(crate) writes: bool,
}

impl<R: Role> Session<R> {
    /// Until the connection is over, or `closing` says when this side will be.
    pub(crate) async fn run(&mut self, closing: &mut watch::Receiver<Option<Instant>>) -> End {
        match self.serve(closing).await {
            Ok(never) => match never {},
            Err(end) => end,
        }
    }

    async fn serve(
        &mut self,
        closing: &mut watch::Receiver<Option<Instant>>,
    ) -> Result<std::convert::Infallible, End> {
        let mut decoder = Decoder::new(self.role.rules());
        // What came with the end of the handshake.
        self.decode(&mut decoder)?;
        let mut stalled = None;
        loop {
            let Self {
                read,
                outlet,
                buffer,
                role,
                room,
                heartbeat,
                write_time,
                writes,
            } = self;
            let mut heard = false;
            // Made before looking, so that room made in between is not missed.
            let room = room.notified();
            let handed = role.hand_over();
            let backlog = *writes && outlet.has_backlog();
            // By when the peer must have taken something, and what it had taken when that was set.
            let (until, taken) = if backlog {
                *stalled.get_or_insert_with(|| (Instant::now() + *write_time, outlet.taken()))
            } else {
                stalled = None;
                (Instant::now(), 0)
            };
            tokio::select! {
                biased;
                when = closing.wait_for(Option::is_some) => {
                    let when = when.ok().and_then(|when| *when);
                    return Err(End::Closing(when.unwrap_or_else(Instant::now)));
                }
                () = outlet.kick.notified() => {
                    if outlet.is_closed() {
                        return Err(End::Evicted);
                    }
                }
                () = room, if !handed => {}
                written = timeout_at(until, outlet.write_some()), if backlog => match written {
                    Ok(written) => {
                        written.map_err(End::Io)?;
                        stalled = None;
                    }
                    // A publisher may have been quicker to write what the peer has taken.
                    Err(_) if outlet.taken() != taken => stalled = None,
                    Err(_) => return Err(End::Stalled),
                },
                read = async {
                    let missing = decoder.wants().saturating_sub(buffer.len());
                    buffer.reserve(missing.clamp(READ, buffer.len().max(READ)));
                    read.read(buffer).await
                }, if handed => match read {
                    Ok(0) => return Err(End::gone(!buffer.is_empty())),
                    Ok(_) => heard = true,
                    Err(_) if !buffer.is_empty() => return Err(End::Truncated),
                    Err(error) => return Err(End::Io(error)),
                },
                () = Heartbeat::tick(heartbeat) => {
                    if let Some(heartbeat) = heartbeat {
                        heartbeat.check(outlet)?;
                    }
                }
            }
            if heard {
                if let Some(heartbeat) = heartbeat {
                    heartbeat.heard = true;
                }
                self.decode(&mut decoder)?;
            }
        }
    }

    fn decode(&mut self, decoder: &mut Decoder) -> Result<(), End> {
        while let Some(item) = decoder.next(&mut self.buffer).map_err(End::Violation)? {
            match item {
                Item::Message(message) => {
                    let first = &self.buffer[message.parts[0].clone()];
                    self.role.message(first, message.frames)
                }
                Item::Command(body) => match Command::parse(&self.buffer[body]) {
                    Command::Subscribe(prefix) => self.role.subscribe(true, prefix),
                    Command::Cancel(prefix) => self.role.subscribe(false, prefix),
                    command => {
                        answer(&self.outlet, command)?;
                        Ok(())
                    }
                },
            }
            .map_err(End::Violation)?;
        }
        decoder.discard(&mut self.buffer);
        Ok(())
    }

    /// The last part: what waits is written until `deadline`, then this side says that nothing more comes, and hears the peer
    /// out for a moment, because a socket that is closed with something unread in it throws away what it has not sent.
    pub(crate) async fn finish(mut self, deadline: Instant, reason: distbus_transport::DropReason) -> u64 {
        let _ = timeout_at(deadline, self.outlet.flush()).await;
        let lost = self.outlet.close(reason);
        let patience = deadline.min(Instant::now() + PATIENCE);
        let _ = timeout_at(patience, async {
            loop {
                self.buffer.clear();
                self.buffer.reserve(READ);
                if !matches!(self.read.read(&mut self.buffer).await, Ok(n) if n > 0) {
                    break;
                }
            }
        })
        .await;
        lost
    }
}

/// How long a peer that was told goodbye is heard out.
const PATIENCE: Duration = Duration::from_millis(250);
