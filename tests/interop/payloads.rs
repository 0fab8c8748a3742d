//! Every kind of value, both ways.

use crate::node::Node;
use crate::support::{Bus, Sample, on_both, value};
use crate::venv::{Python, python};
use distbus::Client;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use std::collections::BTreeMap;

on_both!(python_to_rust, rust_to_python, rust_to_rust);

const TEXT: &str = "quote \" backslash \\ tab \t zero \0 \u{e4}\u{2211}\u{10ffff} \u{1f600}";

fn every_byte() -> Vec<u8> {
    (0..=255).collect()
}

async fn python_to_rust(python: Python, bus: Bus) {
    let (mut sender, receiver) = (Node::client(python, bus.endpoint()).await, bus.client().await);
    let mut case = async |tagged: Value, check: &dyn Fn(&Arrived) -> bool| {
        let mut stream = receiver.subscribe_events("kind").await.unwrap();
        sender.emit("kind", tagged.clone()).await;
        let arrived = Arrived(crate::support::event(&mut stream).await);
        assert!(check(&arrived), "{tagged} arrived as {:?}", arrived.0.payload());
    };
    case(json!({"str": TEXT}), &|got| got.is(&TEXT.to_owned())).await;
    case(json!({"str": ""}), &|got| got.is(&String::new())).await;
    case(json!({"bytes": every_byte()}), &|got| got.is(&every_byte())).await;
    case(json!({"bytes": []}), &|got| got.is(&Vec::<u8>::new())).await;
    case(json!({"int": i64::MIN}), &|got| got.is(&i64::MIN)).await;
    case(json!({"int": i64::MAX}), &|got| got.is(&i64::MAX)).await;
    case(json!({"int": u64::MAX}), &|got| got.is(&u64::MAX)).await;
    case(json!({"int": -1}), &|got| got.is(&-1_i8)).await;
    case(json!({"float": 0.1}), &|got| got.is(&0.1_f64)).await;
    case(json!({"float": -1.797_693_134_862_315_7e308}), &|got| {
        got.is(&f64::MIN)
    })
    .await;
    case(json!({"float": 5e-324}), &|got| got.is(&5e-324_f64)).await;
    case(json!({"float": 3}), &|got| got.is(&3.0_f64)).await;
    case(json!({"bool": true}), &|got| got.is(&true)).await;
    case(json!({"bool": false}), &|got| got.is(&false)).await;
    case(json!({"none": null}), &|got| got.is(&()) && got.is(&None::<u8>)).await;
    case(json!({"list": [1, null, -3]}), &|got| {
        got.is(&vec![Some(1_i64), None, Some(-3)])
    })
    .await;
    case(json!({"list": []}), &|got| got.is(&Vec::<String>::new())).await;
    case(json!({"dict": {"a": 0.5, "\u{e4}": 1.0}}), &|got| {
        got.is(&BTreeMap::from([
            ("a".to_owned(), 0.5),
            ("\u{e4}".to_owned(), 1.0),
        ]))
    })
    .await;
    case(json!({"dict": nested()}), &|got| got.is(&nested())).await;
    case(json!({"dataclass": {"msg": TEXT, "n": -7}}), &|got| {
        got.is(&Sample {
            msg: TEXT.to_owned(),
            n: -7,
        })
    })
    .await;
}

struct Arrived(distbus::Event);

impl Arrived {
    fn is<T>(&self, expected: &T) -> bool
    where
        T: DeserializeOwned + PartialEq + Send + Sync + 'static,
    {
        self.0.get::<T>().is_ok_and(|got| *got == *expected)
    }
}

fn nested() -> Value {
    json!({"list": [1, [2, [3, {}]]], "object": {"none": null, "text": TEXT, "deeper": {"x": [true, 1.5]}}})
}

