use super::*;
use proptest::prelude::*;
use serde::Deserialize;
use serde::de::{DeserializeOwned, IgnoredAny};
use serde_json::Value as Json;
use std::collections::{BTreeMap, HashMap};
use std::fmt::Debug;
use std::marker::PhantomData;

fn read_as<'a, T: Deserialize<'a>>(text: &'a str) -> Result<T, String> {
    read(text, PhantomData::<T>)
}

/// Whether `serde_json` reads it, and this the same. By its text, as a float may be no number equal to itself.
fn same<T: DeserializeOwned + Debug>(text: &str) -> bool {
    let theirs = serde_json::from_str::<T>(text);
    let ours = read_as::<T>(text);
    match (&ours, &theirs) {
        (Ok(ours), Ok(theirs)) => assert_eq!(format!("{ours:?}"), format!("{theirs:?}"), "{text}"),
        (Err(_), Err(_)) => {}
        _ => panic!("{text}: we read {ours:?}, serde_json reads {theirs:?}"),
    }
    theirs.is_ok()
}

#[derive(Debug, Deserialize)]
#[allow(dead_code)] // Debug reads it.
struct Newtype(u8);

#[derive(Debug, Deserialize)]
#[allow(dead_code)] // Debug reads it.
enum Shape {
    Point,
    Circle(f64),
    Box(u8, u8),
    Named { a: u8, b: Option<String> },
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
#[allow(dead_code)] // Debug reads it.
enum Loose {
    Int(i64),
    Float(f64),
    Text(String),
    List(Vec<Loose>),
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(dead_code)] // Debug reads it.
struct Strict {
    a: u8,
    #[serde(default)]
    b: Option<Shape>,
}

#[derive(Debug, Deserialize)]
#[allow(dead_code)] // Debug reads it.
struct Sample {
    id: u64,
    value: f64,
    note: String,
    list: Option<Vec<i16>>,
}

/// As every type that reads in a way of its own. How many of them took it.
fn all(text: &str) -> usize {
    let taken = [
        same::<Json>(text),
        same::<bool>(text),
        same::<i8>(text),
        same::<u64>(text),
        same::<i64>(text),
        same::<u128>(text),
        same::<i128>(text),
        same::<f32>(text),
        same::<f64>(text),
        same::<char>(text),
        same::<String>(text),
        same::<()>(text),
        same::<Option<u32>>(text),
        same::<Newtype>(text),
        same::<(u8, String)>(text),
        same::<Vec<f64>>(text),
        same::<Vec<Json>>(text),
        same::<Vec<()>>(text),
        same::<IgnoredAny>(text),
        same::<Vec<IgnoredAny>>(text),
        same::<serde_json::Number>(text),
        same::<Shape>(text),
        same::<Vec<Shape>>(text),
        same::<Loose>(text),
        same::<Strict>(text),
        same::<Sample>(text),
        same::<std::net::Ipv4Addr>(text),
        same::<BTreeMap<String, Json>>(text),
        same::<BTreeMap<i8, IgnoredAny>>(text),
        same::<BTreeMap<u128, IgnoredAny>>(text),
        same::<BTreeMap<char, IgnoredAny>>(text),
        same::<BTreeMap<Option<u8>, IgnoredAny>>(text),
        same::<BTreeMap<String, Shape>>(text),
        same::<Box<serde_json::value::RawValue>>(text),
    ];
    taken.into_iter().filter(|&taken| taken).count()
}

#[test]
fn numbers() {
    for whole in [
        "0",
        "7",
        "42",
        "127",
        "128",
        "255",
        "256",
        "12345678",
        "123456789",
        "4294967296",
        "9007199254740992",
        "9007199254740993",
        "9223372036854775807",
        "9223372036854775808",
        "18446744073709551615",
        "18446744073709551616",
        "99999999999999999999",
        "340282366920938463463374607431768211455",
        "00",
        "01",
        "",
        "1_000",
        "0x10",
    ] {
        for sign in ["", "-", "+", "--"] {
            for rest in [
                "",
                ".",
                ".0",
                ".5",
                ".25000",
                ".1",
                ".123456789",
                ".00000000000000000001",
                "e",
                "e5",
                "E-3",
                "e+2",
                ".5e1",
                "e400",
                ".e1",
                "-1",
                " ",
                " 1",
                ",",
                "]",
            ] {
                all(&format!("{sign}{whole}{rest}"));
            }
        }
    }
    assert!(read_as::<f64>("-0.0").unwrap().is_sign_negative());
    assert!(read_as::<f64>("-0").unwrap().is_sign_negative());
    assert_eq!(read_as::<f64>("0.30000000000000004").unwrap(), 0.1 + 0.2);
}

#[test]
fn other_values() {
    for text in [
        "",
        " ",
        "null",
        "nul",
        "nulll",
        " null ",
        "true",
        "tru",
        "false",
        "falsee",
        "[]",
        "[ ]",
        "[,]",
        "[1,]",
        "[1 2]",
        "[1,2",
        "[",
        "{}",
        "{ }",
        "{",
        "{,}",
        r#"{"a"}"#,
        r#"{"a":}"#,
        r#"{"a":1,}"#,
        r#"{"a":1"#,
        r#"{"a" : 1 , "b" : null}"#,
        r#"{a:1}"#,
        r#"{1:1}"#,
        r#"{"1":1}"#,
        r#"{"1 ":1}"#,
        r#"{" 1":1}"#,
        r#"{"-1":1}"#,
        r#"{"\u0031":1}"#,
        r#"{"1e1":1}"#,
        r#"{"":1}"#,
        r#"{"a":1}"#,
        r#"{"a":1,"a":2}"#,
        r#"{"a":1,"c":2}"#,
        r#"[1,"Point"]"#,
        r#"[1]"#,
        r#"[1,"x"]"#,
        r#"[1,"x",2]"#,
        r#""Point""#,
        r#""Circle""#,
        r#""Box""#,
        r#""Named""#,
        r#"{"Point":null}"#,
        r#"{"Point":1}"#,
        r#"{"Circle":1}"#,
        r#"{"Circle":1,"x":2}"#,
        r#"{ "Circle" : 1.5 }"#,
        r#"{"Box":[1,2]}"#,
        r#"{"Box":[1,2,3]}"#,
        r#"{"Box":[1]}"#,
        r#"{"Box":{"a":1}}"#,
        r#"{"Named":{"a":1}}"#,
        r#"{"Named":[1,null]}"#,
        r#"{"Named":{"a":1,"b":"x"}}"#,
        r#"{}"#,
        r#"{"Nobody":1}"#,
        r#""Nobody""#,
        r#"["Point",{"Circle":0.5},{"Box":[1,2]}]"#,
        r#""a""#,
        r#""é""#,
        r#""\u00e9""#,
        r#""\ud834\udd1e""#,
        r#""\ud834""#,
        r#""\x""#,
        r#""a"#,
        r#""a\"#,
        r#""a\""#,
        r#""a\"b""#,
        "\"\u{1}\"",
        "\"\n\"",
        r#""\é""#,
        r#""\""#,
        r#"{"id":1,"value":2.5,"note":"x"}"#,
        r#"{"note":"a longer text, of more than thirty-two bytes","value":2,"id":1}"#,
        r#"{"id":1,"value":2.5,"note":"x","list":[1,-2,3]}"#,
        r#"{"id":1,"value":2.5,"note":"x","more":[{"a":[]}]}"#,
        r#"[1,2.5,"x",[]]"#,
        r#"[1,2.5,"x",null]"#,
        r#""127.0.0.1""#,
        "\u{feff}1",
        "1\u{a0}",
        "\u{c}1",
        "tRue",
        "]",
        "}",
        ":",
        ",",
        r#"{"a":[}"#,
        r#"{"a":1]"#,
        r#"[{"a":1]]"#,
    ] {
        all(text);
    }
}

#[test]
fn depth_ends_where_serde_json_ends_it() {
    for depth in [100, 126, 127, 128, 129, 200] {
        all(&format!("{}{}", "[".repeat(depth), "]".repeat(depth)));
        all(&format!("{}1{}", r#"{"a":"#.repeat(depth), "}".repeat(depth)));
    }
}

#[test]
fn text_is_borrowed_where_it_can_be() {
    assert_eq!(read_as::<&str>(r#" "plain" "#).unwrap(), "plain");
    read_as::<&str>(r#""\n""#).unwrap_err();
    assert_eq!(read_as::<HashMap<&str, &str>>(r#"{"a":"b"}"#).unwrap()["a"], "b");
    assert_eq!(read_as::<&[u8]>(r#""plain""#).unwrap(), b"plain");
}

#[test]
fn an_error_says_where() {
    let at = |text| read_as::<Vec<u8>>(text).unwrap_err();
    assert_eq!(at("[1,\n2,x]"), "expected a value at line 2 column 2");
    assert_eq!(
        at("[1,300]"),
        "invalid value: integer `300`, expected u8 at line 1 column 6"
    );
    assert_eq!(at("[1e400]"), "number out of range at line 1 column 6");
    assert_eq!(at("[1,2"), "the text ends too early at line 1 column 4");
    assert_eq!(
        at("{}"),
        "invalid type: map, expected a sequence at line 1 column 0"
    );
}

/// JSON, now and then with a space, and with a byte of it changed.
fn spelled(value: &Json, spaces: bool, change: Option<(prop::sample::Index, u8)>) -> String {
    let text = if spaces {
        serde_json::to_string_pretty(value)
    } else {
        serde_json::to_string(value)
    };
    let mut bytes = text.unwrap().into_bytes();
    if let Some((at, byte)) = change {
        let at = at.index(bytes.len());
        bytes[at] = byte;
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

proptest! {
    #[test]
    fn any_value_is_read_as_serde_json_reads_it(
        value in crate::codec::json::value::tests::any_value(),
        spaces: bool,
        change in prop::option::of((any::<prop::sample::Index>(), prop::sample::select(&b"0123456789.-+eE\"\\{}[],: \ntfn\x00a"[..]))),
    ) {
        let taken = all(&spelled(&value, spaces, change));
        prop_assert!(change.is_some() || taken > 0);
    }

    #[test]
    fn any_float_is_read_to_the_last_bit(float: f64, short in -1_000_000_i64..1_000_000, places in 0..12_usize) {
        if float.is_finite() {
            all(&format!("{float}"));
            all(&format!("{float:e}"));
            all(&format!("{float:.places$}"));
        }
        all(&format!("{:.places$}", short as f64 / 1e3));
    }

    #[test]
    fn any_text(text in "[\\[\\]{}:,\"\\\\0-9.eE+\\- tfn]{0,12}|\\PC{0,40}") {
        all(&text);
        all(&format!("\"{text}\""));
    }
}
