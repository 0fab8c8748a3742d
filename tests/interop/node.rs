//! A Python process, driven through its standard input: see `node.py` for what it is told and what it says.

use crate::venv::Python;
use distbus::Endpoint;
use serde::Deserialize;
use serde_json::{Value, json};
use std::process::Stdio;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;

/// Longer than anything takes on a machine that is busy with other tests.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// One `aiodistbus` broker, client or local bus. Dropping it kills the process.
pub(crate) struct Node {
    role: &'static str,
    endpoint: Endpoint,
    child: Child,
    stdin: ChildStdin,
    answers: mpsc::Receiver<Result<Value, String>>,
    heard: watch::Receiver<Heard>,
    /// How many of the events `next` has returned.
    taken: usize,
    /// Whether `next` passes over what a wildcard that is open to everything sees of our probes: pulses without data.
    pub(crate) skip_pulses: bool,
}

/// What a node has said without being asked.
#[derive(Default)]
struct Heard {
    events: Vec<Got>,
    disrupts: usize,
    closed: bool,
    exited: bool,
    stderr: String,
}

/// What a Python handler received.
#[derive(Clone, Debug, Deserialize, PartialEq)]
pub(crate) struct Got {
    pub(crate) topic: String,
    /// What the handler was registered for.
    pub(crate) on: String,
    /// The name of the value's type; `absent` when the handler was called without one.
    pub(crate) kind: String,
    pub(crate) value: Value,
    pub(crate) id: Option<String>,
    pub(crate) timestamp: Option<String>,
}

impl Node {
    /// A client with the defaults.
    pub(crate) async fn client(python: Python, broker: &Endpoint) -> Self {
        Self::client_with(python, broker, &[]).await
    }

    pub(crate) async fn client_with(python: Python, broker: &Endpoint, arguments: &[&str]) -> Self {
        Self::start(python, "client", Some(broker), arguments).await
    }

    /// A broker on a free port, with a local bus beside it.
    pub(crate) async fn broker(python: Python) -> Self {
        Self::broker_with(python, &[]).await
    }

    pub(crate) async fn broker_with(python: Python, arguments: &[&str]) -> Self {
        Self::start(python, "broker", None, arguments).await
    }

    /// A local bus that `forward` links to the broker.
    pub(crate) async fn localbus(python: Python, broker: &Endpoint) -> Self {
        Self::start(python, "localbus", Some(broker), &[]).await
    }

    async fn start(
        python: Python,
        role: &'static str,
        broker: Option<&Endpoint>,
        arguments: &[&str],
    ) -> Self {
        let mut command = Command::new(python.executable());
        command
            .args([
                concat!(env!("CARGO_MANIFEST_DIR"), "/tests/interop/node.py"),
                role,
            ])
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        if let Some(Endpoint::Tcp { host, port }) = broker {
            command.args(["--ip", host, "--port", &port.to_string()]);
        }
        let mut child = command.spawn().expect("python starts");
        let stdin = child.stdin.take().expect("it is piped");
        let stdout = BufReader::new(child.stdout.take().expect("it is piped")).lines();
        let stderr = child.stderr.take().expect("it is piped");
        let (say, heard) = watch::channel(Heard::default());
        // A few more than there can be: one question at a time, and `ready`.
        let (answer, answers) = mpsc::channel(8);
        tokio::spawn(keep_stderr(stderr, say.clone()));
        tokio::spawn(listen(stdout, say, answer));
        let mut node = Self {
            role,
            endpoint: Endpoint::tcp("127.0.0.1", 0),
            child,
            stdin,
            answers,
            heard,
            taken: 0,
            skip_pulses: false,
        };
        let ready = node.answer(&json!("ready")).await;
        let port = ready["port"].as_u64().and_then(|port| u16::try_from(port).ok());
        node.endpoint = Endpoint::tcp("127.0.0.1", port.expect("a port"));
        node
    }

    /// The broker's control port.
    pub(crate) fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// Tells the node to do something, and waits until it has.
    pub(crate) async fn ask(&mut self, command: Value) -> Value {
        self.tell(&command).await;
        self.answer(&command).await
    }

    async fn tell(&mut self, command: &Value) {
        let line = format!("{command}\n");
        if let Err(error) = self.stdin.write_all(line.as_bytes()).await {
            self.fail(&format!("{command} could not be said: {error}"));
        }
    }

    async fn answer(&mut self, question: &Value) -> Value {
        match timeout(PATIENCE, self.answers.recv()).await {
            Ok(Some(Ok(value))) => value,
            Ok(Some(Err(error))) => self.fail(&format!("{question} failed: {error}")),
            Ok(None) => self.fail(&format!("it ended before it answered {question}")),
            Err(_) => self.fail(&format!("{question} was not answered within {PATIENCE:?}")),
        }
    }

    /// Registers a handler of a type, and waits until the broker has the subscription.
    pub(crate) async fn on(&mut self, topic: &str, kind: &str) {
        self.ask(json!({"cmd": "on", "topic": topic, "kind": kind})).await;
        self.ready().await;
    }

    /// Registers a wildcard handler that really receives something.
    pub(crate) async fn on_wide(&mut self, pattern: &str) {
        let on = json!({"cmd": "on", "topic": pattern, "kind": "wildcard", "wide": true});
        self.ask(on).await;
        self.ready().await;
    }

