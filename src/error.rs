//! The error that clients see: one shape, and codes whose meaning never changes.
//!
//! Every rule in the hub and every parser in a transport fails with [`Error`]; the transport converts it to its protocol
//! once, at the boundary. The cause stays in `source()` for the log and is never sent to clients.

use std::{borrow::Cow, fmt, sync::Arc, time::Duration};

use serde::{Serialize, ser::SerializeStruct};

/// A result whose error can be sent to a client.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// The kind of a failure, stable so that clients can branch on it.
///
/// ```
/// use switchboard::Code;
///
/// assert_eq!(Code::RateLimited.as_str(), "rate_limited");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Code {
    /// The request is malformed; the message says what was expected.
    BadRequest,
    /// No identity, or one that cannot be verified.
    Unauthorized,
    /// The token has expired.
    TokenExpired,
    /// The identity lacks the permission.
    Forbidden,
    /// The room must be joined first.
    NotJoined,
    /// The room, user, connection or route does not exist.
    NotFound,
    /// Exceeds a configured size.
    TooLarge,
    /// Exceeds a configured rate; `retry_after_ms` says when to retry.
    RateLimited,
    /// Exceeds a configured number.
    LimitReached,
    /// Storage is unavailable; a retry with the same `id` is safe.
    Unavailable,
    /// The node is shutting down; reconnect.
    Draining,
    /// A bug in the server.
    Internal,
}

impl Code {
    /// All codes.
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

    /// Whether the same request may succeed later: what it needs is not there now.
    pub(crate) const fn is_temporary(self) -> bool {
        matches!(
            self,
            Code::Unavailable | Code::LimitReached | Code::RateLimited | Code::Draining
        )
    }

    /// The code on the wire.
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

/// A limit that a client can reach.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Limit {
    /// Size of a message's `data`.
    MessageBytes,
    /// Length of a name.
    NameBytes,
    /// Levels of arrays and objects in an event.
    Nesting,
    /// Messages per second of a connection.
    MessagesPerSecond,
    /// Messages per second of a user, over all connections.
    UserMessagesPerSecond,
    /// Joins per second of a connection, or of a user without one.
    JoinsPerSecond,
    /// Joins per second of a user, over all connections.
    UserJoinsPerSecond,
    /// Deliveries per second of a user's presence, typing and read markers.
    NoticesPerSecond,
    /// Rooms joined by a connection.
    RoomsPerConnection,
    /// Queued events of a connection.
    Inbox,
    /// Signals of a connection that wait for a reply.
    Signals,
    /// Bytes of the replies to the signals of a connection.
    SignalBytes,
    /// Size of a user's `info`.
    InfoBytes,
    /// Users who are typing in a room at once.
    Typists,
    /// Handshakes in progress on the node.
    Handshakes,
    /// TCP connections without a request on the node.
    IdleConnections,
    /// Requests per second of an address without a valid token or key.
    AuthFailuresPerSecond,
    /// Log-ins per minute of an address with a wrong key.
    LoginsPerMinute,
    /// Open streams of the REST API on the node.
    ApiStreams,
    /// New connections per second on the node.
    ConnectsPerSecond,
    /// Waiting polls on the node.
    PollWaiters,
    /// Connections on the node.
    Connections,
    /// Connections of an address.
    ConnectionsPerIp,
    /// Connections of a user.
    ConnectionsPerUser,
    /// Memory of the node for clients' data in flight.
    Memory,
}

