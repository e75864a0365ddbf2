//! How a refusal looks over HTTP: the one shape of errors, and a status.

use std::borrow::Cow;

use axum::{
    Json,
    response::{IntoResponse, Response},
};
use http::{HeaderValue, Method, StatusCode, header};

use crate::error::{Code, Error};

/// An error whose status says more than its code does: HTTP has words of its own for how a request came.
#[derive(Debug)]
pub struct Refused {
    /// The answer's status.
    pub status: StatusCode,
    /// The answer's body.
    pub error: Error,
}

impl Refused {
    /// A request that is malformed in a way that has its own status.
    pub fn bad_request(status: StatusCode, message: impl Into<Cow<'static, str>>) -> Self {
        Self {
            status,
            error: Error::bad_request(message),
        }
    }
}

impl From<Error> for Refused {
    fn from(error: Error) -> Self {
        Self {
            status: status(error.code()),
            error,
        }
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        answer(self.status, &self.error)
    }
}

/// The HTTP status that fits an error's code.
pub fn status(code: Code) -> StatusCode {
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

/// An error as an HTTP answer: its status, its body, and `Retry-After` in whole seconds where it has one.
pub fn refusal(error: &Error) -> Response {
    answer(status(error.code()), error)
}

fn answer(status: StatusCode, error: &Error) -> Response {
    let mut response = (status, Json(error)).into_response();
    // For whoever counts what is answered.
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
        refusal(&self)
    }
}

/// The answer where something is, but not by this method; the router adds `Allow`.
pub async fn method_not_allowed(method: Method) -> Refused {
    Refused::bad_request(
        StatusCode::METHOD_NOT_ALLOWED,
        format!("{method} is not understood here; the header `allow` lists what is"),
    )
}
