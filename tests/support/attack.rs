//! Attacks on a server process by hand-written HTTP, and what they cost it: memory, and the time of a client beside them.

use std::{
    fs,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use switchboard::{
    auth::{Grants, TokenClaims, issue},
    model::{Timestamp, UserId},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::JoinHandle,
    time::timeout,
};

use super::{
    DEADLINE, Raw,
    process::{ServerProcess, resident},
};

const SECRET: &str = "a secret for tests, of 32 bytes or more";
pub const KEY: &str = "the-key-of-the-tests-back-end";

/// Starts a server with a memory store, a secret for tokens and an API key.
pub fn start(environment: &[(&str, &str)]) -> ServerProcess {
    let keys = [
        ("SWITCHBOARD_STORE", "memory"),
        ("SWITCHBOARD_AUTH_HMAC_SECRET", SECRET),
        ("SWITCHBOARD_AUTH_API_KEYS", KEY),
        ("SWITCHBOARD_LOG_FILTER", "error"),
    ];
    ServerProcess::with_environment(&[&keys, environment].concat())
}

impl ServerProcess {
    /// A connection of HTTP/1.1.
    pub async fn dial(&self) -> Http {
        Http {
            stream: TcpStream::connect(self.address).await.unwrap(),
            read: Vec::new(),
        }
    }

    /// What a request is answered that has a connection of its own.
    pub async fn ask(&self, request: &str) -> (u16, String) {
        let mut http = self.dial().await;
        http.send(format!("{request}\r\nHost: a\r\nConnection: close\r\n\r\n").as_bytes())
            .await;
        http.answer().await
    }

    /// A metric's value, by its full name with labels.
    pub async fn metric(&self, name: &str) -> f64 {
        let (_, page) = self.ask("GET /metrics HTTP/1.1").await;
        page.lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '))
            .map_or(0.0, |value| value.parse().unwrap())
    }
}

/// The token of a user who may do everything in rooms that fit the pattern.
pub fn token(user: &str, rooms: &str) -> String {
    let mut claims = TokenClaims::for_user(UserId::parse(user).unwrap());
    let all = json!([{ "match": rooms, "can": ["join", "publish", "history", "presence"] }]);
    claims.rooms = Some(serde_json::from_value::<Grants>(all).unwrap());
    issue(SECRET, &claims, Timestamp::now()).unwrap()
}

/// One connection of HTTP/1.1, every byte of it by hand.
pub struct Http {
    pub stream: TcpStream,
    read: Vec<u8>,
}

impl Http {
    /// Sends as much as is taken; that the server has ended the connection is no failure here.
    pub async fn send(&mut self, bytes: &[u8]) {
        let _ = self.stream.write_all(bytes).await;
    }

    /// The next answer's status and body, empty if the connection ends first.
    pub async fn answer(&mut self) -> (u16, String) {
        let read = timeout(DEADLINE, self.read_answer()).await;
        read.expect("an answer comes in time").unwrap_or_default()
    }

    async fn read_answer(&mut self) -> Option<(u16, String)> {
        let end = loop {
            if let Some(at) = self.read.windows(4).position(|four| four == b"\r\n\r\n") {
                break at + 4;
            }
            self.more().await?;
        };
        let head = String::from_utf8_lossy(&self.read[..end]).to_ascii_lowercase();
        let status = head.split(' ').nth(1)?.parse().ok()?;
        let length = head
            .lines()
            .find_map(|line| line.strip_prefix("content-length: "));
        let length: usize = length.map_or(0, |length| length.parse().unwrap());
        while self.read.len() < end + length {
            self.more().await?;
        }
        let body = String::from_utf8_lossy(&self.read[end..end + length]).into_owned();
        self.read.drain(..end + length);
        Some((status, body))
    }

    async fn more(&mut self) -> Option<()> {
        let read = self.stream.read_buf(&mut self.read).await.ok()?;
        (read > 0).then_some(())
    }
}

/// A client that sends and waits for its acks all the time, and how long it waited at the most.
pub struct Bystander {
    task: JoinHandle<Duration>,
    over: Arc<AtomicBool>,
}

impl Bystander {
    pub async fn begin(server: &ServerProcess) -> Self {
        let auth = json!({ "token": token("bystander", "quiet") });
        let mut client = Raw::connect_at(server.address, &auth).await;
        assert_eq!(client.call("join", json!("quiet")).await["ok"], true);
        let over = Arc::new(AtomicBool::new(false));
        let ends = over.clone();
        let task = tokio::spawn(async move {
            let mut longest = Duration::ZERO;
            while !ends.load(Ordering::Relaxed) {
                let begin = Instant::now();
                let message = json!({ "room": "quiet", "data": "still here" });
                let ack: Value = client.call("message", message).await;
                assert_eq!(ack["ok"], true, "{ack}");
                longest = longest.max(begin.elapsed());
                tokio::time::sleep(Duration::from_millis(30)).await;
            }
            longest
        });
        Self { task, over }
    }

    /// How long it waited for an ack at the most.
    pub async fn end(self) -> Duration {
        self.over.store(true, Ordering::Relaxed);
        self.task.await.expect("the bystander failed")
    }
}

/// Watches the memory of a server.
pub struct Watch {
    before: usize,
    peak: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

impl Watch {
    pub fn begin(server: &ServerProcess) -> Self {
        let before = server.memory();
        let process = server.id();
        let peak = Arc::new(AtomicUsize::new(before));
        let highest = peak.clone();
        let task = tokio::spawn(async move {
            loop {
                highest.fetch_max(resident(process), Ordering::Relaxed);
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        });
        Self { before, peak, task }
    }

    /// By how many bytes the memory grew at the most.
    pub fn end(self) -> usize {
        self.task.abort();
        self.peak.load(Ordering::Relaxed) - self.before
    }
}

/// How much slower this machine is now than it would be with nothing else to do.
pub struct Contention {
    over: Arc<AtomicBool>,
    thread: std::thread::JoinHandle<f64>,
}

impl Contention {
    pub fn begin() -> Self {
        let over = Arc::new(AtomicBool::new(false));
        let ends = over.clone();
        let thread = std::thread::spawn(move || {
            let (begin, mut worked, mut slept) = (Instant::now(), Duration::ZERO, Duration::ZERO);
            while !ends.load(Ordering::Relaxed) {
                let (before, at) = (running(), Instant::now());
                while at.elapsed() < Duration::from_millis(20) {}
                worked += running() - before;
                let at = Instant::now();
                std::thread::sleep(Duration::from_millis(60));
                slept += at.elapsed();
            }
            let busy = begin.elapsed() - slept;
            (busy.as_secs_f64() / worked.as_secs_f64().max(0.001)).max(1.0)
        });
        Self { over, thread }
    }

    pub fn end(self) -> f64 {
        self.over.store(true, Ordering::Relaxed);
        self.thread.join().unwrap()
    }
}

/// How long the calling thread has had a processor.
fn running() -> Duration {
    let schedule = fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    Duration::from_nanos(schedule.split(' ').next().unwrap().parse().unwrap())
}
