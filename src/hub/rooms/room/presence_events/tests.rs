//! Presence events about users that change more often than their budget allows: fewer, later, and in the end correct.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use proptest::prelude::*;

use super::*;
use crate::{
    hub::{
        connections::Connection,
        rooms::testing::{RecordingSink, TestRoom, connection, connection_with, policy},
    },
    model::RoomName,
};

const NO_GRACE: Duration = Duration::ZERO;

#[test]
fn a_status_that_changes_all_the_time_stays_within_the_budget_and_the_last_is_sent() {
    let mut scene = TestRoom::new(100, NO_GRACE, 500);
    let alice = connection("alice");
    scene.enter(&alice);
    for change in 0..500 {
        scene.set_status(&alice, &format!("status-{change}"));
        scene.advance(20);
    }
    // Fifty changes a second would be 50,000 deliveries; the budget of ten seconds is 5,000, and 1,000 at once.
    let deliveries = scene.deliveries();
    assert!((5_000..=6_200).contains(&deliveries), "{deliveries}");
    scene.advance(1_000);
    assert_eq!(scene.last_event("presence")["status"], "status-499");
}

#[test]
fn a_user_who_enters_and_leaves_all_the_time_stays_within_its_budget() {
    let mut scene = TestRoom::new(100, NO_GRACE, 500);
    let alice = connection("alice");
    for _ in 0..500 {
        scene.enter(&alice);
        scene.advance(10);
        scene.leave(&alice);
        scene.advance(10);
    }
    let deliveries = scene.deliveries();
    assert!((2_000..=6_200).contains(&deliveries), "{deliveries}");
    scene.advance(1_000);
    assert_eq!(scene.last_event("presence")["event"], "leave");
    let bob = connection("bob");
    scene.enter(&bob);
    assert_eq!(
        scene.last_event("presence")["user"],
        "bob",
        "announced at once: each user has its own budget"
    );
}

#[test]
fn a_kick_is_announced_at_once_whatever_the_budget() {
    let mut scene = TestRoom::new(10, Duration::from_secs(5), 10);
    let alice = connection("alice");
    scene.enter(&alice);
    scene.set_status(&alice, "busy");
    scene.set_status(&alice, "away");
    scene.set_status(&alice, "busier");
    scene.leave(&alice);
    scene.room.end_grace(&alice.principal().user, Timestamp(1));
    assert_eq!(scene.last_event("presence")["event"], "leave");
    let sent = scene.deliveries();
    scene.advance(60_000);
    assert_eq!(scene.deliveries(), sent, "nothing more is sent");
}

#[test]
fn a_member_that_was_sent_a_list_is_not_sent_the_joins_of_the_users_on_it() {
    let mut scene = TestRoom::new(1, NO_GRACE, 1);
    let own = Arc::<RecordingSink>::default();
    let (alice, bob) = (connection("alice"), connection_with("bob", own.clone()));
    scene.exhaust_budget(&alice);
    scene.enter(&alice);
    scene.room.add_member(&bob);
    scene.room.record_list(bob.id(), scene.now);
    scene.advance(600_000);
    assert_eq!(scene.last_event("presence")["event"], "join");
    assert_eq!(own.events(), []);
}

#[test]
fn a_member_that_was_sent_a_list_is_sent_the_leave_of_a_user_on_it() {
    let mut scene = TestRoom::new(1, NO_GRACE, 1);
    let own = Arc::<RecordingSink>::default();
    let (alice, bob) = (connection("alice"), connection_with("bob", own.clone()));
    scene.exhaust_budget(&alice);
    scene.enter(&alice);
    scene.room.add_member(&bob);
    scene.room.record_list(bob.id(), scene.now);
    scene.leave(&alice);
    scene.advance(600_000);
    assert_eq!(own.presence_kinds(), ["leave"]);
    assert_eq!(scene.deliveries(), 0, "the others do not know of the join");
}

