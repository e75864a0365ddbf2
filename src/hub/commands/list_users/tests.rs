//! Lists of users.

use super::*;
use crate::hub::testing::{hub, member, user};

async fn page(
    hub: &Hub,
    prefix: &str,
    after: Option<&str>,
    limit: usize,
) -> (Vec<String>, Option<String>) {
    let request = UsersRequest {
        prefix: prefix.to_owned(),
        after: after.map(user),
        limit: Some(limit),
    };
    let page = hub.users(request).await.unwrap();
    let shown = |user: &ListedUser| format!("{} {}", user.user, user.connections);
    (
        page.users.iter().map(shown).collect(),
        page.next.map(|next| next.to_string()),
    )
}

#[tokio::test]
async fn users_are_listed_by_id_in_pages_with_their_connections() {
    let hub = hub();
    let mut open = Vec::new();
    for id in ["carol", "alice", "bob", "alice", "bert"] {
        open.push(member(&hub, id, &[]).await);
    }
    let (users, next) = page(&hub, "", None, 2).await;
    assert_eq!(
        (users, next.as_deref()),
        (vec!["alice 2".into(), "bert 1".into()], Some("bert"))
    );
    let (users, next) = page(&hub, "", Some("bert"), 2).await;
    assert_eq!(
        (users, next),
        (vec!["bob 1".into(), "carol 1".into()], None)
    );
    let (users, next) = page(&hub, "b", None, 10).await;
    assert_eq!((users, next), (vec!["bert 1".into(), "bob 1".into()], None));
}

#[tokio::test]
async fn a_user_that_has_gone_is_not_listed() {
    let hub = hub();
    let (alice, _client) = member(&hub, "alice", &["lobby"]).await;
    assert_eq!(page(&hub, "", None, 10).await.0, ["alice 1"]);
    hub.disconnect(&alice);
    assert!(page(&hub, "", None, 10).await.0.is_empty());
    // Somebody still holds the connection, and with it the user's permit.
    assert_eq!(alice.principal().user, user("alice"));
}

#[tokio::test]
async fn a_users_connections_are_shown_with_their_rooms() {
    let hub = hub();
    let (_first, _) = member(&hub, "alice", &["lobby", "news"]).await;
    let (_second, _) = member(&hub, "alice", &[]).await;
    let connections = hub.user_connections(&user("alice")).await.unwrap();
    let rooms: Vec<Vec<_>> = connections
        .iter()
        .map(|connection| connection.rooms.iter().map(RoomName::as_str).collect())
        .collect();
    assert!(
        rooms
            .iter()
            .any(|rooms| rooms.contains(&"lobby") && rooms.contains(&"news")),
        "{rooms:?}"
    );
    assert_eq!(connections.len(), 2);
    assert!(hub.user_connections(&user("bob")).await.unwrap().is_empty());
}
