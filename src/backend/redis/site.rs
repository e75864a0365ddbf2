//! Where Redis is: one server, or the node of a Cluster that owns a part.
//!
//! Who owns what is asked when a connection is opened and it is in doubt: at first, and when any connection was lost or sent
//! elsewhere. Whoever answers first and can see the whole Cluster is believed; if that was wrong, the next connection fails
//! and the question is asked again.

use std::{collections::HashMap, pin::pin, time::Instant};

use futures_util::future::select_ok;
use redis::{
    Client, ConnectionAddr, ConnectionInfo, ErrorKind, IntoConnectionInfo, RedisError, Value,
    aio::MultiplexedConnection,
};
use tokio::sync::Mutex;

use super::{
    OpenError,
    keys::{Keys, Part},
    line,
};

/// How many nodes of a Cluster are asked at a time.
const ASKED: usize = 8;

pub(super) struct Site {
    /// What was configured. Of a single Redis there is one.
    seeds: Vec<ConnectionInfo>,
    cluster: Option<Cluster>,
}

struct Cluster {
    slots: HashMap<Part, u16>,
    map: Mutex<Map>,
}

/// Who owns what, as it was last answered.
struct Map {
    owners: HashMap<Part, Node>,
    nodes: Vec<Node>,
    doubted: Vec<Part>,
    asked: Instant,
    failed: Option<RedisError>,
}

/// Host and port.
type Node = (String, u16);

/// The slots from one to another, and who owns them.
type Slots = (u16, u16, Node);

impl Site {
    /// Finds out what is at the addresses, with commas between them.
    pub(super) async fn find(urls: &str) -> Result<Self, OpenError> {
        let mut seeds = Vec::new();
        for url in urls.split(',').map(str::trim) {
            let info = url.into_connection_info().map_err(OpenError::Url)?;
            // What is published comes unasked only in the third version of the protocol.
            let settings = info.redis_settings().clone();
            if settings.db() != 0 {
                return Err(OpenError::Database);
            }
            let settings = settings.set_protocol(redis::ProtocolVersion::RESP3);
            seeds.push(info.set_redis_settings(settings));
        }
        let away = |error| OpenError::Away(line::away(error));
        let looking = seeds.iter().map(|seed| Box::pin(look(seed)));
        let (slots, _) = select_ok(looking).await.map_err(away)?;
        let Some(slots) = slots else {
            return match seeds.len() {
                1 => Ok(Self {
                    seeds,
                    cluster: None,
                }),
                _ => Err(OpenError::Several),
            };
        };
        let map = Map {
            owners: HashMap::new(),
            nodes: Vec::new(),
            doubted: Vec::new(),
            asked: Instant::now(),
            failed: None,
        };
        let cluster = Cluster {
            slots,
            map: Mutex::new(map),
        };
        let site = Self {
            seeds,
            cluster: Some(cluster),
        };
        site.client(Part::FIRST).await.map_err(away)?;
        Ok(site)
    }

    /// Whether parts lie on different servers.
    pub(super) fn is_cluster(&self) -> bool {
        self.cluster.is_some()
    }

    /// Opens a connection to whoever has a part now.
    pub(super) async fn connect(
        &self,
        part: Part,
        pushes: impl redis::aio::AsyncPushSender,
    ) -> Result<MultiplexedConnection, RedisError> {
        let client = self.client(part).await?;
        let connected = line::connect(&client, pushes).await;
        if connected.is_err() {
            self.doubt(part).await;
        }
        connected
    }

    /// A connection to a part was lost or refused: somebody else may have it.
    pub(super) async fn doubt(&self, part: Part) {
        if let Some(cluster) = &self.cluster {
            let mut map = cluster.map.lock().await;
            if !map.doubted.contains(&part) {
                map.doubted.push(part);
            }
        }
    }

    /// A way to any server there is, another at each attempt: what is published plainly in a Cluster comes to all of it.
    pub(super) async fn any(&self, attempt: usize) -> Result<Client, RedisError> {
        let mut all = self.seeds.clone();
        if let Some(cluster) = &self.cluster {
            let map = cluster.map.lock().await;
            all.extend(map.nodes.iter().map(|node| at(&self.seeds[0], node)));
        }
        Client::open(all[attempt % all.len()].clone())
    }

