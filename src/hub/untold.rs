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
    profile::Profile,
};
use crate::model::{ConnectionId, UserId};

/// The users of one room of whom something waits.
#[derive(Debug, Default)]
pub(super) struct Untold {
    users: HashMap<UserId, Waiting>,
    due: BTreeSet<(Instant, UserId)>,
}

/// What waits of one user.
#[derive(Debug)]
pub(super) struct Waiting {
    /// The members know that it is here.
    pub(super) known: bool,
    /// Members who were given a list of users after this know of it.
    pub(super) since: Instant,
    /// The connection that need not be told.
    pub(super) except: Option<ConnectionId>,
    /// What was shown of it last.
    profile: Profile,
    at: Instant,
}

impl Untold {
    /// Takes a change of a user of whom something waits; gives it back if nothing does.
    pub(super) fn absorb(
        &mut self,
        change: Change,
        except: Option<ConnectionId>,
    ) -> Option<Change> {
        let Some(waiting) = self.users.get_mut(&change.user) else {
            return Some(change);
        };
        waiting.profile = change.profile;
        // What two connections have said is news to each of them.
        if waiting.except != except {
            waiting.except = None;
        }
        None
    }

    /// Has a change wait until `at`.
    pub(super) fn put(
        &mut self,
        change: Change,
        except: Option<ConnectionId>,
        now: Instant,
        at: Instant,
    ) {
        let waiting = Waiting {
            known: change.kind != ChangeKind::Join,
            since: now,
            except,
            profile: change.profile,
            at,
        };
        self.due.insert((at, change.user.clone()));
        self.users.insert(change.user, waiting);
    }

    /// Whether something of a user waits.
    pub(super) fn has(&self, user: &UserId) -> bool {
        self.users.contains_key(user)
    }

    /// Has nothing of a user wait any more.
    pub(super) fn take(&mut self, user: &UserId) -> Option<Waiting> {
        let (user, waiting) = self.users.remove_entry(user)?;
        self.due.remove(&(waiting.at, user));
        Some(waiting)
    }

    /// The first user whose time has come by `now`.
    pub(super) fn take_due(&mut self, now: Instant) -> Option<(UserId, Waiting)> {
        self.next_deadline().filter(|at| *at <= now)?;
        let (_, user) = self.due.pop_first()?;
        self.users.remove_entry(&user)
    }

    /// When the next user's time comes.
    pub(super) fn next_deadline(&self) -> Option<Instant> {
        self.due.first().map(|(at, _)| *at)
    }
}

impl Waiting {
    /// What the members are to be told of a user that is `here` like this now; `None`: nothing.
    pub(super) fn outcome(&self, here: Option<Profile>) -> Option<(ChangeKind, Profile)> {
        match (self.known, here) {
            (false, Some(profile)) => Some((ChangeKind::Join, profile)),
            (true, Some(profile)) => Some((ChangeKind::Update, profile)),
            (true, None) => Some((ChangeKind::Leave, self.profile.clone())),
            (false, None) => None,
        }
    }
}
