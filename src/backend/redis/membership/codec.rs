//! Roster entries, roster updates and notices: how they are stored, and published on a room's channel.
//!
//! A message is a line with a letter, numbers and the node's id, then the body. Scripts write the updates.

use serde_json::Error;

use crate::{
    backend::{ClusterNotice, PresenceEntry},
    model::{NodeId, UserId},
    retry::log_rarely,
};

#[derive(Debug)]
pub(crate) enum RosterMessage {
    /// The entries of a node have changed.
    Changed {
        /// The roster's version before this change.
        before: u64,
        /// And after it.
        version: u64,
        /// The node that the entries belong to.
        node: NodeId,
        update: RosterUpdate,
    },
    /// A notice, which is not stored.
    Notice(NodeId, ClusterNotice),
}

#[derive(Debug)]
pub(crate) enum RosterUpdate {
    /// The node's new entries of some users; `None`: removed.
    Users(Vec<(UserId, Option<PresenceEntry>)>),
    /// All entries of the node were removed.
    NodeRemoved,
}

/// Encodes an entry as it is stored.
pub(crate) fn encode_entry(entry: &PresenceEntry) -> Result<String, Error> {
    serde_json::to_string(entry)
}

/// Encodes a notice as it is published.
pub(crate) fn encode_notice(node: NodeId, notice: &ClusterNotice) -> Result<String, Error> {
    Ok(format!("n{node}\n{}", serde_json::to_string(notice)?))
}

/// Decodes a message; `None` if it is malformed.
pub(crate) fn decode(text: &str) -> Option<RosterMessage> {
    let (head, body) = text.split_once('\n')?;
    if let Some(node) = head.strip_prefix('n') {
        let notice = serde_json::from_str(body).ok()?;
        return Some(RosterMessage::Notice(node.parse().ok()?, notice));
    }
    let (kind, numbers) = head.split_at_checked(1)?;
    let mut numbers = numbers.split(' ');
    let mut number = || numbers.next()?.parse().ok();
    let (before, version) = (number()?, number()?);
    let node = numbers.next()?.parse().ok()?;
    let update = match kind {
        "u" => RosterUpdate::Users(decode_users(body)?),
        "g" => RosterUpdate::NodeRemoved,
        _ => return None,
    };
    Some(RosterMessage::Changed {
        before,
        version,
        node,
        update,
    })
}

/// Decodes users: for each a line with its id and the length of its entry, then the entry.
fn decode_users(mut body: &str) -> Option<Vec<(UserId, Option<PresenceEntry>)>> {
    let mut users = Vec::new();
    while !body.is_empty() {
        let (head, rest) = body.split_once('\n')?;
        let (user, length) = head.split_once(' ')?;
        let (text, rest) = rest.split_at_checked(length.parse().ok()?)?;
        body = rest;
        if text.is_empty() {
            users.push((UserId::from_log(user), None));
        } else if let Some((user, entry)) = decode_entry(user, text) {
            users.push((user, Some(entry)));
        }
    }
    Some(users)
}

/// Decodes a stored entry.
pub(super) fn decode_entry(user: &str, text: &str) -> Option<(UserId, PresenceEntry)> {
    match serde_json::from_str(text) {
        Ok(entry) => Some((UserId::from_log(user), entry)),
        Err(error) => {
            log_rarely!(warn, user, %error, "ignored a malformed roster entry");
            None
        }
    }
}
