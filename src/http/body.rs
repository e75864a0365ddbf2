//! Bodies of API requests, bounded in size and time: JSON, parsed into our types, and bytes.

use std::{sync::Arc, time::Duration};

use axum::extract::{FromRequest, Request};
use bytes::Bytes;
use http::{HeaderMap, StatusCode, header};
use serde::de::DeserializeOwned;

use super::{
    HttpError,
    buffered_body::{BodyError, BodyReservation, BufferedBody, UNCHARGED_BYTES},
    holder, json,
};
use crate::{
    error::{Code, Error},
    limits::{Charge, Pool},
};

/// Limits of a body; [`JsonBody`] finds them in the request's extensions.
#[derive(Clone, Debug)]
pub struct BodyLimits {
    /// Largest body.
    pub bytes: usize,
    /// Time until it has arrived completely.
    pub time: Duration,
    /// Memory budget that it is reserved from.
    pub memory: Arc<Pool>,
}

/// Extracts a JSON body.
#[derive(Debug)]
pub struct JsonBody<T>(pub T);

impl<T: DeserializeOwned, S: Sync> FromRequest<S> for JsonBody<T> {
    type Rejection = HttpError;

    async fn from_request(request: Request, _state: &S) -> Result<Self, HttpError> {
        check_content_type(request.headers())
            .map_err(|reason| HttpError::bad_request(StatusCode::UNSUPPORTED_MEDIA_TYPE, reason))?;
        let kept_reservation = request.extensions().get::<BodyReservation>().cloned();
        let body = read(request, None).await?;
        let read = json::read_bytes(&body)?;
        if let Some(reservation) = kept_reservation {
            reservation.keep(body.into_charge());
        }
        Ok(Self(read))
    }
}

/// Reads a body that is bytes, of at most `max_bytes`, as the option `limit` says. Keep the charge as long as the bytes.
///
/// # Errors
/// It is declared as something else, too large, too slow, or malformed, or the memory for it is exhausted.
pub(crate) async fn read_binary(
    request: Request,
    max_bytes: usize,
    limit: &'static str,
) -> Result<(Bytes, Charge), HttpError> {
    let declared = is_uncompressed(request.headers()) && may_be_binary(request.headers());
    if !declared {
        return Err(HttpError::bad_request(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "the body has to be bytes as they are, with content-type: application/octet-stream, and without content-encoding",
        ));
    }
    let body = read(request, Some((max_bytes, limit))).await?;
    Ok(body.into_bytes())
}

/// Reads a body of at most a number of bytes, which the option of that name says; of `http.body_bytes` if none is given.
async fn read(
    request: Request,
    max: Option<(usize, &'static str)>,
) -> Result<BufferedBody, HttpError> {
    let limits = request.extensions().get::<BodyLimits>().cloned();
    let limits =
        limits.ok_or_else(|| Error::new(Code::Internal, "this route has no body limits"))?;
    let (max_bytes, option) = max.unwrap_or((limits.bytes, "http.body_bytes"));
    let charge = Charge::new(limits.memory, holder(request.extensions()), UNCHARGED_BYTES);
    let body = BufferedBody::read(request.into_body(), max_bytes, limits.time, charge).await;
    body.map_err(|reason| refused(&reason, max_bytes, option))
}

fn refused(reason: &BodyError, max_bytes: usize, option: &str) -> HttpError {
    match reason {
        BodyError::TooLarge => Error::new(
            Code::TooLarge,
            format!("the body is larger than {option}, {max_bytes} bytes"),
        )
        .into(),
        BodyError::TooSlow => HttpError::bad_request(
            StatusCode::REQUEST_TIMEOUT,
            "the request's body took too long to arrive",
        ),
        BodyError::Broken => Error::bad_request("the body ended early or is malformed").into(),
        BodyError::Exhausted(reason) => reason.into_memory_error().into(),
    }
}

/// Refuses content types and encodings other than plain JSON.
fn check_content_type(headers: &HeaderMap) -> Result<(), &'static str> {
    if !is_uncompressed(headers) {
        return Err("the body is compressed; send it as it is, without content-encoding");
    }
    if !may_be_json(headers) {
        return Err("the body has to be JSON in UTF-8, with content-type: application/json");
    }
    Ok(())
}

fn is_uncompressed(headers: &HeaderMap) -> bool {
    let encodings = headers.get_all(header::CONTENT_ENCODING).into_iter();
    let mut encodings = encodings.map(|encoding| encoding.to_str().unwrap_or("unreadable"));
    encodings.all(|encoding| {
        encoding.trim().is_empty() || encoding.trim().eq_ignore_ascii_case("identity")
    })
}

/// Whether the content type is that of bytes. Programs may leave it out, as for [JSON](may_be_json).
fn may_be_binary(headers: &HeaderMap) -> bool {
    match headers.get(header::CONTENT_TYPE) {
        None => !headers.contains_key(header::ORIGIN),
        Some(kind) => {
            let kind = kind.as_bytes().split(|byte| *byte == b';').next();
            kind.is_some_and(|kind| {
                kind.trim_ascii()
                    .eq_ignore_ascii_case(b"application/octet-stream")
            })
        }
    }
}

/// Whether the content type may be JSON: a subtype `json`, or one that ends in `+json`. A page of any site may send texts,
/// forms and bodies without a type, without a CORS preflight, so these are refused; only programs that are not browsers may
/// leave the type out.
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
