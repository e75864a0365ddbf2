//! What the server costs: its CPU time per delivery and per stored message, and its memory per connection.
//!
//! `cargo bench --bench fanout` starts servers on loopback and loads them over raw Engine.IO 4, less than a minute in
//! all; `-- publish` runs only what has that in its name. `SWITCHBOARD_BIN` names another binary to measure. CPU time
//! says more than throughput, since the load comes from the same machine; it still varies by some percent from run to
//! run, so compare two binaries by runs that take turns. Linux only: the numbers are read from `/proc`.

use std::{
    collections::VecDeque,
    env, fs,
    io::{BufRead, BufReader},
    process::{Child, ChildStdout, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use axum::serve::ListenerExt;
use futures_util::{SinkExt, StreamExt, future::try_join_all};
use serde_json::json;
use socketioxide::{
    SocketIo,
    extract::{AckSender, Data, SocketRef},
};
use tempfile::TempDir;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Notify,
};
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream, connect_async_with_config,
    tungstenite::{Message, Utf8Bytes, protocol::WebSocketConfig},
};

type Failure = Box<dyn std::error::Error + Send + Sync>;
type Result<T> = std::result::Result<T, Failure>;

/// How long each load lasts.
const LASTING: Duration = Duration::from_secs(2);
/// How often two servers take turns.
const ROUNDS: usize = 5;
/// How long memory is given to settle: allocators return it late.
const SETTLING: Duration = Duration::from_secs(3);
/// Bytes of a message's data, a JSON string.
const DATA: usize = 128;
/// Connections that publish.
const SENDERS: usize = 50;
/// Connections that do nothing.
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
        return tokio::runtime::Runtime::new()?.block_on(serve_plain());
    }
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?
        .block_on(measure())
}

/// Tells this program to be the server to compare with.
const PLAIN: &str = "SWITCHBOARD_BENCH_PLAIN";

/// A server as people write it with socketioxide alone: it passes each message on to a room by `io.to(room).emit`. What it
/// sends has the form and the size of what Switchboard sends.
async fn serve_plain() -> Result<()> {
    let (layer, io) = SocketIo::builder().max_buffer_size(16384).build_layer();
    io.ns("/", async |socket: SocketRef| {
        socket.on(
            "join",
            async |socket: SocketRef, Data::<String>(room), ack: AckSender| {
                socket.join(room);
                let _ = ack.send(&json!({ "ok": true }));
            },
        );
        let number = Arc::new(AtomicU64::new(0));
        socket.on(
            "message",
            async move |io: SocketIo, Data::<serde_json::Value>(body)| {
                let seq = number.fetch_add(1, Ordering::Relaxed) + 1;
                let room = body["room"].as_str().unwrap_or_default().to_owned();
                let message = json!({
                    "room": room, "id": "01a1fe43-56cd-7457-a913-1ccf91cbce8f", "seq": seq, "event": "message",
                    "from": { "user": "sender" }, "data": body["data"], "ts": 1_795_267_188_429_u64,
                });
                let _ = io.to(room).emit("message", &(message, format!("{seq}~"))).await;
            },
        );
        let _ = socket.emit("session", &json!({}));
    });
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("plain: http://{}", listener.local_addr()?);
    let listener = listener.tap_io(|stream| {
        let _ = stream.set_nodelay(true);
    });
    Ok(axum::serve(listener, axum::Router::new().layer(layer)).await?)
}

async fn measure() -> Result<()> {
    // `cargo test --all-targets` runs benches too, without this flag.
    if !env::args().any(|argument| argument == "--bench") {
        return Ok(());
    }
    check_open_files()?;
    println!(
        "{:<42} {:>8} {:>10} {:>9} {:>9}",
        "", "CPU µs", "a second", "median ms", "p99 ms"
    );
    for members in [200, 1000] {
        for in_flight in [1, 8] {
            let name = format!("fanout: {members} members, {in_flight} in flight");
            if wanted(&name) {
                compare_fan_out(&name, members, in_flight).await?;
            }
        }
    }
    for (name, store, window) in [
        ("publish: memory, 64 in flight each", MEMORY, 64),
        ("publish: sqlite normal, 64 in flight each", NORMAL, 64),
        ("publish: sqlite full, 64 in flight each", FULL, 64),
        ("publish: sqlite full, 1 in flight each", FULL, 1),
    ] {
        if wanted(name) {
            publish(name, store, window).await?;
        }
    }
    if wanted("idle") {
        idle().await?;
    }
    Ok(())
}

