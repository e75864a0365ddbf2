//! JSON from clients, parsed into our types, with error messages in plain words: the one place that knows serde's wording.

use std::{fmt, str::FromStr};

use serde::{
    Deserialize, Deserializer,
    de::{self, DeserializeOwned, Visitor},
};

use crate::error::{Error, Result};

/// Parses a text.
///
/// # Errors
/// `bad_request`, with the path of what is wrong.
pub(crate) fn read<'a, T: Deserialize<'a>>(text: &'a str) -> Result<T> {
    serde_json::from_str(text).map_err(|error| {
        // Only invalid input is parsed a second time, to find the path.
        let mut again = serde_json::Deserializer::from_str(text);
        let found = serde_path_to_error::deserialize::<_, T>(&mut again).err();
        error_for(
            &error,
            found.map(|error| error.path().to_string()).as_deref(),
        )
    })
}

/// Parses bytes. A byte order mark at the start, as some systems write it, is skipped.
pub(super) fn read_bytes<T: DeserializeOwned>(bytes: &[u8]) -> Result<T> {
    let bytes = bytes.strip_prefix("\u{feff}".as_bytes()).unwrap_or(bytes);
    match std::str::from_utf8(bytes) {
        Ok(text) => read(text),
        Err(_) => Err(Error::bad_request("invalid JSON: it is not UTF-8")),
    }
}

fn error_for(error: &serde_json::Error, path: Option<&str>) -> Error {
    if error.is_syntax() || error.is_eof() {
        return Error::bad_request("invalid JSON");
    }
    let text = error.to_string();
    // A position in the text means nothing to a client that sent an object.
    let text = text
        .rsplit_once(" at line ")
        .map_or(&*text, |(what, _)| what);
    Error::bad_request(in_words(path.unwrap_or("."), text))
}

/// What serde says about a field, in plain words.
pub(super) fn in_words(path: &str, message: &str) -> String {
    let what = plain(message);
    match path {
        "." | "" | "?" => what,
        // Reported at the object that has the field, and names the field already.
        _ if message.starts_with("missing field") || message.starts_with("duplicate field") => what,
        path => format!("{path}: {what}"),
    }
}

fn plain(message: &str) -> String {
    let between = |start: &str| {
        let rest = message.strip_prefix(start)?.strip_prefix('`')?;
        rest.split_once('`').map(|(name, _)| name)
    };
    if let Some(field) = between("missing field ") {
        return format!("{field}: is missing");
    }
    if let Some(field) = between("duplicate field ") {
        return format!("{field}: is there twice");
    }
    if let Some((_, expected)) = message
        .strip_prefix("unknown variant ")
        .and_then(|rest| rest.split_once(", expected "))
    {
        return format!("{} is expected", expected.replace('`', ""));
    }
    let mismatch = ["invalid type: ", "invalid value: ", "invalid length "];
    let mismatch = mismatch
        .iter()
        .find_map(|start| message.strip_prefix(start));
    if let Some((got, expected)) = mismatch.and_then(|rest| rest.split_once(", expected ")) {
        return format!(
            "{} is expected, not {}",
            type_in_words(expected),
            value_in_words(got)
        );
    }
    match message {
        "invalid digit found in string" | "cannot parse integer from empty string" => {
            "a whole number is expected".to_owned()
        }
        "number too large to fit in target type" | "number too small to fit in target type" => {
            "the number is too large".to_owned()
        }
        "invalid float literal" | "cannot parse float from empty string" => {
            "a number is expected".to_owned()
        }
        message if message.starts_with("provided string was not `true`") => {
            "true or false is expected".to_owned()
        }
        message => message.to_owned(),
    }
}

/// What was expected, from serde's name for it.
fn type_in_words(name: &str) -> &str {
    match name {
        "u8" | "u16" | "u32" | "u64" | "usize" => "a whole number, 0 or more,",
        "i8" | "i16" | "i32" | "i64" | "isize" => "a whole number",
        "f32" | "f64" => "a number",
        "a boolean" => "true or false",
        "a sequence" => "an array",
        "a map" => "an object",
        _ if name.starts_with("struct ") => "an object",
        _ if name.starts_with("a sequence") || name.starts_with("a tuple") => "an array",
        name => name,
    }
}

/// What was found instead. Its text is not repeated: the client has it, and it may be long.
fn value_in_words(got: &str) -> &str {
    let kind = got.split(' ').next().unwrap_or(got);
    match kind {
        "integer" | "floating" | "number" => got
            .split_once('`')
            .and_then(|(_, rest)| rest.split_once('`'))
            .map_or("a number", |(number, _)| number),
        "string" | "character" => "a string",
        "boolean" => "a truth value",
        "null" | "unit" | "Option" => "null",
        "sequence" => "an array",
        "map" => "an object",
        _ => "this",
    }
}

/// A name or an id: a string, or a number, which stands for its digits, because ids from a database are numbers. Keeps the error
/// of parsing `T` as it is; through serde only its message would survive.
#[derive(Debug)]
pub(crate) struct StringOrNumber<T>(Result<T>);

impl<T> StringOrNumber<T> {
    /// The parsed value.
    ///
    /// # Errors
    /// The string is no `T`.
    pub(crate) fn get(self) -> Result<T> {
        self.0
    }
}

/// The parsed value of an optional name.
///
/// # Errors
/// The string is no `T`.
pub(crate) fn parse_optional<T>(name: Option<StringOrNumber<T>>) -> Result<Option<T>> {
    name.map(StringOrNumber::get).transpose()
}

impl<'de, T: FromStr<Err = Error>> Deserialize<'de> for StringOrNumber<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text<T>(std::marker::PhantomData<T>);

        impl<T: FromStr<Err = Error>> Visitor<'_> for Text<T> {
            type Value = StringOrNumber<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string or a whole number")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Self::Value, E> {
                Ok(StringOrNumber(text.parse()))
            }

            fn visit_u64<E: de::Error>(self, number: u64) -> Result<Self::Value, E> {
                self.visit_str(&number.to_string())
            }
        }

        deserializer.deserialize_any(Text(std::marker::PhantomData))
    }
}

#[cfg(test)]
mod tests;
