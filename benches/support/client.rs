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

/// Of times that were sorted, the one that so many percent are no longer than, in ms.
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
        client.until(r#"42["session""#).await?;
        Ok(client)
    }

    pub async fn send(&mut self, packet: &str) -> Result<()> {
        Ok(self.0.send(Message::text(packet)).await?)
    }

    /// The next packet; pings are answered.
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

    /// Waits for a packet that begins so.
    pub async fn until(&mut self, beginning: &str) -> Result<Utf8Bytes> {
        loop {
            let packet = self.packet().await?;
            if packet.starts_with(beginning) {
                return Ok(packet);
            }
        }
    }

    /// Reads on, so that pings are answered and nothing waits, until the connection ends.
    pub async fn read_on(mut self) {
        while self.packet().await.is_ok() {}
    }

    pub async fn join(&mut self, room: &str) -> Result<()> {
        self.send(&format!(r#"420["join","{room}"]"#)).await?;
        let ack = self.until("430").await?;
        accepted(&ack)
    }

    /// Publishes until `end`, with `window` messages on their way at most; answers how long each ack took.
    pub async fn publish(
        mut self,
        room: String,
        window: usize,
        end: Instant,
    ) -> Result<Vec<Duration>> {
        let packet = Utf8Bytes::from(format!(r#"420["message",{}]"#, body(&room)));
        let (mut waiting, mut latencies) = (VecDeque::new(), Vec::new());
        loop {
            // Several at once: a call of the system for each would cost more than the server needs for them.
            if waiting.len() <= window / 2 && Instant::now() < end {
                while waiting.len() < window {
                    waiting.push_back(Instant::now());
                    self.0.feed(Message::Text(packet.clone())).await?;
                }
                self.0.flush().await?;
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