/// Whether the command line asks for this one: by a part of its name, or by no name at all.
fn wanted(name: &str) -> bool {
    let mut parts = env::args()
        .skip(1)
        .filter(|part| !part.starts_with("--"))
        .peekable();
    parts.peek().is_none() || parts.any(|part| name.contains(&part))
}

fn check_open_files() -> Result<()> {
    let limits = fs::read_to_string("/proc/self/limits")?;
    let soft = field(&limits, "Max open files")?;
    if soft.parse().is_ok_and(|soft: usize| soft < FILES) {
        return Err(format!("{soft} open files are too few: `ulimit -n {FILES}` first").into());
    }
    Ok(())
}

/// The same load for Switchboard and for socketioxide alone, in turns, and the median of the ratios.
async fn compare_fan_out(name: &str, members: u64, in_flight: u64) -> Result<()> {
    let (mut ours, mut plain, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let one = fan_out(Server::start(MEMORY)?, members, in_flight).await?;
        let other = fan_out(Server::start_plain()?, members, in_flight).await?;
        ratios.push(one.each() / other.each());
        ours.push(one);
        plain.push(other);
    }
    for loads in [&mut ours, &mut plain] {
        loads.sort_by(|one, other| one.each().total_cmp(&other.each()));
    }
    ratios.sort_by(f64::total_cmp);
    println!("{name:<42} {}", ours[ROUNDS / 2]);
    println!("{:<42} {}", "  by io.to(room).emit", plain[ROUNDS / 2]);
    println!("{:<42} {:>8.2}", "  ratio of CPU", ratios[ROUNDS / 2]);
    Ok(())
}

/// CPU time per delivery to members of one room, with some messages on their way at a time.
async fn fan_out(server: Server, members: u64, in_flight: u64) -> Result<Load> {
    let counter = Arc::new(Counter::new(members));
    for number in 0..members {
        let mut member = server.connect(&format!("member-{number}")).await?;
        member.join("room").await?;
        tokio::spawn(member.count(counter.clone()));
    }
    let mut sender = server.connect("sender").await?;
    let packet = format!(r#"42["message",{}]"#, body("room"));
    let (cpu, began) = (server.cpu()?, Instant::now());
    let mut sent: u64 = 0;
    while began.elapsed() < LASTING {
        sender.send(&packet).await?;
        sent += 1;
        counter.reaches((sent + 1).saturating_sub(in_flight)).await;
    }
    counter.reaches(sent).await;
    Ok(Load {
        cpu: server.cpu()? - cpu,
        count: sent * members,
        took: began.elapsed(),
    })
}

/// CPU time per acknowledged message and how long acks take, each sender with a room of its own.
async fn publish(name: &str, store: &[&str], window: usize) -> Result<()> {
    let server = Server::start(store)?;
    let mut senders = Vec::new();
    for number in 0..SENDERS {
        senders.push(server.connect(&format!("sender-{number}")).await?);
    }
    let (cpu, began) = (server.cpu()?, Instant::now());
    let loads = senders.into_iter().enumerate().map(|(number, sender)| {
        tokio::spawn(sender.publish(format!("room-{number}"), window, began + LASTING))
    });
    let mut latencies = Vec::new();
    for of_one in try_join_all(loads).await? {
        latencies.extend(of_one?);
    }
    let load = Load {
        cpu: server.cpu()? - cpu,
        count: latencies.len() as u64,
        took: began.elapsed(),
    };
    latencies.sort_unstable();
    let quantile = |part: usize| {
        let latency = latencies.get(latencies.len() * part / 100);
        latency.map_or(0.0, |latency| latency.as_secs_f64() * 1e3)
    };
    let (median, p99) = (quantile(50), quantile(99));
    println!("{name:<42} {load} {median:>9.2} {p99:>9.2}");
    Ok(())
}

/// Memory per connection that does nothing, and what stays when all have gone.
async fn idle() -> Result<()> {
    let server = Server::start(MEMORY)?;
    drop(server.connect("first").await?);
    tokio::time::sleep(SETTLING).await;
    let before = server.resident()?;
    let mut tasks = Vec::new();
    for number in 0..IDLE {
        let mut member = server.connect(&format!("member-{number}")).await?;
        member.join("room").await?;
        tasks.push(tokio::spawn(member.count(Arc::new(Counter::new(1)))));
    }
    tokio::time::sleep(SETTLING).await;
    let each = (server.resident()? - before) / IDLE as f64;
    println!("idle: {IDLE} connections, {each:.1} kB each");
    tasks.iter().for_each(tokio::task::JoinHandle::abort);
    tokio::time::sleep(SETTLING).await;
    println!(
        "idle: {:.0} kB at the start, {:.0} kB after they have gone",
        before,
        server.resident()?
    );
    Ok(())
}

/// What a load cost the server.
struct Load {
    cpu: Duration,
    count: u64,
    took: Duration,
}

impl Load {
    /// CPU time of one, in µs.
    fn each(&self) -> f64 {
        self.cpu.as_secs_f64() * 1e6 / self.count as f64
    }
}

impl std::fmt::Display for Load {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let each = self.each();
        let rate = self.count as f64 / self.took.as_secs_f64();
        write!(f, "{each:>8.2} {rate:>10.0}")
    }
}

