//! The least broker: receive, verify, publish. For measuring the transport without an engine around it.
//!
//! ```sh
//! cargo run --release -p distbus-zmtp --example relay -- tcp://127.0.0.1:5555
//! ```
//!
//! It runs on one thread; `RELAY_THREADS=2` gives it a runtime with so many workers.

use distbus_transport::{Endpoint, Inbox, Limits, Transport, TransportError};
use distbus_zmtp::Zmtp;
use tokio::runtime::{Builder, Runtime};

fn runtime() -> Result<Runtime, Box<dyn std::error::Error>> {
    Ok(match std::env::var("RELAY_THREADS") {
        Ok(n) => Builder::new_multi_thread()
            .worker_threads(n.parse()?)
            .enable_all()
            .build()?,
        Err(_) => Builder::new_current_thread().enable_all().build()?,
    })
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let endpoint = std::env::args().nth(1);
    let endpoint: Endpoint = endpoint.as_deref().unwrap_or("tcp://127.0.0.1:5555").parse()?;
    let runtime = runtime()?;
    // Spawned, because a multi-threaded runtime drives its main future on a thread without a queue.
    runtime.block_on(async { tokio::spawn(relay(endpoint)).await })??;
    Ok(())
}

async fn relay(endpoint: Endpoint) -> Result<(), TransportError> {
    let mut link = Zmtp::new().bind(&endpoint, &Limits::default()).await?;
    println!("ready at {}", link.endpoint);
    let mut inbox = Inbox::default();
    loop {
        link.inbound.recv(&mut inbox).await?;
        inbox.frames.retain(|frame| frame.is_intact());
        link.outbound.publish(inbox.frames.all()).await?;
        inbox.clear();
    }
}
