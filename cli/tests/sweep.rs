//! `distbus bench` alone, and `distbus bench local`: everything started by the program itself.

mod support;

use support::{Program, json, run, within};
use tokio::net::TcpStream;

/// A file in the folder that cargo gives to tests.
fn file(name: &str) -> String {
    format!("{}/{name}", env!("CARGO_TARGET_TMPDIR"))
}

#[tokio::test]
async fn every_case_delivers_all() {
    let cases = [
        ("opaque", 1),
        ("json", 1),
        ("msgpack", 1),
        ("json-1024", 1),
        ("msgpack-1024", 1),
        ("fan-out", 8),
        ("fan-in", 1),
    ];
    let ended = run(&["bench", "--quick", "--events", "400", "--format", "json"]).await;
    ended.succeeded();
    assert_eq!(ended.err, "", "no progress where nobody looks");
    let report = json(&ended.out);
    let rows = report["rows"].as_array().expect("rows");
    assert_eq!(rows.len(), cases.len() + 1, "{report}");
    for (row, (case, subscribers)) in rows.iter().zip(cases) {
        assert_eq!((&row["case"], &row["program"]), (&case.into(), &"distbus".into()));
        assert_eq!((&row["events"], &row["runs"]), (&400.into(), &1.into()), "{row}");
        assert_eq!(
            (&row["delivered"], &row["lost"], &row["gaps"]),
            (&(400 * subscribers).into(), &0.into(), &0.into()),
            "{row}"
        );
        assert!(row["rate"].as_u64().is_some_and(|rate| rate > 0), "{row}");
        assert!(row["p50"].is_null(), "{row}");
    }
    let latency = &rows[cases.len()];
    let at = |name: &str| latency[name].as_u64().expect("a time in microseconds");
    assert_eq!(latency["case"], "latency");
    assert!(at("p50") <= at("p99") && at("p99") <= at("max"), "{latency}");
    let build = if cfg!(debug_assertions) {
        "debug"
    } else {
        "release"
    };
    assert_eq!(report["machine"]["build"], build, "{report}");
    let cores = report["machine"]["cores"].as_u64();
    assert!(cores.is_some_and(|cores| cores > 0), "{report}");
}

#[tokio::test]
async fn one_case_as_csv_over_the_other_transport() {
    let work = [
        "--case",
        "msgpack",
        "--events",
        "300",
        "--runs",
        "2",
        "--transport",
        "zeromq",
    ];
    let ended = run(&[&["bench", "--format", "csv"], &work[..]].concat()).await;
    ended.succeeded();
    let lines: Vec<_> = ended.out.lines().collect();
    assert!(
        lines[0].starts_with("case,program,payload,size,codec,"),
        "{lines:?}"
    );
    assert!(
        lines[1].starts_with("msgpack,distbus,sample,64,msgpack,1,1,300,2,600,0,0,"),
        "{lines:?}"
    );
    assert_eq!(lines.len(), 2, "{lines:?}");
}

#[tokio::test]
async fn a_table_and_a_plot() {
    let plot = file("rates.svg");
    let work = [
        "--case", "json", "--case", "fan-in", "--case", "latency", "--events", "200",
    ];
    let ended = run(&[&["bench", "--quick", "--plot", &plot], &work[..]].concat()).await;
    ended.succeeded();
    for part in ["distbus", "fan-in", "/s", "p50", "One run.", "transport zmtp"] {
        assert!(ended.out.contains(part), "no {part:?} in {}", ended.out);
    }
    let svg = std::fs::read_to_string(plot).expect("a file");
    assert!(
        svg.starts_with("<svg") && svg.trim_end().ends_with("</svg>"),
        "{svg}"
    );
    for part in ["Events per second", "json", "fan-in", "<rect"] {
        assert!(svg.contains(part), "no {part:?} in {svg}");
    }
    assert!(!svg.contains("latency"), "{svg}");
}

#[tokio::test]
async fn peers_that_are_not_there_are_named_and_left_out() {
    let work = ["--case", "json", "--quick", "--events", "100", "--format", "json"];
    let args = [&["bench", "--peers", "--python", "no-python-here"], &work[..]].concat();
    let ended = Program::start_with(&args, [("PATH", "")]).end().await;
    ended.succeeded();
    let why: Vec<_> = ended.err.lines().collect();
    assert_eq!(why.len(), 2, "{ended:?}");
    assert!(why[0].contains("nats-server is not on the PATH"), "{ended:?}");
    assert!(why[1].contains("aiodistbus is left out"), "{ended:?}");
    let report = json(&ended.out);
    assert_eq!(report["left_out"].as_array().map(Vec::len), Some(2), "{report}");
    assert_eq!(report["programs"].as_array().map(Vec::len), Some(1), "{report}");
}

#[tokio::test]
async fn a_plot_that_nobody_can_write_is_a_failure_after_the_figures() {
    let work = ["--case", "json", "--quick", "--events", "100", "--format", "csv"];
    let ended = run(&[&["bench", "--plot", &file("none/rates.svg")], &work[..]].concat()).await;
    ended.failed(1, "cannot be written");
    assert_eq!(ended.out.lines().count(), 2, "{ended:?}");
}

#[tokio::test]
async fn ending_it_early_leaves_nobody_behind() {
    // It would take ten seconds.
    let mut sweep = Program::start(&["-v", "bench", "--case", "latency", "--events", "20000"]);
    let line = sweep.error_line().await;
    let (_, address) = line.split_once("tcp://").unwrap_or_else(|| panic!("{line:?}"));
    let address = address.trim_end_matches(|c: char| !c.is_ascii_digit());
    drop(TcpStream::connect(address).await.expect("the broker listens"));
    sweep.signal("TERM").await;
    sweep.end().await.failed(1, "SIGTERM");
    let gone = async { while TcpStream::connect(address).await.is_ok() {} };
    within("the broker's end", gone).await;
}

#[tokio::test]
async fn in_process() {
    let ended = run(&[
        "bench", "local", "--events", "500", "--runs", "2", "--format", "json",
    ])
    .await;
    ended.succeeded();
    let report = json(&ended.out);
    let rows = report["rows"].as_array().expect("rows");
    assert_eq!(rows.len(), 9, "{report}");
    for row in rows {
        let ns = |name: &str| row[name].as_f64().expect("nanoseconds");
        assert!(
            0.0 < ns("ns_min") && ns("ns_min") <= ns("ns") && ns("ns") <= ns("ns_max"),
            "{row}"
        );
    }
    let text = run(&["bench", "local", "--events", "500", "--runs", "1"]).await;
    text.succeeded();
    assert!(text.out.contains("tokio::sync::broadcast"), "{text:?}");
}

#[tokio::test]
async fn wrong_usage() {
    let cases: [(&[&str], &str); 6] = [
        (&["bench", "--case", "nope"], "opaque, json, msgpack, json-1024"),
        (&["bench", "--runs", "0"], "--runs"),
        (&["bench", "--format", "xml"], "csv"),
        (
            &["bench", "--case", "latency", "--plot", "x.svg"],
            "add another --case",
        ),
        (&["bench", "--quick", "local"], "local"),
        (&["bench", "local", "--events", "0"], "--events"),
    ];
    for (args, part) in cases {
        let ended = run(args).await;
        assert_eq!(ended.code, Some(64), "{args:?}: {ended:?}");
        assert!(ended.err.contains(part), "{args:?}: no {part:?} in {ended:?}");
        assert_eq!(ended.out, "", "{args:?}");
    }
}