/// The argument of a `message`.
fn body(room: &str) -> String {
    format!(r#"{{"room":"{room}","data":"{}"}}"#, "x".repeat(DATA - 2))
}

/// The value beside `name` in one of the tables of `/proc`.
fn field<'a>(table: &'a str, name: &str) -> Result<&'a str> {
    let line = table.lines().find_map(|line| line.strip_prefix(name));
    line.and_then(|line| line.trim_start_matches(':').split_whitespace().next())
        .ok_or_else(|| format!("/proc says nothing of {name}").into())
}

/// A server in a process of its own, without rates.
struct Server {
    process: Child,
    address: String,
    /// Kept open, or the server could not print.
    _output: BufReader<ChildStdout>,
    _folder: TempDir,
}

impl Server {
    fn start(store: &[&str]) -> Result<Self> {
        let program = env::var_os("SWITCHBOARD_BIN")
            .unwrap_or_else(|| env!("CARGO_BIN_EXE_switchboard").into());
        let mut command = Command::new(program);
        command
            .args(["--listen", "127.0.0.1:0", "--limits-inbox", "8192"])
            .args(["--limits-messages-per-second", "0"])
            .args(["--limits-user-messages-per-second", "0"])
            .args(["--limits-joins-per-second", "0"])
            .args(["--limits-connections-per-user", "0"])
            .args(store);
        Self::run(command)
    }

    /// The server to compare with.
    fn start_plain() -> Result<Self> {
        let mut command = Command::new(env::current_exe()?);
        command.env(PLAIN, "1");
        Self::run(command)
    }

    fn run(mut command: Command) -> Result<Self> {
        let folder = TempDir::new()?;
        let mut process = command
            .current_dir(folder.path())
            .stdout(Stdio::piped())
            .spawn()?;
        let mut output = BufReader::new(process.stdout.take().ok_or("no standard output")?);
        let mut line = String::new();
        output.read_line(&mut line)?;
        let (_, address) = line
            .split_once("http://")
            .ok_or("the server says no address")?;
        Ok(Self {
            address: address.trim().to_owned(),
            process,
            _output: output,
            _folder: folder,
        })
    }

    fn read_proc(&self, file: &str) -> Result<String> {
        Ok(fs::read_to_string(format!(
            "/proc/{}/{file}",
            self.process.id()
        ))?)
    }

