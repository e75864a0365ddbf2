//! The outbox of the memory log.

use std::collections::{HashMap, HashSet, VecDeque};

use async_trait::async_trait;

use super::{MemoryLog, MemoryRooms};
use crate::{
    backend::{
        EndpointRecord, LogTime, Outbox, OutboxEvent, OutboxKind, OutboxPage, PageSize, closed,
        first_number, membership_events,
    },
    error::Result,
    model::{Message, Offset, RoomKey, RoomName, Timestamp, UserId},
};

pub(super) struct MemoryOutbox {
    max: usize,
    events: VecDeque<StoredEvent>,
    /// The number of the last event.
    last: u64,
    /// That before the first.
    began: u64,
    members: HashMap<RoomKey, HashSet<UserId>>,
    endpoints: HashMap<String, String>,
}

/// An event; its number follows from its place.
struct StoredEvent {
    kind: OutboxKind,
    room: RoomKey,
    subject: Subject,
}

enum Subject {
    Message(Offset),
    /// Of a room, a document, or this user.
    Other(Option<UserId>, Timestamp),
}

impl MemoryOutbox {
    pub(super) fn new(max: usize, now: LogTime) -> Self {
        Self {
            max,
            events: VecDeque::new(),
            last: first_number(now.now),
            began: first_number(now.now),
            members: HashMap::new(),
            endpoints: HashMap::new(),
        }
    }

    fn push(&mut self, event: StoredEvent) {
        self.last += 1;
        self.events.push_back(event);
        if self.events.len() > self.max {
            self.events.pop_front();
        }
    }

    /// Adds an entry for a message.
    pub(super) fn push_message(&mut self, kind: OutboxKind, message: &Message) {
        self.push(StoredEvent {
            kind,
            room: message.room.clone(),
            subject: Subject::Message(message.offset),
        });
    }

    /// Adds an entry for a document that has changed.
    pub(super) fn push_document(&mut self, name: &RoomName, now: Timestamp) {
        self.push(StoredEvent {
            kind: OutboxKind::DocumentChanged,
            room: RoomKey::of_document(name),
            subject: Subject::Other(None, now),
        });
    }

    /// Sets whether a user is in a room; whether that is new.
    fn set_member(&mut self, room: &RoomKey, user: &UserId, is_member: bool, now: LogTime) -> bool {
        let members = self.members.entry(room.clone()).or_default();
        let is_new = match is_member {
            true => members.insert(user.clone()),
            false => members.remove(user),
        };
        let alone = members.len() == usize::from(is_member);
        if members.is_empty() {
            self.members.remove(room);
        }
        if !is_new {
            return false;
        }
        for kind in membership_events(room, is_member, alone) {
            let of_room = matches!(kind, OutboxKind::RoomOccupied | OutboxKind::RoomVacated);
            let user = (!of_room).then(|| user.clone());
            self.push(StoredEvent {
                kind: *kind,
                room: room.clone(),
                subject: Subject::Other(user, now.now),
            });
        }
        true
    }
}

impl MemoryRooms {
    fn read_outbox(&self, after: u64, limit: usize, bytes: usize, now: LogTime) -> OutboxPage {
        let outbox = &self.outbox;
        let first = outbox.last + 1 - outbox.events.len() as u64;
        let skip =
            usize::try_from(after.saturating_add(1).saturating_sub(first)).unwrap_or(usize::MAX);
        let mut page = OutboxPage {
            events: Vec::new(),
            last: outbox.last,
            began: outbox.began,
        };
        let mut space = bytes;
        for (index, event) in outbox.events.iter().enumerate().skip(skip).take(limit) {
            let event = self.resolve(event, first + index as u64, now);
            let cost = event.message.as_ref().map_or(0, |it| it.data.get().len());
            if cost > space && !page.events.is_empty() {
                break;
            }
            space = space.saturating_sub(cost);
            page.events.push(event);
        }
        page
    }

    fn resolve(&self, event: &StoredEvent, number: u64, now: LogTime) -> OutboxEvent {
        let (mut message, mut user, mut ts) = (None, None, Timestamp(0));
        match &event.subject {
            Subject::Message(offset) => {
                message = self.rooms.get(&event.room).and_then(|room| {
                    let cutoff = room.policy.cutoff(now);
                    let (after, until) = (Offset(offset.0.saturating_sub(1)), *offset);
                    let found = room.recent.missed(after, until, PageSize::ONE, cutoff)?;
                    found.messages.into_iter().next()
                });
                ts = message.as_ref().map_or(ts, |message| message.ts);
            }
            Subject::Other(of, at) => (user, ts) = (of.clone(), *at),
        }
        OutboxEvent {
            number,
            kind: event.kind,
            room: event.room.clone(),
            user,
            message,
            ts,
        }
    }
}

#[async_trait]
impl Outbox for MemoryLog {
    fn streams(&self) -> usize {
        1
    }

    fn set_member(&self, room: &RoomKey, user: &UserId, is_member: bool) {
        let now = (self.clock)();
        if let Some(rooms) = self.lock().as_mut()
            && rooms.outbox.set_member(room, user, is_member, now)
        {
            self.outbox_added.notify_one();
        }
    }

    async fn remove_stale_members(&self) -> Result<()> {
        Ok(())
    }

    async fn read_events(
        &self,
        _: usize,
        after: u64,
        limit: usize,
        bytes: usize,
    ) -> Result<OutboxPage> {
        let now = (self.clock)();
        let rooms = self.lock();
        let rooms = rooms.as_ref().ok_or_else(closed)?;
        Ok(rooms.read_outbox(after, limit, bytes, now))
    }

    async fn events_added(&self) {
        self.outbox_added.notified().await;
    }

    async fn claim_endpoint(&self, endpoint: &str) -> Result<EndpointRecord> {
        let rooms = self.lock();
        let rooms = rooms.as_ref().ok_or_else(closed)?;
        Ok(EndpointRecord {
            state: rooms.outbox.endpoints.get(endpoint).cloned(),
            is_mine: true,
            owner: None,
        })
    }

    async fn find_endpoint(&self, endpoint: &str) -> Result<EndpointRecord> {
        self.claim_endpoint(endpoint).await
    }

    async fn save_endpoint(&self, endpoint: &str, state: String) -> Result<bool> {
        let mut rooms = self.lock();
        let rooms = rooms.as_mut().ok_or_else(closed)?;
        rooms.outbox.endpoints.insert(endpoint.to_owned(), state);
        Ok(true)
    }

    async fn release_endpoint(&self, _: &str) {}
}
