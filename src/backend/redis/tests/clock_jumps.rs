//! Clocks that jump: a node's, after which nothing is deleted too early, and Redis's, after which no lease lasts for ever.

use redis::AsyncCommands;

use super::*;
use crate::backend::clock::testing::FakeClock;

const YEAR: Duration = Duration::from_secs(365 * 24 * 3600);

async fn open_at(server: &Server, machine: &FakeClock) -> Arc<RedisLog> {
    let config = RedisConfig::new(server.url());
    let topology = Arc::new(
        Topology::discover(config.url.expose(), &config.tls)
            .await
            .unwrap(),
    );
    let known = read_retention_clock(
        &Keys::default(),
        ShardConnections::new(&topology).of(Partition::FIRST),
    )
    .await
    .unwrap();
    let opened = open_with(config, Some(machine.clock(known))).await;
    Arc::new(opened.unwrap().0)
}

async fn append(log: &RedisLog, room: &str) -> u64 {
    let receipt = log.append(draft(room, "1")).await.unwrap();
    receipt.wait().await.unwrap().seq.0
}

async fn trim(log: &RedisLog) {
    let trimmer = RedisTrimmer {
        context: log.context.clone(),
        connections: log.connections.clone(),
        session_window: log.session_window,
    };
    let now = (log.context.clock)();
    trimmer.store_retention_clock(now).await.unwrap();
    while trimmer.step(now).await {}
}

async fn kept_messages(log: &RedisLog, room: &str) -> usize {
    let room = key("/", room);
    let size = PageSize {
        messages: 100,
        bytes: 1 << 20,
    };
    let page = log.read(&room, Range::Last, size).await.unwrap();
    page.messages.len()
}

#[tokio::test]
async fn a_node_whose_clock_is_a_year_ahead_deletes_nothing() {
    let server = Server::start().await;
    let machine = FakeClock::new();
    let log = open_at(&server, &machine).await;
    append(&log, "r").await;
    trim(&log).await;
    machine.jump(YEAR);
    machine.pass(Duration::from_secs(60));
    trim(&log).await;
    assert_eq!(append(&log, "r").await, 2);
    // A node that starts while its clock is wrong.
    let other = open_at(&server, &machine).await;
    machine.pass(Duration::from_secs(60));
    trim(&other).await;
    assert_eq!(kept_messages(&other, "r").await, 2);
    machine.jump_back(YEAR);
    trim(&log).await;
    assert_eq!(kept_messages(&log, "r").await, 2);
}

#[tokio::test]
async fn a_lease_from_the_future_expires_like_any_other() {
    let server = Server::start().await;
    let client = Client::open(server.url()).unwrap();
    let mut redis = client.get_multiplexed_async_connection().await.unwrap();
    let ghost = NodeId::generate().to_string();
    let ahead = (Timestamp::now().0 + 31_536_000_000) as f64;
    let _: () = redis
        .zadd(Keys::default().leases(), &ghost, ahead)
        .await
        .unwrap();
    let node = TestNode::at(server.url(), &[]).await;
    let until: f64 = redis
        .zscore(Keys::default().leases(), &ghost)
        .await
        .unwrap();
    let left = until - Timestamp::now().0 as f64;
    assert!(left <= LEASE.as_millis() as f64 + 5_000.0, "{left} ms");
    drop(node);
}
