use crate::Sim;

/// Something that must hold at every moment of a scenario.
///
/// It is looked at whenever something has happened, once for each [`Options::quantum`](crate::Options::quantum) of virtual time at most, after
/// each [`advance`](Sim::advance) and at the end. The first answer that is an error ends the scenario.
///
/// A closure is one.
///
/// ```
/// use distbus_sim as sim;
/// use std::sync::Arc;
/// use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
///
/// sim::check(3, |sim| async move {
///     let leaders = Arc::new(AtomicU32::new(0));
///     let count = leaders.clone();
///     sim.invariant("at most one leader", move |_: &sim::Sim| match count.load(Relaxed) {
///         0 | 1 => Ok(()),
///         more => Err(format!("there are {more}")),
///     });
///     // ... nodes that count themselves as leaders ...
/// });
/// ```
pub trait Invariant: Send + 'static {
    /// Looks.
    ///
    /// # Errors
    /// What is wrong, in words.
    fn check(&mut self, sim: &Sim) -> Result<(), String>;
}

impl<F> Invariant for F
where
    F: FnMut(&Sim) -> Result<(), String> + Send + 'static,
{
    fn check(&mut self, sim: &Sim) -> Result<(), String> {
        self(sim)
    }
}
