//! Any bytes, cut anywhere, decode without a panic, alike, and within the rules.
#![no_main]

use bytes::BytesMut;
use distbus_zmtp::proto::{Command, Decoder, Item, Rules};
use libfuzzer_sys::fuzz_target;

fn rules() -> Rules {
    Rules {
        first_bytes: 300,
        frame_bytes: 2000,
        message_bytes: 2500,
        frames: 4,
        command_bytes: 400,
        embedded: 3,
    }
}

/// What came out, as one string of bytes.
fn decode(pieces: impl Iterator<Item = Vec<u8>>) -> (Vec<u8>, bool) {
    let (mut decoder, mut buffer, mut out) = (Decoder::new(rules()), BytesMut::new(), Vec::new());
    for piece in pieces {
        buffer.extend_from_slice(&piece);
        loop {
            match decoder.next(&mut buffer) {
                Ok(None) => break,
                Ok(Some(Item::Command(body))) => {
                    let _ = Command::parse(&buffer[body.clone()]);
                    out.extend_from_slice(&buffer[body]);
                }
                Ok(Some(Item::Message(message))) => {
                    let _ = message.event(&buffer);
                    for part in message.parts.iter().take(message.frames) {
                        out.extend_from_slice(&buffer[part.clone()]);
                    }
                }
                Err(_) => return (out, false),
            }
        }
        decoder.discard(&mut buffer);
        assert!(buffer.len().max(decoder.wants()) <= 2500 + 9 * 8 + 3 * 409);
    }
    (out, true)
}

fuzz_target!(|input: (u8, &[u8])| {
    let (cut, wire) = (usize::from(input.0) + 1, input.1);
    let pieces = decode(wire.chunks(cut).map(<[u8]>::to_vec));
    assert_eq!(pieces, decode(wire.chunks(1).map(<[u8]>::to_vec)));
    if let Some((event, len)) = Decoder::new(rules()).plain_event(wire) {
        assert!(event.topic.end <= event.body.start && event.body.end + 6 == len && len <= wire.len());
    }
});
