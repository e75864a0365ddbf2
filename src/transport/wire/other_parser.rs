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
mod tests;