    async fn client(&self, part: Part) -> Result<Client, RedisError> {
        let seed = &self.seeds[0];
        let Some(cluster) = &self.cluster else {
            return Client::open(seed.clone());
        };
        let mut map = cluster.map.lock().await;
        let known = map.owners.contains_key(&part) && !map.doubted.contains(&part);
        // What was answered a moment ago has to do for all that ask.
        let fresh = map.asked.elapsed() < line::PAUSE && !map.nodes.is_empty();
        if !known && !fresh {
            self.ask(cluster, &mut map).await;
        }
        if let Some(error) = &map.failed
            && !known
        {
            return Err(error.clone());
        }
        let owner = map.owners.get(&part).ok_or_else(uncovered)?;
        Client::open(at(seed, owner))
    }

    /// Asks who owns what.
    async fn ask(&self, cluster: &Cluster, map: &mut Map) {
        let known = map.nodes.iter().map(|node| at(&self.seeds[0], node));
        let mut asked: Vec<ConnectionInfo> = known.collect();
        for seed in &self.seeds {
            if asked.iter().all(|other| other.addr() != seed.addr()) {
                asked.push(seed.clone());
            }
        }
        let answers = asked.iter().take(ASKED).map(|node| Box::pin(owners(node)));
        let answer = select_ok(answers).await;
        map.asked = Instant::now();
        match answer {
            Ok((slots, _)) => {
                map.failed = None;
                map.doubted.clear();
                map.owners = (cluster.slots.iter())
                    .filter_map(|(part, slot)| {
                        let owned = |(first, last, _): &&Slots| (*first..=*last).contains(slot);
                        Some((*part, slots.iter().find(owned)?.2.clone()))
                    })
                    .collect();
                map.nodes = slots.into_iter().map(|(_, _, node)| node).collect();
                map.nodes.sort_unstable();
                map.nodes.dedup();
            }
            Err(error) => map.failed = Some(error),
        }
    }
}

/// The same way to another node.
fn at(seed: &ConnectionInfo, (host, port): &Node) -> ConnectionInfo {
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

/// The slot of each part, if this is a node of a Cluster.
async fn look(seed: &ConnectionInfo) -> Result<Option<HashMap<Part, u16>>, RedisError> {
    let client = Client::open(seed.clone())?;
    let mut connection = line::open(&client, |_| Ok::<_, RedisError>(())).await?;
    let mut info = redis::cmd("INFO");
    let info: String = info.arg("cluster").query_async(&mut connection).await?;
    if !info.contains("cluster_enabled:1") {
        return Ok(None);
    }
    let mut slots = HashMap::new();
    for part in Part::all() {
        let mut slot = redis::cmd("CLUSTER");
        slot.arg("KEYSLOT").arg(Keys::default().offset(part));
        slots.insert(part, slot.query_async(&mut connection).await?);
    }
    Ok(Some(slots))
}

/// Asks one node who owns what.
async fn owners(node: &ConnectionInfo) -> Result<Vec<Slots>, RedisError> {
    let client = Client::open(node.clone())?;
    let mut connection = pin!(line::open(&client, |_| Ok::<_, RedisError>(()))).await?;
    let mut pipeline = redis::pipe();
    pipeline.cmd("CLUSTER").arg("INFO");
    pipeline.cmd("CLUSTER").arg("SLOTS");
    let (info, slots): (String, Vec<Vec<Value>>) = pipeline.query_async(&mut connection).await?;
    if !info.contains("cluster_state:ok") {
        return Err(down());
    }
    let host = match node.addr() {
        ConnectionAddr::Tcp(host, _) | ConnectionAddr::TcpTls { host, .. } => host.as_str(),
        _ => "localhost",
    };
    let slots: Vec<_> = slots
        .into_iter()
        .filter_map(|slots| read_slots(slots, host))
        .collect();
    Ok(slots)
}

/// One line of that: from, to, the master, and replicas. A node that does not know its name is where it was asked.
fn read_slots(slots: Vec<Value>, asked: &str) -> Option<Slots> {
    let mut slots = slots.into_iter();
    let mut number = || redis::from_redis_value::<u16>(slots.next()?).ok();
    let (first, last) = (number()?, number()?);
    let Value::Array(master) = slots.next()? else {
        return None;
    };
    let mut master = master.into_iter();
    let host: Option<String> = redis::from_redis_value(master.next()?).ok()?;
    let host = host.filter(|host| !host.is_empty() && host != "?");
    let port = redis::from_redis_value(master.next()?).ok()?;
    Some((
        first,
        last,
        (host.unwrap_or_else(|| asked.to_owned()), port),
    ))
}

fn down() -> RedisError {
    (ErrorKind::Io, "the Cluster is down").into()
}

fn uncovered() -> RedisError {
    (ErrorKind::Io, "no node of the Cluster owns the part").into()
}
