//! Names of rooms and sockets as emitters write them.
//!
//! They need not be names that a room here can have: such a room has no members. A name that looks like a connection's id is that
//! connection, which is what `socket.id` is to clients.

use std::collections::HashSet;

use serde::{Deserialize, Deserializer, de};

use super::Refusal;
use crate::{
    hub::{SocketName, SocketSet},
    model::{Namespace, RoomName},
};

/// How many names a message may have.
const MAX_NAMES: usize = 1024;

/// A name: a string, or a number, which stands for its digits.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Name(String);

impl<'de> Deserialize<'de> for Name {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match serde_json::Value::deserialize(deserializer)? {
            serde_json::Value::String(name) => Ok(Self(name)),
            serde_json::Value::Number(number) => Ok(Self(number.to_string())),
            _ => Err(de::Error::custom("a name is a string or a number")),
        }
    }
}

/// No name, one, or several.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(untagged)]
pub(super) enum Names {
    #[default]
    None,
    One(Name),
    Several(Vec<Name>),
}

impl Names {
    pub(super) fn into_vec(self) -> Vec<Name> {
        match self {
            Self::None => Vec::new(),
            Self::One(name) => vec![name],
            Self::Several(names) => names,
        }
    }
}

impl From<&str> for Name {
    fn from(name: &str) -> Self {
        Self(name.to_owned())
    }
}

impl Name {
    /// What it names here; `None` if that can be nothing.
    pub(super) fn socket(&self) -> Option<SocketName> {
        SocketName::parse(&self.0)
    }
}

/// The set of sockets that a message is for: with one of the names, or all if there are none, and without those of `except`.
///
/// # Errors
/// `too_many` names.
pub(super) fn socket_set(
    namespace: &Namespace,
    of: &[Name],
    except: &[Name],
) -> Result<SocketSet, Refusal> {
    if of.len().saturating_add(except.len()) > MAX_NAMES {
        return Err(Refusal::TooMany);
    }
    Ok(SocketSet {
        namespace: namespace.clone(),
        of: (!of.is_empty()).then(|| sockets(of)),
        except: sockets(except),
    })
}

fn sockets(names: &[Name]) -> Vec<SocketName> {
    let mut seen = HashSet::new();
    let different = names.iter().filter(|name| seen.insert(*name));
    different.filter_map(Name::socket).collect()
}

/// The rooms that are to be joined or left. Those that cannot be rooms here are left out: a socket is in none of them.
///
/// # Errors
/// `too_many` names.
pub(super) fn rooms(names: &[Name]) -> Result<Vec<RoomName>, Refusal> {
    if names.len() > MAX_NAMES {
        return Err(Refusal::TooMany);
    }
    let rooms = names.iter().filter_map(|name| match name.socket()? {
        SocketName::Room(room) => Some(room),
        SocketName::Connection(_) => None,
    });
    Ok(rooms.collect())
}

#[cfg(test)]
mod tests;
