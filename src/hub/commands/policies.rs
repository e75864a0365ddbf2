//! Room policies, enforced here once for every transport.
//!
//! They hold for clients; what back ends and the application do is bound by `publish = "nobody"`, `message_bytes` and `events` alone.

use std::{
    fmt,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use serde_json::value::RawValue;

use super::Caller;
use crate::{
    error::{Code, Error, Result},
    hooks::HookPermit,
    hub::{Connection, Hub},
    model::{Audience, Broadcast, EventPayload, RoomName},
    policies::{EventRule, JoinRule, PresenceRule, PublishRule, RoomPolicies, RoomPolicy},
};

/// The reason in `kicked` for those whom a new policy keeps out.
const KEPT_OUT: &str = "the policy of the room has changed";

/// An event that is relayed, or emitted by a back end.
pub(crate) struct RelayedEvent<'a> {
    pub(crate) event: &'a str,
    /// Its first argument.
    pub(crate) data: Option<&'a RawValue>,
    /// The bytes of all arguments, attachments included.
    pub(crate) bytes: usize,
    /// Whether parts of the arguments are elsewhere.
    pub(crate) has_attachments: bool,
}

impl Hub {
    /// Checks that the policy of a room lets a caller join it, or read it as a member does. Those who are in the room may.
    pub(super) fn check_join_policy(&self, caller: &impl Caller, room: &RoomName) -> Result<()> {
        let is_in = |connection: &Connection| connection.is_in(room);
        if caller.identity().is_none() || caller.connection().is_some_and(is_in) {
            return Ok(());
        }
        match self.policy_lets_in(room, caller.unverified_address().is_none()) {
            true => Ok(()),
            false => Err(self.kept_out(room)),
        }
    }

    /// Checks once more that a connection may be in a room that it is joining: the policies may have been replaced since it was permitted.
    pub(super) fn check_joining(&self, connection: &Connection, room: &RoomName) -> Result<()> {
        match self.keeps_out(connection, room) {
            true => Err(self.kept_out(room)),
            false => Ok(()),
        }
    }

    /// Why a room cannot be joined.
    fn kept_out(&self, room: &RoomName) -> Error {
        let rule = self.policies().of(room).map(|policy| policy.join);
        Error::forbidden(match rule {
            Some(JoinRule::Token) => format!("only who has a token may join {room}"),
            Some(JoinRule::Hook) => format!("no hook permits to join {room}"),
            _ => format!("nobody may join {room}"),
        })
    }

    /// Whether a caller may know of a room: a back end of all, a client of those that policies let it join.
    pub(super) fn may_list(&self, caller: &impl Caller, room: &RoomName) -> bool {
        caller.identity().is_none()
            || self.policy_lets_in(room, caller.unverified_address().is_none())
    }

    /// Whether the policy of a room lets a connection be in it.
    pub(in crate::hub) fn policy_lets_in(&self, room: &RoomName, is_verified: bool) -> bool {
        // A personal room is its user's, whatever policies say.
        if room.is_personal() {
            return true;
        }
        let policies = self.policies();
        let policy = policies.of(room);
        policy.is_none_or(|policy| self.lets_in(policy, room, is_verified))
    }

    fn lets_in(&self, policy: &RoomPolicy, room: &RoomName, is_verified: bool) -> bool {
        match policy.join {
            JoinRule::Anyone => true,
            JoinRule::Token => is_verified,
            JoinRule::Hook => self.hooks().asks(HookPermit::Join, Some(room)),
            JoinRule::Nobody => false,
        }
    }

    /// Checks that the policy of a room lets a caller send to it.
    pub(super) fn check_publish_policy(&self, caller: &impl Caller, room: &RoomName) -> Result<()> {
        let policies = self.policies();
        let Some(policy) = policies.of(room) else {
            return Ok(());
        };
        let is_back_end = caller.identity().is_none();
        let is_in = |connection: &Connection| connection.is_in(room);
        match policy.publish {
            PublishRule::Anyone => Ok(()),
            PublishRule::Nobody => Err(closed(room)),
            _ if is_back_end => Ok(()),
            PublishRule::Members if caller.connection().is_some_and(is_in) => Ok(()),
            PublishRule::Members => Err(Error::forbidden(format!(
                "only members may send to {room}: join it first"
            ))),
            PublishRule::Hook if self.hooks().asks(HookPermit::Publish, Some(room)) => Ok(()),
            PublishRule::Hook => Err(Error::forbidden(format!(
                "no hook permits to send to {room}"
            ))),
            PublishRule::Backend => Err(Error::forbidden(format!(
                "only back ends may send to {room}"
            ))),
        }
    }

