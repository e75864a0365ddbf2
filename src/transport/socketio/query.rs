//! What an Engine.IO request asks for, and how one is told that asks for something impossible.
//!
//! engineioxide reads the query by itself, without decoding it. So it is read once here, and what is passed on says the same
//! in the one spelling that both understand alike: what was refused here and not there would get past every check.

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

/// What the query of an Engine.IO request says.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Query {
    pub(super) protocol: u8,
    pub(super) sid: Option<Sid>,
    pub(super) websocket: bool,
    /// The client takes bytes as base64 alone.
    pub(super) base64: bool,
}

/// Why a request is none of Engine.IO's; the numbers are Engine.IO's own.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Wrong {
    Transport,
    /// Nobody knows the session; the words say why that may be.
    Session(&'static str),
    Method,
    Request,
    Version,
    /// JSONP polling, with the index of the function that the page waits to be called.
    Jsonp(u32),
}

impl Query {
    /// Reads the query of a request; of parameters that come twice the last counts, as on Node.
    pub(super) fn read(
        method: &Method,
        uri: &Uri,
        transports: &[Transport],
    ) -> Result<Self, Wrong> {
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
        let transport = match transport.as_deref() {
            Some("polling") => Transport::Polling,
            Some("websocket") => Transport::WebSocket,
            _ => return Err(Wrong::Transport),
        };
        if !transports.contains(&transport) {
            return Err(Wrong::Transport);
        }
        let websocket = transport == Transport::WebSocket;
        match jsonp.filter(|_| !websocket) {
            Some(index) if method == Method::GET => {
                return Err(Wrong::Jsonp(index.parse().unwrap_or_default()));
            }
            Some(_) => return Err(Wrong::Request),
            None => {}
        }
        let sid = sid.map(|sid| sid.parse().map_err(|_| Wrong::Session(UNKNOWN)));
        let sid = sid.transpose()?;
        match (sid, method) {
            (_, &Method::GET) => {}
            (Some(_), &Method::POST) if !websocket => {}
            (None, _) => return Err(Wrong::Method),
            (Some(_), _) => return Err(Wrong::Request),
        }
        let protocol = match version.as_deref() {
            Some("3") => 3,
            Some("4") => 4,
            _ => return Err(Wrong::Version),
        };
        Ok(Self {
            protocol,
            sid,
            websocket,
            base64,
        })
    }

    /// The address that says the same to engineioxide; what is the application's stays as it came.
    pub(super) fn normalized(&self, uri: &Uri) -> Uri {
        let transport = if self.websocket {
            "websocket"
        } else {
            "polling"
        };
        let mut said = format!("{}?EIO={}&transport={transport}", uri.path(), self.protocol);
        if let Some(sid) = self.sid {
            said += &format!("&sid={sid}");
        }
        if self.base64 {
            said += "&b64=1";
        }
        let others = uri.query().unwrap_or_default().split('&').filter(|pair| {
            let (name, _) = named(pair);
            !pair.is_empty() && !OURS.contains(&&*name)
        });
        for pair in others {
            said.push('&');
            said += pair;
        }
        let mut parts = uri.clone().into_parts();
        parts.path_and_query = PathAndQuery::try_from(said).ok();
        Uri::from_parts(parts).unwrap_or_else(|_| uri.clone())
    }
}

/// Parameters that engineioxide reads, too.
const OURS: [&str; 5] = ["EIO", "transport", "sid", "b64", "j"];

const UNKNOWN: &str = "Session ID unknown";

fn parameters(query: &str) -> impl Iterator<Item = (Cow<'_, str>, Cow<'_, str>)> {
    query.split('&').map(named)
}

fn named(pair: &str) -> (Cow<'_, str>, Cow<'_, str>) {
    let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
    (decoded(name), decoded(value))
}

fn decoded(text: &str) -> Cow<'_, str> {
    percent_decode_str(text).decode_utf8_lossy()
}

impl Wrong {
    fn code_and_message(&self) -> (u8, &'static str) {
        match self {
            Self::Transport => (0, "Transport unknown"),
            Self::Session(why) => (1, why),
            Self::Method => (2, "Bad handshake method"),
            Self::Request | Self::Jsonp(_) => (3, "Bad request"),
            Self::Version => (5, "Unsupported protocol version"),
        }
    }
}

impl IntoResponse for Wrong {
    fn into_response(self) -> Response {
        let (code, message) = self.code_and_message();
        match self {
            Self::Jsonp(index) => {
                // A page runs a script only if its status is 200; what is no packet is an error to its client. Served, it
                // would let any page read what a user's cookies open.
                let script =
                    format!("console.error(\"{NO_JSONP}\");___eio[{index}](\"{code}:{message}\");");
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

const NO_JSONP: &str = "JSONP polling is not served; leave out forceJSONP, and use the transports polling and websocket";

#[cfg(test)]
mod tests;
