//! What a request's address says, read into our types, and refused in the shape of every error.

use axum::extract::{FromRequestParts, OptionalFromRequestParts, Path, Query};
use http::{StatusCode, Uri, request::Parts};
use serde::de::DeserializeOwned;

use super::json;
use crate::error::{Code, Error};

/// The query: `?limit=10`. One that may name the same thing again is read as `Vec<(String, String)>`.
#[derive(Debug)]
pub struct Params<T>(pub T);

impl<T: DeserializeOwned, S: Sync> FromRequestParts<S> for Params<T> {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Error> {
        query(&parts.uri).map(Self)
    }
}

/// What an address has behind its `?`.
pub(super) fn query<T: DeserializeOwned>(uri: &Uri) -> Result<T, Error> {
    match Query::try_from_uri(uri) {
        Ok(Query(params)) => Ok(params),
        Err(rejection) => Err(refused(rejection.status(), &rejection.body_text())),
    }
}

/// What the route's path names: `/rooms/{room}`.
#[derive(Debug)]
pub struct Named<T>(pub T);

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for Named<T> {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Error> {
        match <Path<T> as FromRequestParts<S>>::from_request_parts(parts, state).await {
            Ok(Path(named)) => Ok(Self(named)),
            Err(rejection) => Err(refused(rejection.status(), &rejection.body_text())),
        }
    }
}

impl<T: DeserializeOwned + Send + 'static, S: Send + Sync> OptionalFromRequestParts<S>
    for Named<T>
{
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Option<Self>, Error> {
        match <Path<T> as OptionalFromRequestParts<S>>::from_request_parts(parts, state).await {
            Ok(named) => Ok(named.map(|Path(named)| Self(named))),
            Err(rejection) => Err(refused(rejection.status(), &rejection.body_text())),
        }
    }
}

/// axum's words without those it begins each such sentence with; where a route and its handler do not fit, the fault is
/// ours.
fn refused(status: StatusCode, text: &str) -> Error {
    if status.is_server_error() {
        return Error::new(Code::Internal, "this route cannot be answered");
    }
    let what = text.split_once(": ").map_or(text, |(_, what)| what);
    let is_name = |name: &str| {
        name.bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
    };
    let words = match what.split_once(": ").filter(|(name, _)| is_name(name)) {
        Some((name, said)) => json::in_words(name, said),
        None => json::in_words("", what),
    };
    Error::bad_request(words)
}

#[cfg(test)]
mod tests;
