//! What a value is as the arguments of an event: several, one or none.

use std::{convert::Infallible, fmt};

use serde::{
    Serialize, Serializer,
    ser::{Error, Impossible},
};

/// How many arguments a value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// `()`, or a struct without fields.
    Nothing,
    /// A tuple, an array of fixed length or a struct that is a tuple: one for each element.
    Tuple,
    /// Anything else.
    Single,
}

impl Form {
    pub(super) fn of<T: Serialize + ?Sized>(value: &T) -> Self {
        match value.serialize(Probe) {
            Ok(never) => match never {},
            // A dynamic `null` serializes as `()` does; but it takes up memory, as a variant among others.
            Err(Found(Self::Nothing)) if size_of_val(value) > 0 => Self::Single,
            Err(Found(form)) => form,
        }
    }
}

/// Ends a serialization with the form of the value, before any of its parts is serialized.
struct Probe;

/// The form, as the error that ends the serialization.
#[derive(Debug)]
struct Found(Form);

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.0)
    }
}

impl std::error::Error for Found {}

impl Error for Found {
    /// The value fails to serialize; encoding it returns the error.
    fn custom<T: fmt::Display>(_: T) -> Self {
        Self(Form::Single)
    }
}

type Never = Impossible<Infallible, Found>;

macro_rules! found {
    ($form:ident: $($method:ident$(<$t:ident>)?($($argument:ty),*) -> $found:ty;)*) => {$(
        fn $method$(<$t: Serialize + ?Sized>)?(self, $(_: $argument),*) -> Result<$found, Found> {
            Err(Found(Form::$form))
        }
    )*};
}

impl Serializer for Probe {
    type Ok = Infallible;
    type Error = Found;
    type SerializeSeq = Never;
    type SerializeTuple = Never;
    type SerializeTupleStruct = Never;
    type SerializeTupleVariant = Never;
    type SerializeMap = Never;
    type SerializeStruct = Never;
    type SerializeStructVariant = Never;

    found! { Nothing:
        serialize_unit() -> Infallible;
        serialize_unit_struct(&'static str) -> Infallible;
    }

    found! { Tuple:
        serialize_tuple(usize) -> Never;
        serialize_tuple_struct(&'static str, usize) -> Never;
    }

    found! { Single:
        serialize_bool(bool) -> Infallible;
        serialize_i8(i8) -> Infallible;
        serialize_i16(i16) -> Infallible;
        serialize_i32(i32) -> Infallible;
        serialize_i64(i64) -> Infallible;
        serialize_u8(u8) -> Infallible;
        serialize_u16(u16) -> Infallible;
        serialize_u32(u32) -> Infallible;
        serialize_u64(u64) -> Infallible;
        serialize_f32(f32) -> Infallible;
        serialize_f64(f64) -> Infallible;
        serialize_char(char) -> Infallible;
        serialize_str(&str) -> Infallible;
        serialize_bytes(&[u8]) -> Infallible;
        serialize_none() -> Infallible;
        serialize_some<T>(&T) -> Infallible;
        serialize_unit_variant(&'static str, u32, &'static str) -> Infallible;
        serialize_newtype_struct<T>(&'static str, &T) -> Infallible;
        serialize_newtype_variant<T>(&'static str, u32, &'static str, &T) -> Infallible;
        serialize_seq(Option<usize>) -> Never;
        serialize_tuple_variant(&'static str, u32, &'static str, usize) -> Never;
        serialize_map(Option<usize>) -> Never;
        serialize_struct(&'static str, usize) -> Never;
        serialize_struct_variant(&'static str, u32, &'static str, usize) -> Never;
    }
}
