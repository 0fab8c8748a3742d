//! One million small events through a broker, each party a process of its own: what arrives, and at what cost?
//!
//! ```sh
//! cargo run --release -p distbus-zeromq --example million               # 1,000,000 events of 64 bytes, 1 subscriber
//! cargo run --release -p distbus-zeromq --example million -- 100000 3 1000
//! ```
//!
//! The broker does what an engine does: receive, verify each checksum, publish.

use distbus_transport::{
    Batch, BrokerInbox, ClientInbox, ClientLink, Endpoint, Frame, Limits, PeerId, Transport,
};
use distbus_zeromq::ZeroMq;
use std::error::Error;
use std::io::{BufRead, BufReader, Read};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;
use tokio::time::{Instant, timeout};

type Outcome<T = ()> = Result<T, Box<dyn Error>>;

const TOPIC: &str = "million.events";
const BATCH: usize = 1024;
/// A subscriber that hears nothing for so long takes the rest for lost.
const SILENCE: Duration = Duration::from_secs(5);

fn main() -> Outcome {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let number = |at: usize, default: usize| arguments.get(at).map_or(Ok(default), |text| text.parse());
    let runtime = tokio::runtime::Runtime::new()?;
    let endpoint = || arguments.get(1).ok_or("the endpoint is missing");
    match arguments.first().map(String::as_str) {
        Some("broker") => runtime.block_on(broker()),
        Some("subscriber") => runtime.block_on(subscriber(endpoint()?, number(2, 0)?)),
        Some("publisher") => runtime.block_on(publisher(endpoint()?, number(2, 0)?, number(3, 64)?)),
        _ => direct(number(0, 1_000_000)?, number(1, 1)?, number(2, 64)?),
    }
}

/// Starts everybody, in order, and adds up what they say.
fn direct(events: usize, subscribers: usize, size: usize) -> Outcome {
    let (mut broker, mut from_broker) = start(&["broker"])?;
    let endpoint = line(&mut from_broker)?;
    let mut listening = Vec::new();
    for _ in 0..subscribers {
        let (child, mut output) = start(&["subscriber", &endpoint, &events.to_string()])?;
        line(&mut output)?;
        listening.push((child, output));
    }
    let (mut publisher, mut from_publisher) =
        start(&["publisher", &endpoint, &events.to_string(), &size.to_string()])?;
    let mut arrived = 0;
    for (mut child, mut output) in listening {
        let heard = line(&mut output)?;
        println!("subscriber: {heard}");
        arrived += heard.split(' ').next().unwrap_or_default().parse::<usize>()?;
        child.wait()?;
    }
    println!("publisher:  {}", line(&mut from_publisher)?);
    publisher.wait()?;
    drop(broker.stdin.take());
    println!("broker:     {}", line(&mut from_broker)?);
    broker.wait()?;
    println!(
        "delivered {arrived} of {}, lost {}",
        events * subscribers,
        events * subscribers - arrived
    );
    Ok(())
}

fn start(arguments: &[&str]) -> Outcome<(Child, BufReader<ChildStdout>)> {
    let mut child = Command::new(std::env::current_exe()?)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    let output = child.stdout.take().ok_or("no output")?;
    Ok((child, BufReader::new(output)))
}

fn line(output: &mut BufReader<ChildStdout>) -> Outcome<String> {
    let mut line = String::new();
    output.read_line(&mut line)?;
    if line.is_empty() {
        return Err("a process ended too early".into());
    }
    Ok(line.trim_end().to_owned())
}

/// Processor seconds of this process, where the system says so.
fn cpu() -> f64 {
    let ticks = |stat: String| -> Option<f64> {
        let fields: Vec<&str> = stat.rsplit(')').next()?.split_whitespace().collect();
        Some(fields.get(11)?.parse::<f64>().ok()? + fields.get(12)?.parse::<f64>().ok()?)
    };
    std::fs::read_to_string("/proc/self/stat")
        .ok()
        .and_then(ticks)
        .unwrap_or_default()
        / 100.0
}