    /// Checks that anybody may send to a room at all.
    pub(super) fn check_not_closed(&self, room: &RoomName) -> Result<()> {
        let policies = self.policies();
        let policy = policies.of(room);
        match policy.is_some_and(|policy| policy.publish == PublishRule::Nobody) {
            true => Err(closed(room)),
            false => Ok(()),
        }
    }

    /// Checks that an event may be sent to a room with this data, by anyone.
    pub(super) fn check_content(
        &self,
        room: &RoomName,
        event: &str,
        data: &RawValue,
    ) -> Result<()> {
        let policies = self.policies();
        let policy = policies.of(room);
        let bytes = policy.and_then(|policy| policy.message_bytes);
        self.limiter().check_data_within(data, bytes)?;
        policy.map_or(Ok(()), |policy| check_event(policy, room, event, data))
    }

    /// Takes a permit of a user to send to a room with a rate of its own, and returns how long to wait until it may be used.
    ///
    /// # Errors
    /// `rate_limited` if that is longer than `max_wait`.
    pub(in crate::hub) fn reserve_in_room(
        &self,
        caller: &impl Caller,
        room: &RoomName,
        now: Instant,
        max_wait: Duration,
    ) -> Result<Duration> {
        let policies = self.policies();
        let rates = policies.of(room).and_then(|policy| policy.rate.as_ref());
        let (Some(rates), Some(principal)) = (rates, caller.identity()) else {
            return Ok(Duration::ZERO);
        };
        // What will be refused takes no permit.
        if !self.may_publish(caller, room) {
            return Ok(Duration::ZERO);
        }
        let key = (principal.user.clone(), caller.room_key(room));
        let buckets = &rates.buckets;
        let reserved = buckets.reserve(&key, buckets.rate(), now, max_wait);
        reserved.map_err(|wait| {
            let message = format!("too fast: {room} takes {} of each user", rates.rate);
            Error::new(Code::RateLimited, message).retry_after(wait)
        })
    }

    /// Checks that the policy of a room lets a member's event be relayed to it.
    ///
    /// # Errors
    /// `forbidden`, `too_large`, `rate_limited`, or `bad_request` for data that the event's schema refuses.
    pub(crate) fn check_relay(
        &self,
        connection: &Connection,
        room: &RoomName,
        relayed: &RelayedEvent<'_>,
    ) -> Result<()> {
        let policies = self.policies();
        let Some(policy) = policies.of(room) else {
            return Ok(());
        };
        if !is_for_members(policy) {
            return Err(Error::forbidden(format!("members may not send to {room}")));
        }
        self.check_relayed_content(policy, room, relayed)?;
        let reserved = self.reserve_in_room(connection, room, Instant::now(), Duration::ZERO);
        reserved.map(|_| ())
    }

    /// Emits an event of a back end or of the application, to those of its rooms whose policies take it.
    ///
    /// # Errors
    /// `unavailable` if the server is stopping, and the refusal if no room takes it.
    pub(crate) async fn emit(&self, mut broadcast: Broadcast) -> Result<()> {
        self.retain_open_rooms(&mut broadcast)?;
        self.broadcast(broadcast).await
    }

    /// Leaves only those rooms of a back end's event whose policies take it.
    ///
    /// # Errors
    /// The refusal, if there is none.
    pub(in crate::hub) fn retain_open_rooms(&self, broadcast: &mut Broadcast) -> Result<()> {
        let Audience::Rooms(rooms) = &mut broadcast.to else {
            return Ok(());
        };
        let policies = self.policies();
        let (mut refusal, event) = (None, &broadcast.event);
        rooms.retain(|room| {
            let policy = policies.of(room);
            let taken = policy.map_or(Ok(()), |policy| self.check_emit(policy, room, event));
            taken.map_err(|error| refusal = Some(error)).is_ok()
        });
        match refusal {
            Some(error) if rooms.is_empty() => Err(error),
            _ => Ok(()),
        }
    }

    fn check_emit(&self, policy: &RoomPolicy, room: &RoomName, event: &EventPayload) -> Result<()> {
        if policy.publish == PublishRule::Nobody {
            return Err(closed(room));
        }
        if policy.events.is_empty() && policy.message_bytes.is_none() {
            return Ok(());
        }
        let attachments = event.attachments.iter().map(Bytes::len);
        let bytes = event.text.len() + attachments.sum::<usize>();
        let Ok(values) = serde_json::from_str::<Vec<&RawValue>>(&event.text) else {
            return Err(Error::new(Code::Internal, "the event is no array"));
        };
        let name = values.first().map_or("\"\"", |name| name.get());
        let emitted = RelayedEvent {
            event: &serde_json::from_str::<String>(name).unwrap_or_default(),
            data: values.get(1).copied(),
            bytes,
            has_attachments: !event.attachments.is_empty(),
        };
        self.check_relayed_content(policy, room, &emitted)
    }

