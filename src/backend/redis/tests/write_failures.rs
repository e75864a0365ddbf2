//! What happens when Redis is reachable and takes no writes: out of memory, unable to save, a replica, or with the keys of a
//! room damaged.

use redis::aio::MultiplexedConnection;

use super::*;

/// Once Redis takes writes again, the node is ready within this time.
const RECOVERY_TIMEOUT: Duration = Duration::from_secs(3);

/// The maximum time until a write failure is detected while nothing is written.
const DETECTION_TIMEOUT: Duration = Duration::from_secs(8);

async fn connect(server: &Server) -> MultiplexedConnection {
    let client = Client::open(server.url()).unwrap();
    client.get_multiplexed_async_connection().await.unwrap()
}

async fn execute(connection: &mut MultiplexedConnection, line: &str) {
    let mut arguments = line.split(' ');
    let mut command = redis::cmd(arguments.next().unwrap());
    arguments.for_each(|argument| {
        command.arg(argument);
    });
    command
        .exec_async(connection)
        .await
        .unwrap_or_else(|error| panic!("{line}: {error}"));
}

/// Reads a number of `INFO stats`.
async fn stat(connection: &mut MultiplexedConnection, name: &str) -> u64 {
    let info: String = redis::cmd("INFO")
        .arg("stats")
        .query_async(connection)
        .await
        .unwrap();
    let line = info.lines().find_map(|line| line.strip_prefix(name));
    line.unwrap()
        .trim_start_matches(':')
        .trim()
        .parse()
        .unwrap()
}

