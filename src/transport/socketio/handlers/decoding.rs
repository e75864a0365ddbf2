//! Reads the arguments of an event into a handler's types: serde's data model over JSON text whose placeholders are bytes.
//!
//! socketioxide's own decoder takes attachments in the order in which placeholders occur, not by their numbers, finds none in an
//! `Option`, and fails at objects whose first key is written with escapes. Here what holds no placeholder is read by serde_json
//! alone, and what does is read one level at a time.

use std::collections::VecDeque;

mod field_name;

use bytes::Bytes;
use serde::{
    Deserializer,
    de::{
        DeserializeOwned, DeserializeSeed, Error as _, IntoDeserializer, SeqAccess, Visitor,
        value::{MapAccessDeserializer, MapDeserializer, SeqDeserializer},
    },
};
use serde_json::value::RawValue;

use crate::{
    error::{Error, Result},
    transport::socketio::placeholders::JsonShape,
};
use field_name::FieldName;

type JsonResult<T> = serde_json::Result<T>;

/// Reads the arguments of an event, `["name", argument…]`, whose placeholders have been checked.
///
/// # Errors
/// `bad_request` if they are no `T`.
pub(super) fn decode<T: DeserializeOwned>(
    text: &str,
    attachments: Option<&VecDeque<Bytes>>,
) -> Result<T> {
    let none = VecDeque::new();
    let attachments = attachments.unwrap_or(&none);
    let decoded = serde_json::from_str(text).and_then(|elements: Vec<&RawValue>| {
        let values = elements.get(1..).unwrap_or_default();
        T::deserialize(Arguments {
            values,
            attachments,
        })
    });
    decoded.map_err(|error| Error::bad_request(format!("the arguments do not fit: {error}")))
}

/// Tuples that serde knows have up to 16 elements, and arrays 32.
const MAX_TUPLE: usize = 32;

/// Levels of arrays and objects around an attachment; as serde_json's limit.
const MAX_DEPTH: usize = 128;

/// All arguments of an event: each is an element of a tuple; anything else is the first.
struct Arguments<'a, 'de> {
    values: &'a [&'de RawValue],
    attachments: &'a VecDeque<Bytes>,
}

/// One value, in an argument or the argument itself.
struct Argument<'a, 'de> {
    text: &'de str,
    attachments: &'a VecDeque<Bytes>,
    depth: usize,
}

/// The arguments as elements of a tuple. As in JavaScript, those that are missing are nothing, and more are ignored.
struct Elements<'a, 'de> {
    arguments: Arguments<'a, 'de>,
    missing: usize,
}

