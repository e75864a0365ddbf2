//! Who a client that comes back is, and what its session outlives.

use std::time::Duration;

use crate::{
    backend::{Retention, RetentionPolicy, memory},
    hub::testing::{connect, hub, hub_with_memory, member, prepare, publish, resume_of},
    hub::{CloseReason, ResumeRequest},
    model::Namespace,
};

#[tokio::test]
async fn a_client_whose_token_has_expired_goes_on_with_its_session_by_a_new_one() {
    let hub = hub();
    let (alice, client) = member(&hub, "alice", &["a"]).await;
    alice.close(CloseReason::Expired);
    hub.disconnect(&alice);
    publish(&hub, "a", 1).await;
    let (again, fresh) = connect(
        &hub,
        prepare(&hub, "alice", resume_of(&alice, &client)).await,
    )
    .await;
    assert_eq!((again.id(), again.pid()), (alice.id(), alice.pid()));
    fresh.receives(&["session", "a 1"]).await;
}

#[tokio::test]
async fn a_client_that_a_back_end_took_off_has_no_session_any_more() {
    let hub = hub();
    let (alice, client) = member(&hub, "alice", &["a"]).await;
    alice.close(CloseReason::Removed);
    hub.disconnect(&alice);
    let forgotten = async {
        let sessions = &hub.backend().sessions;
        while sessions.find(alice.pid().unwrap()).await.unwrap().is_some() {
            tokio::task::yield_now().await;
        }
    };
    let forgotten = tokio::time::timeout(Duration::from_secs(10), forgotten);
    assert!(forgotten.await.is_ok());
    let prepared = prepare(&hub, "alice", resume_of(&alice, &client)).await;
    assert_ne!(prepared.pid(), alice.pid());
}

#[tokio::test]
async fn a_client_without_a_name_is_the_guest_whose_session_it_brings_and_nobody_else() {
    let keep = RetentionPolicy {
        messages: 1,
        age: Duration::from_secs(60),
    };
    let hub = hub_with_memory(memory::MemoryConfig {
        retention: Retention {
            default: keep,
            ..Retention::default()
        },
        ..memory::MemoryConfig::default()
    });
    let root = Namespace::root();
    let guest = hub.authority().open_principal(None).unwrap().user;
    let (visitor, client) = member(&hub, guest.as_str(), &["a"]).await;
    let (alice, alices) = member(&hub, "alice", &["a"]).await;
    let named = resume_of(&visitor, &client);
    let who = async |namespace: &Namespace, resume| hub.resumed_guest(namespace, resume).await;
    assert_eq!(who(&root, named).await.unwrap(), Some(guest.clone()));
    assert_eq!(who(&root, resume_of(&alice, &alices)).await.unwrap(), None);
    let chat = Namespace::parse("/chat").unwrap();
    assert_eq!(who(&chat, named).await.unwrap(), None);
    for nobody in [
        ResumeRequest::NewSession,
        ResumeRequest::Unsupported,
        ResumeRequest::Invalid { pid: None },
    ] {
        assert_eq!(who(&root, nobody).await.unwrap(), None);
    }
    // Also where it cannot be given all that it missed: a new session, and still the same guest.
    hub.disconnect(&visitor);
    publish(&hub, "a", 1).await;
    publish(&hub, "a", 2).await;
    let unreadable = ResumeRequest::Invalid { pid: visitor.pid() };
    for resume in [unreadable, named] {
        assert_eq!(who(&root, resume).await.unwrap(), Some(guest.clone()));
    }
    let fresh = prepare(&hub, guest.as_str(), named).await;
    assert_ne!(fresh.pid(), visitor.pid());
}
