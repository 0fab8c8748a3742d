use super::stream::Stream;
use std::future::poll_fn;
use std::io::{self, ErrorKind};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::net::TcpListener;
#[cfg(unix)]
use tokio::net::UnixListener;

/// The first pause after an error that a next try would meet again, and the longest.
const PAUSES: (Duration, Duration) = (Duration::from_millis(10), Duration::from_secs(1));

/// Something that connections come from.
pub(crate) trait Acceptor: Send {
    type Connection;
    /// `Ok(None)`: there will be no more.
    fn poll_accept(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Option<Self::Connection>>>;
}

/// A listening socket of either kind.
pub(crate) enum Listener {
    Tcp(TcpListener),
    #[cfg(unix)]
    Unix(
        UnixListener,
        #[expect(dead_code, reason = "it is there to be dropped")] SocketFile,
    ),
}

/// A socket's file, removed with it.
#[cfg(unix)]
pub(crate) struct SocketFile(pub(crate) std::path::PathBuf);

#[cfg(unix)]
impl Drop for SocketFile {
    fn drop(&mut self) {
        // Somebody else may have removed it: then there is nothing to do.
        let _ = std::fs::remove_file(&self.0);
    }
}

/// A listener that its owner can close while a task waits at it.
#[derive(Clone)]
pub(crate) struct Door(Arc<Mutex<Option<Listener>>>);

impl Door {
    pub(crate) fn new(listener: Listener) -> Self {
        Self(Arc::new(Mutex::new(Some(listener))))
    }

    /// Stops listening at once: the address is free when this returns.
    pub(crate) fn close(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
    }
}

impl Acceptor for Door {
    type Connection = Stream;

    fn poll_accept(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Option<Stream>>> {
        match &*self.0.lock().unwrap_or_else(PoisonError::into_inner) {
            None => Poll::Ready(Ok(None)),
            Some(Listener::Tcp(listener)) => listener
                .poll_accept(cx)
                .map(|accepted| accepted.and_then(|(stream, _)| Stream::tcp(stream).map(Some))),
            #[cfg(unix)]
            Some(Listener::Unix(listener, _)) => listener
                .poll_accept(cx)
                .map_ok(|(stream, _)| Some(Stream::Unix(stream))),
        }
    }
}

/// Gives every connection to `take`. An error that concerns one connection is passed over; one that the next try
/// would meet again, as when no file descriptors are left, is waited out, longer each time.
pub(crate) async fn accept_all<A: Acceptor>(mut acceptor: A, mut take: impl FnMut(A::Connection)) {
    let mut pause = PAUSES.0;
    loop {
        match poll_fn(|cx| acceptor.poll_accept(cx)).await {
            Ok(Some(connection)) => {
                pause = PAUSES.0;
                take(connection);
            }
            Ok(None) => return,
            Err(error) if concerns_one(&error) => {}
            Err(error) => {
                if pause == PAUSES.0 {
                    tracing::error!(%error, "cannot accept connections; raise the limit on open files if they have run out");
                }
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(PAUSES.1);
            }
        }
    }
}

fn concerns_one(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::ConnectionAborted
            | ErrorKind::ConnectionReset
            | ErrorKind::ConnectionRefused
            | ErrorKind::Interrupted
            | ErrorKind::InvalidInput
            | ErrorKind::NotConnected
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::VecDeque;
    use tokio::time::Instant;

    struct Script(VecDeque<io::Result<Option<u32>>>, Arc<Mutex<Vec<Instant>>>);

    impl Acceptor for Script {
        type Connection = u32;
        fn poll_accept(&mut self, _: &mut Context<'_>) -> Poll<io::Result<Option<u32>>> {
            self.1.lock().unwrap().push(Instant::now());
            Poll::Ready(self.0.pop_front().unwrap_or(Ok(None)))
        }
    }

    async fn run(script: Vec<io::Result<Option<u32>>>) -> (Vec<u32>, Vec<Duration>) {
        let (tries, mut taken) = (Arc::new(Mutex::new(Vec::new())), Vec::new());
        accept_all(Script(script.into(), tries.clone()), |n| taken.push(n)).await;
        let tries = tries.lock().unwrap();
        (taken, tries.windows(2).map(|pair| pair[1] - pair[0]).collect())
    }

    fn no_files() -> io::Result<Option<u32>> {
        // EMFILE
        Err(io::Error::from_raw_os_error(24))
    }

    #[tokio::test(start_paused = true)]
    async fn without_file_descriptors_it_waits_longer_and_longer() {
        let mut script: Vec<_> = (0..9).map(|_| no_files()).collect();
        script.push(Ok(Some(1)));
        script.push(no_files());
        script.push(Ok(Some(2)));
        let (taken, pauses) = run(script).await;
        assert_eq!(taken, [1, 2]);
        let millis: Vec<u128> = pauses.iter().map(Duration::as_millis).collect();
        let waits: Vec<u128> = millis.into_iter().filter(|&ms| ms >= 5).collect();
        assert_eq!(waits, [10, 20, 40, 80, 160, 320, 640, 1000, 1000, 10]);
    }

    #[tokio::test(start_paused = true)]
    async fn one_broken_connection_delays_no_other() {
        let aborted = || Err(ErrorKind::ConnectionAborted.into());
        let (taken, pauses) = run(vec![aborted(), Ok(Some(1)), aborted(), Ok(Some(2))]).await;
        assert_eq!(taken, [1, 2]);
        assert!(pauses.iter().all(Duration::is_zero), "{pauses:?}");
    }
}
