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
        let cpu = match run_time(&process) {
            Some(nanoseconds) => nanoseconds as f64 / 1e9,
            None => {
                let stat = process.stat().ok()?;
                (stat.utime + stat.stime) as f64 / procfs::ticks_per_second() as f64
            }
        };
        Some(Self {
            cpu,
            peak: process.status().ok()?.vmhwm? * 1024,
        })
    }

    /// `None` where the system does not tell.
    #[cfg(not(target_os = "linux"))]
    pub(super) fn of(_: u32) -> Option<Self> {
        None
    }
}

/// Of all its threads, exactly. The process's own times are counted in clock ticks, and threads that mostly wait are often between two of them.
#[cfg(target_os = "linux")]
fn run_time(process: &procfs::process::Process) -> Option<u64> {
    let mut sum = 0;
    for task in process.tasks().ok()? {
        sum += task.ok()?.schedstat().ok()?.sum_exec_runtime;
    }
    (sum > 0).then_some(sum)
}
