//! The query of an Engine.IO request, and the responses to invalid ones.
//!
//! engineioxide parses the query by itself, without decoding it. So it is parsed once here, and is passed on with
//! the same meaning in the one spelling that both parse alike: a parameter that only engineioxide recognises would get past
//! every check.

use std::borrow::Cow;

use axum::{
    Json,
    response::{IntoResponse, Response},
};
use http::{Method, StatusCode, Uri, header, uri::PathAndQuery};
use percent_encoding::percent_decode_str;
use serde_json::json;
use socketioxide::socket::Sid;

use crate::transport::Transport;

/// The parsed query of an Engine.IO request.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct EngineQuery {
    pub(super) protocol: u8,
    pub(super) sid: Option<Sid>,
    pub(super) websocket: bool,
    /// The client accepts bytes as base64 only.
    pub(super) base64: bool,
}

/// Why an Engine.IO request is refused, with Engine.IO's own codes.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum EngineRequestError {
    UnknownTransport,
    /// With a message that names possible causes.
    UnknownSession(&'static str),
    BadMethod,
    BadRequest,
    UnsupportedVersion,
    /// JSONP polling, with the index of the function that the page expects to be called.
    Jsonp(u32),
}

impl EngineQuery {
    /// Parses the query of a request. Of repeated parameters the last counts, as with Socket.IO on Node.
    pub(super) fn parse(
        method: &Method,
        uri: &Uri,
        transports: &[Transport],
    ) -> Result<Self, EngineRequestError> {
        let (mut version, mut transport, mut sid, mut jsonp) = (None, None, None, None);
        let mut base64 = false;
        for (name, value) in parameters(uri.query().unwrap_or_default()) {
            match &*name {
                "EIO" => version = Some(value),
                "transport" => transport = Some(value),
                "sid" => sid = Some(value).filter(|sid| !sid.is_empty()),
                "b64" => base64 = !value.is_empty(),
                "j" => jsonp = Some(value),
                _ => {}
            }
        }
        let transport = parse_transport(transport.as_deref())
            .filter(|transport| transports.contains(transport))
            .ok_or(EngineRequestError::UnknownTransport)?;
        let websocket = transport == Transport::WebSocket;
        match jsonp.filter(|_| !websocket) {
            Some(index) if method == Method::GET => {
                return Err(EngineRequestError::Jsonp(index.parse().unwrap_or_default()));
            }
            Some(_) => return Err(EngineRequestError::BadRequest),
            None => {}
        }
        let sid = sid.map(|sid| {
            sid.parse()
                .map_err(|_| EngineRequestError::UnknownSession(UNKNOWN_SESSION))
        });
        let sid = sid.transpose()?;
        match (sid, method) {
            (_, &Method::GET) => {}
            (Some(_), &Method::POST) if !websocket => {}
            (None, _) => return Err(EngineRequestError::BadMethod),
            (Some(_), _) => return Err(EngineRequestError::BadRequest),
        }
        let protocol = match version.as_deref() {
            Some("3") => 3,
            Some("4") => 4,
            _ => return Err(EngineRequestError::UnsupportedVersion),
        };
        Ok(Self {
            protocol,
            sid,
            websocket,
            base64,
        })
    }

    /// The same address as engineioxide expects it; the application's own parameters stay as they came.
    pub(super) fn normalized(&self, uri: &Uri) -> Uri {
        let transport = if self.websocket {
            "websocket"
        } else {
            "polling"
        };
        let mut query = format!("{}?EIO={}&transport={transport}", uri.path(), self.protocol);
        if let Some(sid) = self.sid {
            query += &format!("&sid={sid}");
        }
        if self.base64 {
            query += "&b64=1";
        }
        let others = uri.query().unwrap_or_default().split('&').filter(|pair| {
            let (name, _) = decode_pair(pair);
            !pair.is_empty() && !ENGINE_PARAMETERS.contains(&&*name)
        });
        for pair in others {
            query.push('&');
            query += pair;
        }
        let mut parts = uri.clone().into_parts();
        parts.path_and_query = PathAndQuery::try_from(query).ok();
        Uri::from_parts(parts).unwrap_or_else(|_| uri.clone())
    }
}

fn parse_transport(name: Option<&str>) -> Option<Transport> {
    match name? {
        "polling" => Some(Transport::Polling),
        "websocket" => Some(Transport::WebSocket),
        _ => None,
    }
}

/// Parameters that engineioxide reads, too.
const ENGINE_PARAMETERS: [&str; 5] = ["EIO", "transport", "sid", "b64", "j"];

const UNKNOWN_SESSION: &str = "Session ID unknown";

/// All parameters of a query, decoded.
pub(super) fn parameters(query: &str) -> impl Iterator<Item = (Cow<'_, str>, Cow<'_, str>)> {
    query.split('&').map(decode_pair)
}

fn decode_pair(pair: &str) -> (Cow<'_, str>, Cow<'_, str>) {
    let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
    (decode(name), decode(value))
}

fn decode(text: &str) -> Cow<'_, str> {
    percent_decode_str(text).decode_utf8_lossy()
}

impl EngineRequestError {
    fn code_and_message(&self) -> (u8, &'static str) {
        match self {
            Self::UnknownTransport => (0, "Transport unknown"),
            Self::UnknownSession(message) => (1, message),
            Self::BadMethod => (2, "Bad handshake method"),
            Self::BadRequest | Self::Jsonp(_) => (3, "Bad request"),
            Self::UnsupportedVersion => (5, "Unsupported protocol version"),
        }
    }
}

impl IntoResponse for EngineRequestError {
    fn into_response(self) -> Response {
        let (code, message) = self.code_and_message();
        match self {
            Self::Jsonp(index) => {
                // A page runs a script only if its status is 200; to its client, a script without a packet is an error. JSONP is
                // not served because it would let any page read with a user's cookies.
                let script = format!(
                    "console.error(\"{JSONP_MESSAGE}\");___eio[{index}](\"{code}:{message}\");"
                );
                (
                    [(header::CONTENT_TYPE, "text/javascript; charset=UTF-8")],
                    script,
                )
                    .into_response()
            }
            _ => {
                let body = json!({ "code": code, "message": message });
                (StatusCode::BAD_REQUEST, Json(body)).into_response()
            }
        }
    }
}

const JSONP_MESSAGE: &str = "JSONP polling is not served; leave out forceJSONP, and use the transports polling and websocket";

#[cfg(test)]
mod tests;
