//! Users who are taken out, and requests of whoever has no connection.

use super::*;
use crate::{
    error::Code,
    hub::{RoomsRequest, Visitor, connections::REMOVAL_NOTICE_TTL},
};

fn key(room: &str) -> RoomKey {
    RoomKey {
        namespace: Namespace::root(),
        room: RoomName::parse(room).unwrap(),
    }
}

fn user(id: &str) -> UserId {
    UserId::parse(id).unwrap()
}

#[tokio::test]
async fn a_user_who_is_kicked_is_told_and_others_see_it_leave_at_once() {
    let hub = hub();
    let (bob, seen) = member(&hub, "bob", &["a"]).await;
    let (one, first) = member(&hub, "alice", &["a", "b"]).await;
    let (two, second) = member(&hub, "alice", &["a"]).await;
    assert_eq!(
        hub.kick(&key("a"), &user("alice"), "rude").await.unwrap(),
        2
    );
    first.is_given(&["session", "kicked"]).await;
    second.is_given(&["session", "kicked"]).await;
    // The join, and the leave.
    seen.is_given(&["session", "presence", "presence"]).await;
    assert!(!one.is_in(&key("a").room) && !two.is_in(&key("a").room));
    assert!(one.is_in(&key("b").room) && bob.is_in(&key("a").room));
    let stored = hub.backend().sessions.find(one.pid().unwrap()).await;
    let rooms = stored.unwrap().unwrap().rooms;
    assert!(rooms.iter().all(|(room, _)| *room != key("a").room));
    assert_eq!(
        hub.kick(&key("a"), &user("alice"), "rude").await.unwrap(),
        0
    );
    let own = hub.kick(&key("user:alice"), &user("alice"), "rude").await;
    assert_eq!(own.unwrap_err().code(), Code::BadRequest);
}

#[tokio::test]
async fn a_user_who_does_not_take_what_it_missed_is_given_nothing_more_once_it_is_kicked() {
    let hub = hub();
    let (alice, client) = member(&hub, "alice", &["a", "b"]).await;
    client.slow.store(true, Ordering::Relaxed);
    for number in 1..=3 {
        say(&hub, "a", number).await;
    }
    say(&hub, "b", 4).await;
    let catching_up = tokio::time::timeout(Duration::from_secs(10), async {
        while alice.try_lock_memberships().is_some() {
            tokio::task::yield_now().await;
        }
    });
    catching_up.await.expect("somebody reads what it missed");
    let (room, who) = (key("a"), user("alice"));
    assert_eq!(hub.kick(&room, &who, "rude").await.unwrap(), 1);
    assert!(!alice.is_in(&room.room), "whatever its client does");
    client.slow.store(false, Ordering::Relaxed);
    client.reads.notify_waiters();
    client.is_given(&["session", "b 4", "kicked"]).await;
}

#[tokio::test]
async fn a_user_who_has_only_just_gone_leaves_presence_by_a_kick() {
    let hub = hub();
    let (_bob, seen) = member(&hub, "bob", &["a"]).await;
    let (alice, _) = member(&hub, "alice", &["a"]).await;
    hub.disconnect(&alice);
    seen.is_given(&["session", "presence"]).await;
    assert_eq!(
        hub.kick(&key("a"), &user("alice"), "rude").await.unwrap(),
        0
    );
    seen.is_given(&["session", "presence", "presence"]).await;
}

#[tokio::test]
async fn a_user_who_has_only_just_gone_does_not_come_back_into_a_room_it_was_kicked_from() {
    let hub = hub();
    let (alice, client) = member(&hub, "alice", &["a", "b"]).await;
    hub.disconnect(&alice);
    hub.kick(&key("a"), &user("alice"), "rude").await.unwrap();
    let arrived = arrive(&hub, "alice", back(&alice, &client)).await;
    assert_eq!(arrived.pid(), alice.pid());
    let (again, told) = connect(&hub, arrived).await;
    assert!(again.is_in(&key("b").room) && !again.is_in(&key("a").room));
    told.is_given(&["session", "kicked"]).await;
    // It may not have heard it; once it is in there again, there is nothing to tell.
    hub.disconnect(&again);
    let (again, told) = connect(&hub, arrive(&hub, "alice", back(&again, &told)).await).await;
    told.is_given(&["session", "kicked"]).await;
    join(&hub, &again, "a").await;
    hub.disconnect(&again);
    let (_again, told) = connect(&hub, arrive(&hub, "alice", back(&again, &told)).await).await;
    told.is_given(&["session"]).await;
}

#[tokio::test]
async fn a_user_who_is_kicked_before_its_end_is_noticed_is_told_when_it_comes_back() {
    let hub = hub();
    let (alice, client) = member(&hub, "alice", &["a", "b"]).await;
    let named = back(&alice, &client);
    hub.kick(&key("a"), &user("alice"), "rude").await.unwrap();
    let (_again, told) = connect(&hub, arrive(&hub, "alice", named).await).await;
    told.is_given(&["session", "kicked"]).await;
}

#[tokio::test(start_paused = true)]
async fn a_client_that_has_heard_of_a_kick_is_not_told_again() {
    let hub = hub();
    let (alice, client) = member(&hub, "alice", &["a", "b"]).await;
    hub.kick(&key("a"), &user("alice"), "rude").await.unwrap();
    client.is_given(&["session", "kicked"]).await;
    let stored = async || {
        let found = hub.backend().sessions.find(alice.pid().unwrap()).await;
        found.unwrap().unwrap().lost
    };
    assert_eq!(stored().await, [(key("a").room, "rude".to_owned())]);
    tokio::time::sleep(REMOVAL_NOTICE_TTL + Duration::from_secs(1)).await;
    assert_eq!(stored().await, []);
    let (_again, told) = connect(&hub, arrive(&hub, "alice", back(&alice, &client)).await).await;
    told.is_given(&["session"]).await;
}

