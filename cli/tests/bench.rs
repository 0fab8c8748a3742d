//! `distbus bench pub` and `distbus bench sub`, over either transport of the broker.

mod support;

use support::{Program, close, json, serve};

/// The subscriber's figures.
async fn measure(transport: &str, common: &[&str]) -> serde_json::Value {
    let (broker, endpoint) = serve(&["--transport", transport]).await;
    let common = [&["--to", &endpoint], common].concat();
    let mut sub = Program::start(&[&["bench", "sub"], &common[..]].concat());
    assert_eq!(sub.line().await, "ready");
    let publisher = Program::start(&[&["bench", "pub"], &common[..]].concat());
    let figures = json(&sub.line().await);
    publisher.end().await.succeeded();
    sub.end().await.succeeded();
    close(broker).await;
    figures
}

#[tokio::test]
async fn as_fast_as_possible() {
    for transport in ["zmtp", "zeromq"] {
        for codec in ["json", "msgpack"] {
            for payload in ["sample", "bytes"] {
                let work = [
                    "--events",
                    "2000",
                    "--size",
                    "64",
                    "--codec",
                    codec,
                    "--payload",
                    payload,
                ];
                let figures = measure(transport, &work).await;
                assert_eq!(
                    figures["delivered"], 2000,
                    "{transport} {codec} {payload}: {figures}"
                );
                assert_eq!(
                    (&figures["lost"], &figures["gaps"]),
                    (&0.into(), &0.into()),
                    "{figures}"
                );
                assert!(figures["rate"].as_u64().is_some_and(|rate| rate > 0), "{figures}");
                assert!(figures.get("p50").is_none(), "{figures}");
            }
        }
    }
}

#[tokio::test]
async fn at_a_rate_with_latencies() {
    let figures = measure("zmtp", &["--events", "200", "--size", "8", "--rate", "1000"]).await;
    assert_eq!(figures["delivered"], 200, "{figures}");
    let at = |name: &str| figures[name].as_u64().expect("a time in microseconds");
    assert!(
        at("p50") <= at("p99") && at("p99") <= at("p999") && at("p999") <= at("max"),
        "{figures}"
    );
    assert!(at("max") > 0, "{figures}");
    // 200 events at 1,000 a second take a fifth of a second.
    assert!(
        figures["rate"].as_u64().is_some_and(|rate| rate < 2000),
        "{figures}"
    );
}
