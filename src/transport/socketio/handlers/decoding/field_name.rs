//! The name of a field in an object that holds attachments.

use serde::{
    Deserializer,
    de::{IntoDeserializer, Visitor},
};
use serde_json::Number;

type JsonResult<T> = serde_json::Result<T>;

/// The name of an object's field, which is read as a number where a map has numbers for keys.
pub(super) struct FieldName(pub(super) String);

macro_rules! parse_number {
    ($($method:ident)*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> JsonResult<V::Value> {
            match serde_json::from_str::<Number>(&self.0) {
                Ok(number) => number.$method(visitor),
                Err(_) => visitor.visit_string(self.0),
            }
        }
    )*};
}

impl<'de> Deserializer<'de> for FieldName {
    type Error = serde_json::Error;

    parse_number! {
        deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64 deserialize_i128
        deserialize_u8 deserialize_u16 deserialize_u32 deserialize_u64 deserialize_u128
    }

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> JsonResult<V::Value> {
        visitor.visit_string(self.0)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> JsonResult<V::Value> {
        visitor.visit_newtype_struct(self)
    }

    serde::forward_to_deserialize_any! {
        bool f32 f64 char str string bytes byte_buf option unit unit_struct seq tuple tuple_struct map
        struct enum identifier ignored_any
    }
}

impl IntoDeserializer<'_, serde_json::Error> for FieldName {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}
