//! Memberships that an application decides about.

use std::sync::Arc;

use crate::{
    auth::Grants,
    backend::{Retention, RetentionPolicy, memory},
    error::Code,
    hooks::ClientFacts,
    hub::testing::{connect, hub, hub_with_memory, key, member, publish, resume_of, user},
    model::{ConnectionId, Namespace},
};

#[tokio::test]
async fn an_application_admits_to_rooms_that_the_identity_may_not_join_until_they_are_left() {
    let hub = hub();
    let (alice, client) = member(&hub, "alice", &[]).await;
    let mut principal = (*alice.principal()).clone();
    principal.grants = Arc::new(Grants::parse("public:*=join").unwrap());
    alice.set_principal(principal.clone());
    hub.admit(&alice, &key("secret").room).await.unwrap();
    assert!(alice.is_in(&key("secret").room));
    assert!(alice.may_be_in(&principal, &key("secret").room));
    publish(&hub, "secret", 1).await;
    client.receives(&["session", "secret 1"]).await;
    hub.leave(&alice, &key("secret").room).await.unwrap();
    assert!(!alice.may_be_in(&principal, &key("secret").room));
    let other = hub.admit(&alice, &key("user:bob").room).await;
    assert_eq!(other.unwrap_err().code(), Code::Forbidden);
    assert!(!alice.may_be_in(&principal, &key("user:bob").room));
}

#[tokio::test]
async fn a_membership_by_the_application_survives_a_recovery_with_a_narrower_identity() {
    let hub = hub();
    let (alice, client) = member(&hub, "alice", &["lobby"]).await;
    let mut narrow = (*alice.principal()).clone();
    narrow.grants = Arc::new(Grants::parse("public:*=join").unwrap());
    alice.set_principal(narrow.clone());
    hub.admit(&alice, &key("secret").room).await.unwrap();
    let resume = resume_of(&alice, &client);
    for live in [true, false] {
        if !live {
            hub.disconnect(&alice);
        }
        let prepared = hub.prepare_connection(
            Namespace::root(),
            narrow.clone(),
            resume,
            ClientFacts::default(),
        );
        let (resumed, _) = connect(&hub, prepared.await.unwrap()).await;
        assert_eq!(resumed.id(), alice.id());
        assert!(resumed.is_in(&key("secret").room), "live: {live}");
        assert!(!resumed.is_in(&key("lobby").room), "live: {live}");
        if live {
            hub.disconnect(&resumed);
        }
    }
}

#[tokio::test]
async fn a_user_is_admitted_and_removed_with_all_connections_of_the_namespace() {
    let hub = hub();
    let (one, first) = member(&hub, "alice", &[]).await;
    let (two, _) = member(&hub, "alice", &["a"]).await;
    let (bob, _) = member(&hub, "bob", &["a"]).await;
    let (room, alice) = (key("a"), user("alice"));
    assert_eq!(hub.admit_user(&room, &alice).await.unwrap(), 2);
    let ids = |mut ids: Vec<ConnectionId>| {
        ids.sort_unstable();
        ids
    };
    let there = hub.connections_in(&room).await.unwrap();
    let expected = ids(vec![one.id(), two.id(), bob.id()]);
    assert_eq!(ids(there.iter().map(|it| it.id).collect()), expected);
    assert_eq!(hub.remove_user(&room, &alice).await.unwrap(), 2);
    assert_eq!(hub.remove_user(&room, &alice).await.unwrap(), 0);
    let there = hub.connections_in(&room).await.unwrap();
    assert_eq!(there.len(), 1);
    assert_eq!((there[0].id, &there[0].user), (bob.id(), &user("bob")));
    // Nobody is told that it was kicked.
    let received = first.received();
    assert!(!received.contains(&"kicked".to_owned()), "{received:?}");
    let own = hub.remove_user(&key("user:alice"), &alice).await;
    assert_eq!(own.unwrap_err().code(), Code::BadRequest);
}

#[tokio::test]
async fn a_session_is_not_resumed_whose_missed_messages_of_a_room_by_the_application_are_gone() {
    let hub = hub_with_memory(memory::MemoryConfig {
        retention: Retention {
            default: RetentionPolicy {
                messages: 2,
                ..Retention::default().default
            },
            ..Retention::default()
        },
        ..memory::MemoryConfig::default()
    });
    let (alice, client) = member(&hub, "alice", &[]).await;
    let mut narrow = (*alice.principal()).clone();
    narrow.grants = Arc::new(Grants::parse("public:*=join").unwrap());
    hub.admit(&alice, &key("secret").room).await.unwrap();
    let resume = resume_of(&alice, &client);
    hub.disconnect(&alice);
    for number in 1..=5 {
        publish(&hub, "secret", number).await;
    }
    let prepared =
        hub.prepare_connection(Namespace::root(), narrow, resume, ClientFacts::default());
    assert!(!prepared.await.unwrap().is_resumed());
}

#[tokio::test]
async fn a_membership_by_the_application_outlives_the_right_to_join_that_there_was() {
    let hub = hub();
    let (alice, _) = member(&hub, "alice", &["secret"]).await;
    let mut narrow = (*alice.principal()).clone();
    narrow.grants = Arc::new(Grants::parse("public:*=join").unwrap());
    assert!(!alice.may_be_in(&narrow, &key("secret").room));
    hub.admit(&alice, &key("secret").room).await.unwrap();
    assert!(alice.may_be_in(&narrow, &key("secret").room));
    // Whoever removes her takes that back.
    hub.kick(&key("secret"), &user("alice"), "rude")
        .await
        .unwrap();
    assert!(!alice.may_be_in(&narrow, &key("secret").room));
}

#[tokio::test]
async fn a_user_who_is_removed_while_its_grace_time_runs_leaves_presence_at_once() {
    let hub = hub();
    let (_bob, client) = member(&hub, "bob", &["a"]).await;
    let (alice, _) = member(&hub, "alice", &["a"]).await;
    hub.disconnect(&alice);
    assert_eq!(hub.remove_user(&key("a"), &user("alice")).await.unwrap(), 0);
    // The join, and the leave.
    client.receives(&["session", "presence", "presence"]).await;
}
