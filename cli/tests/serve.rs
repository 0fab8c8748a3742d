//! `distbus serve`.

mod support;

use support::{Program, close, json, publish, run, serve, subscriber};

#[tokio::test]
async fn the_first_line_is_where_it_listens() {
    let (broker, endpoint) = serve(&[]).await;
    let port: u16 = endpoint
        .strip_prefix("tcp://127.0.0.1:")
        .unwrap()
        .parse()
        .unwrap();
    assert!(port > 0 && port <= 65533);
    publish(&endpoint, &["a", "1"]).await;
    let ended = close(broker).await;
    assert_eq!(ended.out, "");
    assert!(
        ended.err.starts_with("closed: ") && ended.err.contains("1 handshakes"),
        "{ended:?}"
    );
}

#[tokio::test]
async fn both_signals_close_it_and_clients_are_told() {
    for signal in ["INT", "TERM"] {
        let (broker, endpoint) = serve(&[]).await;
        let sub = subscriber(&endpoint, &["a"]).await;
        publish(&endpoint, &["a", "1"]).await;
        broker.signal(signal).await;
        let ended = broker.end().await;
        ended.succeeded();
        assert!(ended.err.contains("dropped 0, 0 undelivered"), "{ended:?}");
        let ended = sub.end().await;
        ended.succeeded();
        assert_eq!(json(ended.out.trim_end())["data"], 1);
        assert_eq!(ended.out.lines().count(), 1, "{ended:?}");
    }
}

#[tokio::test]
async fn a_port_in_use_is_one_clear_line() {
    let (broker, endpoint) = serve(&[]).await;
    let port: u16 = endpoint.rsplit(':').next().unwrap().parse().unwrap();
    // Its own port, and one whose third port is taken.
    for taken in [port, port - 2] {
        let ended = run(&["serve", "--port", &taken.to_string()]).await;
        ended.failed(1, "in use");
        assert_eq!(ended.out, "");
    }
    close(broker).await;
}

#[tokio::test]
async fn the_port_of_a_closed_broker_is_free_again() {
    // Below the ports that the system hands out, so that nobody else is given it in between.
    let (broker, endpoint) = first_free(20_000..30_000).await;
    close(broker).await;
    let (broker, again) = serve(&["--port", endpoint.rsplit(':').next().unwrap()]).await;
    assert_eq!(again, endpoint);
    close(broker).await;
}

async fn first_free(ports: std::ops::Range<u16>) -> (Program, String) {
    for port in ports.step_by(97) {
        let mut broker = Program::start(&["serve", "--port", &port.to_string()]);
        if let Some(line) = broker.maybe_line().await {
            return (broker, line.trim_start_matches("ready ").to_owned());
        }
        broker.end().await.failed(1, "in use");
    }
    panic!("no free port");
}

#[tokio::test]
async fn ports_above_65533_do_not_exist() {
    for port in ["65534", "65535", "65536", "4000000000"] {
        run(&["serve", "--port", port]).await.failed(1, "65533");
    }
}

#[tokio::test]
async fn an_address_of_somebody_else_is_one_clear_line() {
    run(&["serve", "--ip", "192.0.2.1"])
        .await
        .failed(1, "cannot listen on tcp://192.0.2.1:");
}

#[tokio::test]
async fn a_broker_keeps_the_limits_it_is_given() {
    let limits = [
        "--event-bytes",
        "512",
        "--topic-bytes",
        "128",
        "--subscriptions",
        "10",
        "--subscription-bytes",
        "2000",
        "--clients",
        "9",
        "--pending-handshakes",
        "9",
        "--handshake-time",
        "2.5",
        "--queue-bytes",
        "100000",
        "--slow-consumer",
        "block:0.5",
        "--pulse",
        "1",
        "--transport",
        "zeromq",
    ];
    let (broker, endpoint) = serve(&limits).await;
    let mut sub = subscriber(&endpoint, &["lab.*", "--count", "1"]).await;
    publish(&endpoint, &["lab.big", &"x".repeat(512), "--type", "str"]).await;
    publish(&endpoint, &["lab.small", "1"]).await;
    assert_eq!(json(&sub.line().await)["topic"], "lab.small");
    sub.end().await.succeeded();
    let ended = close(broker).await;
    assert!(ended.err.contains("refused 1 (1 too_large)"), "{ended:?}");
    assert!(ended.err.contains("does not keep all limits"), "{ended:?}");
}

#[tokio::test]
async fn a_strict_broker_relays_only_its_own_format() {
    for (codec, other) in [("json", "msgpack"), ("msgpack", "json")] {
        let (broker, endpoint) = serve(&["--strict", "--codec", codec]).await;
        let mut sub = subscriber(&endpoint, &["*", "--count", "1", "--codec", codec]).await;
        let mut refused = Program::start(&[
            "pub",
            "--to",
            &endpoint,
            "a",
            "1",
            "--codec",
            other,
            "--connect-timeout",
            "1",
        ]);
        refused.write("").await;
        refused.end().await.failed(3, "no broker answered");
        publish(&endpoint, &["a", "2", "--codec", codec]).await;
        assert_eq!(json(&sub.line().await)["data"], 2);
        sub.end().await.succeeded();
        assert!(close(broker).await.err.contains("undecodable"));
    }
}

#[tokio::test]
async fn verbosity_goes_to_stderr_only() {
    let mut broker = Program::start_with(&["serve", "-vv"], [("NO_COLOR", "1")]);
    assert!(broker.line().await.starts_with("ready tcp://"));
    broker.signal("INT").await;
    let ended = broker.end().await;
    ended.succeeded();
    assert_eq!(ended.out, "");
    assert!(
        ended.err.contains("INFO") && ended.err.contains("closing"),
        "{ended:?}"
    );
}
