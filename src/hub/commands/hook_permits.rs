//! What hooks permit: connecting, joining and publishing, asked here once for every transport.
//!
//! An endpoint is asked when everything else allows it. Its silence refuses. Back ends with a key, and what an application itself
//! does, are not asked about.

use std::{net::IpAddr, sync::Arc};

use serde_json::value::RawValue;

use super::{Caller, Publish, StatelessCaller};
use crate::{
    auth::Principal,
    error::{Code, Error, Result},
    hooks::{
        Answer, CallSubject, CallTopic, ClientFacts, ConnectReply, HookFailure, HookPermit,
        PermittedIdentity,
    },
    hub::{Connection, Hub},
    limits::Holder,
    model::{ConnectionId, Namespace, RoomName, Timestamp, UserId},
};

/// A client that a hook lets connect.
#[derive(Debug)]
pub(in crate::hub) struct PermittedClient {
    /// Who it is.
    pub(in crate::hub) principal: Principal,
    /// Its address, if its user is no more than what the client says.
    pub(in crate::hub) unverified_address: Option<IpAddr>,
    /// What the hook has decided; `None`: nobody was asked.
    pub(in crate::hub) decided: Option<HookDecision>,
}

/// What a connection begins with, as a hook has decided.
#[derive(Debug)]
pub(in crate::hub) struct HookDecision {
    pub(in crate::hub) identity: PermittedIdentity,
    pub(in crate::hub) join: Vec<RoomName>,
    pub(in crate::hub) state: Option<Box<RawValue>>,
}

impl Hub {
    /// Asks whether a client may connect, and as whom.
    ///
    /// # Errors
    /// The hook's refusal, or `unavailable` if it does not answer.
    pub(in crate::hub) async fn permit_connect(
        &self,
        namespace: &Namespace,
        principal: Principal,
        connection: Option<ConnectionId>,
        facts: &ClientFacts<'_>,
    ) -> Result<PermittedClient> {
        if !self.hooks().asks(HookPermit::Connect, None) {
            return Ok(PermittedClient {
                principal,
                unverified_address: self.unverified_address(facts, None),
                decided: None,
            });
        }
        let subject = CallSubject {
            namespace,
            connection,
            principal: &principal,
            client: client(&principal, self.unverified_address(facts, None)),
            state: None,
            rooms: Vec::new(),
        };
        let asked = Box::pin(self.hooks().permit_connect(&subject, facts)).await;
        let Some(reply) = asked.map(answered).transpose()? else {
            return Err(Error::unavailable("the hook that permits this is gone"));
        };
        let ConnectReply {
            identity,
            join,
            state,
        } = reply;
        let identity = PermittedIdentity {
            shown: principal.user.clone(),
            change: identity,
        };
        let unverified_address = self.unverified_address(facts, identity.change.user.as_ref());
        let principal = identity.change.apply(principal);
        self.limiter().check_name(principal.user.as_str().len())?;
        Ok(PermittedClient {
            principal,
            unverified_address,
            decided: Some(HookDecision {
                identity,
                join,
                state,
            }),
        })
    }

    /// A user without a connection, if a hook lets it connect, with what its identity grants.
    ///
    /// # Errors
    /// As [`stateless_caller`](Self::stateless_caller); the hook's refusal, or `unavailable` if it does not answer; and `token_expired` if
    /// the identity that it gives has ended.
    pub(crate) async fn admit_request(
        &self,
        namespace: Namespace,
        principal: Principal,
        facts: &ClientFacts<'_>,
    ) -> Result<StatelessCaller> {
        let permitted = self.permit_connect(&namespace, principal, None, facts);
        let permitted = permitted.await?;
        let ends = permitted
            .decided
            .and_then(|decided| decided.identity.change.expires_at);
        if ends.is_some_and(|end| Timestamp::now() >= end) {
            // A connection would be told, and closed.
            return Err(Error::new(Code::TokenExpired, "the identity has ended"));
        }
        let caller = self.stateless_caller(namespace, permitted.principal)?;
        Ok(caller.at(permitted.unverified_address))
    }

    /// The address of a client whose user is no more than what it says: in open mode, unless a hook has said who it is.
    pub(in crate::hub) fn unverified_address(
        &self,
        facts: &ClientFacts<'_>,
        said_by_hook: Option<&UserId>,
    ) -> Option<IpAddr> {
        facts
            .ip
            .filter(|_| self.authority().is_open() && said_by_hook.is_none())
    }

