//! How nodes say in a room's channel who is there, and what they tell each other.
//!
//! Text: a letter, numbers, and the node's name in one line, then what it says. The scripts write the changes.

use serde_json::Error;

use crate::{
    backend::{Notice, PresenceEntry},
    model::{NodeId, UserId},
    repeat::log_rarely,
};

/// What a node says.
#[derive(Debug)]
pub(in crate::backend::redis) enum Said {
    /// Something changed.
    Changed {
        /// The version of who is there before this change.
        before: u64,
        /// And after it.
        version: u64,
        /// Whose users they are.
        node: NodeId,
        what: What,
    },
    /// Something of the moment.
    Notice(NodeId, Notice),
}

/// What changed.
#[derive(Debug)]
pub(in crate::backend::redis) enum What {
    /// What the node has of some users now.
    Users(Vec<(UserId, Option<PresenceEntry>)>),
    /// It has nothing there any more.
    Gone,
}

/// What is said of a user.
pub(super) fn write(attending: &PresenceEntry) -> Result<String, Error> {
    serde_json::to_string(attending)
}

/// What a notice says.
pub(super) fn write_notice(node: NodeId, notice: &Notice) -> Result<String, Error> {
    Ok(format!("n{node}\n{}", serde_json::to_string(notice)?))
}

/// What was said; `None` if nobody of us says that.
pub(in crate::backend::redis) fn said(text: &str) -> Option<Said> {
    let (head, body) = text.split_once('\n')?;
    if let Some(node) = head.strip_prefix('n') {
        let notice = serde_json::from_str(body).ok()?;
        return Some(Said::Notice(node.parse().ok()?, notice));
    }
    let (kind, numbers) = head.split_at_checked(1)?;
    let mut numbers = numbers.split(' ');
    let mut number = || numbers.next()?.parse().ok();
    let (before, version) = (number()?, number()?);
    let node = numbers.next()?.parse().ok()?;
    let what = match kind {
        "u" => What::Users(users(body)?),
        "g" => What::Gone,
        _ => return None,
    };
    Some(Said::Changed {
        before,
        version,
        node,
        what,
    })
}

/// Each user's id and the length of what follows in a line of its own.
fn users(mut body: &str) -> Option<Vec<(UserId, Option<PresenceEntry>)>> {
    let mut users = Vec::new();
    while !body.is_empty() {
        let (head, rest) = body.split_once('\n')?;
        let (user, length) = head.split_once(' ')?;
        let (text, rest) = rest.split_at_checked(length.parse().ok()?)?;
        body = rest;
        if text.is_empty() {
            users.push((UserId::from_log(user), None));
        } else if let Some((user, attending)) = attending(user, text) {
            users.push((user, Some(attending)));
        }
    }
    Some(users)
}

/// What is stored of a user.
pub(super) fn attending(user: &str, text: &str) -> Option<(UserId, PresenceEntry)> {
    match serde_json::from_str(text) {
        Ok(attending) => Some((UserId::from_log(user), attending)),
        Err(error) => {
            log_rarely!(warn, user, %error, "what a node has of a user cannot be read");
            None
        }
    }
}
