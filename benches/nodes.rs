//! Nodes over one Redis: messages a second, latency to another node, and what rooms, messages and connections cost the nodes
//! and Redis.
//!
//! `cargo bench --bench nodes` starts Redis and nodes on loopback and loads them, some minutes in all; with `-- --short`
//! for a moment each, to see that it works. Everything is on one machine, the load too, so CPU time says more than
//! throughput. Needs `redis-server` and `redis-cli`; Linux only: the numbers are read from `/proc`.

use std::{
    env,
    ops::Sub,
    time::{Duration, Instant},
};

use futures_util::future::{try_join, try_join_all};

#[allow(dead_code, reason = "shared with benchmarks that need more of it")]
mod support {
    pub mod client;
    pub mod process;
    pub mod redis;
}
use support::{
    client::{Client, body, quantile},
    process::{Result, Server, check_open_files},
    redis::{Fsync, Redis},
};

/// Connections that publish, each in a room of its own.
const SENDERS: usize = 50;
/// Messages in flight per sender, for the highest throughput.
const FULL_WINDOW: usize = 64;
/// Messages in flight per sender, for the cost of each.
const SMALL_WINDOW: usize = 8;
/// Connections that join.
const JOINERS: usize = 50;
/// Time between two messages whose latency is measured.
const LATENCY_INTERVAL: Duration = Duration::from_millis(20);
/// Idle connections.
const IDLE: usize = 2000;
/// Rooms of the idle connections.
const ROOMS: usize = 500;
/// How long to wait before memory is measured: allocators return it late.
const SETTLE_TIME: Duration = Duration::from_secs(3);
/// Open files that the largest load needs, in a server and here.
const FILES: usize = IDLE + 100;

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// How long and how large the loads are.
struct Scale {
    /// How long each load lasts.
    load_duration: Duration,
    /// Messages whose latency is measured.
    latencies: usize,
    /// Rooms that each joiner joins.
    joins: usize,
    /// How long idle connections are observed.
    idle_duration: Duration,
}

const FULL: Scale = Scale {
    load_duration: Duration::from_secs(8),
    latencies: 1000,
    joins: 150,
    idle_duration: Duration::from_secs(60),
};

const SHORT: Scale = Scale {
    load_duration: Duration::from_millis(500),
    latencies: 25,
    joins: 5,
    idle_duration: Duration::from_secs(2),
};

/// What nodes share in one measurement.
#[derive(Clone, Copy)]
struct Kind {
    name: &'static str,
    start: fn() -> Result<Redis>,
}

const EVERY_SECOND: Kind = Kind {
    name: "everysec",
    start: || Redis::start(Fsync::EverySecond),
};

const KINDS: [Kind; 3] = [
    EVERY_SECOND,
    Kind {
        name: "always",
        start: || Redis::start(Fsync::Always),
    },
    Kind {
        name: "3 masters, everysec",
        start: Redis::start_cluster,
    },
];

fn main() -> Result<()> {
    // `cargo test --all-targets` runs benches too, without this flag.
    if !env::args().any(|argument| argument == "--bench") {
        return Ok(());
    }
    check_open_files(FILES)?;
    let short = env::args().any(|argument| argument == "--short");
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?
        .block_on(measure(if short { &SHORT } else { &FULL }))
}

