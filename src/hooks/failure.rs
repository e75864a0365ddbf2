//! Why an endpoint has given no reply.

use std::time::Duration;

use crate::error::{Error, UNAVAILABLE_RETRY_AFTER};

/// Why an endpoint has given no reply.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub(crate) enum HookFailure {
    /// It was not asked: most calls before have failed.
    #[error("it is not asked for {0:?}: most calls have failed")]
    Open(Duration),
    /// It was not asked: too many calls are under way.
    #[error("too many calls are under way")]
    Busy,
    /// There is no connection to it.
    #[error("no connection: {0}")]
    Connect(String),
    /// It has not replied in time.
    #[error("no reply in time")]
    Timeout,
    /// The connection was lost, or what came is no HTTP.
    #[error("the connection was lost: {0}")]
    Broken(String),
    /// It has replied with another status than 200 and 403.
    #[error("it replied with status {0}")]
    Status(u16),
    /// Its reply is larger than `hooks.response_bytes`.
    #[error("the reply has more than {0} bytes: hooks.response_bytes")]
    TooLarge(usize),
    /// Its reply is wrong.
    #[error("wrong reply: {0}")]
    Reply(String),
}

impl HookFailure {
    /// Every kind, for metrics.
    pub(super) const KINDS: [&str; 8] = [
        "open",
        "busy",
        "connect",
        "timeout",
        "broken",
        "status",
        "too_large",
        "reply",
    ];

    /// Name in logs and metrics.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Open(_) => "open",
            Self::Busy => "busy",
            Self::Connect(_) => "connect",
            Self::Timeout => "timeout",
            Self::Broken(_) => "broken",
            Self::Status(_) => "status",
            Self::TooLarge(_) => "too_large",
            Self::Reply(_) => "reply",
        }
    }

    /// Whether it says that the endpoint is ill, rather than that it did not like what it was sent.
    pub(super) fn is_of_endpoint(&self) -> bool {
        match self {
            Self::Connect(_) | Self::Timeout | Self::Broken(_) => true,
            Self::Status(status) => *status >= 500,
            Self::Open(_) | Self::Busy | Self::TooLarge(_) | Self::Reply(_) => false,
        }
    }

    /// Whether an error comes of an endpoint that was asked: it has refused something, or was sent a call and has not answered.
    pub(crate) fn was_asked(error: &Error) -> bool {
        let source = std::error::Error::source(error);
        source.is_some_and(|source| match source.downcast_ref::<Self>() {
            Some(failure) => !matches!(failure, Self::Open(_) | Self::Busy | Self::Connect(_)),
            None => source.is::<Refused>(),
        })
    }

    /// What the client is told.
    pub(crate) fn to_error(&self) -> Error {
        let wait = match self {
            Self::Open(remaining) => *remaining,
            _ => UNAVAILABLE_RETRY_AFTER,
        };
        Error::unavailable("the application does not answer; try again later")
            .retry_after(wait)
            .caused_by(self.clone())
    }
}

/// Marks an error as an endpoint's refusal.
#[derive(Debug, thiserror::Error)]
#[error("a hook has refused it")]
pub(super) struct Refused;
