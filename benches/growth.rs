//! Whether what one thing costs grows with how much else there is: each cost at three sizes, ten times as much each time.
//!
//! `cargo bench --bench growth` starts servers on loopback and prints a table in Markdown, some three minutes in all; `-- joins` measures
//! only what has that in its name, `-- --rounds N` is how often the sizes take turns (3; the medians are printed). A cost that
//! does not grow has the factor 1, and one that a message's own cost is part of, spread over more members, has less. Linux only: the numbers are read from `/proc`.

use std::{
    env,
    time::{Duration, Instant},
};

use futures_util::future::try_join_all;
use tokio::task::JoinHandle;

#[allow(dead_code, reason = "shared with benchmarks that need more of it")]
mod support {
    pub mod client;
    pub mod cores;
    pub mod loading;
    pub mod process;
}
use support::{
    client::Client,
    cores::Cores,
    loading,
    process::{Failure, MANY_CONNECTIONS, Result, Server, check_open_files},
};

/// How often the sizes take turns.
const ROUNDS: usize = 3;
/// How long joins and messages are measured.
const LOAD_DURATION: Duration = Duration::from_secs(2);
/// Clients that join and leave, one room each.
const JOINERS: usize = 10;
/// Clients that hold rooms.
const HOLDERS: usize = 50;
/// Members of a room that nothing is said in.
const IDLE_MEMBERS: usize = 10;
/// Clients that connect at a time.
const CONNECTING: usize = 100;
/// Open files that the largest load needs, in the server and here.
const FILES: usize = 10_200;

const MANY: [usize; 3] = [100, 1000, 10_000];

/// The server's options: no limit is to be met.
const OPTIONS: &[&str] = &[
    "--store",
    "memory",
    "--limits-rooms-per-connection",
    "20000",
];

/// What is measured.
struct Cost {
    name: &'static str,
    title: &'static str,
    unit: &'static str,
    sizes: [usize; 3],
    kind: Kind,
}

enum Kind {
    Delivery,
    JoinsAmongRooms,
    JoinsAmongConnections,
    Memory,
    MessageAmongConnections,
}

const COSTS: &[Cost] = &[
    Cost {
        name: "deliveries",
        title: "A delivery, by members of the room",
        unit: "CPU µs",
        sizes: [10, 100, 1000],
        kind: Kind::Delivery,
    },
    Cost {
        name: "joins-rooms",
        title: "Join and leave, by other rooms",
        unit: "CPU µs",
        sizes: MANY,
        kind: Kind::JoinsAmongRooms,
    },
    Cost {
        name: "joins-connections",
        title: "Join and leave, by idle connections",
        unit: "CPU µs",
        sizes: MANY,
        kind: Kind::JoinsAmongConnections,
    },
    Cost {
        name: "memory",
        title: "An idle connection, by their number",
        unit: "kB",
        sizes: MANY,
        kind: Kind::Memory,
    },
    Cost {
        name: "messages",
        title: "A message in a room of 10, by idle connections elsewhere",
        unit: "CPU µs",
        sizes: MANY,
        kind: Kind::MessageAmongConnections,
    },
];

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> Result<()> {
    // `cargo test --all-targets` runs benches too, without this flag.
    if !env::args().any(|argument| argument == "--bench") {
        return Ok(());
    }
    rlimit::increase_nofile_limit(u64::MAX)?;
    check_open_files(FILES)?;
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?
        .block_on(measure())
}

async fn measure() -> Result<()> {
    // Before this program keeps to one of them.
    let cores = Cores::find();
    let (mut rounds, mut names) = (ROUNDS, Vec::new());
    let mut arguments = env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--bench" => {}
            "--rounds" => rounds = arguments.next().unwrap_or_default().parse()?,
            _ => names.push(argument),
        }
    }
    println!("| | sizes | cost | | | growth |\n|---|---|---|---|---|---|");
    for cost in COSTS {
        if names.is_empty() || names.iter().any(|name| cost.name.contains(name)) {
            print_row(cost, rounds, cores).await?;
        }
    }
    Ok(())
}

/// Measures at all sizes, in turns, and prints the medians.
async fn print_row(cost: &Cost, rounds: usize, cores: Cores) -> Result<()> {
    let mut values = [const { Vec::new() }; 3];
    for round in 0..rounds.max(1) {
        for (size, values) in cost.sizes.into_iter().zip(&mut values) {
            eprintln!("{}, {size}, round {} of {rounds}", cost.name, round + 1);
            values.push(cost.at(size, cores).await?);
        }
    }
    let [small, middle, large] = values.map(|mut values| {
        values.sort_by(f64::total_cmp);
        values[values.len() / 2]
    });
    let (title, unit, sizes) = (
        cost.title,
        cost.unit,
        cost.sizes.map(|size| size.to_string()),
    );
    let growth = large / small;
    println!(
        "| {title}, {unit} | {} | {small:.2} | {middle:.2} | {large:.2} | {growth:.2} |",
        sizes.join(", ")
    );
    Ok(())
}

