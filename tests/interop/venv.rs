//! A virtual environment with the Python library, made once.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;

const LIBRARY: &str = "aiodistbus==0.0.2";

/// A Python that can import the library.
#[derive(Clone, Copy)]
pub(crate) struct Python(&'static Path);

impl Python {
    pub(crate) fn executable(self) -> &'static Path {
        self.0
    }

    /// `None`, said by the name of the test, when there is none and none is required.
    pub(crate) fn find(test: &str) -> Option<Self> {
        static FOUND: OnceLock<Result<PathBuf, String>> = OnceLock::new();
        match FOUND.get_or_init(prepare) {
            Ok(executable) => Some(Self(executable)),
            Err(why) if std::env::var_os("DISTBUS_REQUIRE_INTEROP").is_some_and(|value| value == "1") => {
                panic!("DISTBUS_REQUIRE_INTEROP=1, but {why}")
            }
            Err(why) => {
                // Past the capture of a test's output: who reads the summary shall know that this one tested nothing.
                let line = format!("{test} ... skipped: {why}\n");
                let _ = std::io::stderr().write_all(line.as_bytes());
                None
            }
        }
    }
}

/// A [`Python`], or out of the test.
macro_rules! python {
    () => {{
        fn here() {}
        let name = std::any::type_name_of_val(&here).replace("::{{closure}}", "");
        match crate::venv::Python::find(name.trim_end_matches("::here")) {
            Some(python) => python,
            None => return,
        }
    }};
}
pub(crate) use python;

/// Makes the environment unless it is there; other processes that want it wait meanwhile.
fn prepare() -> Result<PathBuf, String> {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let place = target.join("aiodistbus-0.0.2");
    let executable = place.join("bin").join("python");
    fs::create_dir_all(target).map_err(|error| format!("{} cannot be made: {error}", target.display()))?;
    let lock = File::create(target.join("aiodistbus-0.0.2.lock")).map_err(|error| error.to_string())?;
    lock.lock().map_err(|error| error.to_string())?;
    // An environment that was left half made, or whose Python has gone, is made again.
    if run(Command::new(&executable).args(["-c", "import aiodistbus"])).is_err() {
        let _ = fs::remove_dir_all(&place);
        run(Command::new("python3").args(["-m", "venv"]).arg(&place))
            .map_err(|why| format!("python3 with venv is missing ({why})"))?;
        run(Command::new(&executable).args([
            "-m",
            "pip",
            "install",
            "--quiet",
            "--disable-pip-version-check",
            LIBRARY,
        ]))
        .map_err(|why| {
            format!("python3 with venv is missing {LIBRARY}, which pip could not install ({why})")
        })?;
    }
    Ok(executable)
}

/// Runs it to its end; its last words when that is a failure.
fn run(command: &mut Command) -> Result<(), String> {
    let ended: Output = command
        .stdin(Stdio::null())
        .output()
        .map_err(|error| error.to_string())?;
    if ended.status.success() {
        return Ok(());
    }
    // `venv` complains on its standard output.
    let said = [ended.stdout, ended.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    Err(said.trim().lines().last().unwrap_or("it said nothing").to_owned())
}
