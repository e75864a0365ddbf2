//! Who is shown typing to a member that joins meanwhile.

use crate::hub::{
    Join, Replay,
    testing::{hub, member, name},
};

#[tokio::test]
async fn who_types_while_another_joins_is_shown_to_it_once() {
    let hub = hub();
    let (alice, _) = member(&hub, "alice", &["a"]).await;
    let (carol, _) = member(&hub, "carol", &["a"]).await;
    let (bob, client) = member(&hub, "bob", &[]).await;
    hub.typing(&carol, &name("a"), true).unwrap();
    let request = Join {
        room: name("a"),
        replay: Replay::Nothing,
    };
    let joined = hub.join(&bob, request).await.unwrap();
    hub.typing(&alice, &name("a"), true).unwrap();
    hub.go_live(&joined);
    client.receives(&["session", "typing", "typing"]).await;
}
