use super::machine::Machine;
use super::report::{Layout, print, print_csv, print_json};
use super::tables;
use crate::failure::Failure;
use crate::progress::progress;
use distbus::{LocalBus, Pattern, TopicIndex};
use serde::Serialize;
use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Barrier, broadcast};
use tokio::task::JoinSet;
use tokio::time::Instant;

/// Measure the bus inside one process, beside tokio::sync::broadcast, and the index of topics
///
/// No broker and no codec: a value is handed over as it is. The time is that of one event for the one who emits it.
#[derive(clap::Args)]
pub(super) struct Args {
    /// Events in each run [default: 2000000, with --quick 200000]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=1_000_000_000))]
    events: Option<u64>,
    /// How often each is measured; the median is shown
    #[arg(long, value_name = "R", default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..=100))]
    runs: u16,
    /// A tenth of the events
    #[arg(long)]
    quick: bool,
    /// How the figures are printed
    #[arg(long, value_enum, default_value = "text")]
    format: Layout,
}

/// All that was found.
#[derive(Serialize)]
pub(super) struct LocalReport {
    pub(super) machine: Machine,
    pub(super) runs: u16,
    pub(super) events: u64,
    pub(super) rows: Vec<LocalRow>,
}

/// One line: nanoseconds for each event.
#[derive(Serialize)]
pub(super) struct LocalRow {
    pub(super) case: &'static str,
    pub(super) ns: f64,
    pub(super) ns_min: f64,
    pub(super) ns_max: f64,
}

/// What is measured.
#[derive(Clone, Copy)]
enum Job {
    /// Each of so many tasks emits to so many typed synchronous handlers.
    Emit { handlers: u64, tasks: usize },
    /// One value to so many receivers, each of which takes it: awaited, as a program does that has something else to do, or not.
    Broadcast { receivers: usize, awaited: bool },
    /// Who wants a topic, among so many patterns.
    Lookup { patterns: u64 },
}

const JOBS: [(&str, Job); 9] = [
    (
        "emit to 1 typed sync handler",
        Job::Emit {
            handlers: 1,
            tasks: 1,
        },
    ),
    (
        "tokio::sync::broadcast, send and 1 recv().await",
        Job::Broadcast {
            receivers: 1,
            awaited: true,
        },
    ),
    (
        "tokio::sync::broadcast, send and 1 try_recv()",
        Job::Broadcast {
            receivers: 1,
            awaited: false,
        },
    ),
    (
        "emit to 8 typed sync handlers",
        Job::Emit {
            handlers: 8,
            tasks: 1,
        },
    ),
    (
        "tokio::sync::broadcast, send and 8 recv().await",
        Job::Broadcast {
            receivers: 8,
            awaited: true,
        },
    ),
    (
        "tokio::sync::broadcast, send and 8 try_recv()",
        Job::Broadcast {
            receivers: 8,
            awaited: false,
        },
    ),
    (
        "2 tasks emit at once, to 1 typed sync handler",
        Job::Emit {
            handlers: 1,
            tasks: 2,
        },
    ),
    (
        "topic index, a lookup among 10 patterns",
        Job::Lookup { patterns: 10 },
    ),
    (
        "topic index, a lookup among 100,000 patterns",
        Job::Lookup { patterns: 100_000 },
    ),
];

pub(super) async fn run(args: Args) -> Result<(), Failure> {
    let usual = if args.quick { 200_000 } else { 2_000_000 };
    let events = args.events.unwrap_or(usual);
    let mut times: Vec<Vec<f64>> = JOBS.map(|_| Vec::new()).into();
    let bar = progress(JOBS.len() * usize::from(args.runs))?;
    for _ in 0..args.runs {
        for ((case, job), times) in JOBS.iter().zip(&mut times) {
            bar.set_message(*case);
            let took = job.once(events).await?;
            times.push(took.as_nanos() as f64 / events as f64);
            bar.inc(1);
        }
    }
    bar.finish_and_clear();
    let rows = JOBS.iter().zip(times).map(|((case, _), mut times)| {
        times.sort_by(f64::total_cmp);
        let at = |place: usize| times.get(place).copied().unwrap_or(0.0);
        LocalRow {
            case,
            ns: at((times.len() - 1) / 2),
            ns_min: at(0),
            ns_max: at(times.len() - 1),
        }
    });
    let report = LocalReport {
        machine: Machine::this(),
        runs: args.runs,
        events,
        rows: rows.collect(),
    };
    match args.format {
        Layout::Text => print(&format!("{}\n", tables::local(&report))),
        Layout::Json => print_json(&report),
        Layout::Csv => print_csv(&report.rows),
    }
}

