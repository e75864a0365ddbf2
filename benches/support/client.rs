//! A client that speaks Engine.IO 4 and Socket.IO 5 by hand, and messages of one size.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use futures_util::{SinkExt, StreamExt};
use tokio::net::TcpStream;
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream, connect_async_with_config,
    tungstenite::{Message, Utf8Bytes, protocol::WebSocketConfig},
};

use super::process::Result;

/// Bytes of a message's data, a JSON string.
const DATA: usize = 128;

/// The argument of a `message`.
pub fn body(room: &str) -> String {
    format!(r#"{{"room":"{room}","data":"{}"}}"#, "x".repeat(DATA - 2))
}

/// A percentile of sorted durations, in ms.
pub fn quantile(sorted: &[Duration], percent: usize) -> f64 {
    let found = sorted.get(sorted.len() * percent / 100);
    found.map_or(0.0, |time| time.as_secs_f64() * 1e3)
}

/// A connection to `/` over a WebSocket.
pub struct Client(WebSocketStream<MaybeTlsStream<TcpStream>>);

impl Client {
    pub async fn connect(address: &str, user: &str) -> Result<Self> {
        let url = format!("ws://{address}/socket.io/?EIO=4&transport=websocket");
        let config = WebSocketConfig::default().read_buffer_size(4096);
        let (socket, _) = connect_async_with_config(url, Some(config), true).await?;
        let mut client = Self(socket);
        client.send(&format!(r#"40{{"user":"{user}"}}"#)).await?;
        client.wait_for(r#"42["session""#).await?;
        Ok(client)
    }

    pub async fn send(&mut self, packet: &str) -> Result<()> {
        Ok(self.0.send(Message::text(packet)).await?)
    }

    /// Returns the next packet; pings are answered.
    async fn packet(&mut self) -> Result<Utf8Bytes> {
        loop {
            let message = self.0.next().await;
            match message.ok_or("the server closed a connection")?? {
                Message::Text(text) if text.as_str() == "2" => self.send("3").await?,
                Message::Text(text) => return Ok(text),
                _ => {}
            }
        }
    }

    /// Waits for a packet with this prefix.
    pub async fn wait_for(&mut self, prefix: &str) -> Result<Utf8Bytes> {
        loop {
            let packet = self.packet().await?;
            if packet.starts_with(prefix) {
                return Ok(packet);
            }
        }
    }

    /// Reads and discards until the connection ends; pings are answered.
    pub async fn drain(mut self) {
        while self.packet().await.is_ok() {}
    }

    pub async fn join(&mut self, room: &str) -> Result<()> {
        self.request("join", room).await
    }

    pub async fn leave(&mut self, room: &str) -> Result<()> {
        self.request("leave", room).await
    }

    async fn request(&mut self, event: &str, room: &str) -> Result<()> {
        self.send(&format!(r#"420["{event}","{room}"]"#)).await?;
        let ack = self.wait_for("430").await?;
        check_ack(&ack)
    }

    /// Publishes until `end`, with at most `window` messages in flight. Returns the latency of each ack.
    pub async fn publish(
        mut self,
        room: String,
        window: usize,
        end: Instant,
    ) -> Result<Vec<Duration>> {
        let packet = Utf8Bytes::from(format!(r#"420["message",{}]"#, body(&room)));
        let (mut in_flight, mut latencies) = (VecDeque::new(), Vec::new());
        loop {
            // In batches: a system call for each would cost more than the server needs for them.
            if in_flight.len() <= window / 2 && Instant::now() < end {
                while in_flight.len() < window {
                    in_flight.push_back(Instant::now());
                    self.0.feed(Message::Text(packet.clone())).await?;
                }
                self.0.flush().await?;
            }
            // Acks of one connection come in order.
            let Some(sent) = in_flight.pop_front() else {
                return Ok(latencies);
            };
            let ack = self.wait_for("430").await?;
            check_ack(&ack)?;
            latencies.push(sent.elapsed());
        }
    }
}

fn check_ack(ack: &str) -> Result<()> {
    if ack.contains(r#""ok":true"#) {
        return Ok(());
    }
    Err(format!("rejected: {ack}").into())
}
