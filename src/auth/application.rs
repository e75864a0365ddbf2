//! Identities that an embedding application decides about itself.

use std::{
    fmt,
    future::Future,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
};

use futures_util::FutureExt;
use http::request::Parts;
use serde::Serialize;
use serde_json::{
    Value,
    value::{RawValue, to_raw_value},
};

use super::Principal;
use crate::{
    error::{Code, Error},
    retry::log_in_bursts,
};

/// Why an application refuses a client: the message and the data of its `connect_error`.
///
/// Any error can be returned with `?`. An [`Error`] is told as it is, and one that is `unavailable` makes the client try again; so does every
/// other error, since it says nothing about the client: it is logged.
///
/// ```
/// use switchboard::auth::Reject;
/// use serde_json::json;
///
/// // `socket.on("connect_error", (error) => error.message, error.data.plan)`
/// let rejected = Reject::new("your plan has no chat").with_data(&json!({ "plan": "free" }));
/// assert_eq!(rejected.message(), "your plan has no chat");
/// ```
#[derive(Clone, Debug)]
pub struct Reject {
    error: Error,
    /// Whether the message is the application's own, and is told in place of the error's code.
    own_message: bool,
    data: Option<Box<RawValue>>,
}

/// What an [`AppBuilder::authenticate`](crate::app::AppBuilder::authenticate) function returns.
pub(crate) type Decision = Pin<Box<dyn Future<Output = Result<Option<Principal>, Reject>> + Send>>;

/// The application's function that decides who a client is.
pub(crate) struct ApplicationAuth(Box<dyn Fn(Parts, Value) -> Decision + Send + Sync>);

impl Reject {
    /// Refuses a client for good, with a message for it.
    pub fn new(message: impl Into<String>) -> Self {
        Self {
            error: Error::unauthorized(message.into()),
            own_message: true,
            data: None,
        }
    }

    /// Adds data for a Socket.IO client, its `error.data`. Data that cannot be JSON is left out.
    #[must_use]
    pub fn with_data(mut self, data: &impl Serialize) -> Self {
        self.data = to_raw_value(data).ok();
        self
    }

    /// The identity cannot be checked now, which says nothing about the client.
    pub(crate) fn cannot_check() -> Self {
        Self {
            error: Error::new(Code::Unavailable, "the identity cannot be checked now"),
            own_message: false,
            data: None,
        }
    }

    /// The message.
    pub fn message(&self) -> &str {
        self.error.message()
    }

    /// The data.
    pub(crate) fn data(&self) -> Option<&RawValue> {
        self.data.as_deref()
    }

    /// The error that clients of other protocols are told.
    pub(crate) fn error(&self) -> &Error {
        &self.error
    }

    /// Whether the application has refused the client with a message of its own.
    pub(crate) fn is_final(&self) -> bool {
        self.own_message
    }
}

impl fmt::Display for Reject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.message())
    }
}

impl<E: std::error::Error + Send + Sync + 'static> From<E> for Reject {
    fn from(error: E) -> Self {
        let any: &dyn std::any::Any = &error;
        let known = any.downcast_ref::<Error>().cloned();
        let Some(known) = known else {
            log_in_bursts!(error, %error, "authenticating a client failed");
            return Self::cannot_check();
        };
        Self {
            error: known,
            ..Self::cannot_check()
        }
    }
}

impl ApplicationAuth {
    /// The function of an application.
    pub(crate) fn new<F, Fut, P>(authenticate: F) -> Self
    where
        F: Fn(Parts, Value) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<P, Reject>> + Send + 'static,
        P: Into<Option<Principal>>,
    {
        Self(Box::new(move |parts, auth| {
            let decided = catch_unwind(AssertUnwindSafe(|| authenticate(parts, auth)));
            Box::pin(async move {
                let decided = match decided {
                    Ok(decided) => AssertUnwindSafe(decided).catch_unwind().await,
                    Err(panicked) => Err(panicked),
                };
                let decided = decided.unwrap_or_else(|_| {
                    log_in_bursts!(error, "the application's authentication panicked");
                    Err(Reject::cannot_check())
                });
                Ok(decided?.into())
            })
        }))
    }

    /// Asks who a client is; `None`: its token decides.
    pub(crate) fn ask(&self, parts: Parts, auth: Value) -> Decision {
        (self.0)(parts, auth)
    }
}