impl Cost {
    async fn at(&self, size: usize, cores: Cores) -> Result<f64> {
        cores.for_servers()?;
        let server = Server::start(&[MANY_CONNECTIONS, OPTIONS].concat());
        cores.for_load()?;
        let server = server?;
        match self.kind {
            Kind::Delivery => {
                let members = size.to_string();
                let load = ["--connections", &members, "--until", "delivered"];
                load_for(&server, &load, "/server/cpu_us_per_delivery").await
            }
            Kind::JoinsAmongRooms => {
                let _held = hold_rooms(&server, size).await?;
                join_and_leave(&server).await
            }
            Kind::JoinsAmongConnections => {
                let _held = hold_connections(&server, size).await?;
                join_and_leave(&server).await
            }
            Kind::Memory => {
                let (connections, rooms) = (size.to_string(), (size / IDLE_MEMBERS).to_string());
                let load = ["--connections", &connections, "--rooms", &rooms, "--idle"];
                let pointer = "/server/memory_per_connection_bytes";
                Ok(load_for(&server, &load, pointer).await? / 1000.0)
            }
            Kind::MessageAmongConnections => {
                let _held = hold_connections(&server, size).await?;
                let load = ["--connections", "10", "--until", "delivered"];
                load_for(&server, &load, "/server/cpu_us_per_message").await
            }
        }
    }
}

/// Loads the server by `switchboard load`, and returns a number of its report.
async fn load_for(server: &Server, options: &[&str], pointer: &'static str) -> Result<f64> {
    let address = server.address.clone();
    let options: Vec<_> = options.iter().map(ToString::to_string).collect();
    // Meanwhile the clients of this program answer pings.
    let load = tokio::task::spawn_blocking(move || {
        let mut all = vec!["--warm-up", "500ms", "--duration", "2s"];
        all.extend(options.iter().map(String::as_str));
        let report = loading::run(&[address], &all)?;
        match report.faults() {
            Some(faults) => Err(Failure::from(faults)),
            None => report.number(pointer),
        }
    });
    load.await?
}

/// Clients that hold what they have until this is dropped.
struct Held(Vec<JoinHandle<()>>);

impl Drop for Held {
    fn drop(&mut self) {
        self.0.iter().for_each(JoinHandle::abort);
    }
}

/// Holds so many rooms, by some clients.
async fn hold_rooms(server: &Server, rooms: usize) -> Result<Held> {
    let holders = (0..HOLDERS).map(|holder| async move {
        let mut client = Client::connect(&server.address, &format!("holder-{holder}")).await?;
        for room in (holder..rooms).step_by(HOLDERS) {
            client.join(&format!("held-{room}")).await?;
        }
        Ok::<_, Failure>(tokio::spawn(client.drain()))
    });
    Ok(Held(try_join_all(holders).await?))
}

/// Holds so many connections, in rooms of a few.
async fn hold_connections(server: &Server, connections: usize) -> Result<Held> {
    let mut held = Held(Vec::new());
    for first in (0..connections).step_by(CONNECTING) {
        let clients = first..connections.min(first + CONNECTING);
        let clients = clients.map(|number| async move {
            let mut client = Client::connect(&server.address, &format!("idle-{number}")).await?;
            client
                .join(&format!("idle-{}", number / IDLE_MEMBERS))
                .await?;
            Ok::<_, Failure>(tokio::spawn(client.drain()))
        });
        held.0.extend(try_join_all(clients).await?);
    }
    Ok(held)
}

/// CPU time of the server for a client that joins a room of its own and leaves it, in µs.
async fn join_and_leave(server: &Server) -> Result<f64> {
    let mut clients = Vec::new();
    for number in 0..JOINERS {
        clients.push(Client::connect(&server.address, &format!("joiner-{number}")).await?);
    }
    let (cpu, end) = (server.cpu()?, Instant::now() + LOAD_DURATION);
    let clients = clients.into_iter().enumerate();
    let times = clients.map(|(number, mut client)| async move {
        let (room, mut times) = (format!("own-{number}"), 0);
        while Instant::now() < end {
            client.join(&room).await?;
            client.leave(&room).await?;
            times += 1;
        }
        Ok::<u32, Failure>(times)
    });
    let times: u32 = try_join_all(times).await?.into_iter().sum();
    Ok((server.cpu()? - cpu).as_secs_f64() * 1e6 / f64::from(times))
}
