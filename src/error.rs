//! What can go wrong, as clients see it: one shape, and codes that never change their meaning.
//!
//! Every rule in the hub and every parser at a door answers with [`Error`]; a door turns it into its own
//! protocol once, at the boundary. The cause stays in `source()` for the log and is never shown to clients.

use std::{borrow::Cow, fmt, sync::Arc, time::Duration};

use serde::{Serialize, ser::SerializeStruct};

/// A result whose error a client may see.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// A stable word for a kind of failure; clients branch on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Code {
    /// The request is malformed: the message says what was expected.
    BadRequest,
    /// No identity, or one that cannot be verified.
    Unauthorized,
    /// The token was good and no longer is.
    TokenExpired,
    /// The identity is known and may not do this.
    Forbidden,
    /// The room must be joined first.
    NotJoined,
    /// There is no such thing.
    NotFound,
    /// Larger than a configured size.
    TooLarge,
    /// Faster than a configured rate; `retry_after_ms` says when to try again.
    RateLimited,
    /// More than a configured number.
    LimitReached,
    /// Storage cannot take it now; the same request with the same `id` is safe to repeat.
    Unavailable,
    /// This node is going down; connect again.
    Draining,
    /// A defect of the server.
    Internal,
}

impl Code {
    /// Every code, for documentation and metrics.
    pub const ALL: [Code; 12] = [
        Code::BadRequest,
        Code::Unauthorized,
        Code::TokenExpired,
        Code::Forbidden,
        Code::NotJoined,
        Code::NotFound,
        Code::TooLarge,
        Code::RateLimited,
        Code::LimitReached,
        Code::Unavailable,
        Code::Draining,
        Code::Internal,
    ];

    /// The word on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Code::BadRequest => "bad_request",
            Code::Unauthorized => "unauthorized",
            Code::TokenExpired => "token_expired",
            Code::Forbidden => "forbidden",
            Code::NotJoined => "not_joined",
            Code::NotFound => "not_found",
            Code::TooLarge => "too_large",
            Code::RateLimited => "rate_limited",
            Code::LimitReached => "limit_reached",
            Code::Unavailable => "unavailable",
            Code::Draining => "draining",
            Code::Internal => "internal",
        }
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A limit that a client can run into, by its configuration name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Limit {
    /// Size of a message's `data`.
    MessageBytes,
    /// Length of a name.
    NameBytes,
    /// Levels of arrays and objects in an event.
    Nesting,
    /// Messages a second of one connection.
    MessagesPerSecond,
    /// Messages a second of one user, over all connections.
    UserMessagesPerSecond,
    /// Joins a second of one connection, or of one user without a connection.
    JoinsPerSecond,
    /// Joins a second of one user, over all connections.
    UserJoinsPerSecond,
    /// Deliveries a second of what one user shows of itself.
    NoticesPerSecond,
    /// Rooms one connection has joined.
    RoomsPerConnection,
    /// Events of one connection that wait to be handled.
    Inbox,
    /// Signals of one connection that wait for an answer.
    Signals,
    /// Bytes of answers to the signals of one connection.
    SignalBytes,
    /// Size of the `info` that a user shows of itself.
    InfoBytes,
    /// Users of a room who can be typing at once.
    Typists,
    /// Handshakes that are under way at this node.
    Handshakes,
    /// TCP connections without a request at this node.
    IdleConnections,
    /// Requests of one address without a good token or key, a second.
    AuthFailuresPerSecond,
    /// New connections a second of this node.
    ConnectsPerSecond,
    /// Polls that wait at this node.
    PollWaiters,
    /// Connections of this node.
    Connections,
    /// Connections of one address.
    ConnectionsPerIp,
    /// Connections of one user.
    ConnectionsPerUser,
    /// Bytes in flight of this node.
    Memory,
}

impl Limit {
    /// Every limit, for metrics.
    pub const ALL: [Limit; 23] = [
        Limit::MessageBytes,
        Limit::NameBytes,
        Limit::Nesting,
        Limit::MessagesPerSecond,
        Limit::UserMessagesPerSecond,
        Limit::JoinsPerSecond,
        Limit::UserJoinsPerSecond,
        Limit::NoticesPerSecond,
        Limit::RoomsPerConnection,
        Limit::Inbox,
        Limit::Signals,
        Limit::Handshakes,
        Limit::IdleConnections,
        Limit::AuthFailuresPerSecond,
        Limit::SignalBytes,
        Limit::ConnectsPerSecond,
        Limit::InfoBytes,
        Limit::Typists,
        Limit::PollWaiters,
        Limit::Connections,
        Limit::ConnectionsPerIp,
        Limit::ConnectionsPerUser,
        Limit::Memory,
    ];

