//! `switchboard load`: loads a server, counts what it delivers, and prints what that costs it.

use std::{
    fs,
    io::{self, Write},
    net::IpAddr,
    path::PathBuf,
    process::ExitCode,
    time::Duration,
};

use tokio::signal::unix::{SignalKind, signal};

use super::{INTERRUPTED, fail, reject};
use crate::load::{
    self, Address, Auth, Events, Faults, InFlight, LoadError, Pace, Plan, Protocol, Ramp, Report,
    Sizes, Stop, Template, Transport,
};

mod progress_line;
mod values;

use progress_line::ProgressLine;
use values::{parse_count, parse_name, parse_path, parse_rate, parse_time, parse_token};

pub(super) const LONG_ABOUT: &str = "\
Load a server, count what it delivers, and print what that costs it.

Clients connect, join rooms and send messages that carry their sender, number and time. Every client checks that it receives \
every message of its room once and in order. The exit code is 1 if a message was lost, repeated or out of order, or if not all \
clients could join.

Latency is measured from the time when a message should have been sent, so a server that stalls does not look faster by \
receiving less. CPU time and memory of the server are those of the process that listens on the port, if that is on this machine.

Limits of the server that a load runs into are said at once, with the option that raises them.";

pub(super) const EXAMPLES: &str = "\
Examples:
  One room of 1,000 in which one client sends, the next message once all have received the last one:
      switchboard load --connections 1000 --until delivered
  1,000 rooms of 10, in each of which one client sends, 500 messages a second in all:
      switchboard load --connections 10000 --rooms 1000 --senders 1000 --rate 500
  What 100,000 idle connections cost (ulimit -n 200000 in both shells):
      switchboard load --connections 100000 --rooms 10000 --idle --duration 30s
  Ten connections a second cut at random, and everybody reconnecting at once every 5 s:
      switchboard load --connections 500 --rooms 50 --senders 50 --rate 200 --cuts 10 --storm 5s --duration 30s
  Connects a second, 100 at a time:
      switchboard load --connections 5000 --rooms 500 --at-once 100 --idle --duration 1s
  A server of your own on Socket.IO, which joins by `enter` and broadcasts `chat message`:
      switchboard load http://127.0.0.1:4000 --target socket.io --join-event enter --send-event 'chat message' \\
          --send-args '{\"room\":\"{room}\",\"text\":\"{data}\"}' --rate 100

A server that is to be loaded rather than to be protected from it:
  switchboard --limits-messages-per-second 0 --limits-user-messages-per-second 0 --limits-joins-per-second 0 \\
      --limits-user-joins-per-second 0 --limits-connects-per-second 0 --limits-inbox 8192";

/// The flags of `switchboard load`.
#[derive(clap::Args)]
pub(super) struct LoadArguments {
    /// Address of the server; a path in front of `/socket.io/` or `/ws` is part of it. Of several nodes, all: each room is spread
    /// evenly over them
    #[arg(value_name = "URL", default_value = "http://127.0.0.1:3000", value_parser = |url: &str| url.parse::<Address>())]
    urls: Vec<Address>,
    #[command(flatten)]
    clients: ClientArguments,
    #[command(flatten)]
    messages: MessageArguments,
    #[command(flatten)]
    course: CourseArguments,
    #[command(flatten)]
    plain: PlainArguments,
    /// Print the report as JSON
    #[arg(long)]
    json: bool,
    /// Process of the server, for its CPU time and memory; by default the one that listens on the port
    #[arg(long)]
    pid: Option<u32>,
}

#[derive(clap::Args)]
#[command(next_help_heading = "Clients")]
struct ClientArguments {
    /// How clients connect; event streams only receive, their senders are Socket.IO clients beside them
    #[arg(long, value_name = "NAME", default_value = "socket.io", value_parser = ["socket.io", "polling", "ws", "sse"])]
    transport: String,
    /// Clients that receive
    #[arg(long, value_name = "N", default_value = "100", value_parser = parse_count)]
    connections: usize,
    /// Rooms, over which the clients are spread evenly
    #[arg(long, value_name = "N", value_parser = parse_count)]
    rooms: Option<usize>,
    /// Members of a room, instead of --rooms
    #[arg(long, value_name = "N", value_parser = parse_count, conflicts_with = "rooms")]
    members: Option<usize>,
    /// Begin of the rooms' names; the run and a number follow
    #[arg(long, value_name = "NAME", default_value = "load", value_parser = parse_name)]
    room: String,
    /// Begin of the users' names, where the server lets clients choose: load-1, load-2 ...
    #[arg(long, value_name = "NAME", default_value = "load-", value_parser = parse_name, conflicts_with_all = ["token", "token_file"])]
    user: String,
    /// Token of all clients
    #[arg(long, conflicts_with = "token_file", value_parser = parse_token)]
    token: Option<String>,
    /// File with a token on each line, for one client after the other
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// Addresses to connect from, in turns; by default several of 127.0.0.0/8 for many connections
    #[arg(long, value_name = "IP,...", value_delimiter = ',')]
    source: Vec<IpAddr>,
    /// Threads of the load
    #[arg(long, value_name = "N", default_value = "1", value_parser = parse_count)]
    threads: usize,
}

