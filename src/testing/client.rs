//! A Socket.IO client for tests: one namespace over one WebSocket.

use std::{
    collections::{HashMap, VecDeque},
    fmt,
    time::Duration,
};

use futures_util::{SinkExt, StreamExt};
use serde::Serialize;
use serde_json::{Value, json};
use tokio::{
    net::TcpStream,
    time::{Instant, timeout, timeout_at},
};
use tokio_tungstenite::{
    WebSocketStream, client_async,
    tungstenite::{self, Message},
};

use super::{
    TestServer,
    packet::{Packet, encode},
};
use crate::{
    model::EventPayload,
    transport::socketio::{encode_ack, encode_event},
};

/// How long a client waits for what it expects.
const PATIENCE: Duration = Duration::from_secs(10);

/// Events that an error shows of those that came instead.
const MAX_SHOWN_EVENTS: usize = 10;

/// Characters that an error shows of each event.
const MAX_SHOWN_CHARS: usize = 100;

/// A client that is connected to one namespace. Events that it receives are kept until they are asked for with
/// [`next`](Self::next). Everything that waits does so for ten seconds at most.
///
/// It answers pings, and events as [`answer`](Self::answer) says, only while it waits for something, so a test has to do so every 20
/// seconds. Bytes in what it receives stay placeholders.
pub struct TestClient {
    socket: WebSocketStream<TcpStream>,
    namespace: String,
    id: String,
    acks: u64,
    events: VecDeque<(String, Vec<Value>)>,
    answers: HashMap<String, Answer>,
}

/// Makes an ack of the arguments of an event.
type Answer = Box<dyn FnMut(&[Value]) -> Result<EventPayload, crate::Error> + Send>;

/// Why a test client did not get what it waited for. `Debug` prints the message, for tests that `unwrap`.
#[derive(thiserror::Error)]
#[non_exhaustive]
pub enum TestClientError {
    /// There is no connection to the server.
    #[error("the connection failed: {0}")]
    Connection(String),
    /// The server refused the namespace; its reason, `{ message, data? }`.
    #[error("the server refused the connection: {0}")]
    Refused(Value),
    /// It did not come in time.
    #[error("{awaited} did not come within 10 s; {instead}")]
    Missing {
        /// What was waited for.
        awaited: String,
        /// What came instead.
        instead: String,
    },
    /// The connection ended before it came.
    #[error("the connection ended before {awaited} came; {instead}")]
    Ended {
        /// What was waited for.
        awaited: String,
        /// What came instead.
        instead: String,
    },
    /// The data of an event cannot be encoded.
    #[error("{0}")]
    Encoding(#[from] crate::Error),
}

impl fmt::Debug for TestClientError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl From<tungstenite::Error> for TestClientError {
    fn from(error: tungstenite::Error) -> Self {
        Self::Connection(error.to_string())
    }
}

impl TestClient {
    /// Connects to `/` with this in `auth`: `{ "user": "alice" }` or `{ "token": "..." }`.
    ///
    /// # Errors
    /// The server refuses the connection.
    pub async fn connect(
        server: &TestServer,
        auth: impl Serialize,
    ) -> Result<Self, TestClientError> {
        Self::connect_to(server, "/", auth).await
    }

    /// Connects to a namespace.
    ///
    /// # Errors
    /// The server refuses the connection.
    pub async fn connect_to(
        server: &TestServer,
        namespace: &str,
        auth: impl Serialize,
    ) -> Result<Self, TestClientError> {
        Self::connect_at(&server.url(server.socketio_path()), namespace, auth).await
    }

