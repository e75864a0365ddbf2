//! Query and path parameters, parsed into our types; failures are errors like all others.

use axum::extract::{FromRequestParts, OptionalFromRequestParts, Path, Query};
use http::{StatusCode, Uri, request::Parts};
use serde::de::DeserializeOwned;

use super::json;
use crate::error::{Code, Error};

/// Extracts the query: `?limit=10`. Extract `Vec<(String, String)>` if a name may occur more than once.
#[derive(Debug)]
pub struct QueryParams<T>(pub T);

impl<T: DeserializeOwned, S: Sync> FromRequestParts<S> for QueryParams<T> {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Error> {
        parse_query(&parts.uri).map(Self)
    }
}

/// Parses a URI's query.
pub(crate) fn parse_query<T: DeserializeOwned>(uri: &Uri) -> Result<T, Error> {
    match Query::try_from_uri(uri) {
        Ok(Query(params)) => Ok(params),
        Err(rejection) => Err(rejection_error(rejection.status(), &rejection.body_text())),
    }
}

/// Extracts the parameters of the route's path: `/rooms/{room}`.
#[derive(Debug)]
pub struct PathParams<T>(pub T);

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for PathParams<T> {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Error> {
        match <Path<T> as FromRequestParts<S>>::from_request_parts(parts, state).await {
            Ok(Path(named)) => Ok(Self(named)),
            Err(rejection) => Err(rejection_error(rejection.status(), &rejection.body_text())),
        }
    }
}

impl<T: DeserializeOwned + Send + 'static, S: Send + Sync> OptionalFromRequestParts<S>
    for PathParams<T>
{
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Option<Self>, Error> {
        match <Path<T> as OptionalFromRequestParts<S>>::from_request_parts(parts, state).await {
            Ok(named) => Ok(named.map(|Path(named)| Self(named))),
            Err(rejection) => Err(rejection_error(rejection.status(), &rejection.body_text())),
        }
    }
}

/// An error with axum's message, without the prefix that all its messages begin with. If a route and its handler do not match,
/// the error is internal.
fn rejection_error(status: StatusCode, text: &str) -> Error {
    if status.is_server_error() {
        return Error::new(Code::Internal, "the route does not match its handler");
    }
    let what = text.split_once(": ").map_or(text, |(_, what)| what);
    let is_name = |name: &str| {
        name.bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
    };
    let message = match what.split_once(": ").filter(|(name, _)| is_name(name)) {
        Some((name, reason)) => json::in_words(name, reason),
        None => json::in_words("", what),
    };
    Error::bad_request(message)
}

#[cfg(test)]
mod tests;
