//! What many nodes over one Redis are good for: messages a second, how long a message takes to another node, what rooms,
//! messages and connections cost them and Redis.
//!
//! `cargo bench --bench nodes` starts Redis and nodes on loopback and loads them, some minutes in all; with `-- --short`
//! for a moment each, to see that it works. Everything is on one machine, the load too: CPU time says more than what
//! comes out a second. Needs `redis-server` and `redis-cli`; Linux only: the numbers are read from `/proc`.

use std::{
    env,
    ops::Sub,
    time::{Duration, Instant},
};

use futures_util::future::{try_join, try_join_all};

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
/// Messages of each that may be on their way, where as many are to be stored as possible.
const MANY: usize = 64;
/// And where it is about the cost of each.
const SOME: usize = 8;
/// Connections that join.
const JOINERS: usize = 50;
/// Time between two messages whose way is measured.
const PACE: Duration = Duration::from_millis(20);
/// Connections that do nothing.
const IDLE: usize = 2000;
/// The rooms that those are in.
const ROOMS: usize = 500;
/// How long memory is given to settle: allocators return it late.
const SETTLING: Duration = Duration::from_secs(3);
/// Open files that the largest load needs, in a server and here.
const FILES: usize = IDLE + 100;

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// How much of everything.
struct Scale {
    /// How long each load lasts.
    lasting: Duration,
    /// Messages whose way is measured.
    ways: usize,
    /// Rooms that each joiner joins.
    joins: usize,
    /// How long those that do nothing are watched.
    watching: Duration,
}

const FULL: Scale = Scale {
    lasting: Duration::from_secs(8),
    ways: 1000,
    joins: 150,
    watching: Duration::from_secs(60),
};

const SHORT: Scale = Scale {
    lasting: Duration::from_millis(500),
    ways: 25,
    joins: 5,
    watching: Duration::from_secs(2),
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
    println!("Stored, {SENDERS} senders with {MANY} messages on their way each:");
    println!("{}", Stored::HEADING);
    for kind in KINDS {
        for senders_on in [1, 2] {
            let name = format!("{}, through {senders_on}", kind.name);
            println!("{name:<32} {}", stored(kind, senders_on, scale).await?);
        }
    }

    println!("\nFrom sending to arriving, one message every {PACE:?}, in ms:");
    println!("{:<32} {:>9} {:>9}", "", "median", "p99");
    for kind in KINDS {
        let (near, far) = ways(kind, scale).await?;
        for (place, times) in [("same node", near), ("other node", far)] {
            let name = format!("{}, {place}", kind.name);
            let (median, p99) = (quantile(&times, 50), quantile(&times, 99));
            println!("{name:<32} {median:>9.2} {p99:>9.2}");
        }
    }

    println!("\nDelivered to two members, {SENDERS} senders with {SOME} on their way each:");
    println!("{}", Costs::HEADING);
    for (name, second) in [("both on the sender's node", 0), ("one on each node", 1)] {
        println!("{name:<32} {}", delivered(second, scale).await?);
    }

    println!("\nJoins into new rooms on one of two nodes, {JOINERS} connections at once:");
    joins(scale).await?;

    println!("\n{IDLE} connections in {ROOMS} rooms that do nothing, on one node:");
    idle_over_redis(scale).await?;
    idle_over_sqlite().await
}

/// Two nodes over one Redis; dropped in this order, so that they do not complain of its end.
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

    fn spent(&self) -> Result<Spent> {
        Ok(Spent {
            nodes: [self.nodes[0].cpu()?, self.nodes[1].cpu()?],
            masters: self.redis.cpu()?,
            at: Instant::now(),
        })
    }

    /// Has a sender in each of as many rooms publish, on this many nodes; answers what that cost and how long acks took.
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
        let before = self.spent()?;
        let end = Instant::now() + scale.lasting;
        let loads = senders.into_iter().enumerate().map(|(number, sender)| {
            tokio::spawn(sender.publish(format!("room-{number}"), window, end))
        });
        let mut latencies = Vec::new();
        for of_one in try_join_all(loads).await? {
            latencies.extend(of_one?);
        }
        let costs = Costs {
            spent: &self.spent()? - &before,
            count: latencies.len(),
        };
        latencies.sort_unstable();
        Ok((costs, latencies))
    }
}

