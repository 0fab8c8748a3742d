use super::actor::Actor;
use super::end::Ending;
use super::inbound::Inbound;
use super::outbound::Outbound;
use super::sockets::Sockets;
use crate::batch::Batch;
use crate::batches;
use crate::linger::Backend;
use crate::ports;
use distbus_transport::{ClientLink, Counters, Endpoint, Limits, PeerId, TransportError};
use futures_util::StreamExt;
use std::error::Error;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::sleep;
use zeromq::util::PeerIdentity;
use zeromq::{DealerSocket, PushSocket, Socket, SocketOptions, SubSocket, ZmqError};

/// One try: the crate's own back-off would grow to half a minute between tries.
const TRY: Duration = Duration::from_secs(2);
const FIRST_PAUSE: Duration = Duration::from_millis(20);
const LONGEST_PAUSE: Duration = Duration::from_millis(500);
/// Handshakes in a row that may fail although something answered: a broker that is closing does that once or twice.
const BAD_HANDSHAKES: u32 = 5;

/// Connects all three sockets, and tries for as long as it takes.
pub(crate) async fn connect(
    endpoint: &Endpoint,
    peer: &PeerId,
    limits: &Limits,
) -> Result<ClientLink, TransportError> {
    let (_, port) = ports::host_and_port(endpoint)?;
    if port == 0 {
        return Err(ports::unsupported(endpoint));
    }
    let id = PeerIdentity::try_from(peer.as_bytes().clone()).map_err(|error| refused(endpoint, &error))?;
    let mut dealer: DealerSocket = reach(endpoint, 0, Some(&id)).await?;
    let mut sub: SubSocket = reach(endpoint, 1, None).await?;
    let mut push: PushSocket = reach(endpoint, 2, None).await?;

    let monitors = [
        dealer.monitor().boxed(),
        sub.monitor().boxed(),
        push.monitor().boxed(),
    ];
    let backends: [Backend; 2] = [dealer.backend(), push.backend()];
    let (control, replies) = dealer.split();
    let counters = Arc::new(Counters::default());
    let ending = Ending::new();
    let (outlet, intake) = batches::channel();
    let sockets = Sockets::new(
        (sub, replies),
        monitors,
        Batch::new(limits, Arc::clone(&counters)),
    );
    let (actor, commands) = Actor::new(sockets, outlet);
    tokio::spawn(actor.run(ending.clone()));
    Ok(ClientLink {
        inbound: Box::new(Inbound::new(intake, ending.clone())),
        outbound: Box::new(Outbound::new(
            (push, control),
            backends,
            commands,
            ending,
            limits.clone(),
            Arc::clone(&counters),
        )),
        counters,
    })
}

/// Connects one socket to the endpoint's port and `offset` more.
async fn reach<S: Socket>(
    endpoint: &Endpoint,
    offset: u16,
    id: Option<&PeerIdentity>,
) -> Result<S, TransportError> {
    let (host, port) = ports::host_and_port(endpoint)?;
    let address = Endpoint::tcp(host, port + offset).to_string();
    let (mut pause, mut bad) = (FIRST_PAUSE, 0);
    loop {
        let mut options = SocketOptions::default();
        options.connect_timeout(TRY);
        if let Some(id) = id {
            options.peer_identity(id.clone());
        }
        let mut socket = S::with_options(options);
        match socket.connect(&address).await {
            Ok(()) => return Ok(socket),
            Err(error) if is_absence(&error) => bad = 0,
            Err(error) if bad + 1 == BAD_HANDSHAKES => return Err(refused(endpoint, &error)),
            Err(_) => bad += 1,
        }
        sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// Whether waiting may heal this: nobody there, or nobody who answers.
fn is_absence(error: &ZmqError) -> bool {
    let mut cause: Option<&(dyn Error + 'static)> = Some(error);
    while let Some(error) = cause {
        if error.is::<io::Error>() {
            return true;
        }
        cause = error.source();
    }
    matches!(error, ZmqError::ConnectTimeout(_))
}

fn refused(endpoint: &Endpoint, error: &ZmqError) -> TransportError {
    TransportError::Refused {
        endpoint: endpoint.clone(),
        reason: format!("what answers there is no broker of this wire ({error})"),
    }
}
