//! A document that clients of this node have open: who they are, what they show of themselves, and which updates they have.

use std::{
    sync::{Arc, Mutex, MutexGuard},
    time::Instant,
};

use bytes::Bytes;
use tokio::sync::Notify;

use super::{
    DocumentEvent, DocumentSettings, DocumentSink,
    awareness::{Awareness, AwarenessError},
    numbers::SeenNumbers,
};
use crate::{
    error::{Code, Error, Result},
    model::{NodeId, RoomName},
    sync::lock,
};

/// Updates, and bytes of them, after which a document is compacted.
const LONG_UPDATES: u64 = 500;
const LONG_BYTES: u64 = 1 << 20;

pub(super) struct OpenDocument {
    name: RoomName,
    state: Mutex<State>,
    /// Whether this node receives what other nodes do to it.
    followed: tokio::sync::Mutex<bool>,
    answer: Mutex<AnswerState>,
}

/// Whether other nodes are being told what this node's clients show.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum AnswerState {
    #[default]
    Idle,
    Told,
    /// Another node has asked since.
    AskedAgain,
}

struct State {
    members: Vec<Member>,
    next_member: u64,
    awareness: Awareness<u64>,
    seen: SeenNumbers,
    /// Updates, and bytes of them, since the last compaction that this node knows of.
    unmerged: (u64, u64),
}

struct Member {
    id: u64,
    sink: Arc<dyn DocumentSink>,
    missed: Missed,
    /// Notified when the client is not sent something.
    wake: Arc<Notify>,
}

/// What a client was not sent because it was behind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Missed {
    /// Updates behind this number.
    pub(super) updates_after: Option<u64>,
    /// Awareness states.
    pub(super) awareness: bool,
}

impl OpenDocument {
    pub(super) fn new(name: RoomName, settings: &DocumentSettings) -> Self {
        Self {
            name,
            state: Mutex::new(State {
                members: Vec::new(),
                next_member: 0,
                awareness: Awareness::new(settings.awareness_bytes.bytes()),
                seen: SeenNumbers::default(),
                unmerged: (0, 0),
            }),
            followed: tokio::sync::Mutex::default(),
            answer: Mutex::default(),
        }
    }

    pub(super) fn name(&self) -> &RoomName {
        &self.name
    }

    /// Notes that a node asks what clients show; whether the caller is to answer.
    pub(super) fn begin_answer(&self) -> bool {
        let mut state = lock(&self.answer);
        let is_idle = *state == AnswerState::Idle;
        *state = match is_idle {
            true => AnswerState::Told,
            false => AnswerState::AskedAgain,
        };
        is_idle
    }

    /// Whether another node has asked since the answer; if not, the next one that asks is answered at once.
    pub(super) fn take_asked_again(&self) -> bool {
        let mut state = lock(&self.answer);
        let is_asked = *state == AnswerState::AskedAgain;
        *state = match is_asked {
            true => AnswerState::Told,
            false => AnswerState::Idle,
        };
        is_asked
    }