fn node(redis: &Redis) -> Result<Server> {
    Server::start(&["--redis-url", &redis.url()])
}

/// CPU time of all up to a moment.
struct Spent {
    nodes: [Duration; 2],
    masters: Vec<Duration>,
    at: Instant,
}

/// CPU time of all, and the time that went by.
struct Between {
    nodes: [Duration; 2],
    masters: Vec<Duration>,
    took: Duration,
}

impl Sub for &Spent {
    type Output = Between;

    fn sub(self, before: &Spent) -> Between {
        let masters = self.masters.iter().zip(&before.masters);
        Between {
            nodes: [0, 1].map(|node| self.nodes[node] - before.nodes[node]),
            masters: masters.map(|(after, before)| *after - *before).collect(),
            took: self.at - before.at,
        }
    }
}

/// What something cost that was done some times.
struct Costs {
    spent: Between,
    count: usize,
}

impl Costs {
    const HEADING: &str =
        "CPU-µs of                         a second    node A    node B     Redis";

    fn rate(&self) -> f64 {
        self.count as f64 / self.spent.took.as_secs_f64()
    }

    /// CPU time for each, in µs.
    fn each(&self, time: Duration) -> f64 {
        time.as_secs_f64() * 1e6 / self.count as f64
    }

    /// How often it could be done in a second if nothing but Redis's CPU time were in the way, not even its
    /// disk. Each of its servers is one thread; the busiest is what counts.
    fn limit(&self) -> f64 {
        let busiest = self.spent.masters.iter().max();
        busiest.map_or(0.0, |busiest| self.count as f64 / busiest.as_secs_f64())
    }
}

impl std::fmt::Display for Costs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let [one, other] = self.spent.nodes.map(|time| self.each(time));
        let redis = self.each(self.spent.masters.iter().sum());
        write!(
            f,
            "{:>9.0} {one:>9.2} {other:>9.2} {redis:>9.2}",
            self.rate()
        )
    }
}

/// What storing messages cost.
struct Stored {
    costs: Costs,
    /// Memory of Redis for each, in bytes.
    bytes: f64,
    latencies: Vec<Duration>,
}

impl Stored {
    const HEADING: &str = "CPU-µs of                         a second    node A    node B     Redis \
                            Redis full  bytes  ack ms    p99";
}

impl std::fmt::Display for Stored {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (costs, limit, bytes) = (&self.costs, self.costs.limit(), self.bytes);
        let (median, p99) = (quantile(&self.latencies, 50), quantile(&self.latencies, 99));
        write!(
            f,
            "{costs} {limit:>10.0} {bytes:>6.0} {median:>7.2} {p99:>6.2}"
        )
    }
}

async fn stored(kind: Kind, senders_on: usize, scale: &Scale) -> Result<Stored> {
    let all = Nodes::start(kind)?;
    let before = all.redis.info("used_memory")?;
    let (costs, latencies) = all.publish(senders_on, MANY, scale).await?;
    let bytes = (all.redis.info("used_memory")? - before) / costs.count as f64;
    Ok(Stored {
        costs,
        bytes,
        latencies,
    })
}

