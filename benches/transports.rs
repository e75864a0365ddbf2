//! The cost of a delivery on each transport: Socket.IO, plain WebSocket, Server-Sent Events.
//!
//! `cargo bench --bench transports` starts a server on loopback for each transport in turns, several rounds, and prints the median of
//! its CPU time per delivery and of the ratio to Socket.IO's in the same round, and the memory of an idle connection. Clients are raw: they count messages in what they read. Linux only: the numbers are read from `/proc`.

use std::{
    env,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::Notify,
};

#[allow(dead_code, reason = "shared with benchmarks that need more of it")]
mod support {
    pub mod process;
}
use support::process::{Result, Server, check_open_files};

/// How long each load lasts, and how often the transports take turns.
const LOAD_DURATION: Duration = Duration::from_secs(2);
const ROUNDS: usize = 5;
/// Clients in the one room.
const MEMBERS: u64 = 1000;
/// Bytes of a message's data, a JSON string.
const DATA: usize = 128;
/// Open files that the load needs, in the server and here.
const FILES: usize = MEMBERS as usize + 100;

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// The transports.
#[derive(Clone, Copy, PartialEq)]
enum Transport {
    SocketIo,
    WebSocket,
    Events,
}

const TRANSPORTS: [(Transport, &str); 3] = [
    (Transport::SocketIo, "socket.io"),
    (Transport::WebSocket, "websocket"),
    (Transport::Events, "events"),
];

fn main() -> Result<()> {
    // `cargo test --all-targets` runs benches too, without this flag.
    if !env::args().any(|argument| argument == "--bench") {
        return Ok(());
    }
    check_open_files(FILES)?;
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?
        .block_on(measure())
}

/// CPU-µs a delivery and kB a connection, for each transport.
type Round = [(f64, f64); TRANSPORTS.len()];

async fn measure() -> Result<()> {
    println!(
        "{MEMBERS} members, {DATA} bytes: CPU-µs a delivery, ratio to socket.io, kB a connection"
    );
    for in_flight in [1, 8] {
        let mut rounds: Vec<Round> = Vec::new();
        for _ in 0..ROUNDS {
            let mut round = [(0.0, 0.0); TRANSPORTS.len()];
            for (place, (transport, _)) in round.iter_mut().zip(TRANSPORTS) {
                *place = fan_out(transport, in_flight).await?;
            }
            rounds.push(round);
        }
        for (nth, (_, name)) in TRANSPORTS.iter().enumerate() {
            let of = |number: &dyn Fn(&Round) -> f64| {
                let mut numbers: Vec<f64> = rounds.iter().map(number).collect();
                numbers.sort_by(f64::total_cmp);
                numbers[ROUNDS / 2]
            };
            println!(
                "{in_flight} in flight  {name:<10} {:>6.2} {:>6.2} {:>6.1}",
                of(&|round| round[nth].0),
                of(&|round| round[nth].0 / round[0].0),
                of(&|round| round[nth].1),
            );
        }
    }
    Ok(())
}