    /// CPU time so far, in user space and in the kernel; Linux counts it in hundredths of a second.
    fn cpu(&self) -> Result<Duration> {
        let stat = self.read_proc("stat")?;
        // The command's name may have blanks; utime and stime are the 12th and 13th field behind it.
        let (_, fields) = stat.rsplit_once(')').ok_or("an unknown form of stat")?;
        let mut ticks = 0;
        for field in fields.split_whitespace().skip(11).take(2) {
            ticks += field.parse::<u64>()?;
        }
        Ok(Duration::from_millis(ticks * 10))
    }

    /// Resident memory in kB.
    fn resident(&self) -> Result<f64> {
        Ok(field(&self.read_proc("status")?, "VmRSS")?.parse()?)
    }

    /// Connects to `/` over a WebSocket.
    async fn connect(&self, user: &str) -> Result<Client> {
        let url = format!("ws://{}/socket.io/?EIO=4&transport=websocket", self.address);
        let config = WebSocketConfig::default().read_buffer_size(4096);
        let (socket, _) = connect_async_with_config(url, Some(config), true).await?;
        let mut client = Client(socket);
        client.send(&format!(r#"40{{"user":"{user}"}}"#)).await?;
        client.until(r#"42["session""#).await?;
        Ok(client)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A client that speaks Engine.IO 4 and Socket.IO 5 by hand.
struct Client(WebSocketStream<MaybeTlsStream<TcpStream>>);

impl Client {
    async fn send(&mut self, packet: &str) -> Result<()> {
        Ok(self.0.send(Message::text(packet)).await?)
    }

    /// The next packet; pings are answered.
    async fn packet(&mut self) -> Result<Utf8Bytes> {
        loop {
            match self
                .0
                .next()
                .await
                .ok_or("the server closed a connection")??
            {
                Message::Text(text) if text.as_str() == "2" => self.send("3").await?,
                Message::Text(text) => return Ok(text),
                _ => {}
            }
        }
    }

    /// Waits for a packet that begins so.
    async fn until(&mut self, beginning: &str) -> Result<Utf8Bytes> {
        loop {
            let packet = self.packet().await?;
            if packet.starts_with(beginning) {
                return Ok(packet);
            }
        }
    }

    async fn join(&mut self, room: &str) -> Result<()> {
        self.send(&format!(r#"420["join","{room}"]"#)).await?;
        let ack = self.until("430").await?;
        accepted(&ack)
    }

    /// Counts messages until the connection ends.
    async fn count(mut self, counter: Arc<Counter>) {
        while self.until(r#"42["message""#).await.is_ok() {
            counter.add();
        }
    }

    /// Publishes until `end`, with `window` messages on their way; answers how long each ack took.
    async fn publish(mut self, room: String, window: usize, end: Instant) -> Result<Vec<Duration>> {
        let packet = format!(r#"420["message",{}]"#, body(&room));
        let (mut waiting, mut latencies) = (VecDeque::new(), Vec::new());
        loop {
            while waiting.len() < window && Instant::now() < end {
                waiting.push_back(Instant::now());
                self.send(&packet).await?;
            }
            // Acks of one connection come in order.
            let Some(sent) = waiting.pop_front() else {
                return Ok(latencies);
            };
            let ack = self.until("430").await?;
            accepted(&ack)?;
            latencies.push(sent.elapsed());
        }
    }
}

fn accepted(ack: &str) -> Result<()> {
    if ack.contains(r#""ok":true"#) {
        return Ok(());
    }
    Err(format!("refused: {ack}").into())
}

/// How many messages all members of a room have.
struct Counter {
    members: u64,
    received: AtomicU64,
    grown: Notify,
}

impl Counter {
    fn new(members: u64) -> Self {
        Self {
            members,
            received: AtomicU64::new(0),
            grown: Notify::new(),
        }
    }

    fn add(&self) {
        let received = self.received.fetch_add(1, Ordering::Relaxed) + 1;
        if received.is_multiple_of(self.members) {
            self.grown.notify_one();
        }
    }

    /// Waits until as many messages have been received by all; one waits at a time.
    async fn reaches(&self, messages: u64) {
        while self.received.load(Ordering::Relaxed) < messages * self.members {
            self.grown.notified().await;
        }
    }
}
