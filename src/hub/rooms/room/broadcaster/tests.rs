//! Which members are sent an event.

use std::time::Duration;

use serde_json::json;

use super::*;
use crate::{
    hub::rooms::testing::{RecordingSink, connection_with, policy},
    model::RoomName,
};

fn broadcaster() -> Broadcaster {
    let policy = policy(Duration::ZERO, Duration::ZERO);
    Broadcaster::new(RoomName::parse("lobby").unwrap(), policy.into())
}

fn event(members: &Broadcaster) -> Arc<OutgoingEvent> {
    OutgoingEvent::room_notice("read", members.room(), &json!({}))
}

#[test]
fn an_event_is_sent_to_the_members_it_includes_and_counted() {
    let (mut members, sink) = (broadcaster(), Arc::<RecordingSink>::default());
    let [alice, bob] = ["alice", "bob"].map(|user| connection_with(user, sink.clone()));
    assert_eq!(members.add(&alice), Membership::New);
    assert_eq!(members.add(&bob), Membership::New);
    assert_eq!(members.add(&bob), Membership::Existing);
    let event = event(&members);
    members.send(&event, |_, _| true);
    members.send(&event, |id, _| id != alice.id());
    assert_eq!(sink.count(), 3);
    assert_eq!(members.take_counters().delivered, 3);
    assert_eq!(members.take_counters().delivered, 0);
}

#[test]
fn one_member_is_sent_events_about_others_only() {
    let (mut members, sink) = (broadcaster(), Arc::<RecordingSink>::default());
    let alice = connection_with("alice", sink.clone());
    members.add(&alice);
    let event = event(&members);
    let users = ["alice", "bob"].map(|user| UserId::parse(user).unwrap());
    members.send_to(alice.id(), users.map(|user| (user, event.clone())));
    assert_eq!(sink.count(), 1);
}

#[test]
fn a_removed_member_is_sent_nothing_and_removed_once() {
    let (mut members, sink) = (broadcaster(), Arc::<RecordingSink>::default());
    let alice = connection_with("alice", sink.clone());
    members.add(&alice);
    let user = alice.principal().user.clone();
    assert_eq!(members.remove(&alice), Some(user));
    assert_eq!(members.remove(&alice), None);
    let event = event(&members);
    members.send(&event, |_, _| true);
    assert_eq!(sink.count(), 0);
    assert!(members.is_empty());
}
