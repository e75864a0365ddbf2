//! The first half of connecting: admission, and the decision whether the client resumes a session.

use crate::{
    auth::Principal,
    error::Result,
    hooks::ClientFacts,
    hub::{
        AdmittedUser, Hub,
        commands::{HookDecision, PermittedClient},
        connections::Memberships,
    },
    model::{ConnectionId, Incarnation, Namespace, Offset, Pid},
    traces::{self, TraceParent},
};
use tracing::Instrument;

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
    /// What a hook has decided about it; `None` for a resumed session, too.
    pub(super) decided: Option<HookDecision>,
}

impl PreparedConnection {
    /// The namespace that it connects to.
    pub fn namespace(&self) -> &Namespace {
        &self.namespace
    }

    /// Who connects.
    pub fn principal(&self) -> &Principal {
        &self.admitted.principal
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
    /// `limit_reached` if the user has too many connections, `unavailable` while the session cannot be read, or if a hook does not answer;
    /// and the hook's refusal.
    pub(crate) async fn prepare_connection(
        &self,
        namespace: Namespace,
        principal: Principal,
        resume: ResumeRequest,
        facts: ClientFacts<'_>,
    ) -> Result<PreparedConnection> {
        let span = traces::connect(&namespace, &facts.trace);
        let is_traced = facts.trace.is_some();
        let preparing = self.prepare(namespace, principal, resume, facts);
        let prepared = preparing.instrument(span.clone()).await;
        let mut prepared =
            prepared.inspect_err(|error| traces::record_error(&span, error.code().as_str()))?;
        traces::record_connection(&span, &prepared.connection());
        if is_traced {
            prepared.admitted.trace = TraceParent::of(&span);
        }
        Ok(prepared)
    }

    async fn prepare(
        &self,
        namespace: Namespace,
        principal: Principal,
        resume: ResumeRequest,
        facts: ClientFacts<'_>,
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
        let new_id = ConnectionId::generate();
        let permitted = match &decision {
            // It was permitted when its session began.
            Some(Ok((_, resumed))) => PermittedClient {
                unverified_address: self.unverified_address(&facts, resumed.hook_user()),
                principal: resumed.identify(principal),
                decided: None,
            },
            _ => {
                let permitted = self.permit_connect(&namespace, principal, Some(new_id), &facts);
                permitted.await?
            }
        };
        let PermittedClient {
            principal,
            unverified_address,
            decided,
        } = permitted;
        let table = self.connection_table();
        let admitted = table.admit(principal, unverified_address, limit)?;
        if let Some(decision) = &decision {
            let user = &admitted.principal.user;
            self.count_resume(&namespace, user, decision.as_ref().err().copied());
        }
        let (pid, resumed) = decision.and_then(Result::ok).unzip();
        Ok(PreparedConnection {
            namespace,
            admitted,
            pid: pid.or_else(|| resumable.then(Pid::generate)),
            new_id,
            resumed,
            decided,
        })
    }

    /// Admits one more connection of a user who resumes no session, and whom a hook has let connect as `id`.
    ///
    /// # Errors
    /// `limit_reached` if the user has too many connections.
    pub(in crate::hub) fn prepare_permitted(
        &self,
        namespace: Namespace,
        permitted: PermittedClient,
        id: ConnectionId,
    ) -> Result<PreparedConnection> {
        let PermittedClient {
            principal,
            unverified_address,
            decided,
        } = permitted;
        let limit = self.limits().connections_per_user;
        let table = self.connection_table();
        Ok(PreparedConnection {
            namespace,
            admitted: table.admit(principal, unverified_address, limit)?,
            new_id: id,
            pid: None,
            resumed: None,
            decided,
        })
    }
}