async fn measure(scale: &Scale) -> Result<()> {
    println!("Stored, {SENDERS} senders with {FULL_WINDOW} messages on their way each:");
    println!("{}", StoreCosts::HEADING);
    for kind in KINDS {
        for senders_on in [1, 2] {
            let name = format!("{}, through {senders_on}", kind.name);
            println!(
                "{name:<32} {}",
                measure_storing(kind, senders_on, scale).await?
            );
        }
    }

    println!("\nFrom sending to arriving, one message every {LATENCY_INTERVAL:?}, in ms:");
    println!("{:<32} {:>9} {:>9}", "", "median", "p99");
    for kind in KINDS {
        let (near, far) = measure_latencies(kind, scale).await?;
        for (place, times) in [("same node", near), ("other node", far)] {
            let name = format!("{}, {place}", kind.name);
            let (median, p99) = (quantile(&times, 50), quantile(&times, 99));
            println!("{name:<32} {median:>9.2} {p99:>9.2}");
        }
    }

    println!(
        "\nDelivered to two members, {SENDERS} senders with {SMALL_WINDOW} on their way each:"
    );
    println!("{}", Costs::HEADING);
    for (name, second) in [("both on the sender's node", 0), ("one on each node", 1)] {
        println!("{name:<32} {}", measure_delivery(second, scale).await?);
    }

    println!("\nJoins into new rooms on one of two nodes, {JOINERS} connections at once:");
    measure_joins(scale).await?;

    println!("\n{IDLE} connections in {ROOMS} rooms that do nothing, on one node:");
    idle_over_redis(scale).await?;
    idle_over_sqlite().await
}

/// Two nodes over one Redis. The nodes are dropped first, so that they do not log its end.
struct Nodes {
    nodes: [Server; 2],
    redis: Redis,
}

impl Nodes {
    fn start(kind: Kind) -> Result<Self> {
        let redis = (kind.start)()?;
        let nodes = [node(&redis)?, node(&redis)?];
        Ok(Self { nodes, redis })
    }

    async fn connect(&self, node: usize, user: &str) -> Result<Client> {
        Client::connect(&self.nodes[node].address, user).await
    }

    fn cpu_now(&self) -> Result<CpuReading> {
        Ok(CpuReading {
            nodes: [self.nodes[0].cpu()?, self.nodes[1].cpu()?],
            masters: self.redis.cpu()?,
            at: Instant::now(),
        })
    }

    /// Publishes with a sender in each room, spread over so many nodes. Returns the costs and the ack latencies.
    async fn publish(
        &self,
        senders_on: usize,
        window: usize,
        scale: &Scale,
    ) -> Result<(Costs, Vec<Duration>)> {
        let mut senders = Vec::new();
        for number in 0..SENDERS {
            let user = format!("sender-{number}");
            senders.push(self.connect(number % senders_on, &user).await?);
        }
        let before = self.cpu_now()?;
        let end = Instant::now() + scale.load_duration;
        let loads = senders.into_iter().enumerate().map(|(number, sender)| {
            tokio::spawn(sender.publish(format!("room-{number}"), window, end))
        });
        let mut latencies = Vec::new();
        for of_one in try_join_all(loads).await? {
            latencies.extend(of_one?);
        }
        let costs = Costs {
            cpu: &self.cpu_now()? - &before,
            count: latencies.len(),
        };
        latencies.sort_unstable();
        Ok((costs, latencies))
    }
}

fn node(redis: &Redis) -> Result<Server> {
    Server::start(&["--redis-url", &redis.url()])
}

/// CPU time of all processes up to a moment.
struct CpuReading {
    nodes: [Duration; 2],
    masters: Vec<Duration>,
    at: Instant,
}

/// CPU time of all processes during a load, and its duration.
struct CpuUse {
    nodes: [Duration; 2],
    masters: Vec<Duration>,
    took: Duration,
}

impl Sub for &CpuReading {
    type Output = CpuUse;

    fn sub(self, before: &CpuReading) -> CpuUse {
        let masters = self.masters.iter().zip(&before.masters);
        CpuUse {
            nodes: [0, 1].map(|node| self.nodes[node] - before.nodes[node]),
            masters: masters.map(|(after, before)| *after - *before).collect(),
            took: self.at - before.at,
        }
    }
}

/// The cost of an operation that was repeated `count` times.
struct Costs {
    cpu: CpuUse,
    count: usize,
}

impl Costs {
    const HEADING: &str =
        "CPU-µs of                         a second    node A    node B     Redis";

    fn rate(&self) -> f64 {
        self.count as f64 / self.cpu.took.as_secs_f64()
    }

    /// CPU time for each, in µs.
    fn each(&self, time: Duration) -> f64 {
        time.as_secs_f64() * 1e6 / self.count as f64
    }