async fn broker() -> Outcome {
    let mut link = ZeroMq::new()
        .bind(&Endpoint::tcp("127.0.0.1", 0), &Limits::default())
        .await?;
    println!("{}", link.endpoint);
    let told_to_stop = tokio::task::spawn_blocking(|| std::io::stdin().read(&mut [0]));
    tokio::pin!(told_to_stop);
    let mut inbox = BrokerInbox::default();
    loop {
        tokio::select! {
            received = link.inbound.recv(&mut inbox) => received?,
            _ = &mut told_to_stop => break,
        }
        inbox.frames.retain(|frame| frame.is_intact());
        link.outbound.publish(inbox.frames.all()).await?;
        inbox.clear();
    }
    let report = link.outbound.close(Instant::now() + SILENCE).await;
    let counted = link.counters.snapshot();
    println!(
        "{} received, {} undelivered, {:.2} s of processor time",
        counted.received,
        report.undelivered,
        cpu()
    );
    Ok(())
}

async fn join(endpoint: &str, name: String) -> Outcome<ClientLink> {
    let id = PeerId::new(name).ok_or("an empty peer id")?;
    let connect = ZeroMq::new();
    let endpoint: Endpoint = endpoint.parse()?;
    let link = timeout(SILENCE, connect.connect(&endpoint, &id, &Limits::default())).await??;
    Ok(link)
}

async fn subscriber(endpoint: &str, events: usize) -> Outcome {
    let name = format!("subscriber-{}", std::process::id());
    let mut link = join(endpoint, name.clone()).await?;
    link.outbound.subscribe(TOPIC.into()).await?;
    let mut inbox = ClientInbox::default();

    // The broker has the subscription when it has the next one, and it has that when this comes back.
    link.outbound.subscribe(name.clone().into()).await?;
    let echo = Frame::sealed(name, "");
    while inbox.is_empty() {
        link.outbound.push(Batch::from(echo.clone()).all()).await?;
        let _ = timeout(Duration::from_millis(50), link.inbound.recv(&mut inbox)).await;
    }
    println!("ready");

    let (mut arrived, mut next, mut started) = (0, 0, None);
    while next < events {
        inbox.clear();
        let waited = if started.is_some() { SILENCE } else { 4 * SILENCE };
        match timeout(waited, link.inbound.recv(&mut inbox)).await {
            Ok(received) => received?,
            Err(_) => break,
        }
        for frame in inbox
            .frames
            .iter()
            .filter(|frame| frame.topic() == TOPIC.as_bytes())
        {
            let number = u64::from_be_bytes(frame.body()[..8].try_into()?) as usize;
            if number < next || !frame.is_intact() {
                return Err(format!("event {number} came again, late or broken").into());
            }
            (arrived, next) = (arrived + 1, number + 1);
            started.get_or_insert_with(Instant::now);
        }
    }
    let seconds = started.map_or(f64::MAX, |since| since.elapsed().as_secs_f64());
    println!(
        "{arrived} arrived, {:.0} a second, {:.2} s of processor time",
        arrived as f64 / seconds,
        cpu()
    );
    Ok(())
}

async fn publisher(endpoint: &str, events: usize, size: usize) -> Outcome {
    let mut link = join(endpoint, format!("publisher-{}", std::process::id())).await?;
    let mut frames = Batch::new();
    for first in (0..events).step_by(BATCH) {
        frames.clear();
        for number in first..events.min(first + BATCH) {
            let mut body = vec![b'x'; size.max(8)];
            body[..8].copy_from_slice(&(number as u64).to_be_bytes());
            frames.push(Frame::sealed(TOPIC, body));
        }
        link.outbound.push(frames.all()).await?;
    }
    let report = link.outbound.close(Instant::now() + 12 * SILENCE).await;
    println!(
        "{} undelivered, {:.2} s of processor time",
        report.undelivered,
        cpu()
    );
    Ok(())
}
