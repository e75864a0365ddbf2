//! How an error looks over HTTP: one body for all errors, and a status.

use std::borrow::Cow;

use axum::{
    Json,
    extract::OriginalUri,
    response::{IntoResponse, Response},
};
use http::{HeaderValue, Method, StatusCode, header};

use crate::error::{Code, Error};

/// An error whose HTTP status says more than its code does.
#[derive(Debug)]
pub struct HttpError {
    /// The response's status.
    pub status: StatusCode,
    /// The response's body.
    pub error: Error,
}

impl HttpError {
    /// A malformed request, with a status of its own.
    pub fn bad_request(status: StatusCode, message: impl Into<Cow<'static, str>>) -> Self {
        Self {
            status,
            error: Error::bad_request(message),
        }
    }
}

impl From<Error> for HttpError {
    fn from(error: Error) -> Self {
        Self {
            status: status_of(error.code()),
            error,
        }
    }
}

impl IntoResponse for HttpError {
    fn into_response(self) -> Response {
        respond(self.status, &self.error)
    }
}

/// The HTTP status for an error code.
pub fn status_of(code: Code) -> StatusCode {
    match code {
        Code::BadRequest | Code::NotJoined => StatusCode::BAD_REQUEST,
        Code::Unauthorized | Code::TokenExpired => StatusCode::UNAUTHORIZED,
        Code::Forbidden => StatusCode::FORBIDDEN,
        Code::NotFound => StatusCode::NOT_FOUND,
        Code::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        Code::RateLimited => StatusCode::TOO_MANY_REQUESTS,
        Code::LimitReached | Code::Unavailable | Code::Draining => StatusCode::SERVICE_UNAVAILABLE,
        Code::Internal => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

/// An error as a response: its status, its body, and `Retry-After` in whole seconds if the error has one.
pub fn error_response(error: &Error) -> Response {
    respond(status_of(error.code()), error)
}

fn respond(status: StatusCode, error: &Error) -> Response {
    let mut response = (status, Json(error)).into_response();
    // For the middleware that counts errors.
    response.extensions_mut().insert(error.clone());
    if let Some(wait) = error.retry_after_ms() {
        response
            .headers_mut()
            .insert(header::RETRY_AFTER, HeaderValue::from(wait.div_ceil(1000)));
    }
    if status == StatusCode::UNAUTHORIZED {
        response
            .headers_mut()
            .insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    response
}

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        error_response(&self)
    }
}

/// The response where there is no route.
pub async fn not_found(OriginalUri(uri): OriginalUri) -> Response {
    error_response(&Error::new(
        Code::NotFound,
        format!("there is nothing at {}", uri.path()),
    ))
}

/// The response to a method that a route does not have; the router adds `Allow`.
pub async fn method_not_allowed(method: Method) -> HttpError {
    HttpError::bad_request(
        StatusCode::METHOD_NOT_ALLOWED,
        format!("{method} is not understood here; the header `allow` lists what is"),
    )
}