#[derive(clap::Args)]
#[command(next_help_heading = "Messages")]
struct MessageArguments {
    /// Clients that send, spread evenly over the rooms; by default one a room
    #[arg(long, value_name = "N", value_parser = parse_count)]
    senders: Option<usize>,
    /// Messages that each sender has in flight; the next one is sent once one of them is through
    #[arg(long, value_name = "N", default_value = "1", value_parser = parse_count)]
    in_flight: usize,
    /// Until when a message is in flight: the server has acknowledged it, or all members of its room have received it
    #[arg(long, value_name = "WHEN", default_value = "acked", value_parser = ["acked", "delivered"])]
    until: String,
    /// Messages a second of all senders together, however long the server takes, instead of --in-flight
    #[arg(long, value_name = "N", value_parser = parse_rate, conflicts_with_all = ["in_flight", "until"])]
    rate: Option<f64>,
    /// Bytes of a message's data: 128, several such as 128,1024, or a range such as 64-4096
    #[arg(long, value_name = "BYTES", default_value = "128", value_parser = Sizes::parse)]
    size: Sizes,
    /// Senders do not get their own messages back
    #[arg(long)]
    no_echo: bool,
    /// Messages have no ids, as those of stock clients: what has no ack when a connection is cut is not sent again
    #[arg(long)]
    no_ids: bool,
    /// Nobody sends: connect, join, and hold the connections
    #[arg(long, conflicts_with_all = ["senders", "in_flight", "until", "rate"])]
    idle: bool,
}

#[derive(clap::Args)]
#[command(next_help_heading = "Course")]
struct CourseArguments {
    /// Clients that are on their way at once while the load begins
    #[arg(long, value_name = "N", default_value = "100", value_parser = parse_count)]
    at_once: usize,
    /// New connections a second while the load begins, instead of --at-once
    #[arg(long, value_name = "N", value_parser = parse_rate, conflicts_with = "at_once")]
    ramp: Option<f64>,
    /// Time to send before anything is measured
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = parse_time)]
    warm_up: Duration,
    /// Time to measure
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = parse_time)]
    duration: Duration,
    /// How long nothing may arrive at the end before what has not arrived is lost
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = parse_time)]
    drain: Duration,
    /// How long a client may take to connect and join
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = parse_time)]
    connect_timeout: Duration,
    /// Wait of a client that lost its connection, on average; longer after each attempt that fails
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = parse_time)]
    reconnect_after: Duration,
    /// TCP connections dropped a second, at random; the clients come back as stock clients do
    #[arg(long, value_name = "N", value_parser = parse_rate)]
    cuts: Option<f64>,
    /// Time between two moments at which all clients disconnect and reconnect at once
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    storm: Option<Duration>,
}

#[derive(clap::Args)]
#[command(next_help_heading = "Plain Socket.IO servers")]
struct PlainArguments {
    /// What the server understands: Switchboard's events, or any Socket.IO server's, named here
    #[arg(long, value_name = "NAME", default_value = "switchboard", value_parser = ["switchboard", "socket.io"])]
    target: String,
    /// Path of Socket.IO
    #[arg(long, value_name = "PATH", default_value = "/socket.io/", value_parser = parse_path)]
    path: String,
    /// Event that joins a room; empty: the server needs none
    #[arg(long, value_name = "EVENT", default_value = "join")]
    join_event: String,
    /// Its arguments, as JSON with commas between them
    #[arg(long, value_name = "JSON", default_value = "\"{room}\"")]
    join_args: String,
    /// Event that sends a message
    #[arg(long, value_name = "EVENT", default_value = "message")]
    send_event: String,
    /// Its arguments, with a place for the message's data
    #[arg(
        long,
        value_name = "JSON",
        default_value = r#"{"room":"{room}","data":"{data}"}"#
    )]
    send_args: String,
    /// Event that delivers a message, with its data anywhere in it; by default that which sends it
    #[arg(long, value_name = "EVENT")]
    receive_event: Option<String>,
    /// The server acknowledges both
    #[arg(long)]
    acks: bool,
}

/// Runs a load and prints its report.
pub(super) fn run(arguments: &LoadArguments) -> ExitCode {
    let plan = match plan(arguments) {
        Ok(plan) => plan,
        Err(reason) => return reject(&reason),
    };
    let open_files = rlimit::increase_nofile_limit(u64::MAX).unwrap_or(1024);
    if let Err(reason) = plan.check(open_files) {
        return reject(&reason);
    }
    let stop = Stop::default();
    let signals = stop_at_signal(stop.clone());
    if let Err(error) = signals {
        return fail(&format_args!("installing signal handlers failed: {error}"));
    }
    let mut line = ProgressLine::default();
    let report = load::run(plan, &mut line, &stop);
    line.end();
    finish(report, arguments.json, stop.is_stopped())
}

