use serde::Serialize;
use std::fmt;

/// Where it was measured.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Machine {
    os: String,
    processor: String,
    /// Processors that programs can use at once.
    cores: usize,
    /// How this program was built; nobody should compare the figures of a debug build.
    build: &'static str,
}

impl Machine {
    pub(super) fn this() -> Self {
        let (os, processor) = describe();
        Self {
            os,
            processor,
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            build: if cfg!(debug_assertions) {
                "debug"
            } else {
                "release"
            },
        }
    }
}

impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            os,
            processor,
            cores,
            build,
        } = self;
        write!(f, "{cores} cores, {processor}, {os}, {build} build")
    }
}

#[cfg(target_os = "linux")]
fn describe() -> (String, String) {
    use procfs::prelude::*;
    let release = procfs::sys::kernel::Version::current();
    let os = release.map_or("Linux".into(), |v| format!("Linux {}.{}", v.major, v.minor));
    let model = procfs::CpuInfo::current().ok().and_then(|cpus| {
        let model = cpus.model_name(0)?;
        Some(model.split_whitespace().collect::<Vec<_>>().join(" "))
    });
    (os, model.unwrap_or_else(|| std::env::consts::ARCH.into()))
}

#[cfg(not(target_os = "linux"))]
fn describe() -> (String, String) {
    (std::env::consts::OS.into(), std::env::consts::ARCH.into())
}