    /// Asks whether a caller may join a room, or read it as a member could: its policy, and a hook.
    ///
    /// # Errors
    /// `forbidden`, the hook's refusal, or `unavailable` if it does not answer.
    pub(in crate::hub) async fn permit_join(
        &self,
        caller: &impl Caller,
        room: &RoomName,
    ) -> Result<()> {
        self.check_join_policy(caller, room)?;
        let Some(principal) = self.asked_for(HookPermit::Join, caller, room) else {
            return Ok(());
        };
        let _turn = turn(caller).await;
        let state = state_of(caller);
        let subject = call_subject(caller, &principal, state.as_deref());
        let asked = Box::pin(self.hooks().permit_join(&subject, room)).await;
        asked.map_or(Ok(()), answered)
    }

    /// Asks whether a caller that is no member of a room may read it as a member could.
    ///
    /// # Errors
    /// As [`permit_join`](Self::permit_join).
    pub(in crate::hub) async fn permit_reading(
        &self,
        caller: &impl Caller,
        room: &RoomName,
    ) -> Result<()> {
        let connection = caller.connection();
        match connection.is_some_and(|connection| connection.is_in(room)) {
            true => Ok(()),
            false => self.permit_join(caller, room).await,
        }
    }

    /// Asks whether a caller may publish, and what instead.
    ///
    /// # Errors
    /// The hook's refusal, or `unavailable` if it does not answer.
    pub(in crate::hub) async fn permit_publish(
        &self,
        caller: &impl Caller,
        publish: &mut Publish,
    ) -> Result<()> {
        let Some(principal) = self.asked_for(HookPermit::Publish, caller, &publish.room) else {
            return Ok(());
        };
        self.check_content(&publish.room, publish.event.as_str(), &publish.data)?;
        let _turn = turn(caller).await;
        let state = state_of(caller);
        let subject = call_subject(caller, &principal, state.as_deref());
        let topic = CallTopic::Publish {
            room: &publish.room,
            event: publish.event.as_str(),
            data: &publish.data,
        };
        let asking = self
            .hooks()
            .permit_publish(&subject, (&publish.room, &topic));
        let asked = Box::pin(asking).await;
        let reply = asked.map(answered).transpose()?;
        if let Some(data) = reply.and_then(|reply| reply.data) {
            publish.data = data.into();
        }
        Ok(())
    }

    /// Whether a hook is asked about a message of a client.
    pub(in crate::hub) fn asks_about(&self, publish: &Publish) -> bool {
        let hooks = self.hooks();
        hooks.asks(HookPermit::Publish, Some(&publish.room))
    }

    /// The identity of a caller about whom a hook is asked.
    fn asked_for(
        &self,
        permit: HookPermit,
        caller: &impl Caller,
        room: &RoomName,
    ) -> Option<Arc<Principal>> {
        let asks = self.hooks().asks(permit, Some(room));
        caller.identity().filter(|_| asks)
    }
}

/// Waits until no other call is under way for the caller's connection.
async fn turn(caller: &impl Caller) -> Option<tokio::sync::MutexGuard<'_, ()>> {
    Some(caller.connection()?.hook_turn().await)
}

fn state_of(caller: &impl Caller) -> Option<Arc<RawValue>> {
    caller.connection().and_then(Connection::state)
}

/// Whom a call is about.
pub(crate) fn call_subject<'a>(
    caller: &'a impl Caller,
    principal: &'a Principal,
    state: Option<&'a RawValue>,
) -> CallSubject<'a> {
    let connection = caller.connection();
    let mut rooms = connection.map_or_else(Vec::new, Connection::rooms);
    rooms.retain(|room| !room.is_personal());
    CallSubject {
        namespace: caller.namespace(),
        connection: connection.map(Connection::id),
        principal,
        client: client(principal, caller.unverified_address()),
        state,
        rooms,
    }
}

/// Among whose calls those of a client count.
fn client(principal: &Principal, unverified_address: Option<IpAddr>) -> Holder {
    unverified_address.map_or_else(|| Holder::User(principal.user.clone()), Holder::address)
}

/// The reply, or the error that the client is told.
fn answered<T>(asked: Result<Answer<T>, HookFailure>) -> Result<T> {
    match asked {
        Ok(Answer::Reply(reply)) => Ok(reply),
        Ok(Answer::Denied(error)) => Err(error),
        Err(failure) => Err(failure.to_error()),
    }
}
