//! Deployments that share a Redis and nothing else.

use super::*;

async fn node_of(server: &Server, prefix: &str, rooms: &[&str]) -> TestNode {
    let config = RedisConfig {
        prefix: prefix.to_owned(),
        ..RedisConfig::new(server.url())
    };
    let (log, _, deliveries) = open_with(config, None).await.unwrap();
    for room in rooms {
        log.subscribe(&key("/", room)).await.unwrap();
    }
    TestNode {
        log: Arc::new(log),
        deliveries,
    }
}

#[tokio::test]
async fn deployments_with_different_prefixes_share_nothing() {
    let server = Server::start().await;
    let mut one = node_of(&server, keys::PREFIX, &["r"]).await;
    let mut other = node_of(&server, "other", &["r"]).await;
    let peer = node_of(&server, "other", &["r"]).await;
    assert_ne!(one.log.incarnation(), other.log.incarnation());
    let stored = one.send(draft("r", "1")).await.unwrap();
    one.send(draft("r", "2")).await.unwrap();
    let elsewhere = peer.send(draft("r", "3")).await.unwrap();
    assert_eq!(elsewhere.seq, Seq(1));
    assert_ne!(elsewhere.epoch, stored.epoch);
    one.log.send(ephemeral("r")).await.unwrap();
    let delivered = other.messages_only(1).await;
    assert_eq!(delivered[0].data.get(), "3");
    other.nothing_more("r").await;
    one.messages_only(2).await;
    let alice = session(&[]);
    one.log.claim(alice.clone()).await.unwrap();
    assert_eq!(other.log.find(alice.pid).await.unwrap(), None);
    let subscribed = other.log.pubsub.subscribe("messages".into()).await;
    drop(subscribed);
    assert_ne!(one.log.pubsub.prefix(), other.log.pubsub.prefix());
    // It does not wait for nodes of the other deployment.
    let responses = one.log.request_all("hello".into(), TEST_TIMEOUT);
    assert_eq!(responses.await.unwrap(), Vec::<String>::new());
    let keys: Vec<String> = {
        let mut all = redis::cmd("KEYS");
        all.arg("*");
        reply::parse(
            one.log
                .connections
                .of(Partition::FIRST)
                .query(all)
                .await
                .unwrap(),
        )
        .unwrap()
    };
    let (ours, theirs): (Vec<_>, Vec<_>) =
        keys.iter().partition(|key| key.starts_with("switchboard:"));
    assert!(!ours.is_empty() && theirs.iter().all(|key| key.starts_with("other:")));
}

#[tokio::test]
async fn a_numbered_database_is_rejected_because_pubsub_is_shared() {
    let server = Server::start().await;
    for (database, refused) in [(0, false), (1, true)] {
        let config = RedisConfig::new(format!("{}/{database}", server.url()));
        let opened = open_with(config, None).await;
        assert_eq!(matches!(opened, Err(RedisOpenError::Database)), refused);
    }
}
