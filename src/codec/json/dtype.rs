//! The name of the Python type that a payload decodes to. Only these names are ever sent, and none is ever resolved.

use crate::PayloadKind;

/// What reading a name tells. A name that we do not know is that of some value.
pub(super) fn kind(name: &str) -> PayloadKind {
    match name {
        "builtins.bytes" => PayloadKind::Bytes,
        _ => PayloadKind::Value,
    }
}

/// The name in JSON, or `null`. One look at the payload's first byte tells a JSON value's type, but for numbers.
pub(super) fn text(kind: PayloadKind, payload: Option<&[u8]>) -> &'static [u8] {
    match (kind, payload) {
        (PayloadKind::Unknown, _) | (_, None) => b"null",
        (PayloadKind::Bytes, Some(_)) => br#""builtins.bytes""#,
        (PayloadKind::Value, Some(json)) => match json.trim_ascii_start() {
            [b'"', ..] => br#""builtins.str""#,
            [b'{', ..] => br#""builtins.dict""#,
            [b'[', ..] => br#""builtins.list""#,
            [b't' | b'f', ..] => br#""builtins.bool""#,
            [b'n', ..] => br#""builtins.NoneType""#,
            number @ [b'-' | b'0'..=b'9', ..] => {
                if number.iter().any(|b| matches!(b, b'.' | b'e' | b'E')) {
                    br#""builtins.float""#
                } else {
                    br#""builtins.int""#
                }
            }
            _ => b"null",
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_value_has_its_name() {
        for (json, name) in [
            (r#""1.5""#, "str"),
            ("{\"a\":1.5}", "dict"),
            ("[1.5]", "list"),
            ("true", "bool"),
            ("false", "bool"),
            ("null", "NoneType"),
            ("0", "int"),
            ("-18446744073709551616", "int"),
            ("1.0", "float"),
            ("-1e300", "float"),
            ("1E5", "float"),
            (" \n7", "int"),
        ] {
            let text = text(PayloadKind::Value, Some(json.as_bytes()));
            assert_eq!(
                std::str::from_utf8(text),
                Ok(format!("\"builtins.{name}\"").as_str()),
                "{json}"
            );
        }
    }

    #[test]
    fn what_has_no_name_is_null() {
        for (kind, payload) in [
            (PayloadKind::Unknown, Some(&b"1"[..])),
            (PayloadKind::Value, None),
            (PayloadKind::Bytes, None),
            (PayloadKind::Value, Some(b"")),
            (PayloadKind::Value, Some(b"\xff")),
        ] {
            assert_eq!(text(kind, payload), b"null");
        }
        assert_eq!(text(PayloadKind::Bytes, Some(b"1")), br#""builtins.bytes""#);
    }

    #[test]
    fn names_are_never_resolved() {
        assert_eq!(kind("builtins.bytes"), PayloadKind::Bytes);
        for name in ["builtins.str", "os.system", "", "builtins.bytes "] {
            assert_eq!(kind(name), PayloadKind::Value);
        }
    }
}
