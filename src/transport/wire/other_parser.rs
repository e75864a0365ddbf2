//! Clients with another Socket.IO parser than the default one: they are told so, once, in their own encoding.
//!
//! A client that is closed without an answer connects again for ever; a CONNECT_ERROR is final for it. So its CONNECT is
//! recognised here, and becomes one to a namespace that does not exist and whose name says how to answer. socketioxide
//! refuses that, over whichever transport, and its refusal is written again for the client. Two parsers are known: MessagePack
//! (`socket.io-msgpack-parser`), and packets as JSON objects.

use base64::{Engine as _, prelude::BASE64_STANDARD};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::frame::namespace_and_rest;
use crate::error::Error;

/// What the namespaces of such CONNECTs begin with. The client's own namespace follows.
const MSGPACK: &str = "/switchboard:msgpack";
const JSON: &str = "/switchboard:json";

/// Bytes that a namespace may have.
const NAMESPACE: usize = 200;

/// The head of a CONNECT in MessagePack: a map, behind its first byte.
const MSGPACK_CONNECT: &[u8] = b"\xa4type\x00";
const MSGPACK_NAMESPACE: &[u8] = b"\xa3nsp";

/// What such a client is told.
pub(in crate::transport) fn error() -> Error {
    Error::bad_request(
        "this server speaks the default parser of Socket.IO: remove the parser option of the client",
    )
}

/// What socketioxide is given for a binary packet that is a CONNECT in MessagePack.
pub(in crate::transport) fn connect_of_bytes(packet: &[u8]) -> Option<String> {
    let (map, rest) = packet.split_first()?;
    if map & 0xf0 != 0x80 || !rest.starts_with(MSGPACK_CONNECT) {
        return None;
    }
    // Behind `data`, which may hold anything.
    let mut windows = rest.windows(MSGPACK_NAMESPACE.len());
    let at = windows.rposition(|window| window == MSGPACK_NAMESPACE)?;
    let (length, text) = match rest.get(at + MSGPACK_NAMESPACE.len()..)? {
        [short @ 0xa0..=0xbf, text @ ..] => (short & 0x1f, text),
        [0xd9, length, text @ ..] => (*length, text),
        _ => return None,
    };
    let namespace = std::str::from_utf8(text.get(..length.into())?).ok()?;
    connect(MSGPACK, namespace)
}

/// What socketioxide is given for a text packet that is a CONNECT as a JSON object.
pub(in crate::transport) fn connect_of_text(packet: &str) -> Option<String> {
    #[derive(Deserialize)]
    struct Connect {
        r#type: u8,
        nsp: String,
    }
    let object = packet.strip_prefix('4')?;
    if !object.starts_with('{') {
        return None;
    }
    let asked: Connect = serde_json::from_str(object).ok()?;
    (asked.r#type == 0).then_some(())?;
    connect(JSON, &asked.nsp)
}

fn connect(parser: &str, namespace: &str) -> Option<String> {
    let readable = namespace.starts_with('/') && !namespace.contains([',', '?']);
    (readable && namespace.len() <= NAMESPACE).then(|| format!("40{parser}{namespace},"))
}

/// socketioxide's refusal of such a CONNECT as its client is to get it; `None` if it is none.
pub(super) fn told(packet: &str) -> Option<String> {
    let (namespace, _) = namespace_and_rest(packet.strip_prefix("44")?);
    let error = error();
    if let Some(namespace) = namespace.strip_prefix(MSGPACK) {
        // Base64 is binary to Engine.IO over each transport.
        let bytes = in_msgpack(&error, namespace);
        return Some(format!("b{}", BASE64_STANDARD.encode(bytes)));
    }
    in_json(&error, namespace.strip_prefix(JSON)?)
}

fn in_json(error: &Error, nsp: &str) -> Option<String> {
    #[derive(Serialize)]
    struct ConnectError<'a> {
        r#type: u8,
        data: Data<'a>,
        nsp: &'a str,
    }
    #[derive(Serialize)]
    struct Data<'a> {
        message: &'a str,
        data: &'a RawValue,
    }
    let data = serde_json::value::to_raw_value(error).ok()?;
    let data = Data {
        message: error.code().as_str(),
        data: &data,
    };
    let told = ConnectError {
        r#type: 4,
        data,
        nsp,
    };
    let told = serde_json::to_string(&told).ok()?;
    Some(format!("4{told}"))
}