    /// Checks that an event may be relayed to everybody, by a sender that is in no room: to receivers it looks like one of any room, so every
    /// policy has to take it.
    ///
    /// # Errors
    /// As [`check_relay`](Self::check_relay).
    pub(crate) fn check_relay_to_everybody(&self, relayed: &RelayedEvent<'_>) -> Result<()> {
        for policy in self.policies().iter() {
            let rooms = &policy.pattern;
            if policy.publish != PublishRule::Anyone || policy.rate.is_some() {
                return Err(Error::forbidden(format!(
                    "join a room: not everybody may send to {rooms}, and this would go to everybody"
                )));
            }
            self.check_relayed_content(policy, rooms, relayed)?;
        }
        Ok(())
    }

    fn check_relayed_content(
        &self,
        policy: &RoomPolicy,
        room: &dyn fmt::Display,
        relayed: &RelayedEvent<'_>,
    ) -> Result<()> {
        let RelayedEvent { event, data, .. } = *relayed;
        if let Some(max) = policy.message_bytes {
            self.limiter().check_bytes_within(relayed.bytes, max)?;
        }
        if relayed.has_attachments && matches!(policy.events.of(event), EventRule::Schema(_)) {
            let message = format!("{event} has a schema, and takes no binary attachments");
            return Err(Error::bad_request(message));
        }
        check_event(policy, room, event, data.unwrap_or(RawValue::NULL))
    }

    /// Whether members of a room may send signals to each other.
    pub(super) fn may_signal_in(&self, room: &RoomName) -> bool {
        self.policies().of(room).is_none_or(is_for_members)
    }

    /// Checks that members of a room may show that they are typing.
    pub(super) fn check_typing_policy(&self, room: &RoomName) -> Result<()> {
        match self.policies().of(room).is_none_or(|policy| policy.typing) {
            true => Ok(()),
            false => Err(Error::forbidden(format!(
                "{room} does not show who is typing"
            ))),
        }
    }

    /// Who is shown in a room to a caller.
    pub(in crate::hub) fn presence_rule(
        &self,
        caller: &impl Caller,
        room: &RoomName,
    ) -> PresenceRule {
        match caller.identity() {
            Some(_) => self.policies().presence(room),
            None => PresenceRule::Users,
        }
    }

    /// Replaces the policies, and removes the clients from rooms that they may not be in any more. Returns how many connections were
    /// removed from a room.
    pub(crate) fn apply_policies(&self, policies: RoomPolicies) -> usize {
        self.replace_policies(policies);
        let mut removed = 0;
        for connection in self.connection_table().all() {
            let (kept_out, rooms): (Vec<_>, Vec<_>) = connection
                .rooms()
                .into_iter()
                .partition(|room| self.keeps_out(&connection, room));
            if self.remove_connection(&connection, &kept_out, Some(KEPT_OUT)) {
                removed += 1;
                for room in &kept_out {
                    let user = &connection.principal().user;
                    self.rooms().end_grace(&connection.room_key(room), user);
                }
            }
            for room in rooms {
                self.rooms().with(&connection.room_key(&room), |room| {
                    room.update_permissions(&connection);
                });
            }
        }
        removed
    }

    /// Removes a connection from rooms that it may not be in: one that has resumed its session while the policies were replaced.
    pub(in crate::hub) fn enforce_policies_on(&self, connection: &Arc<Connection>) {
        if self.policies().is_empty() {
            return;
        }
        let mut rooms = connection.rooms();
        rooms.retain(|room| self.keeps_out(connection, room));
        self.remove_connection(connection, &rooms, Some(KEPT_OUT));
    }

    fn keeps_out(&self, connection: &Connection, room: &RoomName) -> bool {
        let is_verified = connection.unverified_address().is_none();
        !connection.is_granted(room) && !self.policy_lets_in(room, is_verified)
    }
}

/// Whether members may send to a room by themselves.
fn is_for_members(policy: &RoomPolicy) -> bool {
    matches!(policy.publish, PublishRule::Anyone | PublishRule::Members)
}

fn check_event(
    policy: &RoomPolicy,
    room: &dyn fmt::Display,
    event: &str,
    data: &RawValue,
) -> Result<()> {
    match policy.events.of(event) {
        EventRule::Anything => Ok(()),
        EventRule::Refused => Err(Error::forbidden(format!("{room} takes no event {event}"))),
        EventRule::Schema(schema) => schema.check(data).map_err(|refusal| {
            let place = match &*refusal.at {
                "" => String::new(),
                at => format!(" at {at}"),
            };
            let message = format!("the data of {event} is wrong{place}: {}", refusal.message);
            Error::bad_request(message).at(refusal.at)
        }),
    }
}

fn closed(room: &RoomName) -> Error {
    Error::forbidden(format!("nothing may be sent to {room}"))
}