    /// Counts numbers instead of reporting each.
    pub(crate) async fn count(&mut self, topic: &str) {
        self.ask(json!({"cmd": "on", "topic": topic, "kind": "int", "quiet": true}))
            .await;
        self.ready().await;
    }

    /// So many have come to a topic that is counted, the numbers from 0 in their order.
    pub(crate) async fn counted(&mut self, topic: &str, n: usize) {
        let wait = json!({"cmd": "wait_count", "topic": topic, "n": n, "timeout": 55});
        assert_eq!(self.ask(wait).await, n, "more came than were sent");
        let in_order = self.ask(json!({"cmd": "in_order", "topic": topic})).await;
        assert_eq!(in_order, true, "they came out of order");
    }

    pub(crate) async fn ready(&mut self) {
        self.ask(json!({"cmd": "ready", "timeout": 20})).await;
    }

    /// Emits a tagged value, as `{"str": "hi"}`; returns the event's id and timestamp.
    pub(crate) async fn emit(&mut self, topic: &str, value: Value) -> Value {
        let sent = self
            .ask(json!({"cmd": "emit", "topic": topic, "value": value}))
            .await;
        assert!(sent.is_object(), "{topic} {value} was not sent");
        sent
    }

    /// Emits the numbers from 0.
    pub(crate) async fn emit_many(&mut self, topic: &str, n: usize) {
        let emit = json!({"cmd": "emit_many", "topic": topic, "n": n});
        assert_eq!(self.ask(emit).await, n);
    }

    pub(crate) async fn close(&mut self) {
        self.ask(json!({"cmd": "close"})).await;
    }

    /// Ends the process without a word to anybody.
    pub(crate) async fn die(&mut self) {
        self.tell(&json!({"cmd": "die"})).await;
        self.until("it has not died", |heard| heard.exited).await;
        timeout(PATIENCE, self.child.wait())
            .await
            .expect("it has died")
            .expect("it can be waited for");
    }

    /// The next thing that a handler received, in the order of receiving.
    pub(crate) async fn next(&mut self) -> Got {
        loop {
            let taken = self.taken;
            self.until("no event came", |heard| heard.events.len() > taken)
                .await;
            self.taken += 1;
            let got = self.heard.borrow().events[taken].clone();
            if !(self.skip_pulses && got.topic == distbus::PULSE) {
                return got;
            }
        }
    }

    /// What handlers have received so far and `next` has not returned.
    pub(crate) fn rest(&mut self) -> Vec<Got> {
        let rest = self.heard.borrow().events[self.taken..].to_vec();
        self.taken += rest.len();
        rest
    }

    pub(crate) async fn disrupted(&mut self) {
        self.until("on_disrupt was not called", |heard| heard.disrupts > 0)
            .await;
    }

    pub(crate) fn disrupts(&self) -> usize {
        self.heard.borrow().disrupts
    }

    pub(crate) async fn closed(&mut self) {
        self.until("it was not closed", |heard| heard.closed).await;
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.heard.borrow().closed
    }

    async fn until(&mut self, otherwise: &str, mut is_so: impl FnMut(&Heard) -> bool) {
        let mut heard = self.heard.clone();
        let so = timeout(PATIENCE, heard.wait_for(|now| is_so(now) || now.exited)).await;
        let so = so.is_ok_and(|now| now.is_ok_and(|now| is_so(&now)));
        if !so {
            self.fail(otherwise);
        }
    }

    fn fail(&self, what: &str) -> ! {
        let heard = self.heard.borrow();
        let Heard {
            exited,
            events,
            stderr,
            ..
        } = &*heard;
        let (role, last) = (self.role, events.last());
        panic!("python {role}: {what} (exited: {exited}, last event: {last:?})\nits stderr:\n{stderr}")
    }
}

/// Sorts what a node says: answers, and what nobody asked for.
async fn listen(
    mut lines: Lines<BufReader<ChildStdout>>,
    say: watch::Sender<Heard>,
    answer: mpsc::Sender<Result<Value, String>>,
) {
    while let Ok(Some(line)) = lines.next_line().await {
        let line: Value = serde_json::from_str(&line).expect("a node speaks JSON");
        let (key, value) = line
            .as_object()
            .and_then(|line| line.iter().next())
            .expect("one key a line");
        match key.as_str() {
            "ready" | "ok" => drop(answer.send(Ok(value.clone())).await),
            "error" => drop(answer.send(Err(value.to_string())).await),
            "disrupt" => say.send_modify(|heard| heard.disrupts += 1),
            "closed" => say.send_modify(|heard| heard.closed = true),
            "event" => {
                let got: Got = serde_json::from_value(value.clone()).expect("an event");
                // What `ready` of some node sends to itself; wildcards see it.
                if !got.topic.starts_with("distbus.ready.") {
                    say.send_modify(|heard| heard.events.push(got));
                }
            }
            _ => panic!("a node said {line}"),
        }
    }
    say.send_modify(|heard| heard.exited = true);
}

async fn keep_stderr(stderr: impl AsyncRead + Unpin, say: watch::Sender<Heard>) {
    let mut lines = BufReader::new(stderr).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        say.send_modify(|heard| {
            heard.stderr.push_str(&line);
            heard.stderr.push('\n');
        });
    }
}