fn in_msgpack(error: &Error, namespace: &str) -> Vec<u8> {
    let code = error.code().as_str();
    let mut bytes = vec![0x83]; // a map of three
    put(&mut bytes, "type");
    bytes.push(4);
    put(&mut bytes, "data");
    bytes.push(0x82);
    put(&mut bytes, "message");
    put(&mut bytes, code);
    put(&mut bytes, "data");
    bytes.push(0x82);
    put(&mut bytes, "code");
    put(&mut bytes, code);
    put(&mut bytes, "message");
    put(&mut bytes, error.message());
    put(&mut bytes, "nsp");
    put(&mut bytes, namespace);
    bytes
}

/// Adds a string, of which at most 255 bytes.
fn put(bytes: &mut Vec<u8>, text: &str) {
    let text = &text[..text.floor_char_boundary(255)];
    match text.len() {
        length @ 0..32 => bytes.push(0xa0 | length as u8),
        length => bytes.extend([0xd9, length as u8]),
    }
    bytes.extend(text.as_bytes());
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// As socketioxide refuses what it was given.
    fn refused(connect: &str) -> String {
        let namespace = connect.strip_prefix("40").unwrap();
        format!("44{namespace}{{\"message\":\"Invalid namespace\"}}")
    }

    fn msgpack(data: &[u8], namespace: &str) -> Vec<u8> {
        let mut bytes = b"\x83\xa4type\x00\xa4data".to_vec();
        bytes.extend(data);
        put(&mut bytes, "nsp");
        put(&mut bytes, namespace);
        bytes
    }

    #[test]
    fn a_connect_in_msgpack_is_refused_in_msgpack() {
        for (data, namespace) in [
            (&b"\xd4\x00\x00"[..], "/"), // JavaScript's undefined
            (b"\xc0", "/"),
            (b"\x81\xa5token\xa1t", "/chat"),
            (b"\x81\xa3nsp\xa2/x", "/a-namespace-with-more-than-31-bytes"),
        ] {
            let connect = connect_of_bytes(&msgpack(data, namespace)).unwrap();
            assert_eq!(connect, format!("40/switchboard:msgpack{namespace},"));
            let told = told(&refused(&connect)).unwrap();
            let bytes = BASE64_STANDARD.decode(&told[1..]).unwrap();
            let head = b"\x83\xa4type\x04\xa4data\x82\xa7message\xabbad_request\xa4data\x82\xa4code\xabbad_request\xa7message\xd9";
            assert!(told.starts_with('b') && bytes.starts_with(head));
            assert!(bytes.ends_with(namespace.as_bytes()));
        }
    }

    #[test]
    fn a_connect_as_a_json_object_is_refused_as_one() {
        for namespace in ["/", "/chat"] {
            let packet = format!(r#"4{{"type":0,"data":{{"token":"t"}},"nsp":"{namespace}"}}"#);
            let connect = connect_of_text(&packet).unwrap();
            assert_eq!(connect, format!("40/switchboard:json{namespace},"));
            let told = told(&refused(&connect)).unwrap();
            let told: serde_json::Value = serde_json::from_str(&told[1..]).unwrap();
            assert_eq!(
                (&told["type"], &told["nsp"]),
                (&4.into(), &namespace.into())
            );
            assert_eq!(told["data"]["message"], "bad_request");
            assert_eq!(told["data"]["data"]["message"], *error().message());
        }
    }

    #[test]
    fn nothing_else_is_taken_for_a_connect() {
        for packet in [
            &b""[..],
            b"\x01",
            b"\x83",
            b"\x83\xa4type\x02\xa4data\x91\xa1a\xa3nsp\xa1/",
            b"\x83\xa4type\x00\xa3nsp",
            b"\x83\xa4type\x00\xa3nsp\xa9/",
            b"\x83\xa4type\x00\xa3nsp\xd9",
            b"\x83\xa4type\x00\xa3nsp\xa1\xff",
            b"\x83\xa4type\x00\xa3nsp\xa3/,x",
            b"\x83\xa4type\x00\xa3nsp\xa0",
        ] {
            assert_eq!(connect_of_bytes(packet), None, "{packet:?}");
        }
        assert_eq!(connect_of_bytes(&msgpack(b"\xc0", &"/".repeat(201))), None);
        for packet in [
            "",
            "4",
            "4{",
            "4[]",
            "4{}",
            r#"4{"type":2,"nsp":"/"}"#,
            r#"4{"type":0,"nsp":"x"}"#,
        ] {
            assert_eq!(connect_of_text(packet), None, "{packet}");
        }
        for packet in ["44{}", "44/chat,{}", "40/switchboard:json/,{}"] {
            assert_eq!(told(packet), None, "{packet}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_can_be_looked_at(bytes in prop::collection::vec(any::<u8>(), 0..40)) {
            let _ = connect_of_bytes(&[b"\x83\xa4type\x00\xa3nsp".to_vec(), bytes.clone()].concat());
            let _ = connect_of_bytes(&bytes);
        }
    }
}