    /// How often a second it could be done if only Redis's CPU time were the limit, not even its disk. Each server is one
    /// thread, so the busiest one counts.
    fn limit(&self) -> f64 {
        let busiest = self.cpu.masters.iter().max();
        busiest.map_or(0.0, |busiest| self.count as f64 / busiest.as_secs_f64())
    }
}

impl std::fmt::Display for Costs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let [one, other] = self.cpu.nodes.map(|time| self.each(time));
        let redis = self.each(self.cpu.masters.iter().sum());
        write!(
            f,
            "{:>9.0} {one:>9.2} {other:>9.2} {redis:>9.2}",
            self.rate()
        )
    }
}

/// The cost of storing messages.
struct StoreCosts {
    costs: Costs,
    /// Memory of Redis for each, in bytes.
    bytes: f64,
    latencies: Vec<Duration>,
}

impl StoreCosts {
    const HEADING: &str = "CPU-µs of                         a second    node A    node B     Redis \
                            Redis full  bytes  ack ms    p99";
}

impl std::fmt::Display for StoreCosts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (costs, limit, bytes) = (&self.costs, self.costs.limit(), self.bytes);
        let (median, p99) = (quantile(&self.latencies, 50), quantile(&self.latencies, 99));
        write!(
            f,
            "{costs} {limit:>10.0} {bytes:>6.0} {median:>7.2} {p99:>6.2}"
        )
    }
}

async fn measure_storing(kind: Kind, senders_on: usize, scale: &Scale) -> Result<StoreCosts> {
    let all = Nodes::start(kind)?;
    let before = all.redis.info("used_memory")?;
    let (costs, latencies) = all.publish(senders_on, FULL_WINDOW, scale).await?;
    let bytes = (all.redis.info("used_memory")? - before) / costs.count as f64;
    Ok(StoreCosts {
        costs,
        bytes,
        latencies,
    })
}

