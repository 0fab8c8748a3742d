//! What is said in the log while a test runs.

use std::io::{self, Write};
use std::sync::{Arc, Mutex as StdMutex, OnceLock, PoisonError};
use tokio::sync::{Mutex, MutexGuard};
use tracing_subscriber::filter::LevelFilter;

/// Transports may have threads of their own, so the log is the process's; so tests that read it take turns.
static TURN: Mutex<()> = Mutex::const_new(());

#[derive(Clone, Default)]
struct Written(Arc<StdMutex<Vec<u8>>>);

/// The warnings and errors since it was made. As long as it lives no other test runs that has one.
pub(crate) struct Logs {
    written: Written,
    _turn: MutexGuard<'static, ()>,
}

impl Logs {
    pub(crate) async fn capture() -> Self {
        static WRITTEN: OnceLock<Written> = OnceLock::new();
        let turn = TURN.lock().await;
        let written = WRITTEN.get_or_init(|| {
            let written = Written::default();
            let writer = written.clone();
            tracing_subscriber::fmt()
                .with_max_level(LevelFilter::WARN)
                .with_ansi(false)
                .with_writer(move || writer.clone())
                .init();
            written
        });
        written.bytes().clear();
        Self {
            written: written.clone(),
            _turn: turn,
        }
    }

    /// The lines with this in them.
    pub(crate) fn about(&self, text: &str) -> Vec<String> {
        String::from_utf8_lossy(&self.written.bytes())
            .lines()
            .filter(|line| line.contains(text))
            .map(str::to_owned)
            .collect()
    }
}

impl Written {
    fn bytes(&self) -> std::sync::MutexGuard<'_, Vec<u8>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Write for Written {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.bytes().write(line)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
