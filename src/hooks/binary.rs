//! Binary values in JSON: `{ "$binary": "<base64>" }`, as endpoints send and receive them.

use std::borrow::Cow;

use base64::{
    Engine,
    alphabet::STANDARD as ALPHABET,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use bytes::Bytes;

use crate::model::EventPayload;

/// The key of a binary value.
const KEY: &str = r#""$binary""#;

/// Most binary values in one event or ack: clients that get more close their connection.
const MAX_BINARIES: usize = 10;

/// Base64 with or without its padding, which some languages leave out.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &ALPHABET,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Appends a binary value.
pub(crate) fn push_binary(text: &mut String, bytes: &[u8]) {
    text.push_str(r#"{"$binary":""#);
    BASE64.encode_string(bytes, text);
    text.push_str(r#""}"#);
}

/// Makes an event of a JSON array: binary values become attachments.
///
/// # Errors
/// What is wrong with a binary value.
pub(super) fn to_payload(array: &str) -> Result<EventPayload, String> {
    if !array.contains(KEY) {
        return Ok(EventPayload {
            text: array.into(),
            attachments: Vec::new(),
        });
    }
    let (mut text, mut attachments) = (String::with_capacity(array.len()), Vec::new());
    let (mut at, mut copied) = (0, 0);
    while let Some(byte) = array.as_bytes().get(at) {
        match byte {
            b'"' => at = end_of_string(array, at),
            b'{' => match binary_at(array, at)? {
                Some((end, bytes)) => {
                    if attachments.len() == MAX_BINARIES {
                        return Err(format!(
                            "more than {MAX_BINARIES} binary values in one event"
                        ));
                    }
                    text += &array[copied..at];
                    text += &format!(r#"{{"_placeholder":true,"num":{}}}"#, attachments.len());
                    attachments.push(bytes);
                    (at, copied) = (end, end);
                }
                None => at += 1,
            },
            _ => at += 1,
        }
    }
    if !attachments.is_empty() && array.contains("_placeholder") {
        // Clients would take what is no binary value for one.
        return Err("an event with binary values has the name _placeholder in it".to_owned());
    }
    text += &array[copied..];
    Ok(EventPayload {
        text: text.into(),
        attachments,
    })
}

/// The binary value that begins at `{`, and where it ends; `None` if it is another object.
fn binary_at(text: &str, at: usize) -> Result<Option<(usize, Bytes)>, String> {
    let skip = |from: usize| from + text[from..].len() - text[from..].trim_ascii_start().len();
    let key = skip(at + 1);
    if !text[key..].starts_with(KEY) {
        return Ok(None);
    }
    let colon = skip(key + KEY.len());
    let value = skip(colon + 1);
    if !text[colon..].starts_with(':') || !text[value..].starts_with('"') {
        return Ok(None);
    }
    let value_end = end_of_string(text, value);
    let end = skip(value_end);
    if !text[end..].starts_with('}') {
        return Ok(None);
    }
    let wrong = || "a $binary is no Base64".to_owned();
    // Some languages write its slashes with escapes.
    let encoded: Cow<'_, str> = match text[value + 1..value_end - 1].contains('\\') {
        true => serde_json::from_str::<String>(&text[value..value_end])
            .map_err(|_| wrong())?
            .into(),
        false => text[value + 1..value_end - 1].into(),
    };
    let bytes = BASE64.decode(&*encoded).map_err(|_| wrong())?;
    Ok(Some((end + 1, bytes.into())))
}

/// The position behind the string that begins at a quotation mark of valid JSON.
fn end_of_string(text: &str, at: usize) -> usize {
    let bytes = text.as_bytes();
    let mut end = at + 1;
    while let Some(byte) = bytes.get(end) {
        match byte {
            b'\\' => end += 2,
            b'"' => return end + 1,
            _ => end += 1,
        }
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn convert(array: &str) -> (String, Vec<Vec<u8>>) {
        let payload = to_payload(array).unwrap();
        let attachments = payload.attachments.iter().map(|bytes| bytes.to_vec());
        (payload.text.to_string(), attachments.collect())
    }

    #[test]
    fn binary_values_become_attachments_wherever_they_are() {
        let (text, attachments) =
            convert(r#"["a",{"$binary":"AQI="},[{"x":{ "$binary" : "\/\/8" }}],{"$binary":""}]"#);
        assert_eq!(
            text,
            r#"["a",{"_placeholder":true,"num":0},[{"x":{"_placeholder":true,"num":1}}],{"_placeholder":true,"num":2}]"#
        );
        assert_eq!(attachments, [vec![1, 2], vec![255, 255], vec![]]);
    }

    #[test]
    fn what_only_looks_like_a_binary_value_stays() {
        for array in [
            r#"["{\"$binary\":\"AQI=\"}"]"#,
            r#"[{"$binary":1}]"#,
            r#"[{"$binary":"AQI=","more":1}]"#,
            r#"[{"more":1,"$binary":"AQI="}]"#,
            r#"["$binary"]"#,
            "[]",
        ] {
            assert_eq!(convert(array), (array.to_owned(), vec![]), "{array}");
        }
    }

    #[test]
    fn bad_base64_too_many_values_and_forged_placeholders_are_refused() {
        let many = format!("[{}]", [r#"{"$binary":""}"#; 11].join(","));
        let forged = r#"[{"$binary":""},{"_placeholder":true,"num":0}]"#;
        for array in [r#"[{"$binary":"*"}]"#, &many, forged] {
            assert!(to_payload(array).is_err(), "{array}");
        }
    }

    #[test]
    fn a_binary_value_reads_back() {
        let mut text = "[".to_owned();
        push_binary(&mut text, &[0, 255, 7]);
        text.push(']');
        assert_eq!(convert(&text).1, [vec![0, 255, 7]]);
    }
}
