//! The body of an API request, read into our types: bounded in size and time, and refused in the shape of every error.

use std::{sync::Arc, time::Duration};

use axum::extract::{FromRequest, Request};
use http::{HeaderMap, StatusCode, header};
use serde::de::DeserializeOwned;

use super::{
    doorway::holder,
    http::Refused,
    json,
    posted::{FREE, Kept, NotTaken, Posted},
};
use crate::{
    error::{Code, Error},
    hub::memory_exhausted,
    limits::{Charge, Pool},
};

/// How large and how slow a body may be; [`JsonBody`] finds it in the request's extensions.
#[derive(Clone, Debug)]
pub struct BodyLimits {
    /// Its size.
    pub bytes: usize,
    /// Until all of it is there.
    pub time: Duration,
    /// What its bytes are reserved of.
    pub memory: Arc<Pool>,
}

/// A body of JSON.
#[derive(Debug)]
pub struct JsonBody<T>(pub T);

impl<T: DeserializeOwned, S: Sync> FromRequest<S> for JsonBody<T> {
    type Rejection = Refused;

    async fn from_request(request: Request, _state: &S) -> Result<Self, Refused> {
        check_form(request.headers())
            .map_err(|why| Refused::bad_request(StatusCode::UNSUPPORTED_MEDIA_TYPE, why))?;
        let limits = request.extensions().get::<BodyLimits>().cloned();
        let limits = limits.ok_or_else(|| {
            Error::new(Code::Internal, "nothing says how large a body may be here")
        })?;
        let kept = request.extensions().get::<Kept>().cloned();
        let charge = Charge::new(limits.memory, holder(request.extensions()), FREE);
        let body = Posted::take(request.into_body(), limits.bytes, limits.time, charge).await;
        let body = body.map_err(|why| refused(&why, limits.bytes))?;
        let read = json::read_bytes(&body)?;
        if let Some(kept) = kept {
            kept.keep(body.into_charge());
        }
        Ok(Self(read))
    }
}

fn refused(why: &NotTaken, most: usize) -> Refused {
    match why {
        NotTaken::TooLarge => Error::new(
            Code::TooLarge,
            format!("the body is larger than http.body_bytes, {most} bytes"),
        )
        .into(),
        NotTaken::TooSlow => Refused::bad_request(
            StatusCode::REQUEST_TIMEOUT,
            "the request's body took too long to arrive",
        ),
        NotTaken::Broken => Error::bad_request("the body ended early or is malformed").into(),
        NotTaken::NoMemory(why) => memory_exhausted(*why).into(),
    }
}

/// Refuses headers that do not allow for plain JSON.
fn check_form(headers: &HeaderMap) -> Result<(), &'static str> {
    if !is_plain(headers) {
        return Err("the body is compressed; send it as it is, without content-encoding");
    }
    if !may_be_json(headers) {
        return Err("the body has to be JSON in UTF-8, with content-type: application/json");
    }
    Ok(())
}

fn is_plain(headers: &HeaderMap) -> bool {
    let encodings = headers.get_all(header::CONTENT_ENCODING).into_iter();
    let mut encodings = encodings.map(|encoding| encoding.to_str().unwrap_or("unreadable"));
    encodings.all(|encoding| {
        encoding.trim().is_empty() || encoding.trim().eq_ignore_ascii_case("identity")
    })
}

/// Whether the headers allow for JSON: `json` of any kind, or a type that is written as such (`+json`). A page of anywhere may
/// send texts and forms, or a body without a type, without asking first, so these are not taken for JSON; only programs
/// that are no browser may leave the type out.
fn may_be_json(headers: &HeaderMap) -> bool {
    let Some(kind) = headers.get(header::CONTENT_TYPE) else {
        return !headers.contains_key(header::ORIGIN);
    };
    let kind = kind.to_str().unwrap_or_default().to_ascii_lowercase();
    let mut parts = kind.split(';').map(str::trim);
    let name = parts.next().unwrap_or_default();
    let is_json = name
        .split_once('/')
        .is_some_and(|(_, subtype)| subtype == "json" || subtype.ends_with("+json"));
    let charset = parts.find_map(|part| part.strip_prefix("charset="));
    let charset = charset.map_or("utf-8", |charset| charset.trim_matches('"'));
    is_json && ["utf-8", "utf8", "us-ascii"].contains(&charset)
}

#[cfg(test)]
mod tests;
