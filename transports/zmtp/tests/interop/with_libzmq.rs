//! libzmq, through pyzmq, with heartbeats on.

use super::ours::Ours;
use super::support::{Broker, within};
use crate::venv::{Python, python};
use distbus_transport::{Endpoint, Limits, Transport};
use distbus_zmtp::Zmtp;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};

struct Peer {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Peer {
    fn start(python: Python, part: &str, addresses: &[String; 3]) -> Self {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/interop/libzmq.py");
        let mut child = Command::new(python.executable())
            .arg(script)
            .arg(part)
            .args(addresses)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { child, lines }
    }

    async fn says(&mut self, expected: &str) {
        let waiting = tokio::time::timeout(Duration::from_secs(120), self.lines.next_line());
        let line = waiting
            .await
            .unwrap_or_else(|_| panic!("Python did not say {expected}"));
        assert_eq!(line.unwrap().as_deref(), Some(expected), "see its standard error");
    }

    async fn go_on(&mut self) {
        let stdin = self.child.stdin.as_mut().unwrap();
        stdin.write_all(b"\n").await.unwrap();
    }

    async fn ends_well(&mut self) {
        let status = within("Python ending", self.child.wait()).await.unwrap();
        assert!(status.success(), "{status}");
    }
}

fn addresses(endpoint: &Endpoint) -> [String; 3] {
    match endpoint {
        Endpoint::Ipc { path } => ["", ".pub", ".pull"].map(|end| format!("ipc://{path}{end}")),
        _ => [0, 1, 2].map(|n| format!("tcp://127.0.0.1:{}", endpoint.port().unwrap() + n)),
    }
}

/// A peer has until the next one to answer: with 50 ms a busy machine was taken for a dead peer, once.
const HEARTBEAT: Duration = Duration::from_secs(1);

async fn libzmq_as_client(python: Python, endpoint: &str) {
    let limits = Limits::default();
    let zmtp = Zmtp::new().heartbeat(HEARTBEAT);
    let broker = Broker::start_with(zmtp, endpoint, &limits).await;
    let endpoint = broker.endpoint.clone();
    let mut peer = Peer::start(python, "client", &addresses(&endpoint));
    peer.says("done").await;
    assert_eq!(broker.counters.snapshot().rejected, [], "{:?}", broker.counters);
    assert_eq!(broker.counters.snapshot().total_dropped(), 0);
    broker.stop().await;
    let _again = Broker::start_with(Zmtp::new(), &endpoint.to_string(), &limits).await;
    peer.go_on().await;
    peer.says("again").await;
    peer.ends_well().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn libzmq_as_client_over_tcp() {
    let python = python!();
    libzmq_as_client(python, "tcp://127.0.0.1:0").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn libzmq_as_client_over_ipc() {
    let python = python!();
    libzmq_as_client(python, "ipc://").await;
}

async fn libzmq_as_broker(python: Python, any: &str) {
    // A place that was free a moment ago.
    let limits = Limits::default();
    let link = Zmtp::new().bind(&any.parse().unwrap(), &limits).await.unwrap();
    let endpoint = link.endpoint.clone();
    drop(link);
    let mut peer = Peer::start(python, "broker", &addresses(&endpoint));
    peer.says("ready").await;
    let zmtp = Zmtp::new().heartbeat(HEARTBEAT);
    let mut ours = Ours::connect(&zmtp, &endpoint, "ours").await;
    ours.echo().await;
    ours.subscribe("our.".into()).await;
    ours.until_live("our.live").await;
    ours.everything_comes_back(20_000).await;
    ours.thousands_of_subscriptions().await;
    ours.rest(Duration::from_secs(3)).await;
    ours.until_live("our.still.there").await;
    // It goes; our link ends. Another comes; we can connect again.
    peer.go_on().await;
    peer.ends_well().await;
    ours.until_ended().await;
    let mut peer = Peer::start(python, "broker", &addresses(&endpoint));
    let mut again = Ours::connect(&zmtp, &endpoint, "ours").await;
    peer.says("ready").await;
    again.subscribe("our.".into()).await;
    again.until_live("our.again").await;
    peer.go_on().await;
    peer.ends_well().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn libzmq_as_broker_over_tcp() {
    let python = python!();
    libzmq_as_broker(python, "tcp://127.0.0.1:0").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn libzmq_as_broker_over_ipc() {
    let python = python!();
    libzmq_as_broker(python, "ipc://").await;
}