#[tokio::test]
async fn a_room_whose_last_user_is_kicked_is_kept_no_longer() {
    let hub = hub();
    let (_alice, _client) = member(&hub, "alice", &["a"]).await;
    hub.kick(&key("a"), &user("alice"), "rude").await.unwrap();
    assert_eq!(hub.rooms().keys(), [key("user:alice")]);
}

#[tokio::test]
async fn a_user_who_is_disconnected_cannot_go_on_with_its_session() {
    let hub = hub();
    let (alice, client) = member(&hub, "alice", &["a"]).await;
    assert_eq!(hub.disconnect_user(&user("alice")).await.unwrap(), 1);
    assert_eq!(*lock(&client.closed), Some(CloseReason::Removed));
    // Before and after its door has noticed.
    for _ in 0..2 {
        let arrived = arrive(&hub, "alice", back(&alice, &client)).await;
        assert_ne!(arrived.pid(), alice.pid());
        hub.disconnect(&alice);
    }
    assert_eq!(hub.disconnect_user(&user("alice")).await.unwrap(), 0);
}

#[tokio::test]
async fn a_user_who_has_only_just_gone_cannot_come_back_once_it_is_disconnected() {
    let hub = hub();
    let (alice, client) = member(&hub, "alice", &["a"]).await;
    hub.disconnect(&alice);
    assert_eq!(hub.disconnect_user(&user("alice")).await.unwrap(), 0);
    let arrived = arrive(&hub, "alice", back(&alice, &client)).await;
    assert_ne!(arrived.pid(), alice.pid());
}

/// Between the moment when it is decided that a session goes on and the moment when it does, nobody has the connection.
#[tokio::test]
async fn a_user_who_is_just_coming_back_stays_out_of_what_it_is_taken_out_of_meanwhile() {
    let hub = hub();
    let (alice, client) = member(&hub, "alice", &["a", "b"]).await;
    hub.disconnect(&alice);
    let arrived = arrive(&hub, "alice", back(&alice, &client)).await;
    hub.kick(&key("a"), &user("alice"), "rude").await.unwrap();
    let (again, client) = connect(&hub, arrived).await;
    client.is_given(&["session", "kicked"]).await;
    assert!(again.is_in(&key("b").room) && !again.is_in(&key("a").room));
    let stored = hub.backend().sessions.find(again.pid().unwrap()).await;
    let rooms = stored.unwrap().unwrap().rooms;
    assert!(rooms.iter().all(|(room, _)| *room != key("a").room));

    hub.disconnect(&again);
    let arrived = arrive(&hub, "alice", back(&again, &client)).await;
    hub.disconnect_user(&user("alice")).await.unwrap();
    let (again, client) = connect(&hub, arrived).await;
    assert_eq!(*lock(&client.closed), Some(CloseReason::Removed));
    hub.disconnect(&again);
    let last = arrive(&hub, "alice", back(&again, &client)).await;
    assert_ne!(last.pid(), again.pid());
}

#[tokio::test]
async fn rooms_are_listed_by_name_page_by_page_and_personal_ones_only_when_asked_for() {
    let hub = hub();
    let rooms = ["c", "a", "b", "d"];
    let (_alice, _client) = member(&hub, "alice", &rooms).await;
    let _nobody_is_in_there = hub.rooms().add_poller(&key("aa"));
    let visitor = Visitor::back_end(Namespace::root());
    let list = async |prefix: &str, after: Option<&str>| {
        let request = RoomsRequest {
            prefix: prefix.into(),
            after: after.map(|after| RoomName::parse(after).unwrap()),
            limit: Some(3),
        };
        let page = hub.live_rooms(&visitor, &request).await.unwrap();
        let names: Vec<_> = page
            .rooms
            .iter()
            .map(|room| room.room.to_string())
            .collect();
        (names, page.next.map(|next| next.to_string()))
    };
    let names = |names: &[&str]| names.iter().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!(
        list("", None).await,
        (names(&["a", "b", "c"]), Some("c".into()))
    );
    assert_eq!(list("", Some("c")).await, (names(&["d"]), None));
    assert_eq!(list("b", None).await, (names(&["b"]), None));
    assert_eq!(list("user:", None).await, (names(&["user:alice"]), None));
    assert_eq!(list("us", None).await, (names(&[]), None));
}

#[tokio::test]
async fn a_user_without_a_connection_is_under_its_rate_and_a_back_end_is_not() {
    let (backend, deliveries) = memory::open(memory::MemoryConfig::default());
    let mut limits = crate::hub::LimitSettings::default();
    (limits.user_messages_per_second, limits.user_messages_burst) = (1, 2);
    let hub = hub_over(backend, deliveries, limits);
    let principal = hub.authority().open_principal(Some("alice")).unwrap();
    let alice = hub.visitor(Namespace::root(), principal).unwrap();
    let message = || Publish::new(key("a").room, "message", &1).unwrap();
    for _ in 0..2 {
        hub.publish(&alice, message()).await.unwrap();
    }
    let refused = hub.publish(&alice, message()).await.unwrap_err();
    assert_eq!(refused.code(), Code::RateLimited);
    let (connection, _client) = member(&hub, "alice", &[]).await;
    let refused = hub.publish(&connection, message()).await.unwrap_err();
    assert_eq!(refused.limit(), Some(Limit::UserMessagesPerSecond));
    let back_end = Visitor::back_end(Namespace::root());
    for _ in 0..5 {
        hub.publish(&back_end, message()).await.unwrap();
    }
}
