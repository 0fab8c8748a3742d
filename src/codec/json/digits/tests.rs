use super::*;
use proptest::prelude::*;

/// Every way there is on this processor.
fn ways() -> Vec<Way> {
    let fastest = Way::fastest();
    match fastest {
        Way::Portable => vec![fastest],
        #[cfg(target_arch = "x86_64")]
        Way::Avx512(_) => vec![fastest, Way::Portable],
    }
}

fn written(payload: &[u8]) -> String {
    let mut texts = ways().into_iter().map(|way| {
        let mut out = BytesMut::new();
        way.write(payload, &mut out);
        String::from_utf8(out.to_vec()).unwrap()
    });
    let text = texts.next().unwrap();
    assert!(texts.all(|other| other == text));
    assert!(text.len() <= room(payload));
    text
}

/// What each way makes of it: how many bytes it took, and the payload. Those that take it must agree.
fn read(text: &[u8]) -> Option<(usize, Vec<u8>)> {
    let mut all = ways().into_iter().map(|way| {
        let mut out = BytesMut::new();
        let taken = way.read(text, &mut out)?;
        Some((taken, out.to_vec()))
    });
    let one = all.next().unwrap();
    assert!(
        all.all(|other| other == one),
        "{:?}",
        String::from_utf8_lossy(text)
    );
    one
}

/// What `read` makes of an array's text, with something after it.
fn read_back(text: &str) -> Option<Vec<u8>> {
    let body = format!("{text},\"dtype\":[null, 1]}}");
    let (taken, payload) = read(&body.as_bytes()[1..])?;
    assert_eq!(taken + 1, text.len(), "{text}");
    Some(payload)
}

#[test]
fn every_byte_at_every_place() {
    for value in 0..=u8::MAX {
        for len in 1..150 {
            let mut payload = vec![value.wrapping_mul(7); len];
            payload[len / 2] = value;
            payload[len - 1] = value;
            let text = written(&payload);
            assert_eq!(text, serde_json::to_string(&payload).unwrap());
            assert_eq!(read_back(&text), Some(payload.clone()));
            assert_eq!(read_back(&text.replace(',', ", ")), Some(payload));
        }
    }
}

#[test]
fn nothing_is_an_array_too() {
    assert_eq!(written(b""), "[]");
    assert_eq!(read_back("[]"), Some(vec![]));
}

/// Each stands at each place of an array, so that every way of reading meets it.
#[test]
fn what_is_no_byte_is_left_to_others() {
    for odd in [
        "",
        "256",
        "299",
        "300",
        "999",
        "1000",
        "00",
        "01",
        "007",
        "0000",
        "-1",
        "-0",
        "+1",
        "1.0",
        "1e1",
        "0x1",
        "a",
        "1 ",
        " 1",
        "  1",
        "\"1\"",
        "null",
        "[1]",
        ":1",
        "/",
        "1:",
        "1/",
        "\u{0}",
        "\u{0}1",
        "\u{0}\u{0}1",
        "\u{0}17",
        "1\u{0}",
        "é",
        "1\n",
        "\t1",
        "25 5",
        ",",
    ] {
        for at in 0..100 {
            for separator in [",", ", "] {
                let mut parts = vec!["17"; 100];
                parts[at] = odd;
                let text = format!("[{}]", parts.join(separator));
                let read = read_back(&text);
                assert_eq!(read, None, "{text}");
            }
        }
    }
}

/// All short texts of what matters, in the middle of an array: far from its end, near it, and where the text itself ends.
#[test]
fn every_short_text_reads_as_serde_json_reads_it() {
    const LETTERS: &[u8] = b"01259, ]\0:";
    let letters = LETTERS.len();
    for number in 0..letters.pow(4) {
        let odd = [0, 1, 2, 3].map(|place| LETTERS[number / letters.pow(place) % letters]);
        for (before, after) in [(3, 40), (3, 2), (40, 0)] {
            for separator in [",", ", "] {
                let mut text = "17".to_owned() + &format!("{separator}203").repeat(before) + separator;
                text.truncate(text.len() - number % 2 * separator.len());
                let mut text = text.into_bytes();
                text.extend_from_slice(&odd);
                text.extend_from_slice(format!("{separator}203").repeat(after).as_bytes());
                text.extend_from_slice(b"]");
                if let Some((taken, out)) = read(&text) {
                    let array = [b"[", &text[..taken]].concat();
                    let expected: Result<Vec<u8>, _> = serde_json::from_slice(&array);
                    let shown = String::from_utf8_lossy(&text);
                    assert_eq!(expected.ok().as_deref(), Some(&out[..]), "{shown:?}");
                }
            }
        }
    }
}

#[test]
fn mixed_separators_are_left_to_others() {
    for at in 1..100 {
        let mut parts = vec![",17"; 100];
        parts[0] = "17";
        parts[at] = ", 17";
        assert_eq!(read_back(&format!("[{}]", parts.concat())), None);
        let mut parts = vec![", 17"; 100];
        parts[0] = "17";
        parts[at] = ",17";
        assert_eq!(read_back(&format!("[{}]", parts.concat())), None);
    }
}

#[test]
fn an_array_that_ends_early_is_none() {
    let payload: Vec<u8> = (0..=255).collect();
    let text = written(&payload);
    for end in 1..text.len() {
        assert_eq!(read(&text.as_bytes()[1..end]), None, "{end}");
    }
}

proptest! {
    #[test]
    fn writes_what_serde_json_writes(payload in prop::collection::vec(any::<u8>(), 0..2000)) {
        let text = written(&payload);
        prop_assert_eq!(&text, &serde_json::to_string(&payload).unwrap());
        prop_assert_eq!(read_back(&text), Some(payload));
    }

    /// Whatever `read` takes, `serde_json` reads the same; whatever `serde_json` refuses, `read` does not take.
    #[test]
    fn never_disagrees_with_serde_json(text in "\\[([0-9]{1,3}, ?|[0-9]{1,4}[, ]{1,3}|[-0-9,. ]{0,6}){0,60}[0-9]{0,4}\\]?") {
        if let Some((taken, out)) = read(&text.as_bytes()[1..]) {
            let expected: Vec<u8> = serde_json::from_str(&text[..=taken]).unwrap();
            prop_assert_eq!(&out[..], &expected[..]);
        }
    }

    #[test]
    fn one_wrong_byte_is_noticed(payload in prop::collection::vec(any::<u8>(), 1..300), at: prop::sample::Index, byte: u8, spaced: bool) {
        let mut text = written(&payload);
        if spaced {
            text = text.replace(',', ", ");
        }
        let mut text = text.into_bytes();
        let at = 1 + at.index(text.len() - 1);
        text[at] = byte;
        if let Some((taken, out)) = read(&text[1..]) {
            let expected: Vec<u8> = serde_json::from_slice(&text[..=taken]).unwrap();
            prop_assert_eq!(&out[..], &expected[..]);
        }
    }

    #[test]
    fn arbitrary_bytes_never_panic(text in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = read(&text);
    }
}
