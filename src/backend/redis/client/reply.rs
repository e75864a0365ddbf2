//! Reads replies and classifies errors.

use redis::{FromRedisValue, RedisError, Value};

use crate::error::{Error, Result};

/// Error codes that concern the whole server, and not the keys of one room.
const SERVER_WIDE: [&str; 13] = [
    "OOM",
    "MISCONF",
    "READONLY",
    "NOPERM",
    "NOAUTH",
    "WRONGPASS",
    "LOADING",
    "BUSY",
    "UNKILLABLE",
    "NOREPLICAS",
    "CLUSTERDOWN",
    "MASTERDOWN",
    "MOVED",
];

/// Whether an error concerns all rooms. Other errors, such as `WRONGTYPE`, mean that the keys of one room are damaged.
pub(crate) fn is_server_wide(reply: &Value) -> bool {
    is_error(reply, &SERVER_WIDE)
}

/// Whether the keys are being migrated to another node of the Cluster right now.
pub(crate) fn is_migrating(reply: &Value) -> bool {
    is_error(reply, &["ASK", "TRYAGAIN"])
}

/// Whether another node of the Cluster owns the slot.
pub(super) fn has_moved(reply: &Value) -> bool {
    is_error(reply, &["MOVED"])
}

/// Whether the server takes no writes because another one may have been promoted.
pub(super) fn cannot_write(reply: &Value) -> bool {
    is_error(reply, &["CLUSTERDOWN", "READONLY", "MASTERDOWN"])
}

pub(super) fn is_error(reply: &Value, codes: &[&str]) -> bool {
    matches!(reply, Value::ServerError(error) if codes.contains(&error.code()))
}

/// Fails if the reply is an error.
pub(crate) fn check(reply: Value) -> Result<Value> {
    reply.extract_error().map_err(unavailable)
}

/// Reads a reply as `T`.
pub(crate) fn parse<T: FromRedisValue>(reply: Value) -> Result<T> {
    redis::from_redis_value(check(reply)?).map_err(corrupt)
}

/// The cause of an error in Redis's own words, without the position in a script.
pub(crate) fn reason(error: &Error) -> String {
    let Some(cause) = std::error::Error::source(error) else {
        return error.message().to_owned();
    };
    let text = match cause.downcast_ref::<RedisError>() {
        Some(cause) => match (cause.code(), cause.detail()) {
            (Some(code), Some(detail)) => format!("{code} {detail}"),
            _ => cause.to_string(),
        },
        None => cause.to_string(),
    };
    match text.split_once(" script: ") {
        Some((text, _)) => text.trim_end_matches(['.', ',']).to_owned(),
        None => text,
    }
}

/// Redis could not be reached, or rejected the command.
pub(crate) fn unavailable(error: RedisError) -> Error {
    Error::unavailable("Redis is unavailable; retry with the same id").caused_by(error)
}

/// A stored value is not in the expected format.
pub(crate) fn corrupt(error: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::unavailable("a value stored in Redis cannot be read").caused_by(error)
}
