//! Clocks that jump: a node's, which deletes nothing by age, and Redis's, which leaves no lease for ever.

use redis::AsyncCommands;

use super::{node::Node, *};
use crate::backend::{clock::testing::FakeClock, conformance::draft};

const YEAR: Duration = Duration::from_secs(365 * 24 * 3600);

async fn opened(server: &Server, machine: &FakeClock) -> Arc<RedisLog> {
    let config = RedisConfig::new(server.url());
    let site = Arc::new(Site::find(config.url.expose()).await.unwrap());
    let known = aged(&Keys::default(), Reads::new(&site).of(Part::FIRST))
        .await
        .unwrap();
    let opened = open_with(config, Some(machine.clock(known))).await;
    Arc::new(opened.unwrap().0)
}

async fn sent(log: &RedisLog, room: &str) -> u64 {
    let receipt = log.append(draft(room, "1")).await.unwrap();
    receipt.wait().await.unwrap().seq.0
}

async fn swept(log: &RedisLog) {
    let sweeper = Sweeper {
        shared: log.shared.clone(),
        reads: log.reads.clone(),
        session_window: log.session_window,
    };
    let now = (log.shared.clock)();
    sweeper.keep_aged(now).await.unwrap();
    while sweeper.step(now).await {}
}

async fn kept(log: &RedisLog, room: &str) -> usize {
    let room = crate::backend::conformance::key("/", room);
    let size = PageSize {
        messages: 100,
        bytes: 1 << 20,
    };
    let page = log.read(&room, Range::Last, size).await.unwrap();
    page.messages.len()
}

#[tokio::test]
async fn a_node_whose_clock_is_a_year_ahead_deletes_nothing_for_all() {
    let server = Server::start().await;
    let machine = FakeClock::new();
    let log = opened(&server, &machine).await;
    sent(&log, "r").await;
    swept(&log).await;
    machine.jump(YEAR);
    machine.pass(Duration::from_secs(60));
    swept(&log).await;
    assert_eq!(sent(&log, "r").await, 2);
    // A node that begins while its clock is wrong.
    let other = opened(&server, &machine).await;
    machine.pass(Duration::from_secs(60));
    swept(&other).await;
    assert_eq!(kept(&other, "r").await, 2);
    machine.jump_back(YEAR);
    swept(&log).await;
    assert_eq!(kept(&log, "r").await, 2);
}

#[tokio::test]
async fn a_lease_from_a_time_when_the_clock_of_redis_was_ahead_ends_like_any_other() {
    let server = Server::start().await;
    let client = Client::open(server.url()).unwrap();
    let mut redis = client.get_multiplexed_async_connection().await.unwrap();
    let ghost = NodeId::fresh().to_string();
    let ahead = (Timestamp::now().0 + 31_536_000_000) as f64;
    let _: () = redis
        .zadd(Keys::default().leases(), &ghost, ahead)
        .await
        .unwrap();
    let node = Node::at(server.url(), &[]).await;
    let until: f64 = redis
        .zscore(Keys::default().leases(), &ghost)
        .await
        .unwrap();
    let left = until - Timestamp::now().0 as f64;
    assert!(left <= LEASE.as_millis() as f64 + 5_000.0, "{left} ms");
    drop(node);
}
