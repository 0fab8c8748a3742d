use std::io::IsTerminal;
use tracing_subscriber::EnvFilter;

/// Logs go to stderr: at least this level, and more with each `-v`, unless `RUST_LOG` says what.
pub(crate) fn start(verbose: u8, least: &str) {
    let level = match verbose {
        0 => least,
        1 => "info",
        2 => "debug",
        _ => "trace",
    };
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(level));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .init();
}
