//! `distbus pub` and `distbus sub`, through `distbus serve`.

mod support;

use support::{Program, close, json, publish, run, serve, subscriber};

#[tokio::test]
async fn every_type_arrives_as_what_it_is() {
    let (broker, endpoint) = serve(&[]).await;
    for codec in ["json", "msgpack"] {
        let mut sub = subscriber(&endpoint, &["lab.*", "--count", "9", "--codec", codec]).await;
        let cases: [(&[&str], &str); 9] = [
            (
                &[r#"{"b": [1, -2.5, null], "a": "é"}"#],
                r#"{"b":[1,-2.5,null],"a":"é"}"#,
            ),
            (&["-5"], "-5"),
            (&["18446744073709551615"], "18446744073709551615"),
            (&["null"], "null"),
            (&["hi \"there\"", "--type", "str"], r#""hi \"there\"""#),
            (&["--type", "bytes", "--", "-\u{e9}"], r#"{"base64":"LcOp"}"#),
            (&["12", "--type", "bytes"], r#"{"base64":"MTI="}"#),
            (&["--type", "null"], "null"),
            (&[], "null"),
        ];
        for (args, data) in cases {
            publish(&endpoint, &[&["lab.x", "--codec", codec], args].concat()).await;
            let line = sub.line().await;
            assert!(
                line.starts_with(&format!(r#"{{"topic":"lab.x","data":{data},"id":""#)),
                "{codec} {line}"
            );
            let event = json(&line);
            let keys: Vec<_> = event.as_object().unwrap().keys().collect();
            assert_eq!(keys, ["data", "id", "timestamp", "topic"]);
            assert_eq!(
                (
                    event["id"].as_str().unwrap().len(),
                    event["timestamp"].as_str().unwrap().len()
                ),
                (36, 26)
            );
        }
        sub.end().await.succeeded();
    }
    close(broker).await;
}

#[tokio::test]
async fn a_thousand_events_arrive_complete_and_in_order() {
    let (broker, endpoint) = serve(&[]).await;
    let sub = subscriber(&endpoint, &["lab.*", "--count", "1000"]).await;
    let mut sender = Program::start(&["pub", "--to", &endpoint, "lab.n", "-"]);
    let lines: String = (0..1000).map(|n| format!("{n}\n")).collect();
    sender.write(&lines).await;
    sender.end().await.succeeded();
    let ended = sub.end().await;
    ended.succeeded();
    let numbers: Vec<_> = ended
        .out
        .lines()
        .map(|line| json(line)["data"].as_u64().unwrap())
        .collect();
    assert_eq!(numbers, (0..1000).collect::<Vec<_>>());
    let ended = close(broker).await;
    assert!(
        ended.err.contains("refused 0") && ended.err.contains("dropped 0"),
        "{ended:?}"
    );
}

#[tokio::test]
async fn a_reader_that_waits_loses_nothing() {
    const COUNT: usize = 30_000;
    let (broker, endpoint) = serve(&[]).await;
    // Its stdout holds far less than this, and nobody reads it until all has been sent.
    let sub = subscriber(&endpoint, &["lab.n"]).await;
    publish(&endpoint, &["lab.n", "7", "--count", &COUNT.to_string()]).await;
    broker.signal("TERM").await;
    let ended = sub.end().await;
    ended.succeeded();
    assert_eq!(
        ended.out.lines().filter(|line| json(line)["data"] == 7).count(),
        COUNT
    );
    broker.end().await.succeeded();
}

#[tokio::test]
async fn a_line_of_stdin_is_sent_when_it_comes() {
    let (broker, endpoint) = serve(&[]).await;
    let mut sub = subscriber(&endpoint, &["lab.x"]).await;
    let mut sender = Program::start(&["pub", "--to", &endpoint, "lab.x", "-", "--type", "str"]);
    for text in ["first", "", "third\r"] {
        sender.write(&format!("{text}\n")).await;
        assert_eq!(json(&sub.line().await)["data"], text.trim_end());
    }
    sender.write("no line feed").await;
    let ended = sender.end().await;
    assert_eq!((ended.code, &*ended.out, &*ended.err), (Some(0), "", ""));
    assert_eq!(json(&sub.line().await)["data"], "no line feed");
    close(broker).await;
}

#[tokio::test]
async fn bad_lines_are_named_and_what_came_before_is_sent() {
    let (broker, endpoint) = serve(&[]).await;
    let long = format!("1\n\"{}\"\n2\n", "x".repeat(600));
    for (input, part) in [
        ("1\n\nhi\n2\n", "line 3 of stdin is not JSON"),
        (&*long, "line 2 of stdin is longer than 512 bytes"),
    ] {
        let sub = subscriber(&endpoint, &["lab.x", "--count", "1"]).await;
        let mut sender = Program::start(&["pub", "--to", &endpoint, "lab.x", "-", "--event-bytes", "512"]);
        sender.write(input).await;
        sender.end().await.failed(64, part);
        let ended = sub.end().await;
        ended.succeeded();
        assert_eq!(json(ended.out.trim_end())["data"], 1);
    }
    close(broker).await;
}

#[tokio::test]
async fn an_event_above_the_limit_is_one_clear_line() {
    let (broker, endpoint) = serve(&[]).await;
    let data = "x".repeat(512);
    let args = [
        "pub",
        "--to",
        &endpoint,
        "a",
        &data,
        "--type",
        "str",
        "--event-bytes",
        "512",
    ];
    run(&args).await.failed(1, "above the limit of 512");
    close(broker).await;
}

#[tokio::test]
async fn count_and_rate() {
    let (broker, endpoint) = serve(&[]).await;
    let sub = subscriber(&endpoint, &["lab.x", "--count", "5"]).await;
    publish(&endpoint, &["lab.x", "1", "--count", "3", "--rate", "500"]).await;
    let mut sender = Program::start(&["pub", "--to", &endpoint, "lab.x", "-", "--count", "2"]);
    // It ends after two although more follows and stdin stays open.
    sender.write("2\n3\n4\n").await;
    let ended = sub.end().await;
    let data: Vec<_> = ended.out.lines().map(|line| json(line)["data"].clone()).collect();
    assert_eq!(data, [1, 1, 1, 2, 3]);
    ended.succeeded();
    sender.end().await.succeeded();
    close(broker).await;
}

#[tokio::test]
async fn an_event_of_several_patterns_is_printed_once() {
    let (broker, endpoint) = serve(&[]).await;
    let patterns = ["lab.*", "lab.a", "*", "lab.a", "lab.+", "--count", "3"];
    let sub = subscriber(&endpoint, &patterns).await;
    for topic in ["lab.a", "other", "lab.b.c"] {
        publish(&endpoint, &[topic]).await;
    }
    let ended = sub.end().await;
    ended.succeeded();
    let topics: Vec<_> = ended
        .out
        .lines()
        .map(|line| json(line)["topic"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(topics, ["lab.a", "other", "lab.b.c"]);
    close(broker).await;
}

#[tokio::test]
async fn only_what_was_asked_for() {
    let (broker, endpoint) = serve(&[]).await;
    let mut sub = subscriber(&endpoint, &["test", "--count", "1"]).await;
    publish(&endpoint, &["testing", "1"]).await;
    publish(&endpoint, &["test", "2"]).await;
    assert_eq!(json(&sub.line().await)["data"], 2);
    sub.end().await.succeeded();
    close(broker).await;
}

#[tokio::test]
async fn formats() {
    let (broker, endpoint) = serve(&[]).await;
    let raw = subscriber(&endpoint, &["a", "--count", "3", "--format", "raw"]).await;
    let pretty = subscriber(&endpoint, &["a", "--count", "1", "--format", "pretty"]).await;
    publish(&endpoint, &["a", r#"{"b": [1], "a": 2}"#]).await;
    publish(&endpoint, &["a", "plain", "--type", "bytes"]).await;
    publish(&endpoint, &["a"]).await;
    assert_eq!(raw.end().await.out, "{\"b\":[1],\"a\":2}\nplain\n\n");
    let shown = pretty.end().await.out;
    assert!(
        shown.starts_with("{\n  \"topic\": \"a\",\n  \"data\": {\n    \"b\": [\n      1\n    ],\n    \"a\": 2\n  },\n  \"id\": "),
        "{shown}"
    );
    close(broker).await;
}

#[tokio::test]
async fn a_time_that_is_over() {
    let (broker, endpoint) = serve(&[]).await;
    let ended = subscriber(&endpoint, &["a", "--timeout", "0.2"])
        .await
        .end()
        .await;
    assert_eq!((ended.code, &*ended.out, &*ended.err), (Some(0), "", ""));
    let sub = subscriber(&endpoint, &["a", "--timeout", "0.2", "--count", "1"]).await;
    sub.end().await.failed(4, "0 of 1 events");
    close(broker).await;
}

#[tokio::test]
async fn a_broker_that_closes_early() {
    let (broker, endpoint) = serve(&[]).await;
    let short = subscriber(&endpoint, &["a", "--count", "2"]).await;
    let enough = subscriber(&endpoint, &["a", "--count", "1"]).await;
    let mut sender = Program::start(&["pub", "--to", &endpoint, "a", "-"]);
    sender.write("1\n").await;
    enough.end().await.succeeded();
    close(broker).await;
    let ended = short.end().await;
    ended.failed(1, "the broker closed after 1 of 2 events");
    assert_eq!(ended.out.lines().count(), 1);
    sender.write("2\n").await;
    sender.end().await.failed(1, "the broker closed after 1 events");
}

#[tokio::test]
async fn signals_end_a_subscriber_well() {
    let (broker, endpoint) = serve(&[]).await;
    for signal in ["INT", "TERM"] {
        let mut sub = subscriber(&endpoint, &["a", "--count", "2"]).await;
        publish(&endpoint, &["a", "1"]).await;
        assert_eq!(json(&sub.line().await)["data"], 1);
        sub.signal(signal).await;
        let ended = sub.end().await;
        assert_eq!((ended.code, &*ended.out, &*ended.err), (Some(0), "", ""));
    }
    close(broker).await;
}

#[tokio::test]
async fn a_signal_does_not_wait_for_a_stdout_that_nobody_reads() {
    let (broker, endpoint) = serve(&[]).await;
    let mut sub = subscriber(&endpoint, &["a"]).await;
    publish(&endpoint, &["a", "7", "--count", "20000"]).await;
    sub.line().await;
    sub.signal("INT").await;
    // It is not read before it has ended.
    let code = sub.code().await;
    assert_eq!(code, Some(0));
    close(broker).await;
}

#[tokio::test]
async fn a_signal_stops_a_publisher_and_what_it_had_sent_arrives() {
    let (broker, endpoint) = serve(&[]).await;
    let mut sub = subscriber(&endpoint, &["a"]).await;
    let mut sender = Program::start(&["pub", "--to", &endpoint, "a", "-"]);
    sender.write("1\n").await;
    assert_eq!(json(&sub.line().await)["data"], 1);
    sender.signal("INT").await;
    assert_eq!(sender.code().await, Some(1));
    let ended = sender.end().await;
    assert_eq!(ended.err, "distbus: SIGINT came after 1 events\n");
    close(broker).await;
}

#[tokio::test]
async fn a_closed_stdout_ends_a_subscriber_quietly() {
    let (broker, endpoint) = serve(&[]).await;
    let mut sub = subscriber(&endpoint, &["a", "--count", "9"]).await;
    publish(&endpoint, &["a", "1"]).await;
    sub.line().await;
    sub.close_stdout();
    publish(&endpoint, &["a", "2"]).await;
    let ended = sub.end().await;
    assert_eq!((ended.code, &*ended.err), (Some(0), ""));
    close(broker).await;
}

#[tokio::test]
async fn nobody_there() {
    let at = ["--to", "tcp://127.0.0.1:1", "--connect-timeout", "0.3"];
    let cases: [(&str, &[&str]); 2] = [("sub", &["a"]), ("pub", &["a", "1"])];
    for (command, args) in cases {
        run(&[&[command], &at[..], args].concat())
            .await
            .failed(3, "no broker answered");
    }
}
