//! Runs the real program. Every wait is bounded and says what it waited for.
#![allow(dead_code)] // Each test file uses its own part.
#![allow(clippy::unwrap_used)] // A test that cannot go on fails.

use std::ffi::OsStr;
use std::future::Future;
use std::process::Stdio;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command};

/// Generous, because machines that test are slow.
const LONGEST: Duration = Duration::from_secs(30);

pub(crate) async fn within<T>(what: &str, wait: impl Future<Output = T>) -> T {
    match tokio::time::timeout(LONGEST, wait).await {
        Ok(done) => done,
        Err(_) => panic!("waited {LONGEST:?} for {what}"),
    }
}

/// A `distbus` that runs. It is killed when dropped.
pub(crate) struct Program {
    name: String,
    child: Child,
    stdin: Option<ChildStdin>,
    out: Option<BufReader<ChildStdout>>,
    err: BufReader<ChildStderr>,
}

/// A `distbus` that has ended, with what it had left to say.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Ended {
    /// Its code, and that it said exactly one line on stderr that holds `part`.
    #[track_caller]
    pub(crate) fn failed(&self, code: i32, part: &str) {
        assert_eq!(self.code, Some(code), "{self:?}");
        assert!(self.err.contains(part), "no {part:?} in {self:?}");
        let lines: Vec<_> = self.err.lines().filter(|line| *line != "ready").collect();
        assert_eq!(lines.len(), 1, "{self:?}");
    }

    #[track_caller]
    pub(crate) fn succeeded(&self) {
        assert_eq!(self.code, Some(0), "{self:?}");
    }
}

impl Program {
    pub(crate) fn start(args: &[&str]) -> Self {
        Self::start_with(args, std::iter::empty::<(&str, &str)>())
    }

    pub(crate) fn start_with(
        args: &[&str],
        env: impl IntoIterator<Item = (impl AsRef<OsStr>, impl AsRef<OsStr>)>,
    ) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_distbus"))
            .args(args)
            .env_remove("RUST_LOG")
            .envs(env)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        Self {
            name: format!("distbus {}", args.join(" ")),
            stdin: child.stdin.take(),
            out: child.stdout.take().map(BufReader::new),
            err: BufReader::new(child.stderr.take().unwrap()),
            child,
        }
    }

    /// The next line of stdout.
    pub(crate) async fn line(&mut self) -> String {
        let line = self.maybe_line().await;
        line.unwrap_or_else(|| panic!("{} ended without a line", self.name))
    }

    /// The next line of stdout, unless it ends instead.
    pub(crate) async fn maybe_line(&mut self) -> Option<String> {
        let mut line = String::new();
        let out = self.out.as_mut().unwrap();
        within(&format!("a line of {}", self.name), out.read_line(&mut line))
            .await
            .unwrap();
        line.strip_suffix('\n').map(str::to_owned)
    }

    /// The next line of stderr.
    pub(crate) async fn error_line(&mut self) -> String {
        let mut line = String::new();
        let what = format!("a line of {} on stderr", self.name);
        within(&what, self.err.read_line(&mut line)).await.unwrap();
        line
    }

    /// Waits for the line `ready` on stderr.
    pub(crate) async fn is_ready(&mut self) {
        assert_eq!(self.error_line().await, "ready\n", "{}", self.name);
    }

    pub(crate) async fn write(&mut self, text: &str) {
        let stdin = self.stdin.as_mut().unwrap();
        within(
            &format!("{} to read", self.name),
            stdin.write_all(text.as_bytes()),
        )
        .await
        .unwrap();
    }

    pub(crate) fn close_stdout(&mut self) {
        self.out = None;
    }

    pub(crate) async fn signal(&self, name: &str) {
        let pid = self.child.id().unwrap();
        let sent = Command::new("sh")
            .args(["-c", &format!("kill -{name} {pid}")])
            .status()
            .await
            .unwrap();
        assert!(sent.success(), "{name} to {}", self.name);
    }

    /// Waits for its end without reading anything or closing its stdin.
    pub(crate) async fn code(&mut self) -> Option<i32> {
        within(&format!("the end of {}", self.name), self.child.wait())
            .await
            .unwrap()
            .code()
    }

    /// Closes its stdin, reads what is left and waits for its end.
    pub(crate) async fn end(mut self) -> Ended {
        self.stdin = None;
        let (mut out, mut err) = (String::new(), String::new());
        let mut stdout = self.out.take();
        let read = async {
            let out = async {
                match &mut stdout {
                    Some(stdout) => stdout.read_to_string(&mut out).await.unwrap(),
                    None => 0,
                }
            };
            tokio::join!(out, async { self.err.read_to_string(&mut err).await.unwrap() });
            self.child.wait().await.unwrap()
        };
        let status = within(&format!("the end of {}", self.name), read).await;
        let code = status.code();
        Ended { code, out, err }
    }
}

/// Runs it from start to end.
pub(crate) async fn run(args: &[&str]) -> Ended {
    Program::start(args).end().await
}

/// A broker, and where it is.
pub(crate) async fn serve(args: &[&str]) -> (Program, String) {
    let mut broker = Program::start(&[&["serve"], args].concat());
    let line = broker.line().await;
    let endpoint = line.strip_prefix("ready ").unwrap_or_else(|| panic!("{line:?}"));
    (broker, endpoint.to_owned())
}

/// A subscriber that is live.
pub(crate) async fn subscriber(endpoint: &str, args: &[&str]) -> Program {
    let mut sub = Program::start(&[&["sub", "--to", endpoint], args].concat());
    sub.is_ready().await;
    sub
}

/// Publishes and sees that it worked.
pub(crate) async fn publish(endpoint: &str, args: &[&str]) {
    let ended = run(&[&["pub", "--to", endpoint], args].concat()).await;
    assert_eq!(
        (ended.code, &*ended.out, &*ended.err),
        (Some(0), "", ""),
        "pub {args:?}"
    );
}

pub(crate) async fn close(broker: Program) -> Ended {
    broker.signal("TERM").await;
    let ended = broker.end().await;
    ended.succeeded();
    ended
}

pub(crate) fn json(line: &str) -> serde_json::Value {
    serde_json::from_str(line).unwrap_or_else(|error| panic!("{line:?}: {error}"))
}
