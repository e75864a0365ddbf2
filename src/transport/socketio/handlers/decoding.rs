//! Reads the arguments of an event into a handler's types: serde's data model over JSON text whose placeholders are bytes.
//!
//! socketioxide's own decoder takes attachments in the order in which placeholders occur, not by their numbers, finds none in an
//! `Option`, and fails at objects whose first key is written with escapes. Here what holds no placeholder is read by serde_json
//! alone, and what does is opened.

use std::collections::VecDeque;

use bytes::Bytes;
use serde::{
    Deserializer,
    de::{DeserializeOwned, DeserializeSeed, SeqAccess, Visitor},
};
use serde_json::value::RawValue;

use crate::{
    error::{Error, Result},
    transport::socketio::placeholders::{Holder, find_placeholders},
};
use argument::Argument;

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
        let values = elements.iter().skip(1).map(|value| Value {
            text: value.get(),
            holders: match attachments.is_empty() {
                true => Vec::new(),
                false => find_placeholders(value.get()),
            },
        });
        T::deserialize(Arguments {
            values: &values.collect::<Vec<_>>(),
            attachments,
        })
    });
    decoded.map_err(|error| Error::bad_request(format!("the arguments do not fit: {error}")))
}

/// Tuples that serde knows have up to 16 elements, and arrays 32.
const MAX_TUPLE: usize = 32;

/// The text of an argument, and what is a placeholder in it.
struct Value<'de> {
    text: &'de str,
    holders: Vec<Holder>,
}

/// All arguments of an event: each is an element of a tuple; anything else is the first.
struct Arguments<'a, 'de> {
    values: &'a [Value<'de>],
    attachments: &'a VecDeque<Bytes>,
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
            deserialize_string() deserialize_seq() deserialize_map() deserialize_identifier()
            deserialize_ignored_any()
            deserialize_struct(name: &'static str, fields: &'static [&'static str])
        }
    };
}

// Behind the macro, which it uses.
mod argument;
mod field_name;

impl<'a, 'de> Arguments<'a, 'de> {
    /// The first argument.
    fn first(self) -> Argument<'a, 'de> {
        let (text, holders) = match self.values.first() {
            Some(value) => (value.text, value.holders.as_slice()),
            None => ("null", Default::default()),
        };
        Argument {
            whole: text,
            text,
            holders,
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
        deserialize_bytes()
        deserialize_byte_buf()
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

#[cfg(test)]
mod tests;
