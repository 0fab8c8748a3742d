//! ZeroMQ transport for `distbus`, under construction.

mod batch;
mod batches;
mod broker;
mod client;
mod gate;
mod linger;
mod ports;
mod transport;
mod wire;

pub use transport::ZeroMq;

/// The name in logs and errors.
const NAME: &str = "zeromq";

/// Locks what is never left half changed, so that a panic elsewhere is no reason to stop.
fn lock<T>(mutex: &std::sync::Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}