fn finish(report: Result<Report, LoadError>, json: bool, stopped: bool) -> ExitCode {
    let report = match report {
        Ok(report) => report,
        Err(_) if stopped => return ExitCode::from(INTERRUPTED),
        Err(error) => return fail(&error),
    };
    let text = match json {
        true => match serde_json::to_string_pretty(&report) {
            Ok(json) => json + "\n",
            Err(error) => return fail(&error),
        },
        false => report.to_string(),
    };
    if io::stdout().write_all(text.as_bytes()).is_err() {
        return ExitCode::FAILURE;
    }
    match (report.ok, report.stopped) {
        (false, _) => ExitCode::FAILURE,
        (true, true) => ExitCode::from(INTERRUPTED),
        (true, false) => ExitCode::SUCCESS,
    }
}

/// Ends the load early at the first Ctrl-C or SIGTERM, and the process at the second.
fn stop_at_signal(stop: Stop) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let (mut interrupt, mut terminate) = {
        let _guard = runtime.enter();
        (
            signal(SignalKind::interrupt())?,
            signal(SignalKind::terminate())?,
        )
    };
    std::thread::spawn(move || {
        runtime.block_on(async {
            loop {
                tokio::select! {
                    _ = interrupt.recv() => {}
                    _ = terminate.recv() => {}
                }
                if stop.is_stopped() {
                    super::terminal::erase();
                    std::process::exit(i32::from(INTERRUPTED));
                }
                stop.stop();
            }
        });
    });
    Ok(())
}

fn plan(arguments: &LoadArguments) -> Result<Plan, String> {
    let (clients, course) = (&arguments.clients, &arguments.course);
    let connections = clients.connections;
    let rooms = match (clients.rooms, clients.members) {
        (Some(rooms), _) => rooms,
        (None, Some(members)) => connections.div_ceil(members),
        (None, None) => 1,
    };
    let senders = match (arguments.messages.idle, arguments.messages.senders) {
        (true, _) => 0,
        (false, senders) => senders.unwrap_or(rooms),
    };
    Ok(Plan {
        addresses: arguments.urls.clone(),
        transport: match clients.transport.as_str() {
            "polling" => Transport::Polling,
            "ws" => Transport::WebSocket,
            "sse" => Transport::EventStream,
            _ => Transport::SocketIo,
        },
        protocol: protocol(arguments)?,
        path: arguments.plain.path.clone(),
        connections,
        rooms,
        room_prefix: clients.room.clone(),
        senders,
        pace: pace(&arguments.messages),
        sizes: arguments.messages.size.clone(),
        ramp: match course.ramp {
            Some(rate) => Ramp::PerSecond(rate),
            None => Ramp::AtOnce(course.at_once),
        },
        warm_up: course.warm_up,
        duration: course.duration,
        drain: course.drain,
        connect_timeout: course.connect_timeout,
        reconnect_after: course.reconnect_after,
        faults: Faults {
            cuts_per_second: course.cuts.unwrap_or(0.0),
            storm_every: course.storm,
        },
        sources: clients.source.clone(),
        auth: auth(clients)?,
        pid: arguments.pid,
        threads: clients.threads,
    })
}

fn protocol(arguments: &LoadArguments) -> Result<Protocol, String> {
    let (messages, plain) = (&arguments.messages, &arguments.plain);
    if plain.target == "switchboard" {
        return Ok(Protocol::Switchboard {
            ids: !messages.no_ids,
            echo: !messages.no_echo,
        });
    }
    let join = match plain.join_event.as_str() {
        "" => None,
        event => Some(
            Template::parse(event, &plain.join_args, false)
                .map_err(|why| format!("--join-args {why}"))?,
        ),
    };
    let send = Template::parse(&plain.send_event, &plain.send_args, true)
        .map_err(|why| format!("--send-args {why}"))?;
    let receive = plain.receive_event.as_ref().unwrap_or(&plain.send_event);
    Ok(Protocol::Plain(Events {
        join,
        send,
        receive: receive.clone(),
        acks: plain.acks,
        echo: !messages.no_echo,
    }))
}

fn pace(messages: &MessageArguments) -> Pace {
    match messages.rate {
        Some(rate) => Pace::Open { rate },
        None => Pace::Closed {
            window: messages.in_flight,
            until: match messages.until.as_str() {
                "delivered" => InFlight::Delivered,
                _ => InFlight::Acked,
            },
        },
    }
}

fn auth(clients: &ClientArguments) -> Result<Auth, String> {
    if let Some(token) = &clients.token {
        return Ok(Auth::Tokens(vec![token.clone()]));
    }
    let Some(file) = &clients.token_file else {
        return Ok(Auth::Named(clients.user.clone()));
    };
    let shown = file.display();
    let text = fs::read_to_string(file)
        .map_err(|error| format!("--token-file {shown} cannot be read: {error}"))?;
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let tokens: Result<Vec<_>, _> = lines.map(parse_token).collect();
    match tokens.map_err(|why| format!("--token-file {shown}: {why}"))? {
        none if none.is_empty() => Err(format!("--token-file {shown} has no token: one a line")),
        tokens => Ok(Auth::Tokens(tokens)),
    }
}