    /// The name in the configuration.
    pub const fn name(self) -> &'static str {
        match self {
            Limit::MessageBytes => "message_bytes",
            Limit::NameBytes => "name_bytes",
            Limit::Nesting => "nesting",
            Limit::MessagesPerSecond => "messages_per_second",
            Limit::UserMessagesPerSecond => "user_messages_per_second",
            Limit::JoinsPerSecond => "joins_per_second",
            Limit::UserJoinsPerSecond => "user_joins_per_second",
            Limit::NoticesPerSecond => "notices_per_second",
            Limit::RoomsPerConnection => "rooms_per_connection",
            Limit::Inbox => "inbox",
            Limit::Signals => "signals",
            Limit::Handshakes => "handshakes",
            Limit::IdleConnections => "idle_connections",
            Limit::AuthFailuresPerSecond => "auth_failures_per_second",
            Limit::SignalBytes => "signal_bytes",
            Limit::ConnectsPerSecond => "connects_per_second",
            Limit::InfoBytes => "info_bytes",
            Limit::Typists => "typing_room_users",
            Limit::PollWaiters => "poll_waiters",
            Limit::Connections => "connections",
            Limit::ConnectionsPerIp => "connections_per_ip",
            Limit::ConnectionsPerUser => "connections_per_user",
            Limit::Memory => "memory",
        }
    }
}

/// When it makes sense to try again what is unavailable: about when the server itself has tried whether storage works.
pub const UNAVAILABLE: Duration = Duration::from_secs(1);

/// A failure with its [`Code`], a sentence for a human, and perhaps a time to wait.
///
/// Serializes as `{ "code", "message", "retry_after_ms"? }`.
#[derive(Clone, Debug)]
pub struct Error {
    code: Code,
    message: Cow<'static, str>,
    retry_after: Option<Duration>,
    limit: Option<Limit>,
    source: Option<Arc<dyn std::error::Error + Send + Sync>>,
}

impl Error {
    /// An error that a client may see in full.
    pub fn new(code: Code, message: impl Into<Cow<'static, str>>) -> Self {
        Self {
            code,
            message: message.into(),
            retry_after: None,
            limit: None,
            source: None,
        }
    }

    /// Malformed input; `message` says what was expected.
    pub fn bad_request(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(Code::BadRequest, message)
    }

    /// Not allowed to this identity.
    pub fn forbidden(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(Code::Forbidden, message)
    }

    /// No usable identity.
    pub fn unauthorized(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(Code::Unauthorized, message)
    }

    /// Storage cannot take it now; to be tried again in [`UNAVAILABLE`], unless something else is said.
    pub fn unavailable(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(Code::Unavailable, message).retry_after(UNAVAILABLE)
    }

    /// Keeps the cause for the log.
    #[must_use]
    pub fn caused_by(mut self, source: impl std::error::Error + Send + Sync + 'static) -> Self {
        self.source = Some(Arc::new(source));
        self
    }

    /// Says which limit was reached, for the metrics.
    #[must_use]
    pub fn for_limit(mut self, limit: Limit) -> Self {
        self.limit = Some(limit);
        self
    }

    /// Says when trying again makes sense.
    #[must_use]
    pub fn retry_after(mut self, wait: Duration) -> Self {
        self.retry_after = Some(wait);
        self
    }

    /// The stable word.
    pub fn code(&self) -> Code {
        self.code
    }

    /// The limit that was reached, if it is about one.
    pub fn limit(&self) -> Option<Limit> {
        self.limit
    }

    /// The sentence for a human.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// How long to wait before trying again, when known; whole milliseconds, at least one.
    pub fn retry_after_ms(&self) -> Option<u64> {
        self.retry_after
            .map(|wait| u64::try_from(wait.as_millis()).unwrap_or(u64::MAX).max(1))
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code, self.message)
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source
            .as_deref()
            .map(|source| source as &(dyn std::error::Error + 'static))
    }
}

impl Serialize for Error {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let wait = self.retry_after_ms();
        let mut error = serializer.serialize_struct("Error", 2 + usize::from(wait.is_some()))?;
        error.serialize_field("code", self.code.as_str())?;
        error.serialize_field("message", &self.message)?;
        if let Some(wait) = wait {
            error.serialize_field("retry_after_ms", &wait)?;
        }
        error.end()
    }
}

#[cfg(test)]
mod tests;
