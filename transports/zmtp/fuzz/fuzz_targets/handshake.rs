//! A stranger's bytes, on both sides of a handshake, with or without a good greeting before them.
#![no_main]

use bytes::BytesMut;
use distbus_zmtp::proto::{Greeting, Handshake, Null, Progress, SocketType};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (bool, bool, u8, &[u8])| {
    let (bound, greeted, cut, bytes) = input;
    let mut out = Vec::new();
    let mut handshake = Handshake::new(Null, SocketType::Router, b"me", bound, &mut out);
    let mut wire = Vec::new();
    if greeted {
        wire.extend(Greeting::new("NULL", false).to_bytes());
    }
    wire.extend(bytes);
    let mut buffer = BytesMut::new();
    for piece in wire.chunks(usize::from(cut) + 1) {
        buffer.extend_from_slice(piece);
        match handshake.advance(&mut buffer, &mut out) {
            Ok(Progress::Pending) => assert!(buffer.len() < 4096 && out.len() < 4096),
            _ => return,
        }
    }
});
