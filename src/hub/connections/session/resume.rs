//! The decision whether a client resumes the session that it names.
//!
//! Where it cannot be shown that the session is the client's and that no message is missing, there is a reason and a new session
//! begins: a rejection is never an error.

use std::sync::Arc;

use super::resume_lock::ResumeLock;
use crate::{
    auth::Principal,
    backend::{PageSize, StoredSession},
    error::{Code, Result},
    hub::{
        Connection, Hub,
        connections::{
            Memberships,
            application::{ApplicationData, GrantedRooms},
        },
    },
    model::{
        ConnectionId, Incarnation, Namespace, Offset, Pid, RoomKey, RoomName, Timestamp, UserId,
    },
    retry::log_in_bursts,
};

/// What a connecting client says about an earlier session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResumeRequest {
    /// Its protocol has no sessions.
    Unsupported,
    /// Nothing: a new session begins.
    NewSession,
    /// It resumes a session.
    Session {
        /// The session's secret.
        pid: Pid,
        /// The last offset that it received, if any.
        offset: Option<Offset>,
    },
    /// It resumes a session, but its secret or offset is malformed.
    Invalid {
        /// The session's secret, if that is well-formed.
        pid: Option<Pid>,
    },
}

/// Why a session that a client names is not resumed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResumeRejection {
    /// The secret is malformed.
    BadPid,
    /// The offset is malformed, or beyond the end of the log.
    BadOffset,
    /// There is no such session (any more): its window is over, or the store was lost.
    Unknown,
    /// It is another user's.
    OtherUser,
    /// The identity that a hook had given it has expired.
    Expired,
    /// It belongs to another namespace.
    OtherNamespace,
    /// A back end has ended it.
    Removed,
    /// Not all messages that the client missed can still be read.
    Incomplete,
    /// It could not be read.
    Failed,
}

impl ResumeRejection {
    /// All reasons, for the metrics.
    pub const ALL: [Self; 9] = [
        Self::BadPid,
        Self::BadOffset,
        Self::Unknown,
        Self::OtherUser,
        Self::Expired,
        Self::OtherNamespace,
        Self::Removed,
        Self::Incomplete,
        Self::Failed,
    ];

    /// Name in logs and metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::BadPid => "bad_pid",
            Self::BadOffset => "bad_offset",
            Self::Unknown => "unknown_session",
            Self::OtherUser => "other_user",
            Self::Expired => "expired",
            Self::OtherNamespace => "other_namespace",
            Self::Removed => "removed",
            Self::Incomplete => "incomplete",
            Self::Failed => "failed",
        }
    }

    /// Whether a stored session that was rejected for this is deleted: it is the client's and is of no use to it.
    const fn deletes_session(self) -> bool {
        matches!(self, Self::BadOffset | Self::Incomplete)
    }
}

/// A session that is about to be resumed.
#[derive(Debug)]
pub(in crate::hub) struct ResumedSession {
    pub(super) connection: ConnectionId,
    pub(super) rooms: Memberships,
    /// The offset up to which the client has received everything.
    pub(super) received: Offset,
    /// The incarnation of the log that offsets belong to.
    pub(super) incarnation: Incarnation,
    /// How often the session had been claimed when it was read.
    pub(super) claim_count: u64,
    /// The session's connection to this node, if that has not ended yet.
    pub(super) live: Option<Arc<Connection>>,
    pub(super) application: ApplicationData,
    /// The rooms that the connection was removed from meanwhile, and why.
    pub(super) removals: Vec<(RoomName, String)>,
    _lock: Option<ResumeLock>,
}

impl ResumedSession {
    /// A new session that begins in some rooms and at a place in the log.
    pub(super) fn new_in(
        connection: ConnectionId,
        rooms: Memberships,
        received: Offset,
        incarnation: Incarnation,
    ) -> Self {
        Self {
            connection,
            rooms,
            received,
            incarnation,
            claim_count: 0,
            live: None,
            application: ApplicationData::default(),
            removals: Vec::new(),
            _lock: None,
        }
    }