    /// Connects to a namespace of whatever server: `url` is where it serves Socket.IO, `http://127.0.0.1:3000/socket.io`.
    ///
    /// # Errors
    /// There is no such server, or it refuses the connection.
    pub async fn connect_at(
        url: &str,
        namespace: &str,
        auth: impl Serialize,
    ) -> Result<Self, TestClientError> {
        let auth = json!(auth).to_string();
        let mut client = Self {
            socket: open(url).await?,
            namespace: namespace.to_owned(),
            id: String::new(),
            acks: 0,
            events: VecDeque::new(),
            answers: HashMap::new(),
        };
        client.send(encode(0, 0, namespace, None, &auth)).await?;
        let reply = client.wait("the answer to CONNECT", |packet| match packet {
            Packet::Connected(reply) => Some(Ok(reply)),
            Packet::Refused(reason) => Some(Err(TestClientError::Refused(reason))),
            _ => None,
        });
        let reply = reply.await??;
        client.id = reply["sid"].as_str().unwrap_or_default().to_owned();
        Ok(client)
    }

    /// The client's `socket.id`.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Sends an event. A tuple is several arguments, `()` is none; bytes are attachments.
    ///
    /// # Errors
    /// The data cannot be encoded, or the connection has ended or takes nothing.
    pub async fn emit<T: Serialize + ?Sized>(
        &mut self,
        event: &str,
        data: &T,
    ) -> Result<(), TestClientError> {
        self.send_event(event, data, None).await
    }

    /// Sends an event and waits for its ack: all of its values.
    ///
    /// # Errors
    /// The data cannot be encoded, the ack does not come in time, or the connection ends before it.
    pub async fn emit_with_ack<T: Serialize + ?Sized>(
        &mut self,
        event: &str,
        data: &T,
    ) -> Result<Vec<Value>, TestClientError> {
        self.acks += 1;
        let number = self.acks;
        self.send_event(event, data, Some(number)).await?;
        let awaited = format!("the ack of {event:?}");
        self.wait(&awaited, |packet| match packet {
            Packet::Ack(found, values) if found == number => Some(values),
            _ => None,
        })
        .await
    }

    /// Answers events of this name whose sender waits for an ack, while this client waits for anything: with what `answer` makes of the
    /// arguments. A tuple is several values. The events are kept for [`next`](Self::next) all the same.
    pub fn answer<T: Serialize>(
        &mut self,
        event: &str,
        mut answer: impl FnMut(&[Value]) -> T + Send + 'static,
    ) {
        let answer: Answer = Box::new(move |arguments| encode_ack(&answer(arguments)));
        self.answers.insert(event.to_owned(), answer);
    }

    /// The arguments of the next event of this name. Other events that come meanwhile are kept.
    ///
    /// # Errors
    /// The event does not come in time, or the connection ends before it. The message says what came instead.
    pub async fn next(&mut self, event: &str) -> Result<Vec<Value>, TestClientError> {
        let kept = self.events.iter().position(|(name, _)| name == event);
        if let Some((_, arguments)) = kept.and_then(|at| self.events.remove(at)) {
            return Ok(arguments);
        }
        let awaited = format!("an event {event:?}");
        self.wait(&awaited, |packet| match packet {
            Packet::Event(name, arguments, _) if name == event => Some(arguments),
            _ => None,
        })
        .await
    }

    /// Leaves the namespace and closes the connection; returns when the server has closed it, too.
    ///
    /// # Errors
    /// The connection has ended already, or does not end in time.
    pub async fn disconnect(mut self) -> Result<(), TestClientError> {
        let disconnect = encode(1, 0, &self.namespace, None, "");
        self.send(disconnect).await?;
        in_time("the end", self.socket.close(None)).await?;
        match self.wait::<()>("the end", |_| None).await {
            Err(TestClientError::Ended { .. }) => Ok(()),
            other => other,
        }
    }

    async fn send_event<T: Serialize + ?Sized>(
        &mut self,
        event: &str,
        data: &T,
        ack: Option<u64>,
    ) -> Result<(), TestClientError> {
        self.send_payload([2, 5], encode_event(event, data)?, ack)
            .await
    }

    /// Sends a packet of one type, or of the other if it has attachments.
    async fn send_payload(
        &mut self,
        [plain, binary]: [u8; 2],
        payload: EventPayload,
        ack: Option<u64>,
    ) -> Result<(), TestClientError> {
        let EventPayload { text, attachments } = payload;
        let kind = if attachments.is_empty() {
            plain
        } else {
            binary
        };
        let packet = encode(kind, attachments.len(), &self.namespace, ack, &text);
        self.send(packet).await?;
        for attachment in attachments {
            in_time(
                "room for bytes",
                self.socket.send(Message::Binary(attachment)),
            )
            .await?;
        }
        Ok(())
    }

