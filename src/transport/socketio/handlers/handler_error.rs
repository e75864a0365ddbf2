//! Why a handler refuses an event.

use std::{any::Any, borrow::Cow, sync::Arc, time::Duration};

use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};

use crate::error::{Code, Error};

/// Why a handler refuses an event: `{ code, message, data?, retry_after_ms? }` for the client, in the ack or in an `error` event.
///
/// Any error can be returned with `?`. An [`Error`] keeps its code and message; of another one the client is told
/// that the handler failed, and the log says why.
///
/// ```
/// use switchboard::HandlerError;
///
/// fn withdraw(balance: u32, amount: u32) -> Result<u32, HandlerError> {
///     balance.checked_sub(amount).ok_or_else(|| {
///         HandlerError::new("too_poor", "the account has not that much")
///             .with_data(&balance)
///     })
/// }
/// assert_eq!(withdraw(5, 7).unwrap_err().code(), "too_poor");
/// ```
#[derive(Clone, Debug, Serialize)]
pub struct HandlerError {
    code: Cow<'static, str>,
    message: Cow<'static, str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<Box<RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_after_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    at: Option<Arc<str>>,
    #[serde(skip)]
    source: Option<Arc<dyn std::error::Error + Send + Sync>>,
}

impl HandlerError {
    /// An error with a code of the application's own, for programs, and a message for people.
    pub fn new(code: impl Into<Cow<'static, str>>, message: impl Into<Cow<'static, str>>) -> Self {
        Self {
            code: code.into(),
            message: message.into(),
            data: None,
            retry_after_ms: None,
            at: None,
            source: None,
        }
    }

    /// Adds data for the client. Data that cannot be JSON is left out.
    #[must_use]
    pub fn with_data(mut self, data: &impl Serialize) -> Self {
        self.data = to_raw_value(data).ok();
        self
    }

    /// Adds when the client should try again.
    #[must_use]
    pub fn retry_after(mut self, wait: Duration) -> Self {
        self.retry_after_ms = u64::try_from(wait.as_millis()).ok();
        self
    }

    /// The code.
    pub fn code(&self) -> &str {
        &self.code
    }

    /// The message.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// An error that is none of the client's business.
    pub(in crate::transport::socketio) fn internal() -> Self {
        Self::new(Code::Internal.as_str(), "the handler of this event failed")
    }

    /// As an error of the server's, for metrics and limits.
    pub(in crate::transport::socketio) fn to_error(&self) -> Error {
        let code = Code::ALL
            .into_iter()
            .find(|code| code.as_str() == self.code);
        Error::new(code.unwrap_or(Code::BadRequest), self.message.clone())
    }

    /// The cause, if it is not for the client.
    pub(in crate::transport::socketio) fn source(
        &self,
    ) -> Option<&(dyn std::error::Error + Send + Sync)> {
        self.source.as_deref()
    }
}

impl<E: std::error::Error + Send + Sync + 'static> From<E> for HandlerError {
    fn from(error: E) -> Self {
        if let Some(error) = (&error as &dyn Any).downcast_ref::<Error>() {
            return Self {
                retry_after_ms: error.retry_after_ms(),
                at: error.place().cloned(),
                ..Self::new(error.shown_code().to_owned(), error.message().to_owned())
            };
        }
        Self {
            source: Some(Arc::new(error)),
            ..Self::internal()
        }
    }
}

#[cfg(test)]
mod tests;
