//! Where Redis is: one server, or the nodes of a Cluster and the slots that they own.
//!
//! The slot map is read again when a connection is to be opened and the owner is unknown or was invalidated, by a lost
//! connection or a `MOVED`. The map of the first node that replies with `cluster_state:ok` is used; if it is
//! outdated, the next connection fails and the map is read again.

use std::{collections::HashMap, pin::pin, time::Instant};

use futures_util::future::select_ok;
use redis::{
    Client, ConnectionAddr, ConnectionInfo, ErrorKind, IntoConnectionInfo, RedisError, Value,
    aio::{AsyncPushSender, MultiplexedConnection},
};
use tokio::sync::Mutex;

use super::{connect, reply};
use crate::backend::redis::{
    config::{RedisOpenError, RedisTls},
    keys::{Keys, Partition},
    tls::add_certificates,
};

/// How many nodes of a Cluster are queried for the slot map at the same time.
const MAX_QUERIED_NODES: usize = 8;

pub(crate) struct Topology {
    /// The configured addresses; one unless this is a Cluster.
    seeds: Vec<ConnectionInfo>,
    cluster: Option<ClusterSlots>,
}

struct ClusterSlots {
    /// The hash slot of each partition.
    slots: HashMap<Partition, u16>,
    map: Mutex<SlotMap>,
}

/// The slot map as it was last read.
struct SlotMap {
    owners: HashMap<Partition, NodeAddress>,
    nodes: Vec<NodeAddress>,
    invalidated: Vec<Partition>,
    read_at: Instant,
    failed: Option<RedisError>,
}

/// Host and port.
type NodeAddress = (String, u16);

/// The first and last slot of a range, and its owner.
type SlotRange = (u16, u16, NodeAddress);

impl Topology {
    /// Finds out what runs at the addresses, which are separated by commas.
    pub(crate) async fn discover(urls: &str, tls: &RedisTls) -> Result<Self, RedisOpenError> {
        let mut seeds = Vec::new();
        for url in urls.split(',').map(str::trim) {
            let info = url.into_connection_info().map_err(RedisOpenError::Url)?;
            let settings = info.redis_settings().clone();
            if settings.db() != 0 {
                return Err(RedisOpenError::Database);
            }
            // Pushes on the same connection need RESP3.
            let settings = settings.set_protocol(redis::ProtocolVersion::RESP3);
            seeds.push(add_certificates(info.set_redis_settings(settings), tls)?);
        }
        let unavailable = |error| RedisOpenError::Away(reply::unavailable(error));
        let reading = seeds.iter().map(|seed| Box::pin(read_slots(seed)));
        let (slots, _) = select_ok(reading).await.map_err(unavailable)?;
        let Some(slots) = slots else {
            return match seeds.len() {
                1 => Ok(Self {
                    seeds,
                    cluster: None,
                }),
                _ => Err(RedisOpenError::Several),
            };
        };
        let map = SlotMap {
            owners: HashMap::new(),
            nodes: Vec::new(),
            invalidated: Vec::new(),
            read_at: Instant::now(),
            failed: None,
        };
        let cluster = ClusterSlots {
            slots,
            map: Mutex::new(map),
        };
        let topology = Self {
            seeds,
            cluster: Some(cluster),
        };
        topology
            .client(Partition::FIRST)
            .await
            .map_err(unavailable)?;
        Ok(topology)
    }

    /// Whether this is a Cluster, in which partitions may have different owners.
    pub(crate) fn is_cluster(&self) -> bool {
        self.cluster.is_some()
    }

    /// The shards, each by the partition that it is named after: one for a single Redis, one for each partition of a Cluster.
    pub(crate) fn shards(&self) -> impl Iterator<Item = Partition> + use<> {
        let count = if self.is_cluster() { usize::MAX } else { 1 };
        Partition::all().take(count)
    }

    pub(crate) fn shard_count(&self) -> usize {
        self.shards().count()
    }

    /// The shard of a partition.
    pub(crate) fn shard_of(&self, partition: Partition) -> Partition {
        match self.is_cluster() {
            true => partition,
            false => Partition::FIRST,
        }
    }

    /// The partitions of a shard.
    pub(crate) fn partitions_of(
        &self,
        shard: Partition,
    ) -> impl Iterator<Item = Partition> + use<> {
        let is_one = self.is_cluster();
        Partition::all().filter(move |partition| !is_one || *partition == shard)
    }

    /// Opens a connection to the owner of a partition, with all scripts loaded.
    pub(crate) async fn connect(
        &self,
        partition: Partition,
        pushes: impl AsyncPushSender,
    ) -> Result<MultiplexedConnection, RedisError> {
        let client = self.client(partition).await?;
        let connected = connect::open_with_scripts(&client, pushes).await;
        if connected.is_err() {
            self.invalidate(partition).await;
        }
        connected
    }

    /// Has the owner of a partition looked up before the next connection: the last one was lost or redirected.
    pub(crate) async fn invalidate(&self, partition: Partition) {
        if let Some(cluster) = &self.cluster {
            let mut map = cluster.map.lock().await;
            if !map.invalidated.contains(&partition) {
                map.invalidated.push(partition);
            }
        }
    }

    /// A client for any node, another one at each attempt: a Cluster forwards plain Pub/Sub to all of its nodes.
    pub(crate) async fn any_node(&self, attempt: usize) -> Result<Client, RedisError> {
        let mut all = self.seeds.clone();
        if let Some(cluster) = &self.cluster {
            let map = cluster.map.lock().await;
            all.extend(map.nodes.iter().map(|node| at(&self.seeds[0], node)));
        }
        Client::open(all[attempt % all.len()].clone())
    }