/// Latencies from a connection on one node to members on the same node and on the other.
async fn measure_latencies(kind: Kind, scale: &Scale) -> Result<(Vec<Duration>, Vec<Duration>)> {
    let all = Nodes::start(kind)?;
    let mut sender = all.connect(0, "sender").await?;
    let mut near = all.connect(0, "near").await?;
    let mut far = all.connect(1, "far").await?;
    for member in [&mut near, &mut far] {
        member.join("room").await?;
    }
    let packet = format!(r#"42["message",{}]"#, body("room"));
    let (mut to_near, mut to_far) = (Vec::new(), Vec::new());
    let mut interval = tokio::time::interval(LATENCY_INTERVAL);
    for _ in 0..scale.latencies {
        interval.tick().await;
        let sent = Instant::now();
        sender.send(&packet).await?;
        let arrives = async |member: &mut Client| {
            member.wait_for(r#"42["message""#).await?;
            Result::Ok(sent.elapsed())
        };
        let (one, other) = try_join(arrives(&mut near), arrives(&mut far)).await?;
        to_near.push(one);
        to_far.push(other);
    }
    to_near.sort_unstable();
    to_far.sort_unstable();
    Ok((to_near, to_far))
}

/// The cost of a message with one member on the sender's node and another on the node `second`.
async fn measure_delivery(second: usize, scale: &Scale) -> Result<Costs> {
    let all = Nodes::start(EVERY_SECOND)?;
    for number in 0..SENDERS {
        for node in [0, second] {
            let mut member = all.connect(node, &format!("member-{number}")).await?;
            member.join(&format!("room-{number}")).await?;
            tokio::spawn(member.drain());
        }
    }
    Ok(all.publish(1, SMALL_WINDOW, scale).await?.0)
}

/// The cost of joining a new room: following it, and publishing its roster.
async fn measure_joins(scale: &Scale) -> Result<()> {
    let all = Nodes::start(EVERY_SECOND)?;
    let mut joiners = Vec::new();
    for number in 0..JOINERS {
        joiners.push(all.connect(0, &format!("joiner-{number}")).await?);
    }
    let (memory, before) = (all.redis.info("used_memory")?, all.cpu_now()?);
    let joined = joiners
        .iter_mut()
        .enumerate()
        .map(async |(number, joiner)| {
            for room in 0..scale.joins {
                joiner.join(&format!("room-{number}-{room}")).await?;
            }
            Result::Ok(())
        });
    try_join_all(joined).await?;
    let costs = Costs {
        cpu: &all.cpu_now()? - &before,
        count: JOINERS * scale.joins,
    };
    tokio::time::sleep(SETTLE_TIME).await;
    let bytes = (all.redis.info("used_memory")? - memory) / costs.count as f64;
    println!("{}\n{:<32} {costs}", Costs::HEADING, "join");
    println!(
        "{:<32} {bytes:>9.0} bytes of Redis",
        "a room with one member"
    );
    Ok(())
}

/// Memory of connections and rooms in a node and in Redis, and their CPU time while idle.
async fn idle_over_redis(scale: &Scale) -> Result<()> {
    let redis = (EVERY_SECOND.start)()?;
    let node = node(&redis)?;
    drop(Client::connect(&node.address, "first").await?);
    tokio::time::sleep(SETTLE_TIME).await;
    let memory = || redis.info("used_memory");
    let (resident, empty) = (node.resident()?, memory()?);
    let members = connect_members(&node).await?;
    tokio::time::sleep(SETTLE_TIME).await;
    let with_sessions = memory()?;
    join_and_drain(members).await?;
    print_row(
        "a connection and its room",
        (node.resident()? - resident) / IDLE as f64,
        "kB of the node",
    );
    print_row(
        "a connection and its session",
        (with_sessions - empty) / IDLE as f64,
        "bytes of Redis",
    );
    print_row(
        "a room with 4 members",
        (memory()? - with_sessions) / ROOMS as f64,
        "bytes of Redis",
    );

    let load = || {
        Result::Ok((
            redis.cpu()?[0],
            node.cpu()?,
            redis.info("total_commands_processed")?,
        ))
    };
    let (before, started) = (load()?, Instant::now());
    tokio::time::sleep(scale.idle_duration).await;
    let (after, seconds) = (load()?, started.elapsed().as_secs_f64());
    let part = |after: Duration, before: Duration| (after - before).as_secs_f64() * 100.0 / seconds;
    print_row(
        "while nothing happens",
        (after.2 - before.2) / seconds,
        "commands of Redis a second",
    );
    print_row("", part(after.0, before.0), "% of a core, Redis");
    print_row("", part(after.1, before.1), "% of a core, the node");
    Ok(())
}

/// Memory of connections and rooms in a single node with SQLite.
async fn idle_over_sqlite() -> Result<()> {
    let node = Server::start(&["--store", "sqlite"])?;
    drop(Client::connect(&node.address, "first").await?);
    tokio::time::sleep(SETTLE_TIME).await;
    let resident = node.resident()?;
    join_and_drain(connect_members(&node).await?).await?;
    print_row(
        "the same over sqlite",
        (node.resident()? - resident) / IDLE as f64,
        "kB of the node",
    );
    Ok(())
}

/// Joins the rooms, and drains the connections from then on.
async fn join_and_drain(mut members: Vec<Client>) -> Result<()> {
    join_rooms(&mut members).await?;
    members
        .into_iter()
        .for_each(|member| drop(tokio::spawn(member.drain())));
    tokio::time::sleep(SETTLE_TIME).await;
    Ok(())
}

async fn connect_members(node: &Server) -> Result<Vec<Client>> {
    let mut members = Vec::new();
    for number in 0..IDLE {
        members.push(Client::connect(&node.address, &format!("member-{number}")).await?);
    }
    Ok(members)
}

async fn join_rooms(members: &mut [Client]) -> Result<()> {
    for (number, member) in members.iter_mut().enumerate() {
        member.join(&format!("room-{}", number % ROOMS)).await?;
    }
    Ok(())
}

fn print_row(label: &str, number: f64, unit: &str) {
    println!("{label:<32} {number:>9.1} {unit}");
}
