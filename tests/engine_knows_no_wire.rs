//! The engine knows no socket and no format: no file of it names one, not even in a comment.

use std::fs;
use std::path::Path;

#[test]
fn no_file_of_the_engine_names_a_socket_or_a_format() {
    let mut seen = 0;
    look(
        &Path::new(env!("CARGO_MANIFEST_DIR")).join("src/engine"),
        &mut seen,
    );
    assert!(seen > 20, "only {seen} files were found");
}

fn look(folder: &Path, seen: &mut usize) {
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            look(&path, seen);
            continue;
        }
        *seen += 1;
        let text = fs::read_to_string(&path).expect("a file").to_lowercase();
        for word in [
            "zeromq",
            "zmq",
            "json",
            "socket",
            "tokio::net",
            "std::net",
            "msgpack",
            "messagepack",
        ] {
            let line = text.lines().position(|line| line.contains(word));
            assert!(
                line.is_none(),
                "{}:{} names {word}",
                path.display(),
                line.unwrap_or(0) + 1
            );
        }
    }
}