/// CPU time per delivery on one transport, and memory per connection.
async fn fan_out(transport: Transport, in_flight: u64) -> Result<(f64, f64)> {
    let server = Server::start(&["--store", "memory", "--presence-room-users", "1"])?;
    let received = Arc::new(Received::default());
    let before = server.resident()?;
    for number in 0..MEMBERS {
        let mut stream = join_room(&server.address, transport, Some(number)).await?;
        let received = received.clone();
        tokio::spawn(async move {
            // The last byte of the previous read comes first: a message may be split.
            let mut buffer = vec![0; 64 << 10];
            while let Ok(read @ 1..) = stream.read(&mut buffer[1..]).await {
                received.add(&buffer[..=read]);
                buffer[0] = buffer[read];
            }
        });
    }
    while metric(&server.address, "switchboard_members")? < 2 * MEMBERS {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let each = (server.resident()? - before) / MEMBERS as f64;
    let mut sender = join_room(&server.address, Transport::WebSocket, None).await?;
    let text = format!(
        r#"{{"type":"text","room":"room","data":"{}"}}"#,
        "x".repeat(DATA - 2)
    );
    let frame = masked(&text);
    let (cpu, started, mut sent) = (server.cpu()?, Instant::now(), 0);
    let base = received.count.load(Ordering::Relaxed);
    while started.elapsed() < LOAD_DURATION {
        sender.write_all(&frame).await?;
        sent += 1;
        let expected = base + (sent + 1_u64).saturating_sub(in_flight) * MEMBERS;
        received.wait_for(expected).await;
    }
    received.wait_for(base + sent * MEMBERS).await;
    let cpu = server.cpu()? - cpu;
    Ok((cpu.as_secs_f64() * 1e6 / (sent * MEMBERS) as f64, each))
}

/// Counts the messages that all clients have received.
#[derive(Default)]
struct Received {
    count: AtomicU64,
    changed: Notify,
}

impl Received {
    /// Counts messages by the end of their data, which each has once.
    fn add(&self, bytes: &[u8]) {
        let ends = bytes.windows(2).filter(|pair| pair == b"x\"").count() as u64;
        if ends > 0 {
            self.count.fetch_add(ends, Ordering::Relaxed);
            self.changed.notify_one();
        }
    }

    async fn wait_for(&self, count: u64) {
        while self.count.load(Ordering::Relaxed) < count {
            self.changed.notified().await;
        }
    }
}

/// Connects a client that joins the room, or without a number one that joins none.
async fn join_room(address: &str, transport: Transport, number: Option<u64>) -> Result<TcpStream> {
    let mut stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let upgrade = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                   Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    let user = number.map_or("sender".to_owned(), |number| format!("user-{number}"));
    let (path, headers) = match (transport, number) {
        (Transport::SocketIo, _) => ("/socket.io/?EIO=4&transport=websocket".to_owned(), upgrade),
        (Transport::WebSocket, Some(_)) => (format!("/ws/room?user={user}"), upgrade),
        (Transport::WebSocket, None) => (format!("/ws?user={user}"), upgrade),
        (Transport::Events, _) => (format!("/events/room?user={user}"), ""),
    };
    let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\n{headers}\r\n");
    stream.write_all(request.as_bytes()).await?;
    if transport == Transport::SocketIo {
        let connect = format!(r#"40{{"user":"{user}"}}"#);
        stream.write_all(&masked(&connect)).await?;
        // Packets up to the session event are not counted.
        let (mut received, mut buffer) = (Vec::<u8>::new(), [0; 2048]);
        while !received.windows(9).any(|part| part == b"\"session\"") {
            let read = stream.read(&mut buffer).await?;
            received.extend(&buffer[..read]);
        }
        stream.write_all(&masked(r#"42["join","room"]"#)).await?;
    }
    Ok(stream)
}

/// A client's text frame; its mask of zeros changes nothing.
fn masked(text: &str) -> Vec<u8> {
    let mut frame = vec![0x81];
    match text.len() {
        short @ 0..=125 => frame.push(0x80 | short as u8),
        long => {
            frame.push(0x80 | 126);
            frame.extend((long as u16).to_be_bytes());
        }
    }
    frame.extend([0; 4]);
    frame.extend(text.as_bytes());
    frame
}

/// A server's metric, read over a connection of its own.
fn metric(host: &str, name: &str) -> Result<u64> {
    use std::io::{Read, Write};
    let mut stream = std::net::TcpStream::connect(host)?;
    let close = "Connection: close";
    write!(
        stream,
        "GET /metrics HTTP/1.1\r\nHost: {host}\r\n{close}\r\n\r\n"
    )?;
    let mut page = String::new();
    stream.read_to_string(&mut page)?;
    let line = page
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    Ok(line.ok_or("no such metric")?.parse()?)
}
