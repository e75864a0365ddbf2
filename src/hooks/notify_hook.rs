//! One table of `hooks.notify`: an endpoint that is told what happened, and of what.

use std::time::Duration;

use aws_lc_rs::digest;
use reqwest::Url;

use super::{
    SigningKey,
    table::{read_key, read_url, shown_url},
};
use crate::{
    backend::OutboxKind,
    model::RoomName,
    options::{Problem, TableReader},
    pattern::Pattern,
};

/// An endpoint that is told, as configured.
#[derive(Clone, Debug)]
pub(crate) struct NotifyHook {
    /// Its place among the tables.
    pub(super) index: usize,
    /// Where it is.
    pub(super) url: Url,
    /// What it is told of.
    pub(super) events: Vec<OutboxKind>,
    /// The rooms whose messages and members it is told of, and the documents; `None`: all but personal rooms.
    pub(super) rooms: Option<Pattern>,
    /// How long its response may take.
    pub(super) timeout: Duration,
    /// What batches are signed with.
    pub(super) key: Option<SigningKey>,
}

/// The option that the tables are.
pub(super) const NOTIFY: &str = "hooks.notify";

/// The time of a response when nothing is configured.
const TIMEOUT: Duration = Duration::from_secs(10);
/// The longest time that can be configured.
const MAX_TIMEOUT: Duration = Duration::from_secs(60);

impl NotifyHook {
    /// Reads a table. `None` if it has a problem.
    pub(super) fn read(table: &mut TableReader<'_>) -> Option<Self> {
        let before = table.problems();
        let url = read_url(table);
        let events = read_events(table);
        let rooms = table.get("rooms");
        let timeout = table.get("timeout").unwrap_or(TIMEOUT);
        let key = read_key(table);
        if table.has("rooms") && !events.is_empty() && !events.iter().any(|kind| is_of_room(*kind))
        {
            table.problem(
                "rooms",
                "narrows message, room.*, member.* and document.changed, and events has none of them: add one, or remove rooms",
            );
        }
        if timeout.is_zero() || timeout > MAX_TIMEOUT {
            table.problem("timeout", "expected more than 0 s and at most 60 s");
        }
        let hook = Self {
            index: table.index(),
            url: url?,
            events,
            rooms,
            timeout,
            key,
        };
        (table.problems() == before).then_some(hook)
    }

    /// The URL without what is secret in it.
    pub(super) fn shown_url(&self) -> String {
        shown_url(&self.url)
    }

    /// The name under which is stored how far it was told: nothing of the URL can be read from it.
    pub(super) fn stored_name(&self) -> String {
        let digest = digest::digest(&digest::SHA256, self.url.as_str().as_bytes());
        digest
            .as_ref()
            .iter()
            .take(16)
            .map(|byte| format!("{byte:02x}"))
            .collect()
    }

    /// Whether it is told of something in a room.
    pub(super) fn wants(&self, kind: OutboxKind, room: &RoomName) -> bool {
        let in_room = match &self.rooms {
            _ if !is_of_room(kind) => true,
            Some(rooms) => rooms.matches(room.as_str()),
            None => !room.is_personal(),
        };
        in_room && self.events.contains(&kind)
    }
}

/// Whether `rooms` narrows it.
fn is_of_room(kind: OutboxKind) -> bool {
    match kind {
        OutboxKind::Message
        | OutboxKind::RoomOccupied
        | OutboxKind::RoomVacated
        | OutboxKind::MemberJoined
        | OutboxKind::MemberLeft
        | OutboxKind::DocumentChanged => true,
        OutboxKind::NotificationUnseen | OutboxKind::UserOnline | OutboxKind::UserOffline => false,
    }
}

fn read_events(table: &mut TableReader<'_>) -> Vec<OutboxKind> {
    let names: Vec<String> = table.get("events").unwrap_or_default();
    let known = OutboxKind::ALL.map(OutboxKind::as_str).join(", ");
    if names.is_empty() {
        table.problem(
            "events",
            format!("the endpoint is told of nothing; expected some of {known}"),
        );
    }
    let mut events = Vec::new();
    for name in names {
        match OutboxKind::parse(&name) {
            Some(kind) => events.push(kind),
            None => table.problem("events", format!("has {name:?}; expected some of {known}")),
        }
    }
    events
}

/// Checks what concerns several endpoints.
pub(super) fn check_together(hooks: &[NotifyHook], problems: &mut Vec<Problem>) {
    for (nth, hook) in hooks.iter().enumerate() {
        // How far it was told is stored by its URL.
        if hooks.iter().take(nth).any(|other| other.url == hook.url) {
            problems.push(Problem::Table {
                option: NOTIFY,
                index: hook.index,
                key: "url".to_owned(),
                message: "another table before this one has the same URL: give it other parameters, as in ?rooms=team"
                    .to_owned(),
            });
        }
    }
}

#[cfg(test)]
mod tests;
