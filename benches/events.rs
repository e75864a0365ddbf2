//! What events of an application's own cost, handled or relayed, compared with socketioxide alone: CPU time for each event or delivery.
//!
//! `cargo bench --bench events` starts servers on loopback, one after the other, and loads them over raw Engine.IO 4, about two minutes
//! in all; `-- relay` runs only what has that in its name. The servers are this program, so both have the same allocator and
//! runtime; they take turns, and of the ratios the median is printed. Linux only: the numbers are read from `/proc`.

use std::{
    env,
    process::Command,
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::future::try_join_all;
use serde_json::json;
use socketioxide::{SocketIo, extract::SocketRef};
use switchboard::{
    App, EventContext,
    app::stop_signal,
    config::{ConfigSources, load},
    model::RoomName,
};
use tokio::net::TcpListener;

#[allow(dead_code, reason = "shared with benchmarks that need more of it")]
mod support {
    pub mod client;
    pub mod load;
    pub mod process;
}
use support::{
    client::Client,
    load::{Counter, Load, count, serve_alone},
    process::{Result, Server, check_open_files},
};

/// How long each load lasts.
const LOAD_DURATION: Duration = Duration::from_secs(3);
/// How often two servers take turns.
const ROUNDS: usize = 7;
/// Clients that each have one event in flight.
const CLIENTS: usize = 50;
/// Receivers of one sender's events.
const RECEIVERS: u64 = 100;
/// Bytes of an event's text.
const TEXT: usize = 128;
/// Open files that the largest load needs, in the server and here.
const FILES: usize = 300;

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// The environment variable that makes this program one of the servers.
const SERVER: &str = "SWITCHBOARD_BENCH_SERVER";

fn main() -> Result<()> {
    let runtime = tokio::runtime::Runtime::new()?;
    match env::var(SERVER).as_deref() {
        Ok("bare") => runtime.block_on(serve_bare()),
        Ok(_) => runtime.block_on(serve_switchboard()),
        Err(_) => tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?
            .block_on(measure()),
    }
}

/// socketioxide alone: `ask` is acknowledged; `relay` and `emit` go to the others in the room that they name.
async fn serve_bare() -> Result<()> {
    use socketioxide::extract::{AckSender, Data};

    async fn pass_on(socket: SocketRef, Data(event): Data<(String, String)>, ack: AckSender) {
        let _ = socket.to(event.0.clone()).emit("relay", &event).await;
        let _ = ack.send(&json!({ "ok": true }));
    }

    let (layer, io) = SocketIo::builder().max_buffer_size(16384).build_layer();
    io.ns("/", async |socket: SocketRef| {
        socket.on(
            "join",
            async |socket: SocketRef, Data::<String>(room), ack: AckSender| {
                socket.join(room);
                let _ = ack.send(&json!({ "ok": true }));
            },
        );
        socket.on("ask", async |Data::<String>(_), ack: AckSender| {
            let _ = ack.send(&json!({ "ok": true }));
        });
        socket.on("relay", pass_on);
        socket.on("emit", pass_on);
        let _ = socket.emit("session", &json!({}));
    });
    serve_alone("bare", layer).await
}

/// Switchboard: the same events, `ask` and `emit` by handlers and `relay` by configuration.
async fn serve_switchboard() -> Result<()> {
    use switchboard::Data;

    let flags = [
        ("store", "memory"),
        ("socketio.relay", "relay"),
        ("limits.inbox", "8192"),
        ("limits.messages_per_second", "0"),
        ("limits.user_messages_per_second", "0"),
        ("limits.joins_per_second", "0"),
        ("limits.connections_per_user", "0"),
    ];
    let sources = ConfigSources {
        flags: flags
            .map(|(name, value)| (name.into(), value.into()))
            .into(),
        ..ConfigSources::default()
    };
    let emit = async |context: EventContext, Data(event): Data<(RoomName, String)>| {
        context.to(event.0.clone()).emit("relay", &event).await
    };
    let app = App::builder(load(&sources)?.config)
        .event("ask", async |Data::<String>(_)| ())
        .event("emit", emit)
        .build()
        .await?;
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("switchboard: http://{}", listener.local_addr()?);
    app.run(listener, stop_signal()).await;
    Ok(())
}

/// Starts one of the servers.
fn start(server: &str) -> Result<Server> {
    Server::run(Command::new(env::current_exe()?).env(SERVER, server))
}

async fn measure() -> Result<()> {
    // `cargo test --all-targets` runs benches too, without this flag.
    if !env::args().any(|argument| argument == "--bench") {
        return Ok(());
    }
    check_open_files(FILES)?;
    println!("{:<46} {:>8} {:>10}", "", "CPU µs", "a second");
    let name = format!("handler: {CLIENTS} clients, an event and its ack");
    compare(&name, async |server| events(server, "ask", CLIENTS).await).await?;
    for event in ["relay", "emit"] {
        let by = if event == "relay" { "relay" } else { "handler" };
        let name = format!("{by}: {CLIENTS} clients, an event to a room of 2");
        compare(&name, async |server| events(server, event, 2).await).await?;
        for in_flight in [1, 8] {
            let name = format!("{by}: to a room of {RECEIVERS}, {in_flight} in flight");
            compare(&name, async |server| {
                fan_out(server, event, in_flight).await
            })
            .await?;
        }
    }
    Ok(())
}

/// The same load for Switchboard and for socketioxide alone, in turns, and the median of the ratios.
async fn compare(name: &str, run: impl AsyncFn(Server) -> Result<Load>) -> Result<()> {
    let mut parts = env::args().skip(1).filter(|part| !part.starts_with("--"));
    if !(env::args().len() <= 2 || parts.any(|part| name.contains(&part))) {
        return Ok(());
    }
    let (mut ours, mut bare, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let one = run(start("switchboard")?).await?;
        let other = run(start("bare")?).await?;
        ratios.push(one.cpu_each() / other.cpu_each());
        ours.push(one);
        bare.push(other);
    }
    for loads in [&mut ours, &mut bare] {
        loads.sort_by(|one, other| one.cpu_each().total_cmp(&other.cpu_each()));
    }
    ratios.sort_by(f64::total_cmp);
    println!("{name:<46} {}", ours[ROUNDS / 2]);
    println!("{:<46} {}", "  by socketioxide alone", bare[ROUNDS / 2]);
    let (least, most) = (ratios[0], ratios[ROUNDS - 1]);
    println!(
        "{:<46} {:>8.2} ({least:.2} to {most:.2})",
        "  ratio of CPU",
        ratios[ROUNDS / 2]
    );
    Ok(())
}

/// CPU time per acknowledged event; each client has one in flight, and so many are in one room.
async fn events(server: Server, event: &str, room_of: usize) -> Result<Load> {
    let mut clients = Vec::new();
    for number in 0..CLIENTS {
        let mut client = Client::connect(&server.address, &format!("client-{number}")).await?;
        let room = format!("room-{}", number / room_of);
        client.join(&room).await?;
        clients.push((client, packet(event, &room)));
    }
    let (cpu, started) = (server.cpu()?, Instant::now());
    let end = started + LOAD_DURATION;
    let loads = clients
        .into_iter()
        .map(|(client, packet)| tokio::spawn(async move { ask_until(client, &packet, end).await }));
    let counts = try_join_all(loads).await?.into_iter();
    Ok(Load {
        count: counts.sum::<Result<u64>>()?,
        cpu: server.cpu()? - cpu,
        took: started.elapsed(),
    })
}

/// Sends an event again whenever it has been acknowledged. Returns how often it was.
async fn ask_until(mut client: Client, packet: &str, end: Instant) -> Result<u64> {
    let mut asked = 0;
    while Instant::now() < end {
        client.send(packet).await?;
        let ack = client.wait_for("430").await?;
        if !ack.contains(r#""ok":true"#) {
            return Err(format!("rejected: {ack}").into());
        }
        asked += 1;
    }
    Ok(asked)
}

/// CPU time per delivery to the members of one room, with `in_flight` events at a time.
async fn fan_out(server: Server, event: &str, in_flight: u64) -> Result<Load> {
    let counter = Arc::new(Counter::new(RECEIVERS));
    for number in 0..RECEIVERS {
        let mut member = Client::connect(&server.address, &format!("member-{number}")).await?;
        member.join("room").await?;
        tokio::spawn(count(member, r#"42["relay""#, counter.clone()));
    }
    let mut sender = Client::connect(&server.address, "sender").await?;
    sender.join("room").await?;
    let packet = packet(event, "room").replacen("420", "42", 1);
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
        count: sent * RECEIVERS,
        took: started.elapsed(),
    })
}

/// An event that asks for an ack: `ask` has a text, others a room and a text.
fn packet(event: &str, room: &str) -> String {
    let text = "x".repeat(TEXT);
    match event {
        "ask" => format!(r#"420["ask","{text}"]"#),
        event => format!(r#"420["{event}","{room}","{text}"]"#),
    }
}
