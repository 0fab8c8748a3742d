use super::inbound::ZmtpClientInbound;
use super::line::{Anchor, Control, Line, Silence};
use super::outbound::ZmtpClientOutbound;
use crate::Zmtp;
use crate::mailbox::Mailbox;
use crate::net::address;
use crate::net::greet::{GreetError, Greeted, greet};
use crate::net::outlet::Outlet;
use crate::net::reader::{EventReader, event_rules};
use crate::net::session::{Heartbeat, Role, Session};
use crate::proto::{SocketType, Violation};
use distbus_transport::{
    ClientLink, Counters, DropReason, Endpoint, Limits, PeerId, SlowConsumer, TransportError,
};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

/// The first pause between two tries, and the longest.
const PAUSES: (Duration, Duration) = (Duration::from_millis(10), Duration::from_millis(250));

/// Connects, trying again while nobody is there.
pub(crate) async fn connect(
    options: &Zmtp,
    endpoint: &Endpoint,
    peer: &PeerId,
    limits: &Limits,
) -> Result<ClientLink, TransportError> {
    if !address::can_connect(endpoint) {
        return Err(address::unsupported(endpoint));
    }
    let mut pause = PAUSES.0;
    loop {
        match all_three(endpoint, peer, limits).await {
            Ok(three) => return Ok(link(options, three, limits)),
            Err(Failure::Absent) => {}
            Err(Failure::Refused(violation)) => {
                return Err(TransportError::Refused {
                    endpoint: endpoint.clone(),
                    reason: match violation {
                        Violation::PeerError(reason) => reason,
                        other => other.to_string(),
                    },
                });
            }
        }
        sleep(pause).await;
        pause = (pause * 2).min(PAUSES.1);
    }
}

enum Failure {
    /// Nobody there, or somebody who went away: worth another try.
    Absent,
    Refused(Violation),
}

/// The DEALER first: if this peer may not come in, that is where it is told.
async fn all_three(endpoint: &Endpoint, peer: &PeerId, limits: &Limits) -> Result<[Greeted; 3], Failure> {
    let one = async |socket| {
        let attempt = async {
            let stream = address::connect(endpoint, socket).await.map_err(GreetError::Io)?;
            greet(stream, socket, peer.as_bytes(), false).await
        };
        match timeout(limits.handshake_time, attempt).await {
            Ok(Ok(greeted)) => Ok(greeted),
            Ok(Err(GreetError::Violation(violation))) => Err(Failure::Refused(violation)),
            Ok(Err(GreetError::Io(_) | GreetError::Gone)) | Err(_) => Err(Failure::Absent),
        }
    };
    Ok([
        one(SocketType::Dealer).await?,
        one(SocketType::Sub).await?,
        one(SocketType::Push).await?,
    ])
}

fn link(options: &Zmtp, [mut dealer, mut sub, mut push]: [Greeted; 3], limits: &Limits) -> ClientLink {
    let counters = Arc::new(Counters::default());
    let outlet = |greeted: &mut Greeted| {
        let write = greeted.write.take();
        let limit = limits.queue_bytes;
        let policy = SlowConsumer::Disconnect;
        let room: Arc<Notify> = Arc::default();
        Arc::new(Outlet::new(write, counters.clone(), limit, policy, room))
    };
    let (push_ended, push_over) = watch::channel(false);
    let line = Arc::new(Line {
        limits: limits.clone(),
        counters: counters.clone(),
        mailbox: Arc::new(Mailbox::new(limits.queue_bytes.max(1 << 20))),
        dealer: outlet(&mut dealer),
        sub: outlet(&mut sub),
        push: outlet(&mut push),
        closing: watch::Sender::new(None),
        push_over,
        tasks: Mutex::default(),
    });
    let control = Control {
        mailbox: line.mailbox.clone(),
        counters: counters.clone(),
        limit: limits.event_bytes,
        signals: Vec::new(),
    };
    let mut tasks = JoinSet::new();
    let control = session(options, &line, dealer, line.dealer.clone(), control);
    tasks.spawn(attend(line.clone(), control, None));
    let silence = session(options, &line, push, line.push.clone(), Silence);
    tasks.spawn(attend(line.clone(), silence, Some(push_ended)));
    *line
        .tasks
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner) = tasks;
    let rules = event_rules(limits.topic_bytes, limits.event_bytes);
    let minor = sub.peer.minor;
    let reader = EventReader::new(sub.read, line.sub.clone(), rules, sub.rest);
    let anchor = Arc::new(Anchor(line));
    ClientLink {
        inbound: Box::new(ZmtpClientInbound::new(anchor.clone(), reader)),
        outbound: Box::new(ZmtpClientOutbound::new(anchor, minor)),
        counters,
    }
}

fn session<R: Role>(
    options: &Zmtp,
    line: &Line,
    greeted: Greeted,
    outlet: Arc<Outlet>,
    role: R,
) -> Session<R> {
    Session {
        heartbeat: Heartbeat::new(options.heartbeat, greeted.peer.minor),
        read: greeted.read,
        outlet,
        buffer: greeted.rest,
        role,
        room: line.mailbox.room().clone(),
        write_time: options.write_time,
        // Whoever pushes waits for the socket itself.
        writes: false,
    }
}

/// Listens on a connection on which little comes, until it is over.
async fn attend<R: Role>(line: Arc<Line>, mut session: Session<R>, over: Option<watch::Sender<bool>>) {
    let end = session.run(&mut line.closing.subscribe()).await;
    if let Some((reject, why)) = end.fault() {
        line.counters.rejected.add(reject, 1);
        tracing::warn!(reason = %reject, "the connection to the broker is over: {why}");
    }
    session.outlet.close(DropReason::Disconnected);
    if let Some(over) = over {
        over.send_replace(true);
    }
    line.mailbox.end();
}
