//! The first half of connecting: admission, and the decision whether the client resumes a session.

use crate::{
    auth::Principal,
    error::Result,
    hub::{AdmittedUser, Hub, connections::Memberships},
    model::{ConnectionId, Incarnation, Namespace, Offset, Pid},
};

use super::resume::{ResumeRequest, ResumedSession};

/// A connection that has been admitted, and for which it is decided whether it resumes a session. Dropping it changes
/// nothing.
#[derive(Debug)]
pub struct PreparedConnection {
    pub(super) namespace: Namespace,
    pub(super) admitted: AdmittedUser,
    /// The id of the connection if it begins a new session.
    pub(super) new_id: ConnectionId,
    pub(super) pid: Option<Pid>,
    pub(super) resumed: Option<ResumedSession>,
}

impl PreparedConnection {
    /// The namespace that it connects to.
    pub fn namespace(&self) -> &Namespace {
        &self.namespace
    }

    /// Makes it begin in `rooms`, each with its start offset, and catch up from `received` on, in `incarnation` of the log, which is the
    /// current one.
    pub(in crate::hub) fn begin_in(
        &mut self,
        rooms: Memberships,
        received: Offset,
        incarnation: Incarnation,
    ) {
        self.resumed = Some(ResumedSession::new_in(
            self.new_id,
            rooms,
            received,
            incarnation,
        ));
    }

    /// The id that the connection will have.
    pub fn connection(&self) -> ConnectionId {
        let resumed = self.resumed.as_ref();
        resumed.map_or(self.new_id, |resumed| resumed.connection)
    }

    /// Whether its client resumes a session.
    pub fn is_resumed(&self) -> bool {
        self.resumed.is_some()
    }

    /// The offset up to which its client has received messages.
    pub fn received(&self) -> Offset {
        let resumed = self.resumed.as_ref();
        resumed.map_or(Offset(0), |resumed| resumed.received)
    }

    /// The secret that the client can resume its session by. It equals the one that the client named exactly if that session is
    /// resumed.
    pub fn pid(&self) -> Option<Pid> {
        self.pid
    }
}

impl Hub {
    /// Admits one more connection of a user and decides whether it resumes a session. It counts as one of the user's connections
    /// until the returned value, or the connection that it becomes, is dropped.
    ///
    /// # Errors
    /// `limit_reached` if the user has too many connections, `unavailable` while the session cannot be read.
    pub(crate) async fn prepare_connection(
        &self,
        namespace: Namespace,
        principal: Principal,
        resume: ResumeRequest,
    ) -> Result<PreparedConnection> {
        self.limiter().check_name(principal.user.as_str().len())?;
        let resumable = resume != ResumeRequest::Unsupported && !self.sessions().window().is_zero();
        let decision = match resumable {
            true => self.decide_resume(&namespace, &principal, resume).await?,
            false => None,
        };
        // The connection that it takes over still counts, and would keep its own client out until it is found dead.
        let takes_over = matches!(&decision, Some(Ok((_, resumed))) if resumed.live.is_some());
        let limit = match takes_over {
            true => 0,
            false => self.limits().connections_per_user,
        };
        let admitted = self.connection_table().admit(principal, limit)?;
        if let Some(decision) = &decision {
            let user = &admitted.principal.user;
            self.count_resume(&namespace, user, decision.as_ref().err().copied());
        }
        let (pid, resumed) = decision.and_then(Result::ok).unzip();
        Ok(PreparedConnection {
            namespace,
            admitted,
            pid: pid.or_else(|| resumable.then(Pid::generate)),
            new_id: ConnectionId::generate(),
            resumed,
        })
    }
}