impl Job {
    /// How long so many events took each task.
    async fn once(self, events: u64) -> Result<Duration, Failure> {
        match self {
            Self::Emit { handlers, tasks } => emit(handlers, tasks, events).await,
            Self::Broadcast { receivers, awaited } => in_task(broadcast(receivers, awaited, events)).await,
            Self::Lookup { patterns } => in_task(async move { look_up(patterns, events) }).await,
        }
    }
}

async fn emit(handlers: u64, tasks: usize, events: u64) -> Result<Duration, Failure> {
    let bus = LocalBus::new();
    for number in 0..handlers {
        bus.entry(&number.to_string())
            .on_sync("lab.temp", |value: &u64| {
                black_box(*value);
            })?;
    }
    let together = Arc::new(Barrier::new(tasks));
    let mut emitters = JoinSet::new();
    for _ in 0..tasks {
        let (bus, together) = (bus.clone(), Arc::clone(&together));
        emitters.spawn(async move {
            together.wait().await;
            let start = Instant::now();
            for number in 0..events {
                bus.emit(black_box("lab.temp"), black_box(number)).await?;
            }
            Ok::<_, distbus::Error>(start.elapsed())
        });
    }
    let mut longest = Duration::ZERO;
    while let Some(took) = emitters.join_next().await {
        longest = longest.max(took.map_err(panicked)??);
    }
    let (delivered, meant) = (bus.stats().delivered, handlers * tasks as u64 * events);
    bus.close().await;
    if delivered == meant {
        Ok(longest)
    } else {
        Err(lost(meant - delivered))
    }
}

async fn broadcast(receivers: usize, awaited: bool, events: u64) -> Result<Duration, Failure> {
    let (sender, _) = broadcast::channel::<u64>(64);
    let mut receivers: Vec<_> = (0..receivers).map(|_| sender.subscribe()).collect();
    let start = Instant::now();
    for number in 0..events {
        sender.send(black_box(number)).map_err(|_| lost(1))?;
        for receiver in &mut receivers {
            let received = if awaited {
                receiver.recv().await.ok()
            } else {
                receiver.try_recv().ok()
            };
            black_box(received.ok_or_else(|| lost(1))?);
        }
    }
    Ok(start.elapsed())
}

fn look_up(patterns: u64, lookups: u64) -> Result<Duration, Failure> {
    let mut index = TopicIndex::default();
    for number in 0..patterns / 2 {
        for pattern in [format!("lab.r{number}.temp"), format!("lab.r{number}.*")] {
            index.insert(&pattern.parse::<Pattern>().map_err(distbus::Error::from)?, number);
        }
    }
    let mut found = 0;
    let start = Instant::now();
    for _ in 0..lookups {
        index.for_each_match(black_box("lab.r3.temp"), |_| found += 1);
    }
    let took = start.elapsed();
    // The exact one and the wildcard.
    if found == 2 * lookups {
        Ok(took)
    } else {
        Err(lost(2 * lookups - found))
    }
}

/// On a thread of the runtime, as the tasks of the bus are.
async fn in_task<T: Send + 'static>(
    work: impl Future<Output = Result<T, Failure>> + Send + 'static,
) -> Result<T, Failure> {
    tokio::spawn(work).await.map_err(panicked)?
}

fn panicked(error: tokio::task::JoinError) -> Failure {
    Failure::failed(format!("a measurement ended early: {error}"))
}

fn lost(count: u64) -> Failure {
    Failure::failed(format!("{count} events were lost inside the process"))
}
