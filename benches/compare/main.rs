//! Compares Switchboard with Socket.IO on Node, with socketioxide alone, and with a floor that does one write for each delivery.
//!
//! `cargo bench --bench compare` starts each server alone, in turn, on one core, and loads it from another by `switchboard load`; some
//! fifteen minutes in all. It prints a table in Markdown.
//!
//! | option | |
//! |---|---|
//! | `-- LINE...` | only these lines: `room-1000`, `ack` ...; a part of a name is enough |
//! | `-- --rounds N` | how often the servers take turns; 5 |
//! | `-- --chart FILE` | writes an SVG chart, too |
//!
//! Socket.IO's server needs Node and npm, and two nodes `redis-server`; what is missing is left out. Linux only: CPU time and memory are read from
//! `/proc`.

use std::{env, fs, time::Instant};

use tokio::runtime::Runtime;

mod arguments;
mod chart;
mod floor;
mod lines;
mod machine;
mod node;
mod results;
mod servers;
mod table;

#[path = "../support"]
#[allow(dead_code, reason = "shared with benchmarks that need more of it")]
mod support {
    pub mod client;
    pub mod cores;
    pub mod load;
    pub mod loading;
    pub mod plain;
    pub mod process;
    pub mod redis;
}

use arguments::Arguments;
use lines::{LOADS, Load};
use machine::Machine;
use results::Results;
use servers::{SERVE, Server};
use support::{
    cores::Cores,
    loading::{self, Report},
    plain,
    process::{Result, check_open_files},
};

/// Open files that the largest load needs, in a server and in the load.
const FILES: usize = 10_200;

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> Result<()> {
    match env::var(SERVE).as_deref() {
        Ok("floor") => floor::serve(),
        Ok(_) => Runtime::new()?.block_on(plain::serve()),
        // `cargo test --all-targets` runs benches too, without this flag.
        Err(_) if !env::args().any(|argument| argument == "--bench") => Ok(()),
        Err(_) => compare(&Arguments::parse()?),
    }
}

fn compare(arguments: &Arguments) -> Result<()> {
    rlimit::increase_nofile_limit(u64::MAX)?;
    check_open_files(FILES)?;
    let machine = Machine::find();
    let loads = LOADS.iter();
    let loads = loads.filter(|load| load.lines.iter().any(|line| arguments.selects(line)));
    let turns: Vec<_> = loads
        .flat_map(|load| load.servers.iter().map(move |server| (load, *server)))
        .filter(|(_, server)| machine.has(*server))
        .collect();
    if turns.is_empty() {
        return Err("there is no line of that name".into());
    }
    let (mut results, started) = (Results::default(), Instant::now());
    let all = turns.len() * arguments.rounds;
    for round in 0..arguments.rounds {
        for (nth, (load, server)) in turns.iter().enumerate() {
            progress(started, round * turns.len() + nth, all, load, *server);
            measure(load, *server, machine.cores, round, &mut results);
        }
    }
    print!("{}", table::write(&results, arguments, &machine.about()));
    if let Some(file) = &arguments.chart {
        fs::write(file, chart::draw(&results, arguments)?)?;
    }
    Ok(())
}

/// Says what is running, and how long it will take.
fn progress(started: Instant, done: usize, all: usize, load: &Load, server: Server) {
    let left = started.elapsed().as_secs_f64() / done.max(1) as f64 * (all - done) as f64;
    let left = match done {
        0 => String::new(),
        _ => format!(", {left:.0} s left"),
    };
    let (number, line) = (done + 1, load.lines[0].name);
    eprintln!("{number}/{all}{left}: {line}, {}", server.name());
}

/// Loads a server once. What goes wrong is noted: the other lines are as good without it.
fn measure(load: &Load, server: Server, cores: Cores, round: usize, results: &mut Results) {
    let read = || {
        let report = run(load, server, cores)?;
        let lines = load.lines.iter();
        let values = lines.map(|line| Ok((line, line.read(&report)?)));
        Ok((values.collect::<Result<Vec<_>>>()?, report.faults()))
    };
    let (values, faults) = read()
        .unwrap_or_else(|error: support::process::Failure| (Vec::new(), Some(error.to_string())));
    for (line, value) in values {
        results.add(line, server, round, value);
    }
    if let Some(faults) = faults {
        eprintln!("  {faults}");
        results.note(load.lines[0].name, server, round, &faults);
    }
}

fn run(load: &Load, server: Server, cores: Cores) -> Result<Report> {
    cores.for_servers()?;
    let running = server.start();
    cores.for_load()?;
    let running = running?;
    loading::run(&running.addresses(), &load.options(server))
}
