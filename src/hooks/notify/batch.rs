//! What an endpoint is sent at once: the next events that it wants, in order.
//!
//! Pure: given how far the endpoint was told and a page of the outbox, it returns the batch. The same events have the same id,
//! so that a back end can drop what it has had.

use bytes::Bytes;
use serde::Serialize;

use super::progress::{LostEvents, StreamProgress};
use crate::{
    backend::{OutboxEvent, OutboxKind, OutboxPage},
    hooks::notify_hook::NotifyHook,
    model::{Message, Namespace, RoomName, Timestamp, UserId},
};

/// Most events of a batch.
pub(super) const MAX_EVENTS: usize = 100;

/// Most bytes of a batch, unless its first event has more.
pub(super) const MAX_BYTES: usize = 256 << 10;

/// Events that are sent together.
#[derive(Clone, Debug)]
pub(super) struct Batch {
    /// The first and the last event's id, with a hyphen.
    pub(super) id: String,
    pub(super) body: Bytes,
    /// How many events it has.
    pub(super) events: u64,
    /// When the first of them happened.
    pub(super) oldest: Timestamp,
    /// It tells of what was lost, and of nothing else: events from the same first to the same last may have been sent before.
    pub(super) is_loss: bool,
    /// The number up to which the endpoint was told when it has taken this.
    through: u64,
}

/// Where and when a batch is made.
pub(super) struct BatchContext<'a> {
    pub(super) hook: &'a NotifyHook,
    /// The stream, if there are several.
    pub(super) stream: Option<usize>,
    pub(super) now: Timestamp,
    /// Events from before this time are given up.
    pub(super) give_up_before: Timestamp,
}

/// An event as it is sent.
#[derive(Serialize)]
struct EventJson<'a> {
    id: String,
    #[serde(rename = "type")]
    kind: &'static str,
    ts: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    namespace: Option<&'a Namespace>,
    #[serde(skip_serializing_if = "Option::is_none")]
    document: Option<&'a RoomName>,
    #[serde(skip_serializing_if = "Option::is_none")]
    room: Option<&'a RoomName>,
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<&'a Message>,
    #[serde(skip_serializing_if = "Option::is_none")]
    first: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    events: Option<u64>,
}

/// Makes the next batch of a page that begins behind `progress.at`. `None`: the page has nothing for the endpoint, and `progress` is
/// behind it now.
pub(super) fn next_batch(
    context: &BatchContext<'_>,
    progress: &mut StreamProgress,
    page: &OutboxPage,
) -> Option<Batch> {
    find_gap(progress, page, context.now);
    let mut gathering = Gathering::default();
    let mut through = progress.at;
    for event in &page.events {
        let wanted = context.hook.wants(event.kind, &event.room.room);
        if wanted && is_lost(event, context.give_up_before) {
            if !gathering.is_empty() {
                break; // told of before what comes behind it, in the next batch
            }
            progress.lose((event.number, event.number), 1, context.now);
        } else if wanted
            && (progress.lost.is_some() || !gathering.push(context.event(event), event.ts))
        {
            break;
        }
        through = event.number;
    }
    match &progress.lost {
        Some(lost) => Some(context.loss(lost, through)),
        None if gathering.is_empty() => {
            progress.at = through;
            None
        }
        None => Some(gathering.into_batch(context.now, through)),
    }
}

/// Records what was deleted before the endpoint was told of it.
fn find_gap(progress: &mut StreamProgress, page: &OutboxPage, now: Timestamp) {
    let next = progress.at + 1;
    let first = page
        .events
        .first()
        .map_or(page.last + 1, |event| event.number);
    if page.last < progress.at {
        // The outbox is an older one. Nobody knows how much is missing.
        progress.lose((page.last, page.last), 0, now);
    } else if first > next {
        // Numbers begin anew after a loss: what is between is no number of events.
        let known = progress.at >= page.began;
        let events = if known { first - next } else { 0 };
        progress.lose((next, first - 1), events, now);
    }
}