async fn rust_to_python(python: Python, bus: Bus) {
    let (sender, mut receiver) = (bus.client().await, Node::client(python, bus.endpoint()).await);
    send(&sender, &mut receiver, "str", &TEXT, json!(TEXT)).await;
    send(&sender, &mut receiver, "str", &"", json!("")).await;
    send(
        &sender,
        &mut receiver,
        "bytes",
        &every_byte(),
        json!(every_byte()),
    )
    .await;
    send(
        &sender,
        &mut receiver,
        "bytes",
        &bytes::Bytes::from_static(b"\xff\x00"),
        json!([255, 0]),
    )
    .await;
    send(&sender, &mut receiver, "bytes", &bytes::Bytes::new(), json!([])).await;
    send(&sender, &mut receiver, "int", &i64::MIN, json!(i64::MIN)).await;
    send(&sender, &mut receiver, "int", &i64::MAX, json!(i64::MAX)).await;
    send(&sender, &mut receiver, "int", &u64::MAX, json!(u64::MAX)).await;
    send(&sender, &mut receiver, "int", &-1_i8, json!(-1)).await;
    send(&sender, &mut receiver, "float", &0.1, json!(0.1)).await;
    send(&sender, &mut receiver, "float", &f64::MIN, json!(f64::MIN)).await;
    send(&sender, &mut receiver, "float", &5e-324, json!(5e-324)).await;
    send(&sender, &mut receiver, "float", &3.0, json!(3.0)).await;
    send(&sender, &mut receiver, "bool", &true, json!(true)).await;
    send(&sender, &mut receiver, "bool", &false, json!(false)).await;
    send(
        &sender,
        &mut receiver,
        "list",
        &[Some(1), None, Some(-3)],
        json!([1, null, -3]),
    )
    .await;
    send(
        &sender,
        &mut receiver,
        "list",
        &(1, "two", 3.5),
        json!([1, "two", 3.5]),
    )
    .await;
    send(
        &sender,
        &mut receiver,
        "dict",
        &BTreeMap::from([("a", 0.5)]),
        json!({"a": 0.5}),
    )
    .await;
    send(&sender, &mut receiver, "dict", &nested(), nested()).await;
    let sample = Sample {
        msg: TEXT.to_owned(),
        n: -7,
    };
    send(
        &sender,
        &mut receiver,
        "dataclass",
        &sample,
        json!({"msg": TEXT, "n": -7}),
    )
    .await;

    // The JSON text `null` calls a handler without an argument; so does no data at all, where the handler declared no type. (One that
    // did is not called then: that version logs an error instead.)
    for (topic, kind) in [("null", "none"), ("nothing", "untyped")] {
        receiver.on(topic, kind).await;
    }
    sender.emit("null", &()).await.unwrap();
    sender.emit("null", &None::<u8>).await.unwrap();
    sender.emit_empty("nothing").await.unwrap();
    for topic in ["null", "null", "nothing"] {
        let got = receiver.next().await;
        let seen = (got.topic.as_str(), got.kind.as_str(), &got.value);
        assert_eq!(seen, (topic, "absent", &Value::Null));
    }
}

async fn send<T: Serialize + ?Sized>(
    sender: &Client,
    receiver: &mut Node,
    kind: &str,
    value: &T,
    expected: Value,
) {
    let topic = format!("kind.{kind}");
    receiver.on(&topic, kind).await;
    sender.emit(&topic, value).await.unwrap();
    let got = receiver.next().await;
    let python = if kind == "dataclass" { "Sample" } else { kind };
    assert_eq!(
        (got.topic.as_str(), got.kind.as_str(), &got.value),
        (topic.as_str(), python, &expected)
    );
}

async fn rust_to_rust(_: Python, bus: Bus) {
    let (sender, receiver) = (bus.client().await, bus.client().await);
    macro_rules! there {
        ($type:ty, $value:expr) => {{
            let expected: $type = $value;
            let mut stream = receiver.subscribe::<$type>("kind").await.unwrap();
            sender.emit("kind", &expected).await.unwrap();
            assert_eq!(value(&mut stream).await, expected);
        }};
    }
    there!(String, TEXT.to_owned());
    there!(Vec<u8>, every_byte());
    there!(u64, u64::MAX);
    there!(i64, i64::MIN);
    there!(f64, -5e-324);
    there!(bool, false);
    there!((), ());
    there!(Option<String>, None);
    there!(Vec<Option<i8>>, vec![Some(-1), None]);
    there!(Value, nested());
    there!(
        Sample,
        Sample {
            msg: TEXT.to_owned(),
            n: i64::MIN
        }
    );
}

/// What we relay between two Python processes reaches the second as it would without us.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn python_to_python_through_our_broker() {
    let python = python!();
    let bus = Bus::ours().await;
    let mut sender = Node::client(python, bus.endpoint()).await;
    let mut receiver = Node::client(python, bus.endpoint()).await;
    for (kind, tagged, expected) in [
        ("str", json!({"str": TEXT}), json!(TEXT)),
        ("bytes", json!({"bytes": every_byte()}), json!(every_byte())),
        ("int", json!({"int": u64::MAX}), json!(u64::MAX)),
        ("float", json!({"float": 0.1}), json!(0.1)),
        ("bool", json!({"bool": true}), json!(true)),
        ("list", json!({"list": [1, null, "x"]}), json!([1, null, "x"])),
        ("dict", json!({"dict": nested()}), nested()),
        (
            "dataclass",
            json!({"dataclass": {"msg": TEXT, "n": 1}}),
            json!({"msg": TEXT, "n": 1}),
        ),
    ] {
        let topic = format!("kind.{kind}");
        receiver.on(&topic, kind).await;
        sender.emit(&topic, tagged).await;
        let got = receiver.next().await;
        assert_eq!((got.topic, got.value), (topic, expected), "{kind}");
    }
}
