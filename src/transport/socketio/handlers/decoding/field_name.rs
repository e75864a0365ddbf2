//! The name of a field in an object that holds attachments.

use serde::{
    Deserializer,
    de::{Error as _, IntoDeserializer, Unexpected, Visitor},
};

type JsonResult<T> = serde_json::Result<T>;

/// The name of an object's field. A map's keys are read from it as serde_json reads them: numbers and booleans from their text, and
/// the variants of an enum by their names.
pub(super) struct FieldName(pub(super) String);

impl FieldName {
    fn is_no<'de, V: Visitor<'de>>(&self, visitor: &V) -> serde_json::Error {
        serde_json::Error::invalid_type(Unexpected::Str(&self.0), visitor)
    }

    /// Whether it begins and ends as a number does, without white space.
    fn may_be_number(&self) -> bool {
        self.0.starts_with(|c: char| c == '-' || c.is_ascii_digit())
            && self.0.ends_with(|c: char| c.is_ascii_digit())
    }
}

macro_rules! parse_number {
    ($($method:ident)*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> JsonResult<V::Value> {
            if !self.may_be_number() {
                return Err(self.is_no(&visitor));
            }
            // From a reader, because a visitor may not borrow from the name.
            let mut number = serde_json::Deserializer::from_reader(self.0.as_bytes());
            let value = number.$method(visitor)?;
            number.end()?;
            Ok(value)
        }
    )*};
}

impl<'de> Deserializer<'de> for FieldName {
    type Error = serde_json::Error;

    parse_number! {
        deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64 deserialize_i128
        deserialize_u8 deserialize_u16 deserialize_u32 deserialize_u64 deserialize_u128
        deserialize_f32 deserialize_f64
    }

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> JsonResult<V::Value> {
        visitor.visit_string(self.0)
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> JsonResult<V::Value> {
        match self.0.as_str() {
            "true" => visitor.visit_bool(true),
            "false" => visitor.visit_bool(false),
            _ => Err(self.is_no(&visitor)),
        }
    }

    fn deserialize_bytes<V: Visitor<'de>>(self, visitor: V) -> JsonResult<V::Value> {
        self.deserialize_byte_buf(visitor)
    }

    fn deserialize_byte_buf<V: Visitor<'de>>(self, visitor: V) -> JsonResult<V::Value> {
        visitor.visit_byte_buf(self.0.into_bytes())
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> JsonResult<V::Value> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> JsonResult<V::Value> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> JsonResult<V::Value> {
        visitor.visit_enum(self.0.into_deserializer())
    }

    serde::forward_to_deserialize_any! {
        char str string unit unit_struct seq tuple tuple_struct map struct identifier ignored_any
    }
}
