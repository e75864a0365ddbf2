//! What only a log in Redis promises: nodes share it, and what is lost on the way is found.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use redis::Client;
use tokio::time::timeout;

use super::{
    client::{ShardConnections, Topology, reply},
    config::{LEASE, RedisConfig, RedisOpenError},
    incarnation,
    keys::{self, Keys, Partition},
    log::{RedisLog, open, open_with, read_retention_clock},
    scripts,
    shard::{codec, merger},
    testing::{
        ClaimedPort, Cluster, Server, TEST_TIMEOUT, TestNode, ephemeral, names, offsets, rooms,
    },
    trimmer::RedisTrimmer,
};
use crate::{
    backend::{
        Appended, Bus, ClusterNodes, Delivery, Log, Page, PageSize, PubSub, Range, SessionStore,
        conformance::{draft, key, named, sessions::session},
        epoch,
    },
    error::{Code, Result},
    model::{Epoch, EventName, Incarnation, MessageId, Namespace, NodeId, Seq, Timestamp},
};

mod clock_jumps;
mod cluster;
mod cluster_rpc;
mod documents;
mod outages;
mod outbox;
mod prefixes;
mod restored_backup;
mod stalled_shard;
mod tls;
mod write_failures;
