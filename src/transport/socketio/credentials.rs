//! The `auth` payload of a CONNECT: the client's token, its name, and the session to resume.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::value::{RawValue, to_raw_value};

use super::query::parameters;
use crate::{
    auth::{find_token, id_text, query_user, strip_bearer},
    error::{Code, Error, Limit, Result},
    hub::ResumeRequest,
    limits::exceeds_depth,
    model::{Offset, Pid},
};

/// `{ token?, user?, pid?, offset? }` as they came; other fields are the application's. socket.io-client 2 sends a query with the
/// same names.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Credentials {
    token: Option<Box<RawValue>>,
    user: Option<Box<RawValue>>,
    pid: Option<Box<RawValue>>,
    offset: Option<Box<RawValue>>,
    /// The payload could not be parsed.
    #[serde(skip)]
    unreadable: bool,
    /// There is nothing to resume where the client connects.
    #[serde(skip)]
    begins_anew: bool,
    /// The payload, if the application decides by it.
    #[serde(skip)]
    payload: Option<Box<RawValue>>,
}

impl Credentials {
    /// Parses what stands behind the namespace in a CONNECT.
    pub(super) fn read(text: &str) -> Self {
        if text.starts_with('{') {
            return serde_json::from_str(text).unwrap_or_else(|_| Self {
                unreadable: true,
                ..Self::default()
            });
        }
        let query = Some(text.trim_end_matches(','));
        let to_json = |text: Option<String>| text.and_then(|text| to_raw_value(&text).ok());
        let token = find_token(&http::HeaderMap::new(), query, None);
        Self {
            token: to_json(token.map(|token| token.text)),
            user: to_json(query_user(query)),
            ..Self::default()
        }
    }

    /// Keeps the whole payload for the application.
    ///
    /// # Errors
    /// `too_large` if it has more than 16 KiB, or is nested deeper than `nesting`; `bad_request` if it is not JSON.
    pub(super) fn keep_payload(&mut self, text: &str, nesting: usize) -> Result<()> {
        self.check_readable()?;
        if text.len() > MAX_PAYLOAD_BYTES {
            let message = format!("auth may have {MAX_PAYLOAD_BYTES} bytes");
            return Err(Error::new(Code::TooLarge, message));
        }
        if exceeds_depth(text, nesting) {
            let message = format!("auth may nest {nesting} arrays and objects");
            return Err(Error::new(Code::TooLarge, message).for_limit(Limit::Nesting));
        }
        self.payload = auth_json(text);
        Ok(())
    }

    /// The whole payload, if it was kept and the client has sent one.
    pub(super) fn payload(&self) -> Option<&RawValue> {
        self.payload.as_deref()
    }

    /// Takes the payload.
    pub(super) fn take_payload(&mut self) -> Option<Box<RawValue>> {
        self.payload.take()
    }

    /// The token; an empty one counts as none.
    pub(super) fn token(&self) -> Result<Option<String>> {
        self.check_readable()?;
        let Some(token) = &self.token else {
            return Ok(None);
        };
        let text: String = serde_json::from_str(token.get()).map_err(|_| {
            let kind = kind(token);
            Error::unauthorized(format!("auth.token is {kind}; expected is a token's text"))
        })?;
        Ok(strip_bearer(&text).map(str::to_owned))
    }

    /// The user name; an empty one counts as none.
    pub(super) fn user(&self) -> Result<Option<String>> {
        self.check_readable()?;
        let Some(user) = &self.user else {
            return Ok(None);
        };
        let text = id_text(user).ok_or_else(|| {
            let kind = kind(user);
            let message = format!("auth.user is {kind}; expected is a string or a whole number");
            Error::bad_request(message)
        })?;
        Ok((!text.is_empty()).then_some(text))
    }

    /// Ignores the session that the client may name: where it connects there are none.
    pub(super) fn begin_anew(&mut self) {
        self.begins_anew = true;
    }

    /// The session to resume.
    pub(super) fn resume(&self) -> ResumeRequest {
        if self.begins_anew {
            return ResumeRequest::Unsupported;
        }
        let Some(pid) = &self.pid else {
            return ResumeRequest::NewSession;
        };
        let text = |json: &RawValue| serde_json::from_str::<String>(json.get()).ok();
        let pid = text(pid).as_deref().and_then(Pid::parse);
        let offset = self.offset.as_deref().map(|offset| {
            let text = text(offset);
            text.as_deref().and_then(Offset::parse)
        });
        match (pid, offset) {
            (Some(pid), None) => ResumeRequest::Session { pid, offset: None },
            (Some(pid), Some(Some(offset))) => ResumeRequest::Session {
                pid,
                offset: Some(offset),
            },
            (pid, _) => ResumeRequest::Invalid { pid },
        }
    }

    fn check_readable(&self) -> Result<()> {
        match self.unreadable {
            true => Err(Error::bad_request(
                "auth is not an object, or has a field twice",
            )),
            false => Ok(()),
        }
    }
}

/// Bytes of a payload that an application is given.
const MAX_PAYLOAD_BYTES: usize = 16 << 10;

/// The `auth` payload as JSON, for an application: of socket.io-client 2 an object of the query's parameters. `None` if the client has
/// sent none.
fn auth_json(text: &str) -> Option<Box<RawValue>> {
    if text.starts_with('{') {
        return RawValue::from_string(text.to_owned()).ok();
    }
    let query = text.trim_start_matches('?').trim_end_matches(',');
    let parameters = parameters(query).filter(|(name, _)| !name.is_empty());
    let parameters: BTreeMap<_, _> = parameters.collect();
    (!parameters.is_empty()).then(|| to_raw_value(&parameters).ok())?
}

/// Describes a JSON value that is not the expected string.
fn kind(json: &RawValue) -> &'static str {
    match json.get().as_bytes().first() {
        Some(b'{') => "an object (a promise that was not awaited?)",
        Some(b'[') => "a list",
        Some(b't' | b'f') => "true or false",
        Some(b'"') => "a string that is not valid Unicode",
        _ => "a number",
    }
}

#[cfg(test)]
mod tests;