/// Whether the endpoint is not told of an event any more.
fn is_lost(event: &OutboxEvent, give_up_before: Timestamp) -> bool {
    let has_message = matches!(
        event.kind,
        OutboxKind::Message | OutboxKind::NotificationUnseen
    );
    (has_message && event.message.is_none()) || event.ts < give_up_before
}

impl Batch {
    /// Records that the endpoint has taken it.
    pub(super) fn complete(&self, progress: &mut StreamProgress) {
        progress.at = self.through;
        if self.is_loss {
            progress.lost = None;
        }
    }
}

impl BatchContext<'_> {
    fn id(&self, number: u64) -> String {
        match self.stream {
            Some(stream) => format!("{number}.{stream}"),
            None => number.to_string(),
        }
    }

    fn event<'a>(&self, event: &'a OutboxEvent) -> EventJson<'a> {
        let of_user = event.room.room.personal_user();
        let is_about_user = matches!(
            event.kind,
            OutboxKind::UserOnline | OutboxKind::UserOffline | OutboxKind::NotificationUnseen
        );
        let user = event.user.as_ref().map(UserId::as_str);
        let is_of_document = event.kind == OutboxKind::DocumentChanged;
        EventJson {
            id: self.id(event.number),
            kind: event.kind.as_str(),
            ts: event.ts,
            namespace: (!is_of_document).then_some(&event.room.namespace),
            document: is_of_document.then_some(&event.room.room),
            room: (!is_about_user && !is_of_document).then_some(&event.room.room),
            user: user.or(of_user.filter(|_| is_about_user)),
            message: event.message.as_deref(),
            first: None,
            last: None,
            events: None,
        }
    }

    /// The batch that tells of a loss.
    fn loss(&self, lost: &LostEvents, through: u64) -> Batch {
        let event = EventJson {
            id: self.id(lost.last),
            kind: "hooks.lost",
            ts: lost.ts,
            namespace: None,
            document: None,
            room: None,
            user: None,
            message: None,
            first: Some(self.id(lost.first)),
            last: Some(self.id(lost.last)),
            events: (lost.events > 0).then_some(lost.events),
        };
        let id = format!("lost-{}-{}", self.id(lost.first), self.id(lost.last));
        let text = serde_json::to_vec(&event).unwrap_or_default();
        Batch {
            body: encode(&id, &[text]),
            id,
            events: 1,
            oldest: self.now,
            is_loss: true,
            through,
        }
    }
}

/// The body of a batch.
fn encode(id: &str, events: &[Vec<u8>]) -> Bytes {
    let mut body = format!(r#"{{"id":"{id}","events":["#).into_bytes();
    body.extend(events.join(&b','));
    body.extend(b"]}");
    body.into()
}

/// Events on their way into a batch.
#[derive(Default)]
struct Gathering {
    ids: Option<(String, String)>,
    events: Vec<Vec<u8>>,
    bytes: usize,
    oldest: Option<Timestamp>,
}

impl Gathering {
    fn is_empty(&self) -> bool {
        self.events.is_empty()
    }

    /// Adds an event; false if it does not fit.
    fn push(&mut self, event: EventJson<'_>, ts: Timestamp) -> bool {
        if self.events.len() == MAX_EVENTS {
            return false;
        }
        let text = serde_json::to_vec(&event).unwrap_or_default();
        if !self.is_empty() && self.bytes + text.len() > MAX_BYTES {
            return false;
        }
        self.bytes += text.len() + 1;
        self.events.push(text);
        self.oldest.get_or_insert(ts);
        match &mut self.ids {
            Some((_, last)) => *last = event.id,
            None => self.ids = Some((event.id.clone(), event.id)),
        }
        true
    }

    fn into_batch(self, now: Timestamp, through: u64) -> Batch {
        let (first, last) = self.ids.unwrap_or_default();
        let id = format!("{first}-{last}");
        Batch {
            body: encode(&id, &self.events),
            id,
            events: self.events.len() as u64,
            oldest: self.oldest.unwrap_or(now),
            is_loss: false,
            through,
        }
    }
}

#[cfg(test)]
mod tests;