#[test]
fn a_member_that_was_sent_a_list_is_sent_the_join_of_a_user_who_was_not_on_it() {
    let mut scene = TestRoom::new(1, NO_GRACE, 1);
    let own = Arc::<RecordingSink>::default();
    let (alice, bob) = (connection("alice"), connection_with("bob", own.clone()));
    scene.enter(&alice);
    scene.exhaust_budget(&alice);
    scene.leave(&alice);
    scene.room.add_member(&bob);
    scene.room.record_list(bob.id(), scene.now);
    scene.enter(&alice);
    scene.advance(600_000);
    assert_eq!(own.presence_kinds(), ["join"]);
    assert_eq!(scene.last_event("presence")["event"], "update");
}

proptest! {
    #[test]
    fn whatever_is_deferred_members_know_who_is_present_in_the_end(
        steps in proptest::collection::vec((0usize..3, 0u8..4, 0u64..400), 1..80),
    ) {
        let mut scene = TestRoom::new(3, NO_GRACE, 4);
        let users: Vec<_> = (0..3).map(|nth| connection(&format!("user-{nth}"))).collect();
        for (nth, action, pause) in steps {
            match action {
                0 => scene.enter(&users[nth]),
                1 => scene.leave(&users[nth]),
                _ => scene.set_status(&users[nth], &format!("status-{pause}")),
            }
            scene.advance(pause);
        }
        scene.advance(600_000);
        let (mut known, mut statuses) = (BTreeSet::new(), BTreeMap::new());
        let events = scene.sink.events();
        // Each of the three members is sent all of them.
        for (_, event) in &events {
            let user = event["user"].as_str().unwrap().to_owned();
            match event["event"].as_str().unwrap() {
                "leave" => drop(known.remove(&user)),
                _ => drop(known.insert(user.clone())),
            }
            statuses.insert(user, event["status"].as_str().unwrap().to_owned());
        }
        let page = scene.room.user_page(None, 10).users;
        let here: BTreeSet<_> = page.iter().map(|one| one.user.to_string()).collect();
        prop_assert_eq!(known, here);
        for one in page {
            prop_assert_eq!(statuses[one.user.as_str()].as_str(), &*one.status);
        }
    }
}

/// A room whose roster is not loaded, with the member `bob`, who records its events.
fn loading_room() -> (Broadcaster, PresenceEvents, Arc<RecordingSink>) {
    let policy = policy(NO_GRACE, NO_GRACE);
    let mut members = Broadcaster::new(RoomName::parse("lobby").unwrap(), policy.into());
    let sink = Arc::<RecordingSink>::default();
    members.add(&connection_with("bob", sink.clone()));
    let events = PresenceEvents::new(Presence::new(NO_GRACE, 0), true);
    (members, events, sink)
}

fn enter(members: &mut Broadcaster, events: &mut PresenceEvents, connection: &Connection) {
    members.add(connection);
    let (user, status) = (
        connection.principal().user.clone(),
        connection.user_status(),
    );
    events.enter(
        members,
        (connection.id(), user, status),
        Instant::now(),
        Timestamp(1),
    );
}

#[test]
fn a_user_that_enters_before_the_roster_is_loaded_is_announced_after_it_if_it_is_new() {
    let alice = connection("alice");
    let user = alice.principal().user.clone();
    let entry = alice.user_status().into_entry(Timestamp(1));
    for (remote, expected) in [
        (Vec::new(), 1),
        (vec![(NodeId::generate(), user, entry)], 0),
    ] {
        let (mut members, mut events, sink) = loading_room();
        enter(&mut members, &mut events, &alice);
        assert_eq!(sink.count(), 0, "it may be in the room on another node");
        assert!(events.roster_pending().is_some());
        events.apply_snapshot(&mut members, remote, Instant::now(), Timestamp(2));
        assert!(events.is_roster_loaded());
        assert_eq!(sink.presence_kinds(), vec!["join"; expected]);
    }
}

#[test]
fn without_the_roster_users_that_entered_are_announced_in_the_end() {
    let (mut members, mut events, sink) = loading_room();
    enter(&mut members, &mut events, &connection("alice"));
    events.stop_waiting_for_roster(&mut members, Instant::now(), Timestamp(2));
    assert_eq!(sink.presence_kinds(), ["join"]);
}
