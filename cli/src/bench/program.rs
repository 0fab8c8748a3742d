use crate::failure::Failure;
use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, BufReader};
use tokio::process::{Child, ChildStdin, Command};
use tokio::sync::mpsc;
use tokio::time::timeout;

/// The longest line that is looked at in one piece.
const LINE: u64 = 8 << 10;
/// How long a program that has done its work may take to end.
const END: Duration = Duration::from_secs(30);

/// Which stream of a program is listened to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Voice {
    Stdout,
    #[cfg(feature = "peers")]
    Stderr,
}

/// A process that takes part in a benchmark. It is killed when dropped.
pub(super) struct Program {
    name: String,
    child: Child,
    lines: mpsc::Receiver<String>,
    /// The latest line of the other stream: why it failed, if it fails.
    complaint: Arc<Mutex<String>>,
    /// Open for as long as we live: some programs end when it closes.
    _stdin: Option<ChildStdin>,
}

impl Program {
    pub(super) fn start(name: &str, mut command: Command, voice: Voice) -> Result<Self, Failure> {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| Failure::failed(format!("{name} does not start: {error}")))?;
        let (say, lines) = mpsc::channel(64);
        let complaint = Arc::<Mutex<String>>::default();
        let keep = Arc::clone(&complaint);
        // More lines than these nobody waits for.
        let hear = move |line| drop(say.try_send(line));
        let note = move |line| *keep.lock().unwrap_or_else(PoisonError::into_inner) = line;
        let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
        match voice {
            Voice::Stdout => {
                tokio::spawn(each_line(stdout, hear));
                tokio::spawn(each_line(stderr, note));
            }
            #[cfg(feature = "peers")]
            Voice::Stderr => {
                tokio::spawn(each_line(stderr, hear));
                tokio::spawn(each_line(stdout, note));
            }
        }
        Ok(Self {
            name: name.to_owned(),
            _stdin: child.stdin.take(),
            child,
            lines,
            complaint,
        })
    }

    /// The process id, while it runs.
    pub(super) fn id(&self) -> Option<u32> {
        self.child.id()
    }

    /// Its next line for which `wanted` returns something; that something.
    pub(super) async fn find<T>(
        &mut self,
        within: Duration,
        mut wanted: impl FnMut(&str) -> Option<T>,
    ) -> Result<T, Failure> {
        let search = async {
            while let Some(line) = self.lines.recv().await {
                if let Some(found) = wanted(&line) {
                    return Some(found);
                }
            }
            None
        };
        match timeout(within, search).await {
            Ok(Some(found)) => Ok(found),
            Ok(None) => {
                let how = timeout(END, self.child.wait()).await;
                Err(self.failure(match how {
                    Ok(Ok(status)) => format!("ended too early, {status}"),
                    _ => "has closed its output".into(),
                }))
            }
            Err(_) => Err(self.failure(format!("said nothing for {within:?}"))),
        }
    }

    /// Waits until it has ended with success.
    pub(super) async fn succeeded(&mut self, within: Duration) -> Result<(), Failure> {
        match timeout(within, self.child.wait()).await {
            Ok(Ok(status)) if status.success() => Ok(()),
            Ok(Ok(status)) => Err(self.failure(format!("failed, {status}"))),
            Ok(Err(error)) => Err(self.failure(format!("cannot be waited for, {error}"))),
            Err(_) => Err(self.failure(format!("did not end within {within:?}"))),
        }
    }

    /// As [`succeeded`](Self::succeeded), for one that has said its last line.
    pub(super) async fn ended(&mut self) -> Result<(), Failure> {
        self.succeeded(END).await
    }

    /// Ends it, for sure.
    pub(super) async fn kill(mut self) {
        if let Err(error) = self.child.kill().await {
            tracing::debug!(%error, name = self.name, "it had ended already");
        }
    }

    fn failure(&self, what: String) -> Failure {
        let complaint = self.complaint.lock().unwrap_or_else(PoisonError::into_inner);
        let words = match complaint.as_str() {
            "" => String::new(),
            words => format!(" ({words})"),
        };
        Failure::failed(format!("{} {what}{words}", self.name))
    }
}

/// Reads to the end, so that the program is never held up by us.
async fn each_line(stream: Option<impl AsyncRead + Unpin>, mut take: impl FnMut(String)) {
    let Some(stream) = stream else { return };
    let mut stream = BufReader::new(stream);
    let mut line = Vec::new();
    loop {
        line.clear();
        match (&mut stream).take(LINE).read_until(b'\n', &mut line).await {
            Ok(0) | Err(_) => return,
            Ok(_) => take(String::from_utf8_lossy(line.trim_ascii_end()).into_owned()),
        }
    }
}