    async fn send(&mut self, text: String) -> Result<(), TestClientError> {
        in_time("room for a packet", self.socket.send(Message::text(text))).await
    }

    /// Sends the ack of an event that has an [`answer`](Self::answer).
    async fn send_answer(&mut self, packet: &Packet) -> Result<(), TestClientError> {
        if let Packet::Event(name, arguments, Some(number)) = packet
            && let Some(answer) = self.answers.get_mut(name)
        {
            let payload = answer(arguments)?;
            self.send_payload([3, 6], payload, Some(*number)).await?;
        }
        Ok(())
    }

    /// Waits until `take` takes a packet; keeps the events before it.
    async fn wait<T>(
        &mut self,
        awaited: &str,
        mut take: impl FnMut(Packet) -> Option<T>,
    ) -> Result<T, TestClientError> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let Ok(packet) = timeout_at(deadline, self.receive()).await else {
                return Err(TestClientError::Missing {
                    awaited: awaited.to_owned(),
                    instead: self.instead(),
                });
            };
            let Some(packet) = packet else {
                return Err(TestClientError::Ended {
                    awaited: awaited.to_owned(),
                    instead: self.instead(),
                });
            };
            self.send_answer(&packet).await?;
            let event = match &packet {
                Packet::Event(name, arguments, _) => Some((name.clone(), arguments.clone())),
                _ => None,
            };
            match take(packet) {
                Some(taken) => return Ok(taken),
                None => self.events.extend(event),
            }
        }
    }

    /// The next packet, pings answered; `None` once the connection or the namespace has ended.
    async fn receive(&mut self) -> Option<Packet> {
        loop {
            let Message::Text(text) = self.socket.next().await?.ok()? else {
                continue;
            };
            match Packet::parse(&text, &self.namespace) {
                Packet::Ping => self.send("3".to_owned()).await.ok()?,
                Packet::Disconnected => return None,
                Packet::Open | Packet::Other => {}
                packet => return Some(packet),
            }
        }
    }

    /// The events that were not asked for, in words.
    fn instead(&self) -> String {
        if self.events.is_empty() {
            return "nothing came instead".to_owned();
        }
        let earlier = self.events.len().saturating_sub(MAX_SHOWN_EVENTS);
        let shown: Vec<_> = self.events.iter().skip(earlier).map(shorten).collect();
        let earlier = match earlier {
            0 => String::new(),
            count => format!("{count} others, "),
        };
        format!("instead came: {earlier}{}", shown.join(", "))
    }
}

/// Opens a WebSocket to `http://host:port/path`.
async fn open(url: &str) -> Result<WebSocketStream<TcpStream>, TestClientError> {
    let Some(target) = url.strip_prefix("http://") else {
        let message = format!("{url} does not begin with http://");
        return Err(TestClientError::Connection(message));
    };
    let authority = target.split('/').next().unwrap_or(target);
    let stream = in_time("a connection", async {
        Ok(TcpStream::connect(authority).await?)
    });
    let stream = stream.await?;
    let path = target.trim_end_matches('/');
    let url = format!("ws://{path}/?EIO=4&transport=websocket");
    Ok(in_time("a WebSocket", client_async(url, stream)).await?.0)
}

/// Waits for something of the connection no longer than for anything else.
async fn in_time<T>(
    awaited: &str,
    attempt: impl Future<Output = Result<T, tungstenite::Error>>,
) -> Result<T, TestClientError> {
    match timeout(PATIENCE, attempt).await {
        Ok(done) => Ok(done?),
        Err(_) => Err(TestClientError::Connection(format!(
            "{awaited} did not come within 10 s"
        ))),
    }
}

fn shorten((name, arguments): &(String, Vec<Value>)) -> String {
    let text = format!("{name}{}", json!(arguments));
    match text.char_indices().nth(MAX_SHOWN_CHARS) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}