/// How long messages take from a connection on one node to members on the same and on the other.
async fn ways(kind: Kind, scale: &Scale) -> Result<(Vec<Duration>, Vec<Duration>)> {
    let all = Nodes::start(kind)?;
    let mut sender = all.connect(0, "sender").await?;
    let mut near = all.connect(0, "near").await?;
    let mut far = all.connect(1, "far").await?;
    for member in [&mut near, &mut far] {
        member.join("room").await?;
    }
    let packet = format!(r#"42["message",{}]"#, body("room"));
    let (mut to_near, mut to_far) = (Vec::new(), Vec::new());
    let mut pace = tokio::time::interval(PACE);
    for _ in 0..scale.ways {
        pace.tick().await;
        let sent = Instant::now();
        sender.send(&packet).await?;
        let arrives = async |member: &mut Client| {
            member.until(r#"42["message""#).await?;
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

/// What a message costs that has one member on the sender's node, and another on the node `second`.
async fn delivered(second: usize, scale: &Scale) -> Result<Costs> {
    let all = Nodes::start(EVERY_SECOND)?;
    for number in 0..SENDERS {
        for node in [0, second] {
            let mut member = all.connect(node, &format!("member-{number}")).await?;
            member.join(&format!("room-{number}")).await?;
            tokio::spawn(member.read_on());
        }
    }
    Ok(all.publish(1, SOME, scale).await?.0)
}

/// What it costs to begin a room: following it, and telling who is in it.
async fn joins(scale: &Scale) -> Result<()> {
    let all = Nodes::start(EVERY_SECOND)?;
    let mut joiners = Vec::new();
    for number in 0..JOINERS {
        joiners.push(all.connect(0, &format!("joiner-{number}")).await?);
    }
    let (memory, before) = (all.redis.info("used_memory")?, all.spent()?);
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
        spent: &all.spent()? - &before,
        count: JOINERS * scale.joins,
    };
    tokio::time::sleep(SETTLING).await;
    let bytes = (all.redis.info("used_memory")? - memory) / costs.count as f64;
    println!("{}\n{:<32} {costs}", Costs::HEADING, "join");
    println!(
        "{:<32} {bytes:>9.0} bytes of Redis",
        "a room with one member"
    );
    Ok(())
}

/// What connections and rooms take in a node's memory and in Redis's, and what they cost while nothing happens.
async fn idle_over_redis(scale: &Scale) -> Result<()> {
    let redis = (EVERY_SECOND.start)()?;
    let node = node(&redis)?;
    drop(Client::connect(&node.address, "first").await?);
    tokio::time::sleep(SETTLING).await;
    let memory = || redis.info("used_memory");
    let (resident, empty) = (node.resident()?, memory()?);
    let members = connected(&node).await?;
    tokio::time::sleep(SETTLING).await;
    let with_sessions = memory()?;
    settle_in(members).await?;
    say(
        "a connection and its room",
        (node.resident()? - resident) / IDLE as f64,
        "kB of the node",
    );
    say(
        "a connection and its session",
        (with_sessions - empty) / IDLE as f64,
        "bytes of Redis",
    );
    say(
        "a room with 4 members",
        (memory()? - with_sessions) / ROOMS as f64,
        "bytes of Redis",
    );

    let busy = || {
        Result::Ok((
            redis.cpu()?[0],
            node.cpu()?,
            redis.info("total_commands_processed")?,
        ))
    };
    let (before, began) = (busy()?, Instant::now());
    tokio::time::sleep(scale.watching).await;
    let (after, seconds) = (busy()?, began.elapsed().as_secs_f64());
    let part = |after: Duration, before: Duration| (after - before).as_secs_f64() * 100.0 / seconds;
    say(
        "while nothing happens",
        (after.2 - before.2) / seconds,
        "commands of Redis a second",
    );
    say("", part(after.0, before.0), "% of a core, Redis");
    say("", part(after.1, before.1), "% of a core, the node");
    Ok(())
}

/// The same memory of a node that is alone, with a log of its own.
async fn idle_over_sqlite() -> Result<()> {
    let node = Server::start(&["--store", "sqlite"])?;
    drop(Client::connect(&node.address, "first").await?);
    tokio::time::sleep(SETTLING).await;
    let resident = node.resident()?;
    settle_in(connected(&node).await?).await?;
    say(
        "the same over sqlite",
        (node.resident()? - resident) / IDLE as f64,
        "kB of the node",
    );
    Ok(())
}

/// Has them enter their rooms, and read whatever comes from then on.
async fn settle_in(mut members: Vec<Client>) -> Result<()> {
    enter(&mut members).await?;
    members
        .into_iter()
        .for_each(|member| drop(tokio::spawn(member.read_on())));
    tokio::time::sleep(SETTLING).await;
    Ok(())
}

async fn connected(node: &Server) -> Result<Vec<Client>> {
    let mut members = Vec::new();
    for number in 0..IDLE {
        members.push(Client::connect(&node.address, &format!("member-{number}")).await?);
    }
    Ok(members)
}

async fn enter(members: &mut [Client]) -> Result<()> {
    for (number, member) in members.iter_mut().enumerate() {
        member.join(&format!("room-{}", number % ROOMS)).await?;
    }
    Ok(())
}

fn say(what: &str, number: f64, of: &str) {
    println!("{what:<32} {number:>9.1} {of}");
}