    /// A client for the owner of a partition.
    async fn client(&self, partition: Partition) -> Result<Client, RedisError> {
        let seed = &self.seeds[0];
        let Some(cluster) = &self.cluster else {
            return Client::open(seed.clone());
        };
        let mut map = cluster.map.lock().await;
        let known = map.owners.contains_key(&partition) && !map.invalidated.contains(&partition);
        // A map that was read a moment ago serves all that reconnect.
        let fresh = map.read_at.elapsed() < connect::RECONNECT_DELAY && !map.nodes.is_empty();
        if !known && !fresh {
            self.read_map(cluster, &mut map).await;
        }
        if let Some(error) = &map.failed
            && !known
        {
            return Err(error.clone());
        }
        let owner = map.owners.get(&partition).ok_or_else(uncovered)?;
        Client::open(at(seed, owner))
    }

    /// Reads the slot map from the first node that replies.
    async fn read_map(&self, cluster: &ClusterSlots, map: &mut SlotMap) {
        let known = map.nodes.iter().map(|node| at(&self.seeds[0], node));
        let mut nodes: Vec<ConnectionInfo> = known.collect();
        for seed in &self.seeds {
            if nodes.iter().all(|other| other.addr() != seed.addr()) {
                nodes.push(seed.clone());
            }
        }
        let queries = nodes
            .iter()
            .take(MAX_QUERIED_NODES)
            .map(|node| Box::pin(read_owners(node)));
        let read = select_ok(queries).await;
        map.read_at = Instant::now();
        match read {
            Ok((ranges, _)) => {
                map.failed = None;
                map.invalidated.clear();
                map.owners = (cluster.slots.iter())
                    .filter_map(|(partition, slot)| {
                        let owned = |(first, last, _): &&SlotRange| (*first..=*last).contains(slot);
                        Some((*partition, ranges.iter().find(owned)?.2.clone()))
                    })
                    .collect();
                map.nodes = ranges.into_iter().map(|(_, _, node)| node).collect();
                map.nodes.sort_unstable();
                map.nodes.dedup();
            }
            Err(error) => map.failed = Some(error),
        }
    }
}

/// The element for a partition of what there is one of for each shard.
pub(crate) fn by_shard<T>(shards: &[T], partition: Partition) -> &T {
    match shards {
        [one] => one,
        all => &all[partition.index()],
    }
}

/// The settings of `seed` with another address.
fn at(seed: &ConnectionInfo, (host, port): &NodeAddress) -> ConnectionInfo {
    let addr = match seed.addr() {
        ConnectionAddr::TcpTls {
            insecure,
            tls_params,
            ..
        } => ConnectionAddr::TcpTls {
            host: host.clone(),
            port: *port,
            insecure: *insecure,
            tls_params: tls_params.clone(),
        },
        _ => ConnectionAddr::Tcp(host.clone(), *port),
    };
    seed.clone().set_addr(addr)
}

/// The hash slot of each partition; `None` if the server is no node of a Cluster.
async fn read_slots(seed: &ConnectionInfo) -> Result<Option<HashMap<Partition, u16>>, RedisError> {
    let client = Client::open(seed.clone())?;
    let mut connection = connect::open(&client, |_| Ok::<_, RedisError>(())).await?;
    let mut info = redis::cmd("INFO");
    let info: String = info.arg("cluster").query_async(&mut connection).await?;
    if !info.contains("cluster_enabled:1") {
        return Ok(None);
    }
    let mut slots = HashMap::new();
    for partition in Partition::all() {
        let mut slot = redis::cmd("CLUSTER");
        slot.arg("KEYSLOT").arg(Keys::default().offset(partition));
        slots.insert(partition, slot.query_async(&mut connection).await?);
    }
    Ok(Some(slots))
}

/// Reads from one node which node owns which slots.
async fn read_owners(node: &ConnectionInfo) -> Result<Vec<SlotRange>, RedisError> {
    let client = Client::open(node.clone())?;
    let mut connection = pin!(connect::open(&client, |_| Ok::<_, RedisError>(()))).await?;
    let mut pipeline = redis::pipe();
    pipeline.cmd("CLUSTER").arg("INFO");
    pipeline.cmd("CLUSTER").arg("SLOTS");
    let (info, ranges): (String, Vec<Vec<Value>>) = pipeline.query_async(&mut connection).await?;
    if !info.contains("cluster_state:ok") {
        return Err(cluster_down());
    }
    let host = match node.addr() {
        ConnectionAddr::Tcp(host, _) | ConnectionAddr::TcpTls { host, .. } => host.as_str(),
        _ => "localhost",
    };
    let ranges = ranges
        .into_iter()
        .filter_map(|range| parse_range(range, host));
    Ok(ranges.collect())
}

/// Reads one entry of `CLUSTER SLOTS`: first slot, last slot, master, replicas. A node that does not know its own host name
/// has the one that it was reached by.
fn parse_range(range: Vec<Value>, reached_by: &str) -> Option<SlotRange> {
    let mut range = range.into_iter();
    let mut number = || redis::from_redis_value::<u16>(range.next()?).ok();
    let (first, last) = (number()?, number()?);
    let Value::Array(master) = range.next()? else {
        return None;
    };
    let mut master = master.into_iter();
    let host: Option<String> = redis::from_redis_value(master.next()?).ok()?;
    let host = host.filter(|host| !host.is_empty() && host != "?");
    let port = redis::from_redis_value(master.next()?).ok()?;
    let address = (host.unwrap_or_else(|| reached_by.to_owned()), port);
    Some((first, last, address))
}

fn cluster_down() -> RedisError {
    (ErrorKind::Io, "the Cluster is down").into()
}

fn uncovered() -> RedisError {
    (ErrorKind::Io, "no node of the Cluster owns the hash slot").into()
}
