/// What a process has used so far.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Usage {
    /// Seconds of processor time, user's and system's.
    pub(super) cpu: f64,
    /// The most memory it ever had, in bytes.
    pub(super) peak: u64,
}

impl Usage {
    /// `None` where the system does not tell.
    #[cfg(target_os = "linux")]
    pub(super) fn of(process: u32) -> Option<Self> {
        let process = procfs::process::Process::new(process.try_into().ok()?).ok()?;
        let stat = process.stat().ok()?;
        let ticks = (stat.utime + stat.stime) as f64;
        Some(Self {
            cpu: ticks / procfs::ticks_per_second() as f64,
            peak: process.status().ok()?.vmhwm? * 1024,
        })
    }

    /// `None` where the system does not tell.
    #[cfg(not(target_os = "linux"))]
    pub(super) fn of(_: u32) -> Option<Self> {
        None
    }
}
