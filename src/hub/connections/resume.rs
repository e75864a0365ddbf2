//! Coming back: which session a client names, and whether it goes on.
//!
//! Where it cannot be shown that nothing is missing, or that the session is the client's, there is a reason, and a new session
//! begins: that is never an error.

use std::{sync::Arc, time::Duration};

use crate::hub::{Connection, Hub, application::Application, connections::Memberships};
use crate::{
    auth::{Permission, Principal},
    backend::PageSize,
    error::{Code, Error, Result},
    model::{ConnectionId, Epoch, Namespace, Offset, Pid, RoomKey, RoomName, UserId},
    repeat::log_in_bursts,
};

/// What a client that connects says of an earlier session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResumeRequest {
    /// Its protocol knows no sessions.
    Unsupported,
    /// Nothing: a new session begins.
    NewSession,
    /// It has come back.
    Session {
        /// The session's name.
        pid: Pid,
        /// The last offset it has seen, if any.
        offset: Option<Offset>,
    },
    /// It has come back, and what it says of its session was never given out.
    Invalid {
        /// The session's name, if that is one.
        pid: Option<Pid>,
    },
}

/// Why a session that a client names does not go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResumeRejection {
    /// The name is none that was ever given out.
    BadPid,
    /// The offset is none that was ever given out, or is of another log.
    BadOffset,
    /// There is none of this name (any more): its window is over, or the store was lost.
    Unknown,
    /// It is somebody else's.
    OtherUser,
    /// It is of another namespace.
    OtherNamespace,
    /// A back end has ended it.
    Removed,
    /// Not all that its client missed can still be read.
    Incomplete,
    /// It could not be read.
    Failed,
}

impl ResumeRejection {
    /// All reasons, for the metrics.
    pub const ALL: [Self; 8] = [
        Self::BadPid,
        Self::BadOffset,
        Self::Unknown,
        Self::OtherUser,
        Self::OtherNamespace,
        Self::Removed,
        Self::Incomplete,
        Self::Failed,
    ];

    /// The word for logs and metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::BadPid => "bad_pid",
            Self::BadOffset => "bad_offset",
            Self::Unknown => "unknown_session",
            Self::OtherUser => "other_user",
            Self::OtherNamespace => "other_namespace",
            Self::Removed => "removed",
            Self::Incomplete => "incomplete",
            Self::Failed => "failed",
        }
    }
}

/// A session that is about to go on.
#[derive(Debug)]
pub(in crate::hub) struct Resumed {
    pub(in crate::hub) connection: ConnectionId,
    pub(in crate::hub) rooms: Memberships,
    /// Everything up to here was received.
    pub(in crate::hub) given: Offset,
    /// The log's life that offsets are of.
    pub(in crate::hub) life: Epoch,
    /// How often the session had been claimed when it was found.
    pub(in crate::hub) claims: u64,
    /// The connection it had on this node, if that has not ended yet.
    pub(in crate::hub) old: Option<Arc<Connection>>,
    /// What the application kept with it.
    pub(in crate::hub) application: Application,
    /// The rooms it was taken out of since, and why.
    pub(in crate::hub) lost: Vec<(RoomName, String)>,
    pub(in crate::hub) _claim: Option<Claim>,
}

/// Of several clients that name the same session at once, one gets it.
#[derive(Debug)]
pub(in crate::hub) struct Claim {
    hub: Hub,
    pid: Pid,
}

impl Drop for Claim {
    fn drop(&mut self) {
        self.hub.0.claimed.remove(&self.pid);
        self.hub.0.given_back.notify_waiters();
    }
}

impl Hub {
    /// The session that a client goes on with, or why not; `None` if it names none. Fails with [`Code::Unavailable`] while the
    /// session cannot be read: nothing of it is lost, and its client shall come again and not begin anew.
    pub(in crate::hub) async fn resume(
        &self,
        namespace: &Namespace,
        principal: &Principal,
        resume: ResumeRequest,
    ) -> Result<Option<Result<(Pid, Resumed), ResumeRejection>>> {
        let (pid, offset) = match resume {
            ResumeRequest::Unsupported | ResumeRequest::NewSession => return Ok(None),
            ResumeRequest::Invalid { pid: None } => return Ok(Some(Err(ResumeRejection::BadPid))),
            ResumeRequest::Invalid { .. } => return Ok(Some(Err(ResumeRejection::BadOffset))),
            ResumeRequest::Session { pid, offset } => (pid, offset),
        };
        match self.resumed(namespace, principal, pid, offset).await {
            Ok(resumed) => Ok(Some(resumed.map(|resumed| (pid, resumed)))),
            Err(error) if error.code() == Code::Unavailable => Err(error),
            Err(error) => {
                log_in_bursts!(warn, %error, "a session could not be resumed");
                Ok(Some(Err(ResumeRejection::Failed)))
            }
        }
    }

