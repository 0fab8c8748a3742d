//! What must hold for any bytes, cut anywhere.

use super::*;
use bytes::BytesMut;
use proptest::collection::vec;
use proptest::prelude::*;

/// What a peer meant, apart from where in a buffer it lay.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Meant {
    Message(Vec<Vec<u8>>, usize),
    Command(Vec<u8>),
}

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

/// Feeds `wire` in pieces that end at `cuts`. Also returns the most bytes that were ever held.
fn decode(wire: &[u8], cuts: &[usize]) -> (Vec<Meant>, Option<Violation>, usize) {
    let (mut decoder, mut buffer) = (Decoder::new(rules()), BytesMut::new());
    let (mut meant, mut held, mut from) = (Vec::new(), 0, 0);
    let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut % (wire.len() + 1)).collect();
    cuts.push(wire.len());
    cuts.sort_unstable();
    for cut in cuts {
        buffer.extend_from_slice(&wire[from..cut]);
        from = cut;
        loop {
            match decoder.next(&mut buffer) {
                Ok(None) => break,
                Ok(Some(Item::Command(body))) => meant.push(Meant::Command(buffer[body].to_vec())),
                Ok(Some(Item::Message(message))) => {
                    let parts = message.parts.iter().take(message.frames);
                    let parts = parts.map(|part| buffer[part.clone()].to_vec()).collect();
                    meant.push(Meant::Message(parts, message.frames));
                }
                Err(violation) => return (meant, Some(violation), held),
            }
        }
        decoder.discard(&mut buffer);
        held = held.max(buffer.len()).max(decoder.wants());
    }
    (meant, None, held)
}

fn frame() -> impl Strategy<Value = Vec<u8>> {
    let body = vec(any::<u8>(), 0..350);
    (
        body,
        prop_oneof![4 => Just(0), 4 => Just(MORE), 2 => Just(COMMAND)],
    )
        .prop_map(|(body, flags)| {
            let mut wire = Vec::new();
            put_frame(&mut wire, flags, &body);
            wire
        })
}

proptest! {
    #[test]
    fn any_cut_of_a_stream_means_the_same(
        frames in vec(frame(), 0..12),
        cuts in vec(any::<usize>(), 0..12),
    ) {
        let wire = frames.concat();
        let (whole, end, _) = decode(&wire, &[]);
        let (pieces, end_in_pieces, _) = decode(&wire, &cuts);
        prop_assert_eq!(whole, pieces);
        prop_assert_eq!(end, end_in_pieces);
        let bytewise: Vec<usize> = (0..wire.len()).collect();
        prop_assert_eq!(decode(&wire, &[]).0, decode(&wire, &bytewise).0);
    }

    #[test]
    fn any_bytes_at_all_end_well_and_hold_no_more_than_the_rules(
        wire in vec(prop_oneof![3 => 0u8..8, 1 => any::<u8>()], 0..4000),
        cuts in vec(any::<usize>(), 0..40),
    ) {
        let (_, _, held) = decode(&wire, &cuts);
        // A message, headers for its frames, and the commands that may stand between them.
        prop_assert!(held <= 2500 + 9 * 8 + 3 * 409, "{held} bytes held");
    }

    #[test]
    fn the_short_way_never_says_more_than_the_long_one(
        wire in vec(prop_oneof![3 => 0u8..5, 1 => any::<u8>()], 0..60),
    ) {
        if let Some((event, len)) = Decoder::new(rules()).plain_event(&wire) {
            let mut buffer = BytesMut::from(&wire[..]);
            let Ok(Some(Item::Message(message))) = Decoder::new(rules()).next(&mut buffer) else {
                return Err(TestCaseError::fail("no message"));
            };
            prop_assert_eq!(message.parts[2].end, len);
            prop_assert_eq!(message.event(&buffer), Some(event));
        }
    }

    #[test]
    fn any_bytes_at_all_end_a_handshake_well(
        valid in 0usize..=64,
        wire in vec(any::<u8>(), 0..3000),
        cut in 1usize..100,
    ) {
        let mut out = Vec::new();
        let mut handshake = Handshake::new(Null, SocketType::Pull, b"", true, &mut out);
        let greeting = Greeting::new("NULL", false).to_bytes();
        let all: Vec<u8> = greeting[..valid].iter().chain(&wire).copied().collect();
        let mut input = BytesMut::new();
        for piece in all.chunks(cut) {
            input.extend_from_slice(piece);
            match handshake.advance(&mut input, &mut out) {
                Ok(Progress::Pending) => prop_assert!(input.len() < 2048 + 9 + 64 + cut),
                Ok(Progress::Ready(_)) | Err(_) => break,
            }
            prop_assert!(out.len() < 4096);
        }
    }

    #[test]
    fn events_come_back(topic in vec(any::<u8>(), 0..300), body in vec(any::<u8>(), 0..600), checksum: u32) {
        let mut wire = BytesMut::new();
        put_event(&mut wire, &topic, &body, checksum);
        let mut decoder = Decoder::new(rules());
        let Some(Item::Message(message)) = decoder.next(&mut wire).unwrap() else {
            return Err(TestCaseError::fail("no message"));
        };
        let event = message.event(&wire).unwrap();
        prop_assert_eq!(
            (&wire[event.topic.clone()], &wire[event.body.clone()], event.checksum),
            (&topic[..], &body[..], checksum)
        );
        // The short way finds the same, or nothing.
        let found = Decoder::new(rules()).plain_event(&wire);
        prop_assert_eq!(found.is_some(), topic.len() < 256);
        if let Some(found) = found {
            prop_assert_eq!(found, (event, wire.len()));
        }
        for cut in 0..wire.len() {
            prop_assert_eq!(Decoder::new(rules()).plain_event(&wire[..cut]), None);
        }
    }
}
