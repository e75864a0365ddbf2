//! Rates of users without a connection.

use crate::{
    backend::memory,
    error::{Code, Limit},
    hub::testing::{hub_with_backend, key, member},
    hub::{LimitSettings, Publish, StatelessCaller},
    model::Namespace,
};

#[tokio::test]
async fn a_user_without_a_connection_is_under_its_rate_and_a_back_end_is_not() {
    let (backend, deliveries) = memory::open(memory::MemoryConfig::default());
    let mut limits = LimitSettings::default();
    (limits.user_messages_per_second, limits.user_messages_burst) = (1, 2);
    let hub = hub_with_backend(backend, deliveries, limits);
    let principal = hub.authority().open_principal(Some("alice")).unwrap();
    let alice = hub.stateless_caller(Namespace::root(), principal).unwrap();
    let message = || Publish::new(key("a").room, "message", &1).unwrap();
    for _ in 0..2 {
        hub.publish(&alice, message()).await.unwrap();
    }
    let refused = hub.publish(&alice, message()).await.unwrap_err();
    assert_eq!(refused.code(), Code::RateLimited);
    let (connection, _client) = member(&hub, "alice", &[]).await;
    let refused = hub.publish(&connection, message()).await.unwrap_err();
    assert_eq!(refused.limit(), Some(Limit::UserMessagesPerSecond));
    let back_end = StatelessCaller::back_end(Namespace::root());
    for _ in 0..5 {
        hub.publish(&back_end, message()).await.unwrap();
    }
}
