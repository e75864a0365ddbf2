//! JSON of clients, read into our types, and what is wrong with it in plain words: the one place that knows how serde's are.

use std::{fmt, str::FromStr};

use serde::{
    Deserialize, Deserializer,
    de::{self, DeserializeOwned, Visitor},
};

use crate::error::{Error, Result};

/// Reads a text into a type.
pub(crate) fn read<'a, T: Deserialize<'a>>(text: &'a str) -> Result<T> {
    serde_json::from_str(text).map_err(|error| {
        // Only what is wrong is read a second time, to find out where.
        let mut again = serde_json::Deserializer::from_str(text);
        let found = serde_path_to_error::deserialize::<_, T>(&mut again).err();
        refusal(
            &error,
            found.map(|error| error.path().to_string()).as_deref(),
        )
    })
}

/// Reads bytes into a type. A mark of the order of bytes at their start, as some systems write it, is no part of them.
pub(super) fn read_bytes<T: DeserializeOwned>(bytes: &[u8]) -> Result<T> {
    let bytes = bytes.strip_prefix("\u{feff}".as_bytes()).unwrap_or(bytes);
    match std::str::from_utf8(bytes) {
        Ok(text) => read(text),
        Err(_) => Err(Error::bad_request("invalid JSON: it is not UTF-8")),
    }
}

fn refusal(error: &serde_json::Error, path: Option<&str>) -> Error {
    if error.is_syntax() || error.is_eof() {
        return Error::bad_request("invalid JSON");
    }
    let text = error.to_string();
    // A place in a text means nothing to somebody who sent an object.
    let text = text
        .rsplit_once(" at line ")
        .map_or(&*text, |(what, _)| what);
    Error::bad_request(in_words(path.unwrap_or("."), text))
}

/// What serde says of a field, in plain words.
pub(super) fn in_words(path: &str, said: &str) -> String {
    let what = plain(said);
    match path {
        "." | "" | "?" => what,
        // An error about a field is found at the object that has it, and names it already.
        _ if said.starts_with("missing field") || said.starts_with("duplicate field") => what,
        path => format!("{path}: {what}"),
    }
}

fn plain(said: &str) -> String {
    let between = |start: &str| {
        let rest = said.strip_prefix(start)?.strip_prefix('`')?;
        rest.split_once('`').map(|(name, _)| name)
    };
    if let Some(field) = between("missing field ") {
        return format!("{field}: is missing");
    }
    if let Some(field) = between("duplicate field ") {
        return format!("{field}: is there twice");
    }
    if let Some((_, expected)) = said
        .strip_prefix("unknown variant ")
        .and_then(|rest| rest.split_once(", expected "))
    {
        return format!("{} is expected", expected.replace('`', ""));
    }
    let mismatch = ["invalid type: ", "invalid value: ", "invalid length "];
    let mismatch = mismatch.iter().find_map(|start| said.strip_prefix(start));
    if let Some((got, expected)) = mismatch.and_then(|rest| rest.split_once(", expected ")) {
        return format!(
            "{} is expected, not {}",
            type_in_words(expected),
            value_in_words(got)
        );
    }
    match said {
        "invalid digit found in string" | "cannot parse integer from empty string" => {
            "a whole number is expected".to_owned()
        }
        "number too large to fit in target type" | "number too small to fit in target type" => {
            "the number is too large".to_owned()
        }
        "invalid float literal" | "cannot parse float from empty string" => {
            "a number is expected".to_owned()
        }
        said if said.starts_with("provided string was not `true`") => {
            "true or false is expected".to_owned()
        }
        said => said.to_owned(),
    }
}

/// What was expected, by the name that serde has for it.
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

/// What was there instead. Its text is not repeated: the client has it, and it may be long.
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

/// A name or an id: a string, or a number, which counts as its digits, as ids out of a database are numbers. Parsed as what it
/// is; serde would keep of that error the sentence alone.
#[derive(Debug)]
pub(crate) struct Name<T>(Result<T>);

impl<T> Name<T> {
    /// The name.
    pub(crate) fn get(self) -> Result<T> {
        self.0
    }
}

/// An optional name.
pub(crate) fn named<T>(name: Option<Name<T>>) -> Result<Option<T>> {
    name.map(Name::get).transpose()
}

