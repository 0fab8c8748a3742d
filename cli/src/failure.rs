use distbus::Error;
use std::fmt;
use std::io::Write;

/// Why the program ends without success: an exit code, and one line for stderr.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) code: u8,
    message: String,
}

impl Failure {
    pub(crate) const USAGE: u8 = 64;

    /// Anything that has no code of its own.
    pub(crate) fn failed(message: impl Into<String>) -> Self {
        Self::new(1, message)
    }

    pub(crate) fn unreachable(message: impl Into<String>) -> Self {
        Self::new(3, message)
    }

    pub(crate) fn timed_out(message: impl Into<String>) -> Self {
        Self::new(4, message)
    }

    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self::new(Self::USAGE, message)
    }

    fn new(code: u8, message: impl Into<String>) -> Self {
        let message = message.into().replace(['\n', '\r'], " ");
        Self { code, message }
    }

    pub(crate) fn print(&self) {
        // Nothing can be said when even stderr is gone.
        let _ = writeln!(std::io::stderr(), "distbus: {}", self.message);
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let message = chain(&error);
        match error {
            Error::Topic(_) | Error::Endpoint(_) => Self::usage(message),
            Error::ConnectTimeout { .. } => Self::unreachable(message),
            Error::Closed => Self::failed("the broker has closed"),
            _ => Self::failed(message),
        }
    }
}

/// An error and its causes on one line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
