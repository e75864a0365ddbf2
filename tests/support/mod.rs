//! Shared by the tests: a server in this process on a port of its own, and a raw Socket.IO client that shows every
//! byte.
#![allow(
    dead_code,
    clippy::unwrap_used,
    reason = "each test file uses its part; a test may fail by panic"
)]

use std::{net::SocketAddr, time::Duration};

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use switchboard::{
    App,
    app::AppBuilder,
    config::{Config, Store},
    hub::Hub,
};
use tokio::{net::TcpListener, net::TcpStream, sync::oneshot, task::JoinHandle};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, tungstenite::Message};

pub mod attack;
pub mod certificates;
#[path = "../../src/backend/redis/testing/port.rs"]
pub mod port;
pub mod process;
pub mod redis;
pub mod rest;

/// The longest wait for a condition.
pub const DEADLINE: Duration = Duration::from_secs(20);

/// A configuration for tests: in memory, without rates.
pub fn config() -> Config {
    let mut config = Config {
        store: Some(Store::Memory),
        ..Config::default()
    };
    config.limits.messages_per_second = 0;
    config.limits.user_messages_per_second = 0;
    config.limits.joins_per_second = 0;
    config.limits.user_joins_per_second = 0;
    config.limits.inbox = 8192;
    config.drain.over = Some(Duration::from_millis(50));
    config
}

/// A server that runs in this process.
pub struct Server {
    pub address: SocketAddr,
    pub hub: Hub,
    stop: Option<oneshot::Sender<()>>,
    running: JoinHandle<()>,
}

impl Server {
    pub async fn start(config: Config) -> Self {
        Self::start_with(App::builder(config)).await
    }

    pub async fn start_with(builder: AppBuilder) -> Self {
        Self::run(builder.build().await.unwrap()).await
    }

    pub async fn run(app: App) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let hub = app.hub().clone();
        let running = tokio::spawn(app.run(listener, async { drop(stopped.await) }));
        Self {
            address,
            hub,
            stop: Some(stop),
            running,
        }
    }

    /// Stops in order and waits for the end.
    pub async fn stop(mut self) {
        drop(self.stop.take());
        tokio::time::timeout(DEADLINE, &mut self.running)
            .await
            .expect("the server stops in time")
            .unwrap();
    }

    /// Waits until the server has ended by itself.
    pub async fn ended(mut self) {
        let ended = tokio::time::timeout(DEADLINE, &mut self.running).await;
        ended.expect("the server ends in time").unwrap();
    }

    /// Lets go of a server that runs, as an application does that has no more use for it.
    pub async fn abandon(self) {
        self.running.abort();
        let _ = self.running.await;
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// One metric's value, by its full name with labels.
    pub fn metric(&self, name: &str) -> f64 {
        let page = self.hub.metrics().render();
        page.lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '))
            .map_or(0.0, |value| value.parse().unwrap())
    }
}