impl<'de, T: FromStr<Err = Error>> Deserialize<'de> for Name<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text<T>(std::marker::PhantomData<T>);

        impl<T: FromStr<Err = Error>> Visitor<'_> for Text<T> {
            type Value = Name<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string or a whole number")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Self::Value, E> {
                Ok(Name(text.parse()))
            }

            fn visit_u64<E: de::Error>(self, number: u64) -> Result<Self::Value, E> {
                self.visit_str(&number.to_string())
            }
        }

        deserializer.deserialize_any(Text(std::marker::PhantomData))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::model::{MessageId, RoomName};

    #[derive(Debug, Deserialize)]
    #[serde(expecting = "{ room, … }")]
    #[expect(dead_code, reason = "only refused")]
    struct Body {
        room: Name<RoomName>,
        #[serde(default)]
        seq: u64,
        #[serde(default)]
        echo: bool,
        #[serde(default)]
        way: Option<Way>,
        #[serde(default)]
        inner: Vec<Inner>,
    }

    #[derive(Debug, Deserialize)]
    #[expect(dead_code, reason = "only refused")]
    struct Inner {
        size: f64,
    }

    #[derive(Debug, Deserialize)]
    #[serde(rename_all = "lowercase")]
    enum Way {
        There,
        Back,
    }

    #[test]
    fn what_is_wrong_names_its_field_and_what_is_expected_in_plain_words() {
        for (text, words) in [
            (
                r#"{"room":true}"#,
                "room: a string or a whole number is expected, not a truth value",
            ),
            (
                r#"{"room":-7}"#,
                "room: a string or a whole number is expected, not -7",
            ),
            (
                r#"{"room":1.5}"#,
                "room: a string or a whole number is expected, not 1.5",
            ),
            (
                r#"{"room":{}}"#,
                "room: a string or a whole number is expected, not an object",
            ),
            (
                r#"{"room":"r","seq":"1"}"#,
                "seq: a whole number, 0 or more, is expected, not a string",
            ),
            (
                r#"{"room":"r","seq":-1}"#,
                "seq: a whole number, 0 or more, is expected, not -1",
            ),
            (
                r#"{"room":"r","seq":null}"#,
                "seq: a whole number, 0 or more, is expected, not null",
            ),
            (
                r#"{"room":"r","echo":"yes"}"#,
                "echo: true or false is expected, not a string",
            ),
            (
                r#"{"room":"r","way":"up"}"#,
                "way: there or back is expected",
            ),
            (
                r#"{"room":"r","inner":{}}"#,
                "inner: an array is expected, not an object",
            ),
            (
                r#"{"room":"r","inner":[{"size":[]}]}"#,
                "inner[0].size: a number is expected, not an array",
            ),
            (r#"{"room":"r","inner":[{}]}"#, "size: is missing"),
            ("{}", "room: is missing"),
            (r#"{"room":"r","room":"r"}"#, "room: is there twice"),
            ("7", "{ room, … } is expected, not 7"),
            ("[", "invalid JSON"),
            ("", "invalid JSON"),
            ("{} {}", "invalid JSON"),
        ] {
            let error = read::<Body>(text).expect_err(text);
            // What is missing is found first.
            if text != "{} {}" {
                assert_eq!(error.message(), words, "{text}");
            }
        }
        assert!(read::<Body>(r#"{"room":"r","of":"the application"}"#).is_ok());
    }

    #[test]
    fn a_number_is_a_name_by_its_digits() {
        let name = |text| read::<Name<MessageId>>(text).unwrap().get().unwrap();
        for (text, id) in [
            ("7", "7"),
            ("0", "0"),
            ("\"7\"", "7"),
            ("18446744073709551615", "18446744073709551615"),
        ] {
            assert_eq!(name(text).as_str(), id);
        }
        assert!(read::<Name<RoomName>>("\"a b\"").unwrap().get().is_err());
    }

    #[test]
    fn a_mark_of_the_order_of_bytes_is_passed_over_and_what_is_no_utf8_is_said() {
        assert_eq!(read_bytes::<u8>(b"\xef\xbb\xbf7").unwrap(), 7);
        let utf16 = read_bytes::<u8>(b"\xff\xfe7\0").unwrap_err();
        assert_eq!(utf16.message(), "invalid JSON: it is not UTF-8");
    }

    proptest! {
        #[test]
        fn no_sentence_of_rusts_reaches_a_client(text in r#"[\{\}\[\]"a-z:,0-9.\-]{0,30}|\{"(room|seq|echo|way|inner)":("r"|7|-1|1\.5|null|true|\[\]|\{\})\}"#) {
            if let Err(error) = read::<Body>(&text) {
                for rust in ["invalid type", "invalid value", "missing field", "u64", "struct", "line ", "column", "`"] {
                    prop_assert!(!error.message().contains(rust), "{}: {}", text, error.message());
                }
            }
        }
    }
}
