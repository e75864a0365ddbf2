//! A value in the arguments of an event, for a handler's types.
//!
//! What holds no placeholder is read by serde_json alone. An array or object around a placeholder is read one element at a time: the
//! bytes of an element without placeholders are passed over once and parsed once, and the others are opened, each in its turn. So the
//! work is by the bytes of the text, however deep they are.

use std::collections::VecDeque;

use bytes::Bytes;
use serde::{
    Deserialize, Deserializer,
    de::{
        DeserializeSeed, Error as _, MapAccess, SeqAccess, Unexpected, Visitor,
        value::MapAccessDeserializer,
    },
};
use serde_json::value::RawValue;

use super::field_name::FieldName;
use crate::transport::socketio::placeholders::{Holder, Holds};

type JsonResult<T> = serde_json::Result<T>;

/// Levels of arrays and objects around an attachment; as serde_json's limit.
const MAX_DEPTH: usize = 128;

/// One value, in an argument or the argument itself.
#[derive(Clone, Copy)]
pub(super) struct Argument<'a, 'de> {
    /// The whole argument, in which the holders have their ranges.
    pub(super) whole: &'de str,
    pub(super) text: &'de str,
    /// The value as a holder and those in it, or none.
    pub(super) holders: &'a [Holder],
    pub(super) attachments: &'a VecDeque<Bytes>,
    pub(super) depth: usize,
}

/// What is left of an array or object around a placeholder.
struct Content<'a, 'de> {
    whole: &'de str,
    /// Where it begins.
    at: usize,
    holders: &'a [Holder],
    attachments: &'a VecDeque<Bytes>,
    depth: usize,
}

impl<'a, 'de> Argument<'a, 'de> {
    fn plain(self) -> serde_json::Deserializer<serde_json::de::StrRead<'de>> {
        serde_json::Deserializer::from_str(self.text)
    }

    /// Gives a value that is a holder to a visitor.
    fn visit<V: Visitor<'de>>(self, holder: &Holder, visitor: V) -> JsonResult<V::Value> {
        if let Holds::Placeholder(number) = holder.holds {
            let bytes = number.and_then(|number| self.attachments.get(number));
            let missing = || serde_json::Error::custom("an attachment is missing");
            return visitor.visit_byte_buf(bytes.ok_or_else(missing)?.to_vec());
        }
        let mut content = self.open(holder)?;
        let value = match self.is_object() {
            true => visitor.visit_map(&mut content)?,
            false => visitor.visit_seq(&mut content)?,
        };
        content.finish()?;
        Ok(value)
    }

    fn is_object(self) -> bool {
        self.text.starts_with('{')
    }

    fn open(self, holder: &Holder) -> JsonResult<Content<'a, 'de>> {
        if self.depth > MAX_DEPTH {
            return Err(serde_json::Error::custom("a value is nested too deep"));
        }
        Ok(Content {
            whole: self.whole,
            at: holder.range.start + 1,
            holders: self.holders.get(1..).unwrap_or_default(),
            attachments: self.attachments,
            depth: self.depth + 1,
        })
    }
}

macro_rules! plain_or_visit {
    ($($method:ident($($name:ident: $type:ty),*))*) => {$(
        fn $method<V: Visitor<'de>>(self, $($name: $type,)* visitor: V) -> JsonResult<V::Value> {
            match self.holders.first() {
                None => self.plain().$method($($name,)* visitor),
                Some(holder) => self.visit(holder, visitor),
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

    fn deserialize_bytes<V: Visitor<'de>>(self, visitor: V) -> JsonResult<V::Value> {
        self.deserialize_byte_buf(visitor)
    }

    fn deserialize_byte_buf<V: Visitor<'de>>(self, visitor: V) -> JsonResult<V::Value> {
        match self.holders.first() {
            // serde_json would give the bytes of the text, which no client means by it.
            None if self.depth == 0 && self.text.starts_with('"') => Err(
                serde_json::Error::invalid_type(Unexpected::Other("string"), &visitor),
            ),
            None => self.plain().deserialize_byte_buf(visitor),
            Some(holder) => self.visit(holder, visitor),
        }
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
        match self.holders {
            // `RawValue` is one of these, and serde_json knows it.
            [] => self.plain().deserialize_newtype_struct(name, visitor),
            _ => visitor.visit_newtype_struct(self),
        }
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> JsonResult<V::Value> {
        match self.holders.first() {
            None => self.plain().deserialize_enum(name, variants, visitor),
            Some(holder) if self.is_object() && holder.holds == Holds::Others => {
                let mut content = self.open(holder)?;
                let value = visitor.visit_enum(MapAccessDeserializer::new(&mut content))?;
                content.finish()?;
                Ok(value)
            }
            Some(holder) => self.visit(holder, visitor),
        }
    }
}

impl<'a, 'de> Content<'a, 'de> {
    /// Goes to the next element, name or value. Returns whether there is one.
    fn proceed(&mut self) -> bool {
        let rest = &self.whole[self.at..];
        let next = rest.trim_start_matches([' ', '\t', '\n', '\r', ',', ':']);
        self.at += rest.len() - next.len();
        !next.starts_with([']', '}'])
    }

    fn value(&mut self) -> JsonResult<Argument<'a, 'de>> {
        let (text, holders) = match self.holders.first() {
            Some(Holder { range, .. }) if range.start == self.at => {
                let own = self
                    .holders
                    .partition_point(|it| it.range.start < range.end);
                let (own, others) = self.holders.split_at(own);
                self.holders = others;
                self.at = range.end;
                (&self.whole[range.clone()], own)
            }
            _ => (self.parse::<&RawValue>()?.get(), Default::default()),
        };
        Ok(Argument {
            whole: self.whole,
            text,
            holders,
            attachments: self.attachments,
            depth: self.depth,
        })
    }

    /// Parses what comes next, and nothing behind it.
    fn parse<T: Deserialize<'de>>(&mut self) -> JsonResult<T> {
        let rest = serde_json::Deserializer::from_str(&self.whole[self.at..]);
        let mut values = rest.into_iter();
        let missing = || Err(serde_json::Error::custom("a value is missing"));
        let value = values.next().unwrap_or_else(missing)?;
        self.at += values.byte_offset();
        Ok(value)
    }

    /// Checks that a visitor has taken everything.
    fn finish(&mut self) -> JsonResult<()> {
        match self.proceed() {
            true => Err(serde_json::Error::custom("a value has too many elements")),
            false => Ok(()),
        }
    }
}

impl<'de> SeqAccess<'de> for Content<'_, 'de> {
    type Error = serde_json::Error;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> JsonResult<Option<T::Value>> {
        match self.proceed() {
            true => seed.deserialize(self.value()?).map(Some),
            false => Ok(None),
        }
    }
}

impl<'de> MapAccess<'de> for Content<'_, 'de> {
    type Error = serde_json::Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> JsonResult<Option<K::Value>> {
        match self.proceed() {
            true => seed.deserialize(FieldName(self.parse()?)).map(Some),
            false => Ok(None),
        }
    }

    fn next_value_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> JsonResult<T::Value> {
        self.proceed();
        seed.deserialize(self.value()?)
    }
}
