//! What can only be text: the key of a map, and JSON that somebody has written already.

use super::text::string;
use super::value::{Reason, Unwritable, float, integer};
use serde::ser::{Impossible, Serialize, Serializer};

type Never = Impossible<(), Unwritable>;

pub(super) struct Key<'a> {
    out: &'a mut Vec<u8>,
    verbatim: bool,
}

impl<'a> Key<'a> {
    /// A key: whatever it is, it becomes a string.
    pub(super) fn quoted(out: &'a mut Vec<u8>) -> Self {
        Self { out, verbatim: false }
    }

    /// Text that is JSON already.
    pub(super) fn verbatim(out: &'a mut Vec<u8>) -> Self {
        Self { out, verbatim: true }
    }

    fn between_quotes(
        self,
        write: impl FnOnce(&mut Vec<u8>) -> Result<(), Unwritable>,
    ) -> Result<(), Unwritable> {
        self.out.push(b'"');
        write(self.out)?;
        self.out.push(b'"');
        Ok(())
    }
}

macro_rules! integers {
    ($($method:ident($type:ty))*) => {$(
        fn $method(self, value: $type) -> Result<(), Unwritable> {
            self.between_quotes(|out| {
                integer(value, out);
                Ok(())
            })
        }
    )*};
}

macro_rules! no_key {
    ($($method:ident($($argument:ty),*) $result:ty;)*) => {$(
        fn $method(self, $(_: $argument),*) -> Result<$result, Unwritable> {
            Err(Reason::Key.into())
        }
    )*};
}

impl Serializer for Key<'_> {
    type Ok = ();
    type Error = Unwritable;
    type SerializeSeq = Never;
    type SerializeTuple = Never;
    type SerializeTupleStruct = Never;
    type SerializeTupleVariant = Never;
    type SerializeMap = Never;
    type SerializeStruct = Never;
    type SerializeStructVariant = Never;

    integers! {
        serialize_i8(i8) serialize_i16(i16) serialize_i32(i32) serialize_i64(i64) serialize_i128(i128)
        serialize_u8(u8) serialize_u16(u16) serialize_u32(u32) serialize_u64(u64) serialize_u128(u128)
    }

    fn serialize_bool(self, value: bool) -> Result<(), Unwritable> {
        self.serialize_str(if value { "true" } else { "false" })
    }

    fn serialize_f32(self, value: f32) -> Result<(), Unwritable> {
        self.between_quotes(|out| float(value, value.is_finite(), out))
    }

    fn serialize_f64(self, value: f64) -> Result<(), Unwritable> {
        self.between_quotes(|out| float(value, value.is_finite(), out))
    }

    fn serialize_char(self, value: char) -> Result<(), Unwritable> {
        self.serialize_str(value.encode_utf8(&mut [0; 4]))
    }

    fn serialize_str(self, value: &str) -> Result<(), Unwritable> {
        if self.verbatim {
            self.out.extend_from_slice(value.as_bytes());
        } else {
            string(value, self.out);
        }
        Ok(())
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<(), Unwritable> {
        value.serialize(self)
    }

    fn serialize_unit_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
    ) -> Result<(), Unwritable> {
        self.serialize_str(variant)
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        value: &T,
    ) -> Result<(), Unwritable> {
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: &T,
    ) -> Result<(), Unwritable> {
        Err(Reason::Key.into())
    }

    no_key! {
        serialize_bytes(&[u8]) ();
        serialize_none() ();
        serialize_unit() ();
        serialize_unit_struct(&'static str) ();
        serialize_seq(Option<usize>) Never;
        serialize_tuple(usize) Never;
        serialize_tuple_struct(&'static str, usize) Never;
        serialize_tuple_variant(&'static str, u32, &'static str, usize) Never;
        serialize_map(Option<usize>) Never;
        serialize_struct(&'static str, usize) Never;
        serialize_struct_variant(&'static str, u32, &'static str, usize) Never;
    }
}

#[cfg(test)]
mod tests {
    use crate::codec::json::value::write;
    use serde::Serialize;
    use std::collections::BTreeMap;

    fn written<T: Serialize>(value: &T) -> Result<String, String> {
        let mut out = Vec::new();
        write(value, &mut out).map_err(|error| error.to_string())?;
        Ok(String::from_utf8(out).unwrap())
    }

    #[derive(PartialEq, Eq, PartialOrd, Ord, Serialize)]
    enum Name {
        Plain,
        New(u8),
    }

    #[derive(PartialEq, Eq, PartialOrd, Ord, Serialize)]
    struct Wrapped(&'static str);

    #[test]
    fn keys_become_strings() {
        fn same<K: Serialize + Ord>(key: K) {
            let map = BTreeMap::from([(key, 1)]);
            assert_eq!(written(&map).unwrap(), serde_json::to_string(&map).unwrap());
        }
        same("\"a\"\n");
        same('\'');
        same(true);
        same(i8::MIN);
        same(u64::MAX);
        same(i128::MIN);
        same(Some("some"));
        same(Name::Plain);
        same(Wrapped("inside"));
    }

    #[test]
    fn keys_that_are_no_text_are_refused() {
        fn refused<K: Serialize + Ord>(key: K) {
            let error = written(&BTreeMap::from([(key, 1)])).unwrap_err();
            assert!(error.contains("a key of a map"), "{error}");
        }
        refused(());
        refused(vec![1]);
        refused((1, 2));
        refused(None::<&str>);
        refused(Name::New(1));
        refused(BTreeMap::from([("a", 1)]));
    }

    /// As `serde_json` passes on text that is JSON already.
    #[test]
    fn json_inside_is_left_as_it_is() {
        #[derive(Serialize)]
        #[serde(rename = "$serde_json::private::RawValue")]
        struct Inside {
            #[serde(rename = "$serde_json::private::RawValue")]
            json: &'static str,
        }
        let json = r#"{"a": [1, "b"]}"#;
        assert_eq!(written(&[Inside { json }]).unwrap(), format!("[{json}]"));
    }
}