    /// Who a client is that resumes it: what a hook had decided about it holds.
    pub(super) fn identify(&self, principal: Principal) -> Principal {
        let identity = self.application.identity.as_ref();
        let identified = identity.and_then(|identity| identity.apply(&principal));
        identified.unwrap_or(principal)
    }

    /// The user that a hook had given it.
    pub(super) fn hook_user(&self) -> Option<&UserId> {
        self.application.identity.as_ref()?.change.user.as_ref()
    }
}

/// A resumed session and its secret, or why it is not resumed; `None` if the client names none.
pub(super) type ResumeDecision = Option<Result<(Pid, ResumedSession), ResumeRejection>>;

/// A client that names a session, and how far it has received its messages.
struct Claimant<'a> {
    namespace: &'a Namespace,
    /// As it shows itself: its token, for instance.
    principal: &'a Principal,
    /// Nothing at first: then the start offsets of its rooms alone say from where on it is to receive messages.
    received: Offset,
}

impl Claimant<'_> {
    /// Checks what can be known without the log. `removed`: the session's connection was closed for good and the session is
    /// about to be deleted.
    fn check(
        &self,
        session: &StoredSession,
        principal: Option<&Principal>,
        removed: bool,
        log_end: Offset,
    ) -> Result<(), ResumeRejection> {
        // A session of another user is left alone: its owner can still resume it.
        if session.namespace != *self.namespace {
            return Err(ResumeRejection::OtherNamespace);
        }
        let Some(principal) = principal.filter(|principal| principal.user == session.user) else {
            return Err(ResumeRejection::OtherUser);
        };
        if principal.is_expired(Timestamp::now()) && !self.principal.is_expired(Timestamp::now()) {
            return Err(ResumeRejection::Expired);
        }
        if removed {
            return Err(ResumeRejection::Removed);
        }
        if self.received > log_end {
            return Err(ResumeRejection::BadOffset);
        }
        Ok(())
    }
}

impl Hub {
    /// Decides whether a client resumes the session that it names.
    ///
    /// # Errors
    /// `unavailable` while the session cannot be read: nothing of it is lost, so its client is to retry rather than begin a new
    /// session.
    pub(super) async fn decide_resume(
        &self,
        namespace: &Namespace,
        principal: &Principal,
        request: ResumeRequest,
    ) -> Result<ResumeDecision> {
        let (pid, offset) = match request {
            ResumeRequest::Unsupported | ResumeRequest::NewSession => return Ok(None),
            ResumeRequest::Invalid { pid: None } => return Ok(Some(Err(ResumeRejection::BadPid))),
            ResumeRequest::Invalid { .. } => return Ok(Some(Err(ResumeRejection::BadOffset))),
            ResumeRequest::Session { pid, offset } => (pid, offset),
        };
        let claimant = Claimant {
            namespace,
            principal,
            received: offset.unwrap_or_default(),
        };
        match self.find_resumable(&claimant, pid).await {
            Ok(found) => Ok(Some(found.map(|resumed| (pid, resumed)))),
            Err(error) if error.code() == Code::Unavailable => Err(error),
            Err(error) => {
                log_in_bursts!(warn, %error, "failed to resume a session");
                Ok(Some(Err(ResumeRejection::Failed)))
            }
        }
    }