/// Names the methods of `Deserializer` that all arguments and a single one implement alike, each in its own way.
macro_rules! for_each_type {
    ($with:ident) => {
        $with! {
            deserialize_any() deserialize_bool()
            deserialize_i8() deserialize_i16() deserialize_i32() deserialize_i64() deserialize_i128()
            deserialize_u8() deserialize_u16() deserialize_u32() deserialize_u64() deserialize_u128()
            deserialize_f32() deserialize_f64() deserialize_char() deserialize_str()
            deserialize_string() deserialize_bytes() deserialize_byte_buf() deserialize_seq()
            deserialize_map() deserialize_identifier() deserialize_ignored_any()
            deserialize_struct(name: &'static str, fields: &'static [&'static str])
        }
    };
}

impl<'a, 'de> Arguments<'a, 'de> {
    /// The first argument.
    fn first(self) -> Argument<'a, 'de> {
        Argument {
            text: self.values.first().map_or("null", |value| value.get()),
            attachments: self.attachments,
            depth: 0,
        }
    }
}

macro_rules! to_first {
    ($($method:ident($($name:ident: $type:ty),*))*) => {$(
        fn $method<V: Visitor<'de>>(self, $($name: $type,)* visitor: V) -> JsonResult<V::Value> {
            self.first().$method($($name,)* visitor)
        }
    )*};
}

impl<'de> Deserializer<'de> for Arguments<'_, 'de> {
    type Error = serde_json::Error;

    for_each_type!(to_first);

    to_first! {
        deserialize_option()
        deserialize_newtype_struct(name: &'static str)
        deserialize_enum(name: &'static str, variants: &'static [&'static str])
    }

    fn deserialize_unit<V: Visitor<'de>>(self, visitor: V) -> JsonResult<V::Value> {
        visitor.visit_unit()
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> JsonResult<V::Value> {
        visitor.visit_unit()
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, len: usize, visitor: V) -> JsonResult<V::Value> {
        visitor.visit_seq(Elements {
            missing: len.min(MAX_TUPLE).saturating_sub(self.values.len()),
            arguments: self,
        })
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        len: usize,
        visitor: V,
    ) -> JsonResult<V::Value> {
        self.deserialize_tuple(len, visitor)
    }
}

impl<'de> SeqAccess<'de> for Elements<'_, 'de> {
    type Error = serde_json::Error;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> JsonResult<Option<T::Value>> {
        let Arguments {
            values,
            attachments,
        } = self.arguments;
        if values.is_empty() && self.missing == 0 {
            return Ok(None);
        }
        if values.is_empty() {
            self.missing -= 1;
        }
        self.arguments.values = values.get(1..).unwrap_or_default();
        let arguments = Arguments {
            values,
            attachments,
        };
        seed.deserialize(arguments.first()).map(Some)
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.arguments.values.len() + self.missing)
    }
}

impl<'a, 'de> Argument<'a, 'de> {
    fn shape(&self) -> JsonResult<JsonShape<'de>> {
        match self.attachments.is_empty() {
            true => Ok(JsonShape::Plain),
            false => JsonShape::of(self.text),
        }
    }

    /// A value within this one.
    fn inner(&self, value: &'de RawValue) -> Self {
        Self {
            text: value.get(),
            attachments: self.attachments,
            depth: self.depth + 1,
        }
    }

    /// Gives a value that is not plain to a visitor.
    fn visit<V: Visitor<'de>>(self, shape: JsonShape<'de>, visitor: V) -> JsonResult<V::Value> {
        if self.depth > MAX_DEPTH {
            return Err(serde_json::Error::custom("a value is nested too deep"));
        }
        match shape {
            JsonShape::Plain => {
                serde_json::Deserializer::from_str(self.text).deserialize_any(visitor)
            }
            JsonShape::Placeholder(number) => {
                let bytes = number.and_then(|number| self.attachments.get(number));
                let bytes =
                    bytes.ok_or_else(|| serde_json::Error::custom("an attachment is missing"))?;
                visitor.visit_byte_buf(bytes.to_vec())
            }
            JsonShape::Array(items) => {
                let items = items.into_iter().map(|item| self.inner(item));
                let mut sequence = SeqDeserializer::new(items);
                let value = visitor.visit_seq(&mut sequence)?;
                sequence.end()?;
                Ok(value)
            }
            JsonShape::Object(fields) => visitor.visit_map(self.fields(fields)),
        }
    }

    fn fields(
        &self,
        fields: Vec<(String, &'de RawValue)>,
    ) -> MapDeserializer<'de, impl Iterator<Item = (FieldName, Self)>, serde_json::Error> {
        let fields = fields
            .into_iter()
            .map(|(name, value)| (FieldName(name), self.inner(value)));
        MapDeserializer::new(fields.collect::<Vec<_>>().into_iter())
    }
}

macro_rules! plain_or_visit {
    ($($method:ident($($name:ident: $type:ty),*))*) => {$(
        fn $method<V: Visitor<'de>>(self, $($name: $type,)* visitor: V) -> JsonResult<V::Value> {
            match self.shape()? {
                JsonShape::Plain => serde_json::Deserializer::from_str(self.text).$method($($name,)* visitor),
                shape => self.visit(shape, visitor),
            }
        }
    )*};
}

impl<'de> Deserializer<'de> for Argument<'_, 'de> {
    type Error = serde_json::Error;

    for_each_type!(plain_or_visit);

    plain_or_visit! {
        deserialize_unit()
        deserialize_unit_struct(name: &'static str)
        deserialize_tuple(len: usize)
        deserialize_tuple_struct(name: &'static str, len: usize)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> JsonResult<V::Value> {
        match self.text {
            "null" => visitor.visit_none(),
            _ => visitor.visit_some(self),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> JsonResult<V::Value> {
        match self.shape()? {
            // `RawValue` is one of these, and serde_json knows it.
            JsonShape::Plain => serde_json::Deserializer::from_str(self.text)
                .deserialize_newtype_struct(name, visitor),
            _ => visitor.visit_newtype_struct(self),
        }
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> JsonResult<V::Value> {
        match self.shape()? {
            JsonShape::Plain => serde_json::Deserializer::from_str(self.text)
                .deserialize_enum(name, variants, visitor),
            JsonShape::Object(fields) => {
                visitor.visit_enum(MapAccessDeserializer::new(self.fields(fields)))
            }
            shape => self.visit(shape, visitor),
        }
    }
}

impl<'de> IntoDeserializer<'de, serde_json::Error> for Argument<'_, 'de> {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}

#[cfg(test)]
mod tests;
