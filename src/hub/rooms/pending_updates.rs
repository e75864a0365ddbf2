//! Changes of users that the members of a room are told later, because their users are over their budget
//! ([`fan_out`](super::fan_out)).
//!
//! Pure state. While something of a user waits, whatever else becomes of it is not told either: when its time comes the members
//! are told what has come of it all, which may be nothing.

use std::{
    collections::{BTreeSet, HashMap},
    time::Instant,
};

use super::{
    presence::{Change, ChangeKind},
    user_status::Profile,
};
use crate::model::{ConnectionId, UserId};

/// The users of one room of whom something waits.
#[derive(Debug, Default)]
pub(in crate::hub) struct Untold {
    users: HashMap<UserId, Waiting>,
    due: BTreeSet<(Instant, UserId)>,
}

/// What waits of one user.
#[derive(Debug)]
pub(in crate::hub) struct Waiting {
    /// The members know that it is here.
    pub(in crate::hub) known: bool,
    /// When it began to wait. What members know who were given a list of users after that is in `listed`.
    pub(in crate::hub) since: Instant,
    /// What was on those lists.
    listed: Listed,
    /// The connection that need not be told.
    pub(in crate::hub) except: Option<ConnectionId>,
    /// What was shown of it last.
    profile: Profile,
    at: Instant,
}

/// What lists of users said of one of whom something waits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Listed {
    here: bool,
    absent: bool,
    /// Something has changed since the first of them.
    old: bool,
}

/// What members are to be told of a user in the end, if anything: those who were given a list while it waited, and the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::hub) struct Outcome {
    pub(in crate::hub) listed: Option<ChangeKind>,
    pub(in crate::hub) others: Option<ChangeKind>,
}

impl Untold {
    /// Members are given a list of users now, on which those are that are `shown`.
    pub(in crate::hub) fn lists(&mut self, shown: impl Fn(&UserId) -> bool) {
        for (user, waiting) in &mut self.users {
            match shown(user) {
                true => waiting.listed.here = true,
                false => waiting.listed.absent = true,
            }
        }
    }

    /// Takes a change of a user of whom something waits; gives it back if nothing does.
    pub(in crate::hub) fn absorb(
        &mut self,
        change: Change,
        except: Option<ConnectionId>,
    ) -> Option<Change> {
        let Some(waiting) = self.users.get_mut(&change.user) else {
            return Some(change);
        };
        waiting.profile = change.profile;
        waiting.listed.old |= waiting.listed.here;
        // What two connections have said is news to each of them.
        if waiting.except != except {
            waiting.except = None;
        }
        None
    }

    /// Has a change wait until `at`.
    pub(in crate::hub) fn put(
        &mut self,
        change: Change,
        except: Option<ConnectionId>,
        now: Instant,
        at: Instant,
    ) {
        let waiting = Waiting {
            known: change.kind != ChangeKind::Join,
            since: now,
            listed: Listed::default(),
            except,
            profile: change.profile,
            at,
        };
        self.due.insert((at, change.user.clone()));
        self.users.insert(change.user, waiting);
    }

    /// Whether something of a user waits.
    pub(in crate::hub) fn has(&self, user: &UserId) -> bool {
        self.users.contains_key(user)
    }

    /// Has nothing of a user wait any more.
    pub(in crate::hub) fn take(&mut self, user: &UserId) -> Option<Waiting> {
        let (user, waiting) = self.users.remove_entry(user)?;
        self.due.remove(&(waiting.at, user));
        Some(waiting)
    }

    /// The first user whose time has come by `now`.
    pub(in crate::hub) fn take_due(&mut self, now: Instant) -> Option<(UserId, Waiting)> {
        self.next_deadline().filter(|at| *at <= now)?;
        let (_, user) = self.due.pop_first()?;
        self.users.remove_entry(&user)
    }

    /// When the next user's time comes.
    pub(in crate::hub) fn next_deadline(&self) -> Option<Instant> {
        self.due.first().map(|(at, _)| *at)
    }
}

impl Waiting {
    /// What the members are to be told, now that the user is `here` or not.
    pub(in crate::hub) fn outcome(&self, here: bool) -> Outcome {
        let Listed {
            here: seen,
            absent,
            old,
        } = self.listed;
        Outcome {
            listed: match here {
                true if absent => Some(ChangeKind::Join),
                true => old.then_some(ChangeKind::Update),
                false => seen.then_some(ChangeKind::Leave),
            },
            others: match (self.known, here) {
                (false, true) => Some(ChangeKind::Join),
                (true, true) => Some(ChangeKind::Update),
                (true, false) => Some(ChangeKind::Leave),
                (false, false) => None,
            },
        }
    }

    /// What was shown of the user last.
    pub(in crate::hub) fn profile(&self) -> &Profile {
        &self.profile
    }
}
