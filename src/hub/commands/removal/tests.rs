//! Users who are taken out, and requests of whoever has no connection.

use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::{
    error::Code,
    hub::CloseReason,
    hub::connections::REMOVAL_NOTICE_TTL,
    hub::testing::{connect, hub, join, key, member, prepare, publish, resume_of, user},
    sync::lock,
};

#[tokio::test]
async fn a_user_who_is_kicked_is_told_and_others_see_it_leave_at_once() {
    let hub = hub();
    let (bob, client) = member(&hub, "bob", &["a"]).await;
    let (one, first) = member(&hub, "alice", &["a", "b"]).await;
    let (two, second) = member(&hub, "alice", &["a"]).await;
    assert_eq!(
        hub.kick(&key("a"), &user("alice"), "rude").await.unwrap(),
        2
    );
    first.receives(&["session", "kicked"]).await;
    second.receives(&["session", "kicked"]).await;
    // The join, and the leave.
    client.receives(&["session", "presence", "presence"]).await;
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
async fn a_kicked_client_that_is_still_catching_up_receives_nothing_more() {
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
    catching_up.await.expect("a catch-up begins");
    let (room, user) = (key("a"), user("alice"));
    assert_eq!(hub.kick(&room, &user, "rude").await.unwrap(), 1);
    assert!(!alice.is_in(&room.room), "whatever its client does");
    client.slow.store(false, Ordering::Relaxed);
    client.reads.notify_waiters();
    client.receives(&["session", "b 4", "kicked"]).await;
}

#[tokio::test]
async fn a_kick_ends_the_grace_time_of_a_user_who_has_disconnected() {
    let hub = hub();
    let (_bob, client) = member(&hub, "bob", &["a"]).await;
    let (alice, _) = member(&hub, "alice", &["a"]).await;
    hub.disconnect(&alice);
    client.receives(&["session", "presence"]).await;
    assert_eq!(
        hub.kick(&key("a"), &user("alice"), "rude").await.unwrap(),
        0
    );
    client.receives(&["session", "presence", "presence"]).await;
}

#[tokio::test]
async fn a_user_kicked_during_its_grace_time_does_not_rejoin_by_resuming() {
    let hub = hub();
    let (alice, client) = member(&hub, "alice", &["a", "b"]).await;
    hub.disconnect(&alice);
    hub.kick(&key("a"), &user("alice"), "rude").await.unwrap();
    let prepared = prepare(&hub, "alice", resume_of(&alice, &client)).await;
    assert_eq!(prepared.pid(), alice.pid());
    let (again, client) = connect(&hub, prepared).await;
    assert!(again.is_in(&key("b").room) && !again.is_in(&key("a").room));
    client.receives(&["session", "kicked"]).await;
    // It may not have received the event. Once it has joined again, there is nothing to send.
    hub.disconnect(&again);
    let (again, client) = connect(
        &hub,
        prepare(&hub, "alice", resume_of(&again, &client)).await,
    )
    .await;
    client.receives(&["session", "kicked"]).await;
    join(&hub, &again, "a").await;
    hub.disconnect(&again);
    let (_again, client) = connect(
        &hub,
        prepare(&hub, "alice", resume_of(&again, &client)).await,
    )
    .await;
    client.receives(&["session"]).await;
}

#[tokio::test]
async fn a_user_kicked_before_its_disconnect_is_noticed_receives_that_when_it_reconnects() {
    let hub = hub();
    let (alice, client) = member(&hub, "alice", &["a", "b"]).await;
    let named = resume_of(&alice, &client);
    hub.kick(&key("a"), &user("alice"), "rude").await.unwrap();
    let (_again, client) = connect(&hub, prepare(&hub, "alice", named).await).await;
    client.receives(&["session", "kicked"]).await;
}

#[tokio::test(start_paused = true)]
async fn a_client_that_has_received_a_kick_does_not_receive_it_again() {
    let hub = hub();
    let (alice, client) = member(&hub, "alice", &["a", "b"]).await;
    hub.kick(&key("a"), &user("alice"), "rude").await.unwrap();
    client.receives(&["session", "kicked"]).await;
    let stored = async || {
        let found = hub.backend().sessions.find(alice.pid().unwrap()).await;
        found.unwrap().unwrap().removals
    };
    assert_eq!(stored().await, [(key("a").room, "rude".to_owned())]);
    tokio::time::sleep(REMOVAL_NOTICE_TTL + Duration::from_secs(1)).await;
    assert_eq!(stored().await, []);
    let (_again, client) = connect(
        &hub,
        prepare(&hub, "alice", resume_of(&alice, &client)).await,
    )
    .await;
    client.receives(&["session"]).await;
}

#[tokio::test]
async fn a_room_whose_last_user_is_kicked_is_removed() {
    let hub = hub();
    let (_alice, _client) = member(&hub, "alice", &["a"]).await;
    hub.kick(&key("a"), &user("alice"), "rude").await.unwrap();
    assert_eq!(hub.rooms().keys(), [key("user:alice")]);
}

#[tokio::test]
async fn a_disconnected_user_cannot_resume_its_session() {
    let hub = hub();
    let (alice, client) = member(&hub, "alice", &["a"]).await;
    assert_eq!(hub.disconnect_user(&user("alice")).await.unwrap(), 1);
    assert_eq!(*lock(&client.closed), Some(CloseReason::Removed));
    // Before and after its transport has noticed.
    for _ in 0..2 {
        let prepared = prepare(&hub, "alice", resume_of(&alice, &client)).await;
        assert_ne!(prepared.pid(), alice.pid());
        hub.disconnect(&alice);
    }
    assert_eq!(hub.disconnect_user(&user("alice")).await.unwrap(), 0);
}

#[tokio::test]
async fn a_user_disconnected_during_its_grace_time_cannot_resume_its_session() {
    let hub = hub();
    let (alice, client) = member(&hub, "alice", &["a"]).await;
    hub.disconnect(&alice);
    assert_eq!(hub.disconnect_user(&user("alice")).await.unwrap(), 0);
    let prepared = prepare(&hub, "alice", resume_of(&alice, &client)).await;
    assert_ne!(prepared.pid(), alice.pid());
}

/// Between the decision that a session is resumed and its connection, no table has the connection.
#[tokio::test]
async fn a_kick_or_disconnect_while_a_session_is_being_resumed_takes_effect() {
    let hub = hub();
    let (alice, client) = member(&hub, "alice", &["a", "b"]).await;
    hub.disconnect(&alice);
    let prepared = prepare(&hub, "alice", resume_of(&alice, &client)).await;
    hub.kick(&key("a"), &user("alice"), "rude").await.unwrap();
    let (again, client) = connect(&hub, prepared).await;
    client.receives(&["session", "kicked"]).await;
    assert!(again.is_in(&key("b").room) && !again.is_in(&key("a").room));
    let stored = hub.backend().sessions.find(again.pid().unwrap()).await;
    let rooms = stored.unwrap().unwrap().rooms;
    assert!(rooms.iter().all(|(room, _)| *room != key("a").room));

    hub.disconnect(&again);
    let prepared = prepare(&hub, "alice", resume_of(&again, &client)).await;
    hub.disconnect_user(&user("alice")).await.unwrap();
    let (again, client) = connect(&hub, prepared).await;
    assert_eq!(*lock(&client.closed), Some(CloseReason::Removed));
    hub.disconnect(&again);
    let last = prepare(&hub, "alice", resume_of(&again, &client)).await;
    assert_ne!(last.pid(), again.pid());
}
