//! Users who are taken out, and requests of whoever has no connection.

use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::{
    error::Code,
    hub::connections::REMOVAL_NOTICE_TTL,
    hub::testing::{arrive, connect, hub, join, key, member, publish, resume_of, user},
    hub::{CloseReason, lock},
};

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
    first.receives(&["session", "kicked"]).await;
    second.receives(&["session", "kicked"]).await;
    // The join, and the leave.
    seen.receives(&["session", "presence", "presence"]).await;
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
        publish(&hub, "a", number).await;
    }
    publish(&hub, "b", 4).await;
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
    client.receives(&["session", "b 4", "kicked"]).await;
}

#[tokio::test]
async fn a_user_who_has_only_just_gone_leaves_presence_by_a_kick() {
    let hub = hub();
    let (_bob, seen) = member(&hub, "bob", &["a"]).await;
    let (alice, _) = member(&hub, "alice", &["a"]).await;
    hub.disconnect(&alice);
    seen.receives(&["session", "presence"]).await;
    assert_eq!(
        hub.kick(&key("a"), &user("alice"), "rude").await.unwrap(),
        0
    );
    seen.receives(&["session", "presence", "presence"]).await;
}

#[tokio::test]
async fn a_user_who_has_only_just_gone_does_not_come_back_into_a_room_it_was_kicked_from() {
    let hub = hub();
    let (alice, client) = member(&hub, "alice", &["a", "b"]).await;
    hub.disconnect(&alice);
    hub.kick(&key("a"), &user("alice"), "rude").await.unwrap();
    let arrived = arrive(&hub, "alice", resume_of(&alice, &client)).await;
    assert_eq!(arrived.pid(), alice.pid());
    let (again, told) = connect(&hub, arrived).await;
    assert!(again.is_in(&key("b").room) && !again.is_in(&key("a").room));
    told.receives(&["session", "kicked"]).await;
    // It may not have heard it; once it is in there again, there is nothing to tell.
    hub.disconnect(&again);
    let (again, told) = connect(&hub, arrive(&hub, "alice", resume_of(&again, &told)).await).await;
    told.receives(&["session", "kicked"]).await;
    join(&hub, &again, "a").await;
    hub.disconnect(&again);
    let (_again, told) = connect(&hub, arrive(&hub, "alice", resume_of(&again, &told)).await).await;
    told.receives(&["session"]).await;
}

#[tokio::test]
async fn a_user_who_is_kicked_before_its_end_is_noticed_is_told_when_it_comes_back() {
    let hub = hub();
    let (alice, client) = member(&hub, "alice", &["a", "b"]).await;
    let named = resume_of(&alice, &client);
    hub.kick(&key("a"), &user("alice"), "rude").await.unwrap();
    let (_again, told) = connect(&hub, arrive(&hub, "alice", named).await).await;
    told.receives(&["session", "kicked"]).await;
}

#[tokio::test(start_paused = true)]
async fn a_client_that_has_heard_of_a_kick_is_not_told_again() {
    let hub = hub();
    let (alice, client) = member(&hub, "alice", &["a", "b"]).await;
    hub.kick(&key("a"), &user("alice"), "rude").await.unwrap();
    client.receives(&["session", "kicked"]).await;
    let stored = async || {
        let found = hub.backend().sessions.find(alice.pid().unwrap()).await;
        found.unwrap().unwrap().lost
    };
    assert_eq!(stored().await, [(key("a").room, "rude".to_owned())]);
    tokio::time::sleep(REMOVAL_NOTICE_TTL + Duration::from_secs(1)).await;
    assert_eq!(stored().await, []);
    let (_again, told) = connect(
        &hub,
        arrive(&hub, "alice", resume_of(&alice, &client)).await,
    )
    .await;
    told.receives(&["session"]).await;
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
    // Before and after its transport has noticed.
    for _ in 0..2 {
        let arrived = arrive(&hub, "alice", resume_of(&alice, &client)).await;
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
    let arrived = arrive(&hub, "alice", resume_of(&alice, &client)).await;
    assert_ne!(arrived.pid(), alice.pid());
}

/// Between the moment when it is decided that a session goes on and the moment when it does, nobody has the connection.
#[tokio::test]
async fn a_user_who_is_just_coming_back_stays_out_of_what_it_is_taken_out_of_meanwhile() {
    let hub = hub();
    let (alice, client) = member(&hub, "alice", &["a", "b"]).await;
    hub.disconnect(&alice);
    let arrived = arrive(&hub, "alice", resume_of(&alice, &client)).await;
    hub.kick(&key("a"), &user("alice"), "rude").await.unwrap();
    let (again, client) = connect(&hub, arrived).await;
    client.receives(&["session", "kicked"]).await;
    assert!(again.is_in(&key("b").room) && !again.is_in(&key("a").room));
    let stored = hub.backend().sessions.find(again.pid().unwrap()).await;
    let rooms = stored.unwrap().unwrap().rooms;
    assert!(rooms.iter().all(|(room, _)| *room != key("a").room));

    hub.disconnect(&again);
    let arrived = arrive(&hub, "alice", resume_of(&again, &client)).await;
    hub.disconnect_user(&user("alice")).await.unwrap();
    let (again, client) = connect(&hub, arrived).await;
    assert_eq!(*lock(&client.closed), Some(CloseReason::Removed));
    hub.disconnect(&again);
    let last = arrive(&hub, "alice", resume_of(&again, &client)).await;
    assert_ne!(last.pid(), again.pid());
}
