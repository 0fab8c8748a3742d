//! The broker's side: ROUTER on p, PUB on p+1, PULL on p+2.

mod inbound;
mod outbound;
mod replies;
mod sockets;

pub(crate) use sockets::{Monitor, poll_event};

use crate::linger::Backend;
use crate::ports::Ports;
use distbus_transport::{BrokerLink, Counters, Endpoint, Limits, TransportError};
use futures_util::StreamExt;
use inbound::{Inbound, Receiving};
use outbound::Outbound;
use sockets::Sockets;
use std::sync::Arc;
use zeromq::{PubSocket, PullSocket, RouterSocket, Socket, ZmqError};

/// Listens on three neighbouring ports.
pub(crate) async fn bind(endpoint: &Endpoint, limits: &Limits) -> Result<BrokerLink, TransportError> {
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

    // A socket that does nothing but hold all three listeners, so that closing can stop them first and wait for it.
    let mut listeners = PullSocket::new();
    listeners.binds().extend(control.binds().drain());
    listeners.binds().extend(publish.binds().drain());
    listeners.binds().extend(collect.binds().drain());

    let backends: [Backend; 3] = [control.backend(), publish.backend(), collect.backend()];
    let (reply, control) = control.split();
    let counters = Arc::new(Counters::default());
    let sockets = Sockets::new(control, collect, monitors, limits.queue_bytes);
    let receiving = Receiving::new(sockets, limits.clone(), Arc::clone(&counters));
    Ok(BrokerLink {
        endpoint: ports.endpoint,
        inbound: Box::new(Inbound::new(Arc::clone(&receiving))),
        outbound: Box::new(Outbound::new(
            (publish, reply, listeners),
            backends,
            receiving,
            limits.clone(),
            Arc::clone(&counters),
        )),
        counters,
    })
}
