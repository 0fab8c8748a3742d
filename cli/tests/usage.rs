//! What is said to those who do not know the program yet.

mod support;

use support::run;

const TO: &str = "--to=tcp://127.0.0.1:9";

#[tokio::test]
async fn wrong_usage_is_64_and_says_what_is_wrong() {
    let cases: [(&[&str], &str); 31] = [
        (&[], "Usage"),
        (&["fly"], "unrecognized subcommand"),
        (&["demo", "extra"], "unexpected argument"),
        (&["serve", "--port", "x"], "invalid value"),
        (&["serve", "--ip", "a b"], "write an address"),
        (&["serve", "--pulse", "0"], "write seconds"),
        (&["serve", "--slow-consumer", "sometimes"], "drop-newest"),
        (&["serve", "--transport", "pigeon"], "zeromq"),
        (&["serve", "--event-bytes", "100"], "at least 512"),
        (&["serve", "--clients", "many"], "--clients"),
        (&["pub"], "--to"),
        (&["pub", "lab.temp", "1"], "--to"),
        (&["pub", TO], "<TOPIC>"),
        (&["pub", "--to", "127.0.0.1:5555", "a"], "tcp://host:port"),
        (&["pub", "--to", "tcp://127.0.0.1:0", "a"], "port 0"),
        (&["pub", "--to", "mem://lab", "a"], "tcp://host:port"),
        (&["pub", TO, "lab.*", "1"], "is a pattern"),
        (&["pub", TO, "a", "hi"], "--type str"),
        (&["pub", TO, "a", "1", "--type", "null"], "takes no DATA"),
        (&["pub", TO, "a", "--type", "str"], "DATA is missing"),
        (&["pub", TO, "a", "1", "--count", "0"], "--count"),
        (&["pub", TO, "a", "1", "--rate", "0"], "events a second"),
        (&["sub", TO], "<PATTERN>"),
        (&["sub", TO, "te*"], "te.*"),
        (&["sub", TO, "a", "--timeout", "never"], "write seconds"),
        (&["sub", TO, "a", "--format", "xml"], "pretty"),
        (&["sim", "--seeds", "0"], "--seeds"),
        (&["sim", "--seeds", "3", "--minutes", "1"], "cannot be used with"),
        (&["sim", "--minutes", "soon"], "write minutes"),
        (&["sim", "--faults", "1"], "--seed"),
        (&["sim", "--seed", "1", "--faults", "1;2"], "as in 0,3"),
    ];
    for (args, part) in cases {
        let ended = run(args).await;
        assert_eq!(ended.code, Some(64), "{args:?}: {ended:?}");
        assert!(ended.err.contains(part), "{args:?}: no {part:?} in {ended:?}");
        assert_eq!(ended.out, "", "{args:?}");
    }
}

#[tokio::test]
async fn help_and_version_are_on_stdout() {
    let cases: [(&[&str], &[&str]); 9] = [
        (
            &["--help"],
            &["demo", "serve", "pub", "sub", "sim", "Exit codes", "distbus demo"],
        ),
        (&["-h"], &["demo", "Exit codes"]),
        (&["--version"], &[env!("CARGO_PKG_VERSION")]),
        (
            &["serve", "--help"],
            &[
                "ready tcp://IP:PORT",
                "--slow-consumer",
                "Examples",
                "[default: 16777216]",
            ],
        ),
        (&["pub", "--help"], &["Examples", "--rate", "stdin"]),
        (
            &["bench", "--help"],
            &["Examples", "--peers", "msgpack-1024", "local", "--plot"],
        ),
        (
            &["sim", "--help"],
            &["Examples", "--minutes", "--faults", "stderr", "Exit codes"],
        ),
        (&["bench", "sub", "--help"], &["--transport", "--rate"]),
        (&["sub", "--help"], &["Examples", "lab.+.on", "base64"]),
    ];
    for (args, parts) in cases {
        let ended = run(args).await;
        assert_eq!((ended.code, &*ended.err), (Some(0), ""), "{args:?}");
        for part in parts {
            assert!(ended.out.contains(part), "{args:?}: no {part:?} in {}", ended.out);
        }
    }
}