/// Waits until `condition` holds.
pub async fn eventually(what: &str, mut condition: impl AsyncFnMut() -> bool) {
    let waited = tokio::time::timeout(DEADLINE, async {
        while !condition().await {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
    assert!(waited.await.is_ok(), "never came true: {what}");
}

/// A client that speaks Engine.IO 4 and Socket.IO 5 over a WebSocket by hand.
pub struct Raw {
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
    acks: u64,
    /// What CONNECT was answered.
    pub reply: Value,
    /// Events that came while something else was waited for.
    pub events: Vec<Vec<Value>>,
}

impl Raw {
    /// Opens a transport, without CONNECT.
    pub async fn open(server: &Server) -> Self {
        Self::open_at(server.address).await
    }

    /// Opens a transport with more in its query, without CONNECT.
    pub async fn open_with(server: &Server, query: &str) -> Self {
        Self::open_url(server.address, query).await
    }

    /// Opens a transport to whatever server, without CONNECT.
    pub async fn open_at(address: SocketAddr) -> Self {
        Self::open_url(address, "").await
    }

    async fn open_url(address: SocketAddr, query: &str) -> Self {
        let url = format!("ws://{address}/socket.io/?EIO=4&transport=websocket{query}");
        let (socket, _) = tokio_tungstenite::connect_async(url).await.unwrap();
        let mut raw = Self {
            socket,
            acks: 0,
            reply: Value::Null,
            events: Vec::new(),
        };
        assert!(raw.text().await.unwrap().starts_with("0{"));
        raw
    }

    /// Connects to `/` as `user`.
    pub async fn connect(server: &Server, user: &str) -> Self {
        Self::connect_with(server, &json!({ "user": user })).await
    }

    /// Connects to `/` with this in `auth`.
    pub async fn connect_with(server: &Server, auth: &Value) -> Self {
        Self::connect_at(server.address, auth).await
    }

    /// Connects to `/` of whatever server with this in `auth`.
    pub async fn connect_at(address: SocketAddr, auth: &Value) -> Self {
        let mut raw = Self::open_at(address).await;
        raw.send(&format!("40{auth}")).await;
        let reply = raw.text().await.unwrap();
        raw.reply = serde_json::from_str(reply.strip_prefix("40").unwrap()).unwrap();
        raw.event("session").await;
        raw
    }

    pub async fn send(&mut self, text: &str) {
        self.socket.send(Message::text(text)).await.unwrap();
    }

    /// Sends several texts in one piece.
    pub async fn send_together(&mut self, texts: &[&str]) {
        for text in texts {
            self.socket.feed(Message::text(*text)).await.unwrap();
        }
        self.socket.flush().await.unwrap();
    }

    /// Sends whatever it is; a closed connection is no failure here.
    pub async fn try_send(&mut self, message: Message) -> bool {
        self.socket.send(message).await.is_ok()
    }

    /// Closes the transport.
    pub async fn end(&mut self) {
        let _ = self.socket.close(None).await;
    }

    /// The next text, pings answered; `None` when the connection has ended.
    pub async fn text(&mut self) -> Option<String> {
        loop {
            let next = tokio::time::timeout(DEADLINE, self.socket.next())
                .await
                .expect("something comes in time");
            match next {
                Some(Ok(Message::Text(text))) if text.as_str() == "2" => self.send("3").await,
                Some(Ok(Message::Text(text))) => return Some(text.to_string()),
                Some(Ok(Message::Close(_)) | Err(_)) | None => return None,
                Some(Ok(_)) => {}
            }
        }
    }

    /// Waits for an event of this name, and keeps the others.
    pub async fn event(&mut self, name: &str) -> Vec<Value> {
        if let Some(at) = self.events.iter().position(|event| event[0] == name) {
            return self.events.remove(at);
        }
        loop {
            let text = self.text().await.expect("the connection holds");
            let Some(event) = text.strip_prefix("42") else {
                continue;
            };
            let event: Vec<Value> = serde_json::from_str(without_ack(event)).unwrap();
            if event[0] == name {
                return event;
            }
            self.events.push(event);
        }
    }

    /// Sends an event that asks for an ack; answers the ack's number.
    pub async fn ask(&mut self, event: &str, argument: &Value) -> u64 {
        self.acks += 1;
        let number = self.acks;
        self.send(&format!("42{number}{}", json!([event, argument])))
            .await;
        number
    }

    /// Sends an event as its array is written, and waits for all values of its ack.
    pub async fn ack_of(&mut self, array: &str) -> Value {
        self.acks += 1;
        let number = self.acks;
        self.send(&format!("42{number}{array}")).await;
        loop {
            let text = self.text().await.expect("the connection holds");
            if let Some(event) = text.strip_prefix("42") {
                self.events
                    .push(serde_json::from_str(without_ack(event)).unwrap());
            } else if let Some(ack) = text.strip_prefix(&format!("43{number}[")) {
                return serde_json::from_str(&format!("[{ack}")).unwrap();
            }
        }
    }

    /// Waits for the ack of a number, and keeps the events that come before it.
    pub async fn ack(&mut self, number: u64) -> Value {
        loop {
            let text = self.text().await.expect("the connection holds");
            if let Some(event) = text.strip_prefix("42") {
                self.events
                    .push(serde_json::from_str(without_ack(event)).unwrap());
            } else if let Some(ack) = text.strip_prefix(&format!("43{number}")) {
                let [answer]: [Value; 1] = serde_json::from_str(ack).unwrap();
                return answer;
            }
        }
    }

    /// Sends an event and waits for its ack.
    pub async fn call(&mut self, event: &str, argument: Value) -> Value {
        let number = self.ask(event, &argument).await;
        self.ack(number).await
    }
}

/// An event's array, without the number of the ack that the server may ask for.
fn without_ack(event: &str) -> &str {
    event.trim_start_matches(|c: char| c.is_ascii_digit())
}
