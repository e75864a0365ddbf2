//! What the server costs: its CPU time per delivery and per stored message, and its memory per connection.
//!
//! `cargo bench --bench fanout` starts servers on loopback and loads them over raw Engine.IO 4, less than a minute in
//! all; `-- publish` runs only what has that in its name. `SWITCHBOARD_BIN` names another binary to measure. CPU time
//! says more than throughput, since the load comes from the same machine; it still varies by some percent from run to
//! run, so compare two binaries by runs that take turns. Linux only: the numbers are read from `/proc`.

use std::{
    env,
    process::Command,
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::future::try_join_all;

#[allow(dead_code, reason = "shared with benchmarks that need more of it")]
mod support {
    pub mod client;
    pub mod load;
    pub mod plain;
    pub mod process;
}
use support::{
    client::{Client, body, quantile},
    load::{Counter, Load, count},
    plain,
    process::{Result, Server, check_open_files},
};

/// How long each load lasts.
const LOAD_DURATION: Duration = Duration::from_secs(2);
/// How often two servers take turns.
const ROUNDS: usize = 5;
/// How long to wait before memory is measured: allocators return it late.
const SETTLE_TIME: Duration = Duration::from_secs(3);
/// Connections that publish.
const SENDERS: usize = 50;
/// Clients that connect at a time.
const CONNECTING: usize = 100;
/// Idle connections.
const IDLE: usize = 2000;
/// Open files that the largest load needs, in the server and here.
const FILES: usize = IDLE + 100;

const MEMORY: &[&str] = &["--store", "memory"];
const NORMAL: &[&str] = &["--store", "sqlite", "--sqlite-synchronous", "normal"];
const FULL: &[&str] = &["--store", "sqlite", "--sqlite-synchronous", "full"];

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> Result<()> {
    if env::var_os(PLAIN).is_some() {
        return tokio::runtime::Runtime::new()?.block_on(plain::serve());
    }
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?
        .block_on(measure())
}

/// The environment variable that makes this program the server to compare with.
const PLAIN: &str = "SWITCHBOARD_BENCH_PLAIN";

async fn measure() -> Result<()> {
    // `cargo test --all-targets` runs benches too, without this flag.
    if !env::args().any(|argument| argument == "--bench") {
        return Ok(());
    }
    check_open_files(FILES)?;
    println!(
        "{:<42} {:>8} {:>10} {:>9} {:>9}",
        "", "CPU µs", "a second", "median ms", "p99 ms"
    );
    for members in [200, 1000] {
        for in_flight in [1, 8] {
            let name = format!("fanout: {members} members, {in_flight} in flight");
            if is_selected(&name) {
                compare_fan_out(&name, members, in_flight).await?;
            }
        }
    }
    for (name, store, window) in [
        ("publish: memory, 64 in flight each", MEMORY, 64),
        ("publish: sqlite normal, 64 in flight each", NORMAL, 64),
        ("publish: sqlite full, 64 in flight each", FULL, 64),
        ("publish: memory, 1 in flight each", MEMORY, 1),
        ("publish: sqlite normal, 1 in flight each", NORMAL, 1),
        ("publish: sqlite full, 1 in flight each", FULL, 1),
    ] {
        if is_selected(name) {
            publish(name, store, window).await?;
        }
    }
    for (name, store) in [
        ("connects: memory, 100 at a time", MEMORY),
        ("connects: sqlite normal, 100 at a time", NORMAL),
        ("connects: sqlite full, 100 at a time", FULL),
    ] {
        if is_selected(name) {
            connects(name, store).await?;
        }
    }
    if is_selected("idle") {
        idle().await?;
    }
    Ok(())
}

/// Whether the command line selects this benchmark: by a part of its name, or by naming none.
fn is_selected(name: &str) -> bool {
    let mut parts = env::args()
        .skip(1)
        .filter(|part| !part.starts_with("--"))
        .peekable();
    parts.peek().is_none() || parts.any(|part| name.contains(&part))
}

/// The same load for Switchboard and for socketioxide alone, in turns, and the median of the ratios.
async fn compare_fan_out(name: &str, members: u64, in_flight: u64) -> Result<()> {
    let (mut ours, mut plain, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let one = fan_out(Server::start(MEMORY)?, members, in_flight).await?;
        let other = fan_out(start_plain()?, members, in_flight).await?;
        ratios.push(one.cpu_each() / other.cpu_each());
        ours.push(one);
        plain.push(other);
    }
    for loads in [&mut ours, &mut plain] {
        loads.sort_by(|one, other| one.cpu_each().total_cmp(&other.cpu_each()));
    }
    ratios.sort_by(f64::total_cmp);
    println!("{name:<42} {}", ours[ROUNDS / 2]);
    println!("{:<42} {}", "  by io.to(room).emit", plain[ROUNDS / 2]);
    println!("{:<42} {:>8.2}", "  ratio of CPU", ratios[ROUNDS / 2]);
    Ok(())
}

/// CPU time per delivery to members of one room, with `in_flight` messages at a time.
async fn fan_out(server: Server, members: u64, in_flight: u64) -> Result<Load> {
    let counter = Arc::new(Counter::new(members));
    for number in 0..members {
        let mut member = Client::connect(&server.address, &format!("member-{number}")).await?;
        member.join("room").await?;
        tokio::spawn(count(member, r#"42["message""#, counter.clone()));
    }
    let mut sender = Client::connect(&server.address, "sender").await?;
    let packet = format!(r#"42["message",{}]"#, body("room"));
    let (cpu, started) = (server.cpu()?, Instant::now());
    let mut sent: u64 = 0;
    while started.elapsed() < LOAD_DURATION {
        sender.send(&packet).await?;
        sent += 1;
        counter.wait_for((sent + 1).saturating_sub(in_flight)).await;
    }
    counter.wait_for(sent).await;
    Ok(Load {
        cpu: server.cpu()? - cpu,
        count: sent * members,
        took: started.elapsed(),
    })
}

/// CPU time per acknowledged message and ack latencies; each sender has a room of its own.
async fn publish(name: &str, store: &[&str], window: usize) -> Result<()> {
    let server = Server::start(store)?;
    let mut senders = Vec::new();
    for number in 0..SENDERS {
        senders.push(Client::connect(&server.address, &format!("sender-{number}")).await?);
    }
    let (cpu, started) = (server.cpu()?, Instant::now());
    let loads = senders.into_iter().enumerate().map(|(number, sender)| {
        tokio::spawn(sender.publish(format!("room-{number}"), window, started + LOAD_DURATION))
    });
    let mut latencies = Vec::new();
    for of_one in try_join_all(loads).await? {
        latencies.extend(of_one?);
    }
    print_latencies(name, &server, (cpu, started), latencies)
}

/// CPU time per client that connects and joins a room, and how long that takes; each has a room of its own, and leaves at once.
async fn connects(name: &str, store: &[&str]) -> Result<()> {
    let server = Server::start(store)?;
    let address = &server.address;
    let (cpu, started) = (server.cpu()?, Instant::now());
    let clients = (0..CONNECTING).map(|number| async move {
        let mut latencies = Vec::new();
        while started.elapsed() < LOAD_DURATION {
            let (user, begun) = (format!("{number}-{}", latencies.len()), Instant::now());
            let mut client = Client::connect(address, &user).await?;
            client.join(&format!("room-{user}")).await?;
            latencies.push(begun.elapsed());
        }
        Result::Ok(latencies)
    });
    let latencies = try_join_all(clients).await?.concat();
    print_latencies(name, &server, (cpu, started), latencies)
}

/// Prints what the server has used since `cpu` and `started` for each of what took so long.
fn print_latencies(
    name: &str,
    server: &Server,
    (cpu, started): (Duration, Instant),
    mut latencies: Vec<Duration>,
) -> Result<()> {
    let load = Load {
        cpu: server.cpu()? - cpu,
        count: latencies.len() as u64,
        took: started.elapsed(),
    };
    latencies.sort_unstable();
    let (median, p99) = (quantile(&latencies, 50), quantile(&latencies, 99));
    println!("{name:<42} {load} {median:>9.2} {p99:>9.2}");
    Ok(())
}

/// Memory per idle connection, and memory that remains when all are closed.
async fn idle() -> Result<()> {
    let server = Server::start(MEMORY)?;
    drop(Client::connect(&server.address, "first").await?);
    tokio::time::sleep(SETTLE_TIME).await;
    let before = server.resident()?;
    let mut tasks = Vec::new();
    for number in 0..IDLE {
        let mut member = Client::connect(&server.address, &format!("member-{number}")).await?;
        member.join("room").await?;
        tasks.push(tokio::spawn(member.drain()));
    }
    tokio::time::sleep(SETTLE_TIME).await;
    let each = (server.resident()? - before) / IDLE as f64;
    println!("idle: {IDLE} connections, {each:.1} kB each");
    tasks.iter().for_each(tokio::task::JoinHandle::abort);
    tokio::time::sleep(SETTLE_TIME).await;
    println!(
        "idle: {:.0} kB at the start, {:.0} kB after they have gone",
        before,
        server.resident()?
    );
    Ok(())
}

/// The server to compare with.
fn start_plain() -> Result<Server> {
    Server::run(Command::new(env::current_exe()?).env(PLAIN, "1"))
}
