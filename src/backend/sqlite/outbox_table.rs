//! The writer's part of the outbox: numbers events, derives those of members, and deletes the oldest.
//!
//! Every method runs inside a transaction that the caller begins and commits. When one fails, what is cached is discarded.

use rusqlite::Connection;

use super::{
    member_changes::MemberChange,
    tables::{
        documents,
        members::{self, MemberKey},
        outbox,
    },
};
use crate::{
    backend::{MessageEntries, OutboxKind, documents::TOLD_AT_ONCE, membership_events},
    model::{Message, RoomKey, Timestamp},
};

/// How many rows more than allowed are kept before the oldest are deleted: in batches that costs less.
const SLACK: u64 = 64;

/// How many rows one step deletes, or looks at; more are deleted if more are added.
const STEP: usize = 256;

pub(super) struct OutboxTable {
    max_events: u64,
    /// The number of this process: rows of members with another one are stale.
    process: i64,
    extent: Option<Extent>,
    /// How many events were added since the oldest were last deleted.
    added: u64,
    /// The last row of the members that the removal of stale ones has looked at.
    stale_after: Option<MemberKey>,
}

/// Which numbers there are.
struct Extent {
    /// The first that is kept.
    first: u64,
    /// The last that was given.
    last: u64,
}

impl OutboxTable {
    pub(super) fn open(db: &Connection, max_events: usize) -> rusqlite::Result<Self> {
        Ok(Self {
            max_events: max_events as u64,
            process: members::new_process(db)?,
            extent: None,
            added: 0,
            stale_after: None,
        })
    }

    /// Clears the cache: the transaction failed, so the database is behind it.
    pub(super) fn discard(&mut self) {
        self.extent = None;
        self.stale_after = None;
    }

    /// Adds the entries of a message, and returns whether there are any.
    pub(super) fn add_message(
        &mut self,
        db: &Connection,
        entries: MessageEntries,
        message: &Message,
    ) -> rusqlite::Result<bool> {
        for kind in entries.kinds() {
            outbox::insert_message(db, self.next_number(db)?, kind, message)?;
        }
        Ok(entries != MessageEntries::default())
    }

    /// Adds an entry for each document that changed before a time and is to be told of. Returns whether there are any.
    pub(super) fn tell_documents(
        &mut self,
        db: &Connection,
        before: Timestamp,
        now: Timestamp,
    ) -> rusqlite::Result<bool> {
        let changed = documents::take_untold(db, before, TOLD_AT_ONCE)?;
        for name in &changed {
            let (number, kind) = (self.next_number(db)?, OutboxKind::DocumentChanged);
            outbox::insert_event(db, number, kind, &RoomKey::of_document(name), None, now)?;
        }
        Ok(!changed.is_empty())
    }

    /// Makes a change, adds the events that follow from it, and returns whether there are any.
    pub(super) fn change_member(
        &mut self,
        db: &Connection,
        change: &MemberChange,
    ) -> rusqlite::Result<bool> {
        let (key, joined) = (&change.key, change.is_member);
        let is_new = match joined {
            true => members::insert(db, key, self.process)?,
            false => members::delete(db, key)?,
        };
        if is_new {
            let (room, user) = key;
            for kind in membership_events(room, joined, members::is_alone(db, key)?) {
                let of_room = matches!(kind, OutboxKind::RoomOccupied | OutboxKind::RoomVacated);
                let user = (!of_room).then_some(user);
                let number = self.next_number(db)?;
                outbox::insert_event(db, number, *kind, room, user, change.ts)?;
            }
        }
        Ok(is_new)
    }

    /// Looks at the next members and removes those of earlier processes. Returns whether there were any, and whether there are
    /// more to look at.
    pub(super) fn remove_stale(
        &mut self,
        db: &Connection,
        now: Timestamp,
    ) -> rusqlite::Result<(bool, bool)> {
        let members = members::list_after(db, self.stale_after.as_ref(), STEP)?;
        let more = members.len() == STEP;
        self.stale_after = members.last().filter(|_| more).map(|(key, _)| key.clone());
        let mut removed = false;
        for (key, process) in members {
            if process != self.process {
                let change = MemberChange {
                    key,
                    is_member: false,
                    ts: now,
                };
                removed |= self.change_member(db, &change)?;
            }
        }
        Ok((removed, more))
    }

    /// Deletes the oldest events if there are too many: not all at once, but more than are added.
    pub(super) fn trim(&mut self, db: &Connection) -> rusqlite::Result<()> {
        let budget = (2 * self.added).max(STEP as u64);
        let max = self.max_events;
        let extent = self.extent(db)?;
        if extent.last + 1 - extent.first > max.saturating_add(SLACK) {
            let first = (extent.last + 1 - max).min(extent.first + budget);
            outbox::delete_before(db, first)?;
            extent.first = first;
        }
        self.added = 0;
        Ok(())
    }

    fn next_number(&mut self, db: &Connection) -> rusqlite::Result<u64> {
        let extent = self.extent(db)?;
        extent.last += 1;
        let number = extent.last;
        self.added += 1;
        Ok(number)
    }

    fn extent(&mut self, db: &Connection) -> rusqlite::Result<&mut Extent> {
        let extent = match self.extent.take() {
            Some(extent) => extent,
            None => {
                let last = outbox::last(db)?;
                let first = outbox::first(db)?.unwrap_or(last + 1);
                Extent { first, last }
            }
        };
        Ok(self.extent.insert(extent))
    }
}
