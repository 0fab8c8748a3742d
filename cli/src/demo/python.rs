use distbus::Endpoint;
use std::process::Stdio;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::mpsc;
use tokio::time::timeout;

/// What it runs.
const SCRIPT: &str = include_str!("node.py");
/// What its lines to us begin with.
const MARK: &[u8] = b"distbus-demo: ";
/// How long it may take to start. The demonstration goes on without it after that.
const PATIENCE: Duration = Duration::from_secs(3);
/// The longest line that is looked at in one piece.
const LINE: u64 = 8 << 10;

/// A Python process with a node of `aiodistbus`. It ends with this value at the latest.
pub(super) struct Python {
    child: Child,
}

impl Python {
    /// Starts one that sends a report after each `every` readings, and returns once it is subscribed.
    ///
    /// # Errors
    /// Why there is none, in words for people.
    pub(super) async fn join(endpoint: Endpoint, every: u64) -> Result<Self, String> {
        let Endpoint::Tcp { host, port } = &endpoint else {
            return Err("Python needs a tcp:// broker".into());
        };
        let mut child = Command::new("python3")
            .args(["-c", SCRIPT, host, &port.to_string(), &every.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| format!("python3 does not start ({error})"))?;
        let (words, mut said) = mpsc::channel(4);
        if let Some(stderr) = child.stderr.take() {
            tokio::spawn(hear(stderr, words));
        }
        let node = Self { child };
        let answer = timeout(PATIENCE, said.recv()).await;
        let why = match answer {
            Ok(Some(word)) if word == b"ready" => return Ok(node),
            Ok(Some(_)) => {
                "aiodistbus is not installed for python3; try pip install aiodistbus==0.0.2".into()
            }
            Ok(None) => "python3 ended before it was connected".into(),
            Err(_) => format!("python3 was not connected within {PATIENCE:?}"),
        };
        node.end().await;
        Err(why)
    }

    /// Ends it, for sure.
    pub(super) async fn end(mut self) {
        if let Err(error) = self.child.kill().await {
            tracing::debug!(%error, "the Python process had ended already");
        }
    }
}

/// Passes on its words to us, and keeps its stderr from filling up for as long as it lives.
async fn hear(stderr: impl AsyncRead + Unpin, words: mpsc::Sender<Vec<u8>>) {
    let mut stderr = BufReader::new(stderr);
    let mut line = Vec::new();
    loop {
        line.clear();
        match (&mut stderr).take(LINE).read_until(b'\n', &mut line).await {
            Ok(0) | Err(_) => return,
            Ok(_) => {}
        }
        let text = line.trim_ascii_end();
        match text.strip_prefix(MARK) {
            // One word is waited for; whatever comes later is of no interest.
            Some(word) => drop(words.try_send(word.to_vec())),
            None => tracing::debug!(line = %String::from_utf8_lossy(text), "Python says"),
        }
    }
}