    /// Counts what became of a session that a client has named, and says why it does not go on.
    pub(in crate::hub) fn note_return(
        &self,
        namespace: &Namespace,
        user: &UserId,
        why: Option<ResumeRejection>,
    ) {
        let Some(why) = why else {
            self.0.metrics.recovered.inc();
            return;
        };
        let reason = why.as_str();
        tracing::debug!(reason, %namespace, %user, "a session is not resumed");
        self.0.metrics.not_recovered(reason);
    }

    /// The guest whose session a client without a name has brought: its secret is the proof. Only for open mode.
    pub async fn resumed_guest(
        &self,
        namespace: &Namespace,
        resume: ResumeRequest,
    ) -> Result<Option<UserId>> {
        let pid = match resume {
            ResumeRequest::Session { pid, .. } | ResumeRequest::Invalid { pid: Some(pid) } => pid,
            _ => return Ok(None),
        };
        let session = match self.0.backend.sessions.find(pid).await {
            Err(error) if error.code() == Code::Unavailable => return Err(error),
            session => session.unwrap_or_default(),
        };
        let guests = session.filter(|session| {
            session.namespace == *namespace && self.0.authority.is_guest(&session.user)
        });
        Ok(guests.map(|session| session.user))
    }

    /// The session that a client names, if it is the client's and all that it missed can be read.
    async fn resumed(
        &self,
        namespace: &Namespace,
        principal: &Principal,
        pid: Pid,
        offset: Option<Offset>,
    ) -> Result<Result<Resumed, ResumeRejection>> {
        let claim = self.claim(pid).await?;
        // First: behind this it is known whether the session's offsets are of the log's present life.
        let until = self.0.backend.log.last_offset(namespace).await?;
        let life = self.0.backend.log.incarnation();
        let Some(session) = self.0.backend.sessions.find(pid).await? else {
            return Ok(Err(ResumeRejection::Unknown));
        };
        // One of somebody else is left alone: its owner can still come back.
        if session.namespace != *namespace {
            return Ok(Err(ResumeRejection::OtherNamespace));
        }
        if session.user != principal.user {
            return Ok(Err(ResumeRejection::OtherUser));
        }
        let old = self.0.connections.get(&session.connection);
        let old = old
            .map(|old| old.clone())
            .filter(|old| old.pid() == Some(pid));
        if old.as_ref().is_some_and(|old| old.is_ended_for_good()) {
            return Ok(Err(ResumeRejection::Removed)); // it is about to be forgotten
        }
        let rooms = old
            .as_ref()
            .and_then(|old| old.memberships())
            .unwrap_or_else(|| session.rooms.into_iter().collect());
        // Before anything was received the rooms' floors alone say from where on.
        let given = offset.unwrap_or_default();
        let refused = if given > until {
            Some(ResumeRejection::BadOffset)
        } else {
            let kept = self.is_kept(namespace, principal, &rooms, given..until);
            (!kept.await?).then_some(ResumeRejection::Incomplete)
        };
        if let Some(refused) = refused {
            self.0.backend.sessions.forget(pid).await?;
            return Ok(Err(refused));
        }
        Ok(Ok(Resumed {
            connection: session.connection,
            rooms,
            given,
            life,
            claims: session.claims,
            old,
            application: Application::read(session.application.as_deref()),
            lost: session.lost,
            _claim: Some(claim),
        }))
    }

    /// Waits until nobody else is about to go on with a session: a client whose network goes again may come back while it is
    /// still decided about its first return.
    async fn claim(&self, pid: Pid) -> Result<Claim> {
        let claimed = async {
            loop {
                let mut given_back = std::pin::pin!(self.0.given_back.notified());
                given_back.as_mut().enable();
                if self.0.claimed.insert(pid) {
                    return Claim {
                        hub: self.clone(),
                        pid,
                    };
                }
                given_back.await;
            }
        };
        let within = tokio::time::timeout(CLAIM, claimed).await;
        within.map_err(|_| Error::unavailable("the session is about to go on; come again"))
    }

    /// Whether everything that the rooms had between two offsets can still be read.
    async fn is_kept(
        &self,
        namespace: &Namespace,
        principal: &Principal,
        rooms: &Memberships,
        missed: std::ops::Range<Offset>,
    ) -> Result<bool> {
        let log = &self.0.backend.log;
        let (given, until) = (missed.start, missed.end);
        for (room, floor) in rooms {
            let key = RoomKey {
                namespace: namespace.clone(),
                room: room.clone(),
            };
            let complete = !principal.may(Permission::Join, room)
                || log
                    .missed(&key, given.max(*floor), until, PageSize::ONE)
                    .await?
                    .complete;
            if !complete {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

/// How long a client that comes back waits for another that has named the same session.
const CLAIM: Duration = Duration::from_secs(5);
