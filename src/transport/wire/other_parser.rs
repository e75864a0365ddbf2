//! Refuses clients that use another Socket.IO parser than the default one, in their own encoding.
//!
//! A client that is closed without a reply reconnects for ever; a CONNECT_ERROR is final for it. So its CONNECT is recognised
//! here and turned into one to a namespace that does not exist, whose name says how to encode the reply. socketioxide refuses
//! that, over whichever transport, and the refusal is rewritten for the client. Two parsers are known: MessagePack
//! (`socket.io-msgpack-parser`), and packets as JSON objects.

use base64::{Engine as _, prelude::BASE64_STANDARD};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::engine_frame::split_namespace;
use crate::error::Error;

/// Prefixes of the namespaces of such CONNECTs; the client's own namespace follows.
const MSGPACK_PREFIX: &str = "/switchboard:msgpack";
const JSON_PREFIX: &str = "/switchboard:json";

/// Maximum length of a namespace, in bytes.
const MAX_NAMESPACE: usize = 200;

/// How a CONNECT in MessagePack starts: a map, after its first byte.
const MSGPACK_CONNECT: &[u8] = b"\xa4type\x00";
const MSGPACK_NAMESPACE: &[u8] = b"\xa3nsp";

/// The error that such a client gets.
pub(in crate::transport) fn error() -> Error {
    Error::bad_request(
        "this server speaks the default parser of Socket.IO: remove the parser option of the client",
    )
}

/// The CONNECT to pass to socketioxide for a binary packet that is a CONNECT in MessagePack.
pub(in crate::transport) fn connect_of_bytes(packet: &[u8]) -> Option<String> {
    let (map, rest) = packet.split_first()?;
    if map & 0xf0 != 0x80 || !rest.starts_with(MSGPACK_CONNECT) {
        return None;
    }
    // The last one: `data` stands before it and may hold anything.
    let mut windows = rest.windows(MSGPACK_NAMESPACE.len());
    let at = windows.rposition(|window| window == MSGPACK_NAMESPACE)?;
    let (length, text) = match rest.get(at + MSGPACK_NAMESPACE.len()..)? {
        [short @ 0xa0..=0xbf, text @ ..] => (short & 0x1f, text),
        [0xd9, length, text @ ..] => (*length, text),
        _ => return None,
    };
    let namespace = std::str::from_utf8(text.get(..length.into())?).ok()?;
    encode_connect(MSGPACK_PREFIX, namespace)
}

/// The CONNECT to pass to socketioxide for a text packet that is a CONNECT as a JSON object.
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
    let connect: Connect = serde_json::from_str(object).ok()?;
    (connect.r#type == 0).then_some(())?;
    encode_connect(JSON_PREFIX, &connect.nsp)
}

fn encode_connect(prefix: &str, namespace: &str) -> Option<String> {
    let valid = namespace.starts_with('/') && !namespace.contains([',', '?']);
    (valid && namespace.len() <= MAX_NAMESPACE).then(|| format!("40{prefix}{namespace},"))
}

/// Rewrites socketioxide's refusal of such a CONNECT for its client; `None` if it is another packet.
pub(super) fn rewrite_refusal(packet: &str) -> Option<String> {
    let (namespace, _) = split_namespace(packet.strip_prefix("44")?);
    let error = error();
    if let Some(namespace) = namespace.strip_prefix(MSGPACK_PREFIX) {
        // Base64 is binary to Engine.IO over each transport.
        let bytes = encode_msgpack_error(&error, namespace);
        return Some(format!("b{}", BASE64_STANDARD.encode(bytes)));
    }
    encode_json_error(&error, namespace.strip_prefix(JSON_PREFIX)?)
}

fn encode_json_error(error: &Error, nsp: &str) -> Option<String> {
    #[derive(Serialize)]
    struct ConnectErrorPacket<'a> {
        r#type: u8,
        data: ErrorData<'a>,
        nsp: &'a str,
    }
    #[derive(Serialize)]
    struct ErrorData<'a> {
        message: &'a str,
        data: &'a RawValue,
    }
    let data = serde_json::value::to_raw_value(error).ok()?;
    let data = ErrorData {
        message: error.code().as_str(),
        data: &data,
    };
    let packet = ConnectErrorPacket {
        r#type: 4,
        data,
        nsp,
    };
    let packet = serde_json::to_string(&packet).ok()?;
    Some(format!("4{packet}"))
}

fn encode_msgpack_error(error: &Error, namespace: &str) -> Vec<u8> {
    let code = error.code().as_str();
    let mut bytes = vec![0x83]; // a map of three
    put_string(&mut bytes, "type");
    bytes.push(4);
    put_string(&mut bytes, "data");
    bytes.push(0x82);
    put_string(&mut bytes, "message");
    put_string(&mut bytes, code);
    put_string(&mut bytes, "data");
    bytes.push(0x82);
    put_string(&mut bytes, "code");
    put_string(&mut bytes, code);
    put_string(&mut bytes, "message");
    put_string(&mut bytes, error.message());
    put_string(&mut bytes, "nsp");
    put_string(&mut bytes, namespace);
    bytes
}

/// Appends a string, cut to 255 bytes.
fn put_string(bytes: &mut Vec<u8>, text: &str) {
    let text = &text[..text.floor_char_boundary(255)];
    match text.len() {
        length @ 0..32 => bytes.push(0xa0 | length as u8),
        length => bytes.extend([0xd9, length as u8]),
    }
    bytes.extend(text.as_bytes());
}

#[cfg(test)]
mod tests;
