use crate::failure::Failure;
use indicatif::{ProgressBar, ProgressStyle};
use std::time::Duration;

/// On stderr, where that is a terminal; elsewhere it shows nothing.
pub(crate) fn progress(steps: usize) -> Result<ProgressBar, Failure> {
    let style = ProgressStyle::with_template("{bar:30} {pos}/{len} {elapsed} {msg}")
        .map_err(|error| Failure::failed(error.to_string()))?;
    let bar = ProgressBar::new(steps as u64).with_style(style);
    bar.enable_steady_tick(Duration::from_millis(200));
    Ok(bar)
}