    /// The session of `pid`, if it is the claimant's and all messages that it missed can be read.
    async fn find_resumable(
        &self,
        claimant: &Claimant<'_>,
        pid: Pid,
    ) -> Result<Result<ResumedSession, ResumeRejection>> {
        let lock = self.sessions().resume_locks().acquire(pid).await?;
        // Before the session is read: its offsets are known then to belong to the log's current incarnation.
        let log_end = self.backend().log.last_offset(claimant.namespace).await?;
        let incarnation = self.backend().log.incarnation();
        let Some(session) = self.find_session(pid).await? else {
            return Ok(Err(ResumeRejection::Unknown));
        };
        let live = self.connection_table().get(&session.connection);
        let live = live.filter(|live| live.pid() == Some(pid));
        let removed = live.as_ref().is_some_and(|live| live.has_ended_session());
        let mut stored = ApplicationData::parse(session.application.as_deref());
        if let Some(live) = &live {
            stored.identity = live.permitted_identity();
        }
        let principal = match &stored.identity {
            Some(identity) => identity.apply(claimant.principal),
            None => Some(claimant.principal.clone()),
        };
        let mut decision = claimant.check(&session, principal.as_ref(), removed, log_end);
        let rooms = live
            .as_ref()
            .and_then(|live| live.memberships())
            .unwrap_or_else(|| session.rooms.iter().cloned().collect());
        let granted = live.as_ref().map(|live| live.granted_rooms());
        let granted = granted.unwrap_or_else(|| stored.granted.clone());
        if let Some(principal) = principal.filter(|_| decision.is_ok())
            && !self
                .can_replay(claimant, &principal, (&rooms, &granted), log_end)
                .await?
        {
            decision = Err(ResumeRejection::Incomplete);
        }
        if let Err(rejection) = decision {
            if rejection.deletes_session() {
                self.backend().sessions.forget(pid).await?;
            }
            return Ok(Err(rejection));
        }
        Ok(Ok(ResumedSession {
            connection: session.connection,
            rooms,
            received: claimant.received,
            incarnation,
            claim_count: session.claim_count,
            live,
            application: stored,
            removals: session.removals,
            _lock: Some(lock),
        }))
    }

    /// Whether all messages of `rooms` that a client missed can still be read.
    async fn can_replay(
        &self,
        claimant: &Claimant<'_>,
        principal: &Principal,
        (rooms, granted): (&Memberships, &GrantedRooms),
        log_end: Offset,
    ) -> Result<bool> {
        let log = &self.backend().log;
        for (room, start_offset) in rooms {
            if !granted.may_be_in(principal, room) {
                continue;
            }
            let key = RoomKey {
                namespace: claimant.namespace.clone(),
                room: room.clone(),
            };
            let from = claimant.received.max(*start_offset);
            let missed = log.missed(&key, from, log_end, PageSize::ONE).await?;
            if !missed.complete {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Counts whether a session that a client named was resumed, and logs why not.
    pub(super) fn count_resume(
        &self,
        namespace: &Namespace,
        user: &UserId,
        rejection: Option<ResumeRejection>,
    ) {
        let Some(rejection) = rejection else {
            self.metrics().recovered.inc();
            return;
        };
        let reason = rejection.as_str();
        tracing::debug!(reason, %namespace, %user, "session not resumed");
        self.metrics().not_recovered(reason);
    }

    /// The guest whose session a client without a user id names: the session's secret is the proof. Only for open mode.
    ///
    /// # Errors
    /// `unavailable` while the session cannot be read.
    pub(crate) async fn resumed_guest(
        &self,
        namespace: &Namespace,
        resume: ResumeRequest,
    ) -> Result<Option<UserId>> {
        let pid = match resume {
            ResumeRequest::Session { pid, .. } | ResumeRequest::Invalid { pid: Some(pid) } => pid,
            _ => return Ok(None),
        };
        let session = match self.find_session(pid).await {
            Err(error) if error.code() == Code::Unavailable => return Err(error),
            session => session.unwrap_or_default(),
        };
        let shown = session
            .filter(|session| session.namespace == *namespace)
            .map(|session| {
                // A hook may have given the guest another id.
                let stored = ApplicationData::parse(session.application.as_deref());
                let identity = stored.identity;
                identity.map_or(session.user, |identity| identity.shown.clone())
            });
        Ok(shown.filter(|user| self.authority().is_guest(user)))
    }
}

#[cfg(test)]
mod tests;
