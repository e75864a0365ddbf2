//! Opens the log and starts the node's tasks.

use std::{
    sync::{Arc, Mutex, atomic::AtomicBool},
    time::Duration,
};

use tokio::sync::{Semaphore, mpsc};

use super::{MAX_IN_FLIGHT_BYTES, RedisLog};
use crate::{
    backend::{
        Backend, Clock, Deliveries, Delivery, Health, clock, deliveries,
        redis::{
            client::{RedisConnection, ShardConnections, Topology},
            config::{RedisConfig, RedisOpenError},
            context::NodeContext,
            incarnation,
            keys::{Keys, Partition},
            membership::MembershipTasks,
            rpc::{ClusterRpc, RedisPubSub},
            shard::{ShardProbes, Shards},
            startup_check,
            trimmer::RedisTrimmer,
        },
    },
    error::Result,
    model::{Incarnation, Timestamp},
};

/// Opens the log at `config.url`, and begins one if there is none.
///
/// # Errors
/// If the URL is invalid or Redis cannot be reached: a node that has never reached Redis cannot tell which log it is of.
pub async fn open(config: RedisConfig) -> Result<(Backend, Deliveries), RedisOpenError> {
    let (log, _, deliveries) = open_with(config, None).await?;
    let log = Arc::new(log);
    let backend = Backend {
        read_markers: log.clone(),
        sessions: log.clone(),
        outbox: log.clone(),
        documents: log.clone(),
        cluster: Some(log.clone()),
        pubsub: Some(log.pubsub.clone()),
        health: log.health.clone(),
        bus: log.clone(),
        log,
    };
    Ok((backend, deliveries))
}

/// As [`open`], with a clock of the test's own.
pub(in crate::backend::redis) async fn open_with(
    config: RedisConfig,
    clock: Option<Clock>,
) -> Result<(RedisLog, mpsc::Sender<Delivery>, Deliveries), RedisOpenError> {
    let topology = Arc::new(Topology::discover(config.url.expose(), &config.tls).await?);
    let connections = Arc::new(ShardConnections::new(&topology));
    let keys = Keys::new(&config.prefix);
    let incarnation = find_incarnation(&keys, &connections, &topology, config.lease).await;
    let incarnation = incarnation.map_err(RedisOpenError::Away)?;
    let clock = match clock {
        Some(clock) => clock,
        None => {
            let stored = read_retention_clock(&keys, connections.of(Partition::FIRST)).await;
            clock::system_clock(stored.map_err(RedisOpenError::Away)?)
        }
    };
    let context = Arc::new(NodeContext::new(
        topology,
        keys,
        clock,
        config.retention,
        config.idempotency,
        config.outbox_events,
        incarnation,
    ));
    let (stream, deliveries) = deliveries();
    let times = (config.lease, config.grace);
    let membership = MembershipTasks::start(&context, &connections, times, stream.clone());
    let membership = membership.await.map_err(RedisOpenError::Away)?;
    let mut health = Health::default();
    let shards = Shards::start(&context, &connections, &mut health, stream.clone());
    let alive = Arc::new(());
    let probes = ShardProbes::new(&context, &connections, shards.writes());
    probes.start(&Arc::downgrade(&alive));
    let trimmer = RedisTrimmer {
        context: context.clone(),
        connections: connections.clone(),
        session_window: config.session_window,
    };
    tokio::spawn(trimmer.run(Arc::downgrade(&alive)));
    let pubsub = Arc::new(RedisPubSub::open(context.clone()));
    let log = RedisLog {
        rpc: ClusterRpc::start(context.clone(), pubsub.clone(), stream.clone()).await,
        outbox_polled: Mutex::default(),
        pubsub,
        context,
        connections,
        shards,
        probes,
        health: Arc::new(health),
        in_flight: Arc::new(Semaphore::new(MAX_IN_FLIGHT_BYTES as usize)),
        local_events: Arc::new(Semaphore::new(MAX_IN_FLIGHT_BYTES as usize)),
        published_events: Arc::new(Semaphore::new(MAX_IN_FLIGHT_BYTES as usize)),
        session_window: config.session_window,
        closed: AtomicBool::new(false),
        membership,
        _alive: alive,
    };
    Ok((log, stream, deliveries))
}

/// Checks whether the log may have lost data while no node was running, and returns its incarnation.
async fn find_incarnation(
    keys: &Keys,
    connections: &ShardConnections,
    topology: &Topology,
    lease: Duration,
) -> Result<Incarnation> {
    let first = connections.of(Partition::FIRST);
    // An operator who has restored a backup deletes the log's incarnation. The shards are read before a new one is created:
    // once it is there, other nodes that start begin shards under it.
    let mut shards = startup_check::existing_shards(keys, connections, topology.shards()).await?;
    let (_, created) = incarnation::read_or_create(keys, first).await?;
    for (_, is_restored) in &mut shards {
        *is_restored &= created;
    }
    startup_check::run(keys, connections, shards, 2 * lease).await?;
    incarnation::read(keys, first).await
}

/// Reads the retention clock as a node stored it last.
pub(in crate::backend::redis) async fn read_retention_clock(
    keys: &Keys,
    connection: &RedisConnection,
) -> Result<Option<Timestamp>> {
    let mut get = redis::cmd("GET");
    get.arg(keys.retention_clock());
    // A value that is no number counts as none.
    let stored = redis::from_redis_value::<Option<u64>>(connection.query(get).await?);
    Ok(stored.ok().flatten().map(Timestamp))
}
