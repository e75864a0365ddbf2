//! What tests of rooms share: connections whose events are recorded, and a room with a clock that is moved by hand.

use std::{
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use serde_json::Value;

use super::{
    fan_out::FanOutBudget,
    room::{Room, RoomSettings},
};
use crate::{
    auth::{Grants, Principal},
    hub::{
        AdmittedUser, OutgoingEvent,
        connections::{
            CloseReason, Connection, Drained, EventSink, LocalUser, Memberships, PendingReply,
            Subscriber,
        },
    },
    limits::{KeyedCounter, Rate},
    model::{ConnectionId, Namespace, Offset, RoomName, Timestamp, UserId},
    policies::CurrentPolicies,
    sync::lock,
    traces::TraceParent,
};

/// Records the events it is sent: the name and the first argument.
#[derive(Default)]
pub(in crate::hub) struct RecordingSink(Mutex<Vec<(String, Value)>>);

impl RecordingSink {
    pub(in crate::hub) fn events(&self) -> Vec<(String, Value)> {
        lock(&self.0).clone()
    }

    pub(in crate::hub) fn count(&self) -> usize {
        lock(&self.0).len()
    }

    pub(in crate::hub) fn names(&self) -> Vec<String> {
        let events = self.events().into_iter();
        events.map(|(name, _)| name).collect()
    }

    /// The kinds of the presence events, in order.
    pub(in crate::hub) fn presence_kinds(&self) -> Vec<String> {
        let events = self.events().into_iter();
        let kinds = events.filter_map(|(_, value)| value["event"].as_str().map(str::to_owned));
        kinds.collect()
    }
}

impl EventSink for RecordingSink {
    fn push(&self, event: &OutgoingEvent) {
        let arguments = event.arguments();
        let value = serde_json::from_str(arguments.values[0].get()).unwrap();
        lock(&self.0).push((arguments.name.to_string(), value));
    }

    fn push_with_reply(&self, _: &OutgoingEvent, _: Duration) -> Option<PendingReply> {
        None
    }

    fn is_behind(&self) -> bool {
        false
    }

    fn drained(&self) -> Drained {
        Box::pin(std::future::ready(()))
    }

    fn close(&self, _: CloseReason) {}
}

/// Settings under which no event is over its budget.
pub(in crate::hub) fn policy(grace: Duration, typing_timeout: Duration) -> RoomSettings {
    RoomSettings {
        grace,
        max_announced_users: 0,
        typing_timeout,
        max_typists: 0,
        fan_out: Arc::new(FanOutBudget::new(Rate::new(0, 0))),
        policies: CurrentPolicies::default(),
    }
}

/// A room without members that is subscribed.
pub(in crate::hub) fn room(policy: RoomSettings, has_other_nodes: bool) -> Room {
    let subscribed = Box::pin(std::future::ready(Ok(())));
    let name = RoomName::parse("lobby").unwrap();
    Room::new(name, policy.into(), subscribed, has_other_nodes)
}

/// A connection whose events are dropped.
pub(in crate::hub) fn connection(user: &str) -> Connection {
    connection_with(user, Arc::<RecordingSink>::default())
}

/// A connection whose events go to `sink`.
pub(in crate::hub) fn connection_with(user: &str, sink: Arc<dyn EventSink>) -> Connection {
    let user = UserId::parse(user).unwrap();
    let users: Arc<KeyedCounter<UserId, LocalUser>> = Arc::default();
    let permit = users.take(user.clone(), 0).unwrap();
    let principal = Principal {
        user,
        name: None,
        info: None,
        grants: Arc::new(Grants::everything()),
        expires_at: None,
    };
    Connection::new(
        AdmittedUser {
            principal,
            permit,
            unverified_address: None,
            trace: TraceParent::default(),
        },
        Namespace::root(),
        (ConnectionId::generate(), None),
        Memberships::new(),
        Subscriber::live(sink, Offset(0), Box::new(|| {})),
    )
}

/// A room whose members record their events, and a clock.
pub(in crate::hub) struct TestRoom {
    pub(in crate::hub) room: Room,
    pub(in crate::hub) fan_out: Arc<FanOutBudget>,
    /// What all members together are sent.
    pub(in crate::hub) sink: Arc<RecordingSink>,
    pub(in crate::hub) now: Instant,
}

impl TestRoom {
    /// `members` members, a grace time, and budgets of so many deliveries a second, twice as many at once.
    pub(in crate::hub) fn new(members: usize, grace: Duration, per_second: u32) -> Self {
        let fan_out = Arc::new(FanOutBudget::new(Rate::new(per_second, 2 * per_second)));
        let mut policy = policy(grace, Duration::from_secs(3));
        policy.fan_out = fan_out.clone();
        let sink = Arc::<RecordingSink>::default();
        let mut room = room(policy, false);
        for nth in 0..members {
            room.add_member(&connection_with(&format!("member-{nth}"), sink.clone()));
        }
        Self {
            room,
            fan_out,
            sink,
            now: Instant::now(),
        }
    }

    /// Moves the clock, and runs what is due meanwhile.
    pub(in crate::hub) fn advance(&mut self, millis: u64) {
        let end = self.now + Duration::from_millis(millis);
        while let Some(deadline) = self.room.next_deadline().filter(|at| *at <= end) {
            self.now = self.now.max(deadline);
            self.room.run_due(self.now, Timestamp(1));
        }
        self.now = end;
    }

    pub(in crate::hub) fn enter(&mut self, connection: &Connection) {
        self.room.add_member(connection);
        let (user, status) = (
            connection.principal().user.clone(),
            connection.user_status(),
        );
        self.room
            .show_user(connection.id(), user, status, self.now, Timestamp(1));
    }

    pub(in crate::hub) fn leave(&mut self, connection: &Connection) {
        self.room.remove_member(connection, self.now, Timestamp(1));
        self.advance(0);
    }

    pub(in crate::hub) fn set_status(&mut self, connection: &Connection, status: &str) {
        connection.local_user().set_status(status.into(), None);
        let (user, now) = (connection.principal().user.clone(), self.now);
        let (status, time) = (connection.user_status(), (now, None));
        self.room
            .update_status(&user, status, Some(connection.id()), time, Timestamp(1));
    }

    pub(in crate::hub) fn exhaust_budget(&self, connection: &Connection) {
        self.fan_out
            .charge(&connection.principal().user, 100, self.now);
    }

    pub(in crate::hub) fn deliveries(&self) -> usize {
        self.sink.count()
    }

    /// The argument of the last event with this name that a member was sent.
    pub(in crate::hub) fn last_event(&self, name: &str) -> Value {
        let events = self.sink.events();
        let last = events.iter().rfind(|(of, _)| of == name);
        last.expect("an event with this name").1.clone()
    }
}
