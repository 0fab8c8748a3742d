//! The `distbus` program.
fn main() {}
