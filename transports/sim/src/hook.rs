//! Panics inside a run: they are told with all else there is to know of it, and not when they happen.

use crate::Sim;
use crate::node::panic_text;
use std::backtrace::{Backtrace, BacktraceStatus};
use std::cell::RefCell;
use std::panic::PanicHookInfo;
use std::sync::Once;

thread_local! {
    static WATCHED: RefCell<Watched> = const { RefCell::new(Watched::Nothing) };
    static LAST: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// What panics of this thread belong to.
enum Watched {
    /// No run: they are told as always.
    Nothing,
    /// This one.
    Run(Sim),
    /// What is left of one.
    Rest,
}

/// While it is there, panics of this thread are noted in the trace of a run.
pub(crate) struct Watching(());

impl Drop for Watching {
    fn drop(&mut self) {
        WATCHED.set(Watched::Nothing);
    }
}

pub(crate) fn watch(sim: &Sim) -> Watching {
    set(Watched::Run(sim.clone()))
}

/// What comes apart after the end is nobody's concern.
pub(crate) fn quiet() -> Watching {
    set(Watched::Rest)
}

/// The last panic of this thread inside a run, with its place.
pub(crate) fn last_panic() -> Option<String> {
    LAST.take()
}

fn set(watched: Watched) -> Watching {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let previous = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if !noted(info) {
                previous(info);
            }
        }));
    });
    LAST.take();
    WATCHED.set(watched);
    Watching(())
}

/// Notes a panic; `false` when it belongs to no run.
fn noted(info: &PanicHookInfo<'_>) -> bool {
    let text = || {
        let place = info
            .location()
            .map_or_else(String::new, |place| format!(" (at {place})"));
        let text = panic_text(info.payload());
        let trace = Backtrace::capture();
        match trace.status() {
            BacktraceStatus::Captured => format!("{text}{place}\n{trace}"),
            _ => format!("{text}{place}"),
        }
    };
    WATCHED
        .try_with(|watched| match &*watched.borrow() {
            Watched::Nothing => false,
            Watched::Rest => true,
            Watched::Run(sim) => {
                let text = text();
                sim.note_panic(text.lines().next().unwrap_or_default());
                LAST.set(Some(text));
                true
            }
        })
        .unwrap_or(false)
}
