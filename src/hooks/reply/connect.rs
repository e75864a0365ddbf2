//! The reply to a connection: who the client is, and what it begins with.

use serde_json::value::RawValue;

use super::{Object, Reply, check_state, read_value};
use crate::{
    auth::{parse_info, parse_name},
    hooks::IdentityChange,
    model::RoomName,
};

/// What a connection begins with.
#[derive(Debug)]
pub(crate) struct ConnectReply {
    /// What changes in the client's identity.
    pub(crate) identity: IdentityChange,
    /// Rooms that the client is a member of.
    pub(crate) join: Vec<RoomName>,
    /// The connection's state.
    pub(crate) state: Option<Box<RawValue>>,
}

/// Most rooms that a client begins in.
const MAX_ROOMS: usize = 100;

impl Reply for ConnectReply {
    fn read(object: &Object<'_>) -> Result<Self, String> {
        let name: Option<String> = optional(object, "name")?;
        let info: Option<Box<RawValue>> = optional(object, "info")?;
        let identity = IdentityChange {
            user: optional(object, "user")?,
            name: match name {
                Some(name) => parse_name(&name).map_err(|wrong| format!("name: {wrong}"))?,
                None => None,
            },
            info: match info {
                Some(info) => Some(parse_info(info).map_err(|wrong| format!("info: {wrong}"))?),
                None => None,
            },
            rooms: optional(object, "rooms")?,
            expires_at: optional(object, "expires_at")?,
        };
        let join: Vec<RoomName> = optional(object, "join")?.unwrap_or_default();
        if join.len() > MAX_ROOMS {
            return Err(format!(
                "join has {} rooms; at most {MAX_ROOMS} are joined",
                join.len()
            ));
        }
        let state: Option<Box<RawValue>> = optional(object, "state")?;
        state.as_deref().map(check_state).transpose()?;
        Ok(Self {
            identity,
            join,
            state,
        })
    }
}

fn optional<'a, T: serde::Deserialize<'a>>(
    object: &Object<'a>,
    key: &str,
) -> Result<Option<T>, String> {
    object
        .get(key)
        .map(|value| read_value(key, value))
        .transpose()
}