    pub(super) async fn followed(&self) -> tokio::sync::MutexGuard<'_, bool> {
        self.followed.lock().await
    }

    /// Adds a client and returns its id.
    pub(super) fn add(&self, sink: Arc<dyn DocumentSink>, wake: Arc<Notify>) -> u64 {
        let mut state = self.lock();
        let id = state.next_member;
        state.next_member += 1;
        state.members.push(Member {
            id,
            sink,
            missed: Missed::default(),
            wake,
        });
        id
    }

    /// Removes a client. Returns the awareness states that take back what it has shown, and whether nobody is left.
    pub(super) fn remove(&self, member: u64) -> (Option<Bytes>, bool) {
        let mut state = self.lock();
        state.members.retain(|each| each.id != member);
        let gone = state.awareness.remove_connection(member, Instant::now());
        (gone.map(Bytes::from), state.members.is_empty())
    }

    /// How many clients there are.
    pub(super) fn clients(&self) -> usize {
        self.lock().members.len()
    }

    /// Passes an update on that is stored, unless that was done before.
    pub(super) fn take_update(&self, number: u64, update: &Bytes, except: Option<u64>) {
        let mut state = self.lock();
        if !state.seen.insert(number) {
            return;
        }
        state.unmerged.0 += 1;
        state.unmerged.1 += update.len() as u64;
        state.send(&DocumentEvent::update(update.clone()), number, except);
    }

    /// Passes on what is no update.
    pub(super) fn deliver(&self, event: &DocumentEvent, except: Option<u64>) {
        self.lock().send(event, 0, except);
    }

    /// Records that everything up to a number need not come any more.
    pub(super) fn begin_at(&self, number: u64) {
        self.lock().seen.begin_at(number);
    }

    /// The number up to which this node has seen everything; `None` before it knows.
    pub(super) fn contiguous(&self) -> Option<u64> {
        self.followed
            .try_lock()
            .is_ok_and(|followed| *followed)
            .then(|| self.lock().seen.contiguous())
    }

    /// Applies awareness states that a client has sent, and passes on what is new. Returns that for other nodes.
    ///
    /// # Errors
    /// `bad_request` or `too_large`.
    pub(super) fn apply_awareness(&self, member: u64, states: &[u8]) -> Result<Option<Bytes>> {
        let mut state = self.lock();
        let applied = state.awareness.apply(member, states, Instant::now());
        let applied = applied.map_err(|error| refused(&error))?;
        let Some(new) = applied.map(Bytes::from) else {
            return Ok(None);
        };
        state.send(&DocumentEvent::awareness(new.clone()), 0, None);
        Ok(Some(new))
    }

    /// Applies awareness states of another node's clients.
    pub(super) fn apply_remote_awareness(&self, states: &[u8], node: NodeId) {
        let mut state = self.lock();
        match state.awareness.apply_remote(node, states, Instant::now()) {
            Ok(Some(new)) => state.send(&DocumentEvent::awareness(new.into()), 0, None),
            Ok(None) => {}
            Err(error) => {
                tracing::debug!(document = %self.name, %error, "ignored awareness of another node");
            }
        }
    }

    /// Takes back what the clients of a node that is gone have shown.
    pub(super) fn remove_node(&self, node: NodeId) {
        let mut state = self.lock();
        if let Some(gone) = state.awareness.remove_node(node, Instant::now()) {
            state.send(&DocumentEvent::awareness(gone.into()), 0, None);
        }
    }

    /// Takes back what clients have shown that were not heard of for long.
    pub(super) fn expire_awareness(&self, now: Instant) {
        let mut state = self.lock();
        if let Some(gone) = state.awareness.expire(now) {
            state.send(&DocumentEvent::awareness(gone.into()), 0, None);
        }
    }

    /// What all clients show of themselves; `None` if there is nothing.
    pub(super) fn all_awareness(&self) -> Option<Bytes> {
        self.lock().awareness.all().map(Bytes::from)
    }

    /// What the clients of this node show of themselves; `None` if there is nothing.
    pub(super) fn local_awareness(&self) -> Option<Bytes> {
        self.lock().awareness.local().map(Bytes::from)
    }

    /// Takes what a client was not sent because it was behind.
    pub(super) fn take_missed(&self, member: u64) -> Missed {
        let mut state = self.lock();
        let mut members = state.members.iter_mut();
        let member = members.find(|each| each.id == member);
        member.map_or_else(Missed::default, |member| std::mem::take(&mut member.missed))
    }

    /// Records again what a client was not sent.
    pub(super) fn put_missed(&self, member: u64, missed: Missed) {
        let mut state = self.lock();
        let mut members = state.members.iter_mut();
        if let Some(member) = members.find(|each| each.id == member) {
            member.missed.add(missed);
        }
    }

    /// Whether a client was not sent something.
    pub(super) fn has_missed(&self, member: u64) -> bool {
        let state = self.lock();
        let mut members = state.members.iter();
        members.any(|each| each.id == member && each.missed != Missed::default())
    }

    /// Whether so much is not merged that it should be.
    pub(super) fn is_long(&self) -> bool {
        let (updates, bytes) = self.lock().unmerged;
        Self::are_long(updates, bytes)
    }

    /// Whether so many updates should be merged.
    pub(super) fn are_long(updates: u64, bytes: u64) -> bool {
        updates >= LONG_UPDATES || bytes >= LONG_BYTES
    }

    /// Whether anything is not merged.
    pub(super) fn has_unmerged(&self) -> bool {
        self.lock().unmerged.0 > 1
    }

    /// Records that everything has been merged just now.
    pub(super) fn note_compacted(&self) {
        self.lock().unmerged = (0, 0);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }
}

impl State {
    /// Sends an event to all but `except` who keep up, and notes it for the others.
    fn send(&mut self, event: &DocumentEvent, number: u64, except: Option<u64>) {
        for member in &mut self.members {
            if Some(member.id) == except {
                continue;
            }
            if !member.sink.is_behind() {
                member.sink.send(event);
            } else {
                member.missed.add(Missed {
                    updates_after: event.is_update().then(|| number - 1),
                    awareness: !event.is_update(),
                });
                member.wake.notify_one();
            }
        }
    }
}

/// The error for awareness states that are not accepted.
fn refused(error: &AwarenessError) -> Error {
    let code = match error {
        AwarenessError::StateTooLarge { .. } => Code::TooLarge,
        AwarenessError::Malformed(_) | AwarenessError::TooManyClients => Code::BadRequest,
    };
    Error::new(code, error.to_string())
}

impl Missed {
    fn add(&mut self, more: Self) {
        let both = self.updates_after.into_iter().chain(more.updates_after);
        self.updates_after = both.min();
        self.awareness |= more.awareness;
    }
}
