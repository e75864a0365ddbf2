//! Why a message of an emitter is dropped.

/// A reason, as metrics and logs name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// It has more bytes than configured.
    TooLarge,
    /// Its arrays and objects nest deeper than configured.
    TooDeep,
    /// It has more arguments, names or binary attachments than clients or the server can take.
    TooMany,
    /// It is not what such messages look like.
    Malformed,
    /// Its event has a name that is too long, or that Socket.IO uses itself.
    EventName,
    /// It is a pickle of Python, which would have to be executed to be read.
    Pickle,
    /// It asks for something that is not known.
    Unknown,
}

impl Refusal {
    /// Every label of metrics.
    pub(super) const ALL: [&'static str; 7] = [
        Self::TooLarge.as_str(),
        Self::TooDeep.as_str(),
        Self::TooMany.as_str(),
        Self::Malformed.as_str(),
        Self::EventName.as_str(),
        Self::Pickle.as_str(),
        Self::Unknown.as_str(),
    ];

    /// The label in metrics.
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::TooLarge => "too_large",
            Self::TooDeep => "too_deep",
            Self::TooMany => "too_many",
            Self::Malformed => "malformed",
            Self::EventName => "event_name",
            Self::Pickle => "pickle",
            Self::Unknown => "unknown",
        }
    }

    /// What an operator can do about it.
    pub(super) const fn advice(self) -> &'static str {
        match self {
            Self::TooLarge => {
                "send less at once, or raise limits.message_bytes and socketio.max_payload"
            }
            Self::TooDeep => "nest less, or raise limits.nesting",
            Self::TooMany => {
                "an event has at most 1024 arguments, 1024 rooms and sockets, and 10 binary attachments"
            }
            Self::Malformed => {
                "expected what @socket.io/redis-emitter, @socket.io/redis-adapter or python-socketio publish"
            }
            Self::EventName => "choose another event name: Socket.IO uses some itself",
            Self::Pickle => {
                "pickles are never read: update python-socketio to 5.14 or later, which publishes JSON"
            }
            Self::Unknown => "expected a request or method of a released version",
        }
    }
}