async fn eventually(within: Duration, what: &str, mut is: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + within;
    while !is().await {
        assert!(Instant::now() < deadline, "{what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Runs through an outage: after `begin` Redis rejects writes with this code, after `end` it takes them again.
async fn check_outage(
    server: &Server,
    code: &str,
    begin: impl AsyncFnOnce(&mut MultiplexedConnection),
    end: impl AsyncFnOnce(&mut MultiplexedConnection),
) {
    let mut redis = connect(server).await;
    let mut node = TestNode::at(server.url(), &["r"]).await;
    let mut stored = Vec::new();
    for nth in 0..20 {
        let draft = named("r", &format!("before-{nth}"));
        stored.push(node.send(draft).await.unwrap().seq);
    }
    node.log.ready().await.unwrap();
    begin(&mut redis).await;

    // Nobody writes, and nobody asks whether the node is ready.
    let health = node.log.health.clone();
    eventually(
        DETECTION_TIMEOUT,
        "the failure was not noticed",
        async || health.failing().iter().any(|it| it.check == "write"),
    )
    .await;
    let error = node.log.ready().await.unwrap_err();
    assert!(error.message().contains(code), "{}", error.message());
    let refused = node.send(named("r", "refused")).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unavailable);
    assert!(refused.retry_after_ms().is_some());
    let _ = node.log.subscribe(&key("/", "other")).await;

    // The subscription reconnects, which must not need a write.
    execute(&mut redis, "CLIENT KILL TYPE pubsub").await;
    let count = async |redis: &mut _| {
        let connections = stat(redis, "total_connections_received").await;
        (connections, stat(redis, "total_commands_processed").await)
    };
    let (connections, commands) = count(&mut redis).await;
    tokio::time::sleep(Duration::from_secs(4)).await;
    let (connected, executed) = count(&mut redis).await;
    let (connected, executed) = (connected - connections, executed - commands);
    assert!(connected <= 10, "{connected} connections in 4 s");
    assert!(executed <= 2_000, "{executed} commands in 4 s");
    assert!(node.log.ready().await.is_err());

    end(&mut redis).await;
    eventually(
        RECOVERY_TIMEOUT,
        "the node is not ready again",
        async || node.log.ready().await.is_ok(),
    )
    .await;
    let after = node.send_until_stored(&named("r", "after")).await;
    assert_eq!(after.seq.0, 21, "no rejected message was stored");
    for (nth, seq) in stored.into_iter().enumerate() {
        let again = node.send(named("r", &format!("before-{nth}"))).await;
        let again = again.unwrap();
        assert!(again.duplicate && again.seq == seq);
    }
    let all: Vec<_> = node
        .next_messages(21)
        .await
        .iter()
        .map(|it| it.seq.0)
        .collect();
    assert_eq!(all, (1..=21).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_redis_that_is_out_of_memory_makes_the_node_unready_without_busy_loops() {
    let server = Server::start().await;
    check_outage(
        &server,
        "OOM",
        async |redis| execute(redis, "CONFIG SET maxmemory 1").await,
        async |redis| execute(redis, "CONFIG SET maxmemory 0").await,
    )
    .await;
}

#[tokio::test]
async fn a_redis_that_cannot_save_makes_the_node_unready_without_busy_loops() {
    let server = Server::start().await;
    // A directory in the place of the file: the new dump cannot be moved there.
    let dump = server.folder.path().join("dump.rdb");
    let saves = async |redis: &mut MultiplexedConnection, well: &str| {
        execute(redis, "BGSAVE").await;
        eventually(TEST_TIMEOUT, "BGSAVE does not end", async || {
            let info: String = redis::cmd("INFO")
                .arg("persistence")
                .query_async(redis)
                .await
                .unwrap();
            info.contains("rdb_bgsave_in_progress:0")
                && info.contains(&format!("rdb_last_bgsave_status:{well}"))
        })
        .await;
    };
    check_outage(
        &server,
        "MISCONF",
        async |redis| {
            std::fs::create_dir_all(dump.join("full")).unwrap();
            execute(redis, "CONFIG SET stop-writes-on-bgsave-error yes").await;
            let mut save = redis::cmd("CONFIG");
            save.arg("SET").arg("save").arg("3600 1000000");
            save.exec_async(redis).await.unwrap();
            saves(redis, "err").await;
        },
        async |redis| {
            std::fs::remove_dir_all(&dump).unwrap();
            saves(redis, "ok").await;
        },
    )
    .await;
}

#[tokio::test]
async fn a_redis_that_has_become_a_replica_makes_the_node_unready_without_busy_loops() {
    let server = Server::start().await;
    check_outage(
        &server,
        "READONLY",
        // Of an unreachable master, so that it keeps its data.
        async |redis| execute(redis, "REPLICAOF 127.0.0.1 1").await,
        async |redis| execute(redis, "REPLICAOF NO ONE").await,
    )
    .await;
}

#[tokio::test]
async fn a_missing_permission_makes_the_node_unready() {
    let server = Server::start().await;
    let mut redis = connect(&server).await;
    let node = TestNode::at(server.url(), &[]).await;
    node.log.ready().await.unwrap();
    execute(&mut redis, "ACL SETUSER default -zadd").await;
    eventually(
        DETECTION_TIMEOUT,
        "the failure was not noticed",
        async || node.log.ready().await.is_err(),
    )
    .await;
    execute(&mut redis, "ACL SETUSER default +zadd").await;
    eventually(
        RECOVERY_TIMEOUT,
        "the node is not ready again",
        async || node.log.ready().await.is_ok(),
    )
    .await;
}

#[tokio::test]
async fn damaged_keys_of_a_room_leave_the_node_ready() {
    let server = Server::start().await;
    let mut redis = connect(&server).await;
    let node = TestNode::at(server.url(), &[]).await;
    node.send(draft("bad", "1")).await.unwrap();
    let bad = key("/", "bad");
    let keys = &node.log.context.keys;
    for key in [keys.room(&bad), keys.messages(&bad)] {
        let mut damage = redis::cmd("SET");
        damage.arg(key).arg("rubbish");
        damage.exec_async(&mut redis).await.unwrap();
    }
    for nth in 0..50 {
        let refused = node.send(draft("bad", "2")).await.unwrap_err();
        assert_eq!(refused.code(), Code::Unavailable);
        let stored = node.send(draft("good", "1")).await.unwrap();
        assert_eq!(stored.seq.0, nth + 1);
        node.log.ready().await.unwrap();
    }
}

#[tokio::test]
async fn damaged_keys_of_a_partition_make_the_node_unready() {
    let server = Server::start().await;
    let mut redis = connect(&server).await;
    let node = TestNode::at(server.url(), &[]).await;
    node.log.ready().await.unwrap();
    let mut damage = redis::cmd("SADD");
    damage
        .arg(node.log.context.keys.rooms(Partition::FIRST))
        .arg("rubbish");
    damage.exec_async(&mut redis).await.unwrap();
    let health = node.log.health.clone();
    eventually(
        DETECTION_TIMEOUT,
        "the failure was not noticed",
        async || {
            let failing = health.failing();
            failing.iter().any(|it| it.reason.contains("WRONGTYPE"))
        },
    )
    .await;
}