impl Limit {
    /// All limits.
    pub const ALL: [Limit; 25] = [
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
        Limit::LoginsPerMinute,
        Limit::ApiStreams,
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
            Limit::LoginsPerMinute => "logins_per_minute",
            Limit::ApiStreams => "api_streams",
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

/// The retry delay for `unavailable`: about when the server itself has checked whether storage works again.
pub const UNAVAILABLE_RETRY_AFTER: Duration = Duration::from_secs(1);

/// A failure with its [`Code`], a message for people, and optionally a time after which to retry.
///
/// Serializes as `{ "code", "message", "retry_after_ms"?, "at"? }`. As the error of an axum handler it is a response with the matching
/// status.
///
/// ```
/// use std::time::Duration;
/// use switchboard::{Code, Error};
///
/// let error = Error::bad_request("a die has at least one side");
/// assert_eq!(error.code(), Code::BadRequest);
///
/// let busy = Error::unavailable("all tables are taken").retry_after(Duration::from_secs(5));
/// assert_eq!(busy.retry_after_ms(), Some(5000));
/// ```
#[derive(Clone, Debug)]
pub struct Error {
    code: Code,
    /// The code that clients are told, if it is an application's own.
    own_code: Option<Arc<str>>,
    message: Cow<'static, str>,
    retry_after: Option<Duration>,
    limit: Option<Limit>,
    /// Where in the data the fault is.
    at: Option<Arc<str>>,
    source: Option<Arc<dyn std::error::Error + Send + Sync>>,
}

impl Error {
    /// An error with a message that is sent to the client.
    pub fn new(code: Code, message: impl Into<Cow<'static, str>>) -> Self {
        Self {
            code,
            own_code: None,
            message: message.into(),
            retry_after: None,
            limit: None,
            at: None,
            source: None,
        }
    }

    /// A `bad_request`; `message` says what was expected.
    pub fn bad_request(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(Code::BadRequest, message)
    }

    /// A `forbidden`.
    pub fn forbidden(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(Code::Forbidden, message)
    }

    /// The refusal of an application, with one of the server's codes or one of its own, which counts as `forbidden`.
    pub(crate) fn denied(code: &str, message: String) -> Self {
        let known = Code::ALL.into_iter().find(|known| known.as_str() == code);
        Self {
            own_code: known.is_none().then(|| code.into()),
            ..Self::new(known.unwrap_or(Code::Forbidden), message)
        }
    }

    /// An `unauthorized`.
    pub fn unauthorized(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(Code::Unauthorized, message)
    }

    /// An `unavailable`, to be retried after [`UNAVAILABLE_RETRY_AFTER`]; [`retry_after`](Self::retry_after) overrides that.
    pub fn unavailable(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(Code::Unavailable, message).retry_after(UNAVAILABLE_RETRY_AFTER)
    }

    /// Attaches the cause, for the log only.
    #[must_use]
    pub fn caused_by(mut self, source: impl std::error::Error + Send + Sync + 'static) -> Self {
        self.source = Some(Arc::new(source));
        self
    }

    /// Names the limit that was reached, for the metrics.
    #[must_use]
    pub fn for_limit(mut self, limit: Limit) -> Self {
        self.limit = Some(limit);
        self
    }

    /// Says where in the data the fault is: a JSON pointer, empty for the whole.
    #[must_use]
    pub fn at(mut self, pointer: impl Into<Arc<str>>) -> Self {
        self.at = Some(pointer.into());
        self
    }

    /// Where in the data the fault is, if that is known.
    pub(crate) fn place(&self) -> Option<&Arc<str>> {
        self.at.as_ref()
    }

    /// Sets the time after which a retry makes sense.
    #[must_use]
    pub fn retry_after(mut self, wait: Duration) -> Self {
        self.retry_after = Some(wait);
        self
    }

    /// The code.
    pub fn code(&self) -> Code {
        self.code
    }

    /// The code that clients are told: an application may have its own.
    pub(crate) fn shown_code(&self) -> &str {
        self.own_code.as_deref().unwrap_or(self.code.as_str())
    }

    /// The limit that was reached, if any.
    pub fn limit(&self) -> Option<Limit> {
        self.limit
    }

    /// The message for people.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// The time after which to retry, if known: whole milliseconds, at least one.
    pub fn retry_after_ms(&self) -> Option<u64> {
        self.retry_after
            .map(|wait| u64::try_from(wait.as_millis()).unwrap_or(u64::MAX).max(1))
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.shown_code(), self.message)
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
        let fields = 2 + usize::from(wait.is_some()) + usize::from(self.at.is_some());
        let mut error = serializer.serialize_struct("Error", fields)?;
        error.serialize_field("code", self.shown_code())?;
        error.serialize_field("message", &self.message)?;
        if let Some(wait) = wait {
            error.serialize_field("retry_after_ms", &wait)?;
        }
        if let Some(at) = &self.at {
            error.serialize_field("at", at)?;
        }
        error.end()
    }
}

#[cfg(test)]
mod tests;
