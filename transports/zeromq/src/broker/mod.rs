//! The broker's side: ROUTER on p, PUB on p+1, PULL on p+2.

mod actor;
mod host;
mod inbound;
mod outbound;
mod replies;
mod sockets;

pub(crate) use sockets::Monitor;

use crate::batch::Batch;
use crate::batches;
use crate::linger::Backend;
use crate::ports::Ports;
use actor::Actor;
use distbus_transport::{BrokerLink, Counters, Endpoint, Limits, TransportError};
use futures_util::StreamExt;
use host::Host;
use inbound::Inbound;
use outbound::{Outbound, Sending};
use sockets::Sockets;
use std::sync::Arc;
use zeromq::{PubSocket, PullSocket, RouterSocket, Socket, ZmqError};

/// Listens on three neighbouring ports.
pub(crate) async fn bind(endpoint: &Endpoint, limits: &Limits) -> Result<BrokerLink, TransportError> {
    let host = Host::start().map_err(|source| TransportError::Bind {
        endpoint: endpoint.clone(),
        source,
    })?;
    let asked = endpoint.clone();
    let bound = host.run(async move { open(&asked).await }).await;
    let (endpoint, sockets, sending) = bound.ok_or(TransportError::Closed)??;
    let (host, counters) = (Arc::new(host), Arc::new(Counters::default()));
    let (outlet, intake) = batches::channel();
    let batch = Batch::new(limits, Arc::clone(&counters));
    let commands = Actor::new(sockets, batch, outlet).spawn(&host);
    Ok(BrokerLink {
        endpoint,
        inbound: Box::new(Inbound::new(intake, Arc::clone(&host))),
        outbound: Box::new(Outbound::new(
            sending,
            commands,
            host,
            limits.clone(),
            Arc::clone(&counters),
        )),
        counters,
    })
}

/// Binds the sockets. Runs on the host, as all that touches them but publishing.
async fn open(endpoint: &Endpoint) -> Result<(Endpoint, Sockets, Sending), TransportError> {
    let ports = Ports::bind(endpoint).await?;
    let other = |source: ZmqError| TransportError::Other {
        transport: crate::NAME,
        source: Box::new(source),
    };
    let (mut control, mut publish, mut collect) = (RouterSocket::new(), PubSocket::new(), PullSocket::new());
    let monitors = [
        control.monitor().boxed(),
        publish.monitor().boxed(),
        collect.monitor().boxed(),
    ];
    control.bind_listener(ports.control).await.map_err(other)?;
    publish.bind_listener(ports.publish).await.map_err(other)?;
    collect.bind_listener(ports.collect).await.map_err(other)?;

    // A socket that does nothing but hold all three listeners, so that closing can stop them first.
    let mut listeners = PullSocket::new();
    listeners.binds().extend(control.binds().drain());
    listeners.binds().extend(publish.binds().drain());
    listeners.binds().extend(collect.binds().drain());

    let writers: [Backend; 2] = [control.backend(), publish.backend()];
    let sockets = Sockets::new(control, collect, monitors);
    Ok((ports.endpoint, sockets, Sending::new(publish, listeners, writers)))
}
