//! `distbus demo`.
#![allow(clippy::unwrap_used)] // A test that cannot go on fails.

mod support;

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::time::Duration;
use support::Program;
use tokio::time::Instant;

/// It takes a second or two; machines that test are slow.
const QUICK: Duration = Duration::from_secs(20);

/// A directory whose `python3` is this shell script.
fn fake_python(name: &str, script: &str) -> PathBuf {
    let directory = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    std::fs::create_dir_all(&directory).unwrap();
    let file = directory.join("python3");
    std::fs::write(&file, format!("#!/bin/sh\n{script}\n")).unwrap();
    std::fs::set_permissions(&file, PermissionsExt::from_mode(0o755)).unwrap();
    directory
}

async fn demo(path: Option<PathBuf>) -> String {
    let start = Instant::now();
    let demo = Program::start_with(&["demo"], path.map(|path| ("PATH", path)));
    let ended = demo.end().await;
    assert_eq!((ended.code, &*ended.err), (Some(0), ""), "{ended:?}");
    assert!(start.elapsed() < QUICK, "{:?}", start.elapsed());
    assert!(
        ended
            .out
            .trim_end()
            .ends_with("nothing was lost, nothing came twice."),
        "{}",
        ended.out
    );
    assert!(!ended.out.contains("expected"), "{}", ended.out);
    ended.out
}

/// The number at the end of a line.
fn count(story: &str, what: &str) -> u64 {
    let line = story
        .lines()
        .find(|line| line.contains(what))
        .unwrap_or_else(|| panic!("no {what:?} in {story}"));
    line.rsplit(' ').next().unwrap().parse().unwrap()
}

#[tokio::test]
async fn whatever_python_there_is_the_counts_add_up() {
    let story = demo(None).await;
    let reports = if story.contains("A Python process has joined") {
        10
    } else {
        0
    };
    assert_eq!(count(&story, "reports from Python"), reports);
    assert_eq!(count(&story, "readings at the display"), 1000);
    assert_eq!(count(&story, "local bus's listener"), 1000 + reports);
    assert_eq!(count(&story, "samples read"), 500);
}

#[tokio::test]
async fn without_python() {
    let story = demo(Some(fake_python("empty", "").join("nowhere"))).await;
    assert!(
        story.contains("Python is left out: python3 does not start"),
        "{story}"
    );
}

#[tokio::test]
async fn with_a_python_that_lacks_the_library_or_fails() {
    let story = demo(Some(fake_python(
        "absent",
        "echo noise >&2; echo 'distbus-demo: absent' >&2",
    )))
    .await;
    assert!(story.contains("pip install aiodistbus"), "{story}");
    let story = demo(Some(fake_python("failing", "exit 1"))).await;
    assert!(story.contains("python3 ended before it was connected"), "{story}");
}

#[tokio::test]
async fn a_python_that_hangs_is_left_behind_and_killed() {
    // `exec`, so that what is killed is what hangs; it writes its own process id first.
    let mark = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("hanging.pid");
    let script = format!("echo $$ > '{}'; exec /bin/sleep 600", mark.display());
    let story = demo(Some(fake_python("hanging", &script))).await;
    assert!(story.contains("was not connected within 3s"), "{story}");
    let pid = std::fs::read_to_string(&mark).unwrap();
    let alive = std::process::Command::new("sh")
        .args(["-c", &format!("kill -0 {}", pid.trim())])
        .output()
        .unwrap();
    assert!(!alive.status.success(), "{} still runs", pid.trim());
}
