//! Everything that a stranger's bytes are read by takes time in proportion to their number: each is given a thousand to a million,
//! a decade apart, through the sockets that it comes by. What is measured is the processor's time of the server's one thread.
#![allow(clippy::unwrap_used, reason = "a test may fail by panic")]

mod support;

use std::time::Duration;

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use futures_util::{SinkExt, StreamExt};
use serde_json::json;
use support::{Raw, Server, config};
use switchboard::{
    auth::{TokenClaims, issue},
    config::{ByteSize, Secret},
    model::{Timestamp, UserId},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    runtime::{Builder, Runtime},
};
use tokio_tungstenite::tungstenite::Message;

const SECRET: &str = "a secret of thirty-two bytes, or more";
const KEY: &str = "the-key-of-the-tests-back-end";

/// What a stranger sends, of about so many bytes.
enum Sent {
    /// A body that is posted to a session by polling of this version, as text or not.
    Polling(u8, bool, Vec<u8>),
    /// Packets of Socket.IO by WebSocket, without and with CONNECT before.
    Packets(bool, Vec<Message>),
    /// A frame on `/ws`.
    Frame(String),
    /// A request: what stands behind its method and in front of its end, and a body.
    Request(&'static str, String, String),
}
use Sent::{Frame, Packets, Polling, Request};

/// A row: what is read, the largest that is sent, and how that is made.
type Row = (&'static str, usize, fn(usize) -> Sent);

const BODY: usize = 1_000_000;
/// Heads and addresses of more are refused.
const HEAD: usize = 60_000;
/// Tokens are longer for nobody.
const TOKEN: usize = 6_000;

fn text(packet: String) -> Sent {
    Packets(true, vec![Message::text(packet)])
}

fn get(path: &str, header: &str, value: &str) -> Sent {
    let head = format!("{path} HTTP/1.1\r\n{header}: {value}");
    Request("GET", head, String::new())
}

fn address(path: &str, query: &str) -> Sent {
    get(&format!("{path}?{query}"), "accept", "*/*")
}

fn post(path: &str, body: String) -> Sent {
    let head = format!("{path} HTTP/1.1\r\ncontent-type: application/json");
    Request("POST", head, body)
}

fn nested(n: usize) -> String {
    format!("{}{}", "[".repeat(n / 2), "]".repeat(n / 2))
}

fn token(n: usize) -> String {
    let mut claims = TokenClaims::for_user(UserId::parse("alice").unwrap());
    claims.aud = vec!["a".to_owned(); n / 6];
    issue(SECRET, &claims, Timestamp::now()).unwrap()
}

fn bearer(token: &str) -> Sent {
    get("/v1/rooms", "authorization", &format!("Bearer {token}"))
}

const ROWS: &[Row] = &[
    ("a payload of Engine.IO 4", BODY, |n| {
        Polling(
            4,
            true,
            ["42/x,[\"a\",1234]"].repeat(n / 16).join("\u{1e}").into(),
        )
    }),
    ("a payload of Engine.IO 3", BODY, |n| {
        Polling(3, true, "15:42/x,[\"ä\",1234]".repeat(n / 18).into())
    }),
    ("a payload of Engine.IO 3 of one long packet", BODY, |n| {
        Polling(
            3,
            true,
            format!("{}:6{}", n / 2, "ä".repeat(n / 2 - 1)).into(),
        )
    }),
    ("a payload of Engine.IO 3 without any length", BODY, |n| {
        Polling(3, true, vec![b'1'; n])
    }),
    ("a payload of bytes", BODY, |n| {
        Polling(
            3,
            false,
            b"\x00\x01\x06\xff42[\"ab\",12345678]".repeat(n / 20),
        )
    }),
    ("base64 in a payload", BODY, |n| {
        Polling(4, true, [b"b".repeat(n / 2), vec![b'='; n / 2]].concat())
    }),
    ("pings in a payload", BODY / 10, |n| {
        Polling(4, true, "3\u{1e}".repeat(n / 2).into())
    }),
    ("the name of an event in escapes", BODY, |n| {
        text(format!("42[\"{}\",1]", "\\u0061".repeat(n / 6)))
    }),
    ("the name of an event with quotation marks", BODY, |n| {
        text(format!("42[\"{}\",1]", "\\\"".repeat(n / 2)))
    }),
    ("the name of an event in digits", BODY, |n| {
        text(format!("42[{},1]", "9".repeat(n)))
    }),
    ("the id of an event", BODY, |n| {
        text(format!("42{}[\"a\"]", "1 ".repeat(n / 2)))
    }),
    ("a namespace", BODY, |n| {
        text(format!("42/{}", "a?/".repeat(n / 3)))
    }),
    ("an event that nests", BODY, |n| {
        text(format!("42[\"message\",{}]", nested(n)))
    }),
    ("an event of many arguments", BODY, |n| {
        text(format!("42[\"a\"{}]", ",1".repeat(n / 2)))
    }),
    ("a request with many fields", BODY, |n| {
        text(format!(
            "42[\"join\",{{{}\"room\":7}}]",
            "\"a\":[],".repeat(n / 7)
        ))
    }),
    ("an id of a message", BODY, |n| {
        text(format!(
            "42[\"message\",{{\"room\":\"r\",\"data\":1,\"id\":\"{}\"}}]",
            "a".repeat(n)
        ))
    }),
    ("a position", BODY, |n| {
        text(format!(
            "42[\"join\",{{\"room\":\"r\",\"since\":\"{}\"}}]",
            "a:1".repeat(n / 3)
        ))
    }),
    ("the number of attachments", BODY, |n| {
        text(format!("45{}-[\"a\"]", "1".repeat(n)))
    }),
    ("placeholders", BODY, |n| {
        let event = format!(
            "451-[\"draw\",[{}7]]",
            "{\"_placeholder\":1,\"num\":0},".repeat(n / 27)
        );
        Packets(true, vec![Message::text(event), Message::binary(vec![1])])
    }),
    ("escapes where placeholders may be", BODY, |n| {
        let event = format!("451-[\"draw\",\"{}\"]", "\\u0041\\\"".repeat(n / 8));
        Packets(true, vec![Message::text(event), Message::binary(vec![1])])
    }),
    ("an ack", BODY, |n| text(format!("431[{}]", nested(n)))),
    ("a CONNECT", BODY, |n| {
        Packets(
            false,
            vec![Message::text(format!(
                "40{{\"token\":\"{}\"}}",
                "a.".repeat(n / 2)
            ))],
        )
    }),
    ("a CONNECT with a token", TOKEN, |n| {
        Packets(
            false,
            vec![Message::text(format!("40{{\"token\":\"{}\"}}", token(n)))],
        )
    }),
    ("a CONNECT in MessagePack", BODY, |n| {
        let packet = [b"\x83\xa4type\x00".to_vec(), b"\xa3nsp\xa3".repeat(n / 5)].concat();
        Packets(false, vec![Message::binary(packet)])
    }),
    ("a CONNECT of a JSON parser", BODY, |n| {
        Packets(
            false,
            vec![Message::text(format!(
                "4{{\"data\":{},\"type\":0,\"nsp\":\"/\"}}",
                nested(n)
            ))],
        )
    }),
    ("an envelope", BODY, |n| {
        Frame(format!(
            "{{{}\"type\":\"text\",\"data\":1}}",
            "\"room\":7,".repeat(n / 9)
        ))
    }),
    ("an envelope that nests", BODY, |n| {
        Frame(format!("{{\"type\":\"text\",\"data\":{}}}", nested(n)))
    }),
    ("a body of REST", BODY, |n| {
        post(
            "/v1/rooms/lobby/messages",
            format!("{{\"data\":{}}}", nested(n)),
        )
    }),
    ("a body of REST of strings", BODY, |n| {
        post(
            "/v1/rooms/lobby/messages",
            format!("{{\"data\":[{}1]}}", "\"\\u0041\",".repeat(n / 9)),
        )
    }),
    ("a batch", BODY, |n| {
        post(
            "/v1/batch",
            format!(
                "{{\"requests\":[{}1]}}",
                "{\"method\":\"GET\",\"path\":\"/\"},".repeat(n / 28)
            ),
        )
    }),
    ("a path in a batch", BODY, |n| {
        post(
            "/v1/batch",
            format!(
                "{{\"requests\":[{{\"method\":\"GET\",\"path\":\"/v1/{}\"}}]}}",
                "%2F/".repeat(n / 4)
            ),
        )
    }),
    ("a list of rooms", HEAD, |n| {
        address("/events", &format!("{}history=x", "room=a&".repeat(n / 7)))
    }),
    ("a query of Engine.IO", HEAD, |n| {
        address("/socket.io/", &"EIO=4&transport=x&".repeat(n / 18))
    }),
    ("escapes in a query", HEAD, |n| {
        address(
            "/events/lobby",
            &format!("since={}&history=x", "%41~".repeat(n / 4)),
        )
    }),
    ("a path", HEAD, |n| {
        get(
            &format!("/v1/rooms/{}", "%2Fa".repeat(n / 4)),
            "accept",
            "*/*",
        )
    }),
    ("cookies", HEAD, |n| {
        get("/v1/rooms", "cookie", &"session=; a=b; ".repeat(n / 15))
    }),
    ("an Authorization", HEAD, |n| bearer(&"a.".repeat(n / 2))),
    ("the header of a token", TOKEN, |n| {
        let header = format!("{{\"alg\":\"HS256\",\"x\":{}}}", nested(n / 2));
        bearer(&format!(
            "{}.e30.c2ln",
            BASE64_URL_SAFE_NO_PAD.encode(header)
        ))
    }),
    ("the claims of a token", TOKEN, |n| bearer(&token(n))),
    ("X-Forwarded-For", HEAD, |n| {
        get("/v1/rooms", "x-forwarded-for", &"1.1.1.1,".repeat(n / 8))
    }),
    ("Forwarded", HEAD, |n| {
        get(
            "/v1/rooms",
            "forwarded",
            &"for=\"a\\\"b\";by=x,".repeat(n / 16),
        )
    }),
    ("X-Forwarded-Host", HEAD, |n| {
        get(
            "/v1/rooms",
            "x-forwarded-host",
            &"a.example:80,".repeat(n / 13),
        )
    }),
    ("an Origin", HEAD, |n| {
        get(
            "/v1/rooms",
            "origin",
            &format!("https://{}", "ab".repeat(n / 2)),
        )
    }),
    ("Last-Event-ID", HEAD, |n| {
        get("/events/lobby", "last-event-id", &"a~1".repeat(n / 3))
    }),
    ("subprotocols", HEAD, |n| {
        get("/ws", "sec-websocket-protocol", &"a,".repeat(n / 2))
    }),
];

/// The server, and a thread of its own that does nothing else.
struct Bench {
    servers: Runtime,
    clients: Runtime,
    server: Server,
}

impl Bench {
    fn new() -> Self {
        let mut config = config();
        config.auth.hmac_secret = Some(Secret::new(SECRET));
        config.auth.api_keys = vec![Secret::new(KEY)].into_iter().collect();
        config.auth.cookie = Some("session".to_owned());
        config.http.origins = vec![
            format!("https://{}.example", "*a*b".repeat(20))
                .parse()
                .unwrap(),
        ]
        .into_iter()
        .collect();
        config.http.trusted_proxies = vec!["127.0.0.0/8".parse().unwrap()].into_iter().collect();
        config.socketio.relay = vec!["draw".parse().unwrap()];
        config.limits.message_bytes = ByteSize::new(2 << 20);
        config.socketio.max_payload = ByteSize::new(3 << 20);
        config.websocket.max_payload = ByteSize::new(3 << 20);
        config.limits.packets_per_second = 0;
        config.limits.auth_failures_per_second = 0;
        let mut threads = Builder::new_multi_thread();
        let servers = threads.worker_threads(1).enable_all().build().unwrap();
        let clients = Builder::new_current_thread().enable_all().build().unwrap();
        let server = servers.block_on(Server::start(config));
        Self {
            servers,
            clients,
            server,
        }
    }

    /// How long the server's thread has had the processor.
    fn time(&self) -> Duration {
        let time = self.servers.spawn(async {
            let times = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
            let run = times.split_once(' ').unwrap().0;
            Duration::from_nanos(run.parse().unwrap())
        });
        self.clients.block_on(time).unwrap()
    }

    /// What the server does for this, the least of several times.
    fn cost(&self, sent: fn(usize) -> Sent, n: usize, times: usize) -> Duration {
        let costs = (0..times).map(|_| {
            let sent = sent(n);
            let before = self.time();
            self.clients.block_on(send(&self.server, sent));
            self.time() - before
        });
        costs.min().unwrap()
    }

    /// Whether ten times as much takes no more than three times what it should.
    fn is_linear(&self, most: usize, sent: fn(usize) -> Sent, times: usize) -> Result<(), String> {
        let costs = [most / 100, most / 10, most].map(|n| self.cost(sent, n, times));
        // What is so short says nothing on a machine that is busy.
        let few = Duration::from_millis(20);
        let linear = costs.windows(2).all(|two| two[1] <= two[0].max(few) * 30);
        match linear {
            true => Ok(()),
            false => Err(format!("{costs:?}")),
        }
    }
}

async fn send(server: &Server, sent: Sent) {
    match sent {
        Polling(protocol, text, body) => {
            let path = format!("/socket.io/?EIO={protocol}&transport=polling");
            let opened = request(server, "GET", &format!("{path} HTTP/1.1"), "").await;
            let sid = opened
                .split_once("\"sid\":\"")
                .unwrap()
                .1
                .split_once('"')
                .unwrap()
                .0;
            let kind = if text {
                "text/plain"
            } else {
                "application/octet-stream"
            };
            let head = format!("{path}&sid={sid} HTTP/1.1\r\ncontent-type: {kind}");
            exchange(server, "POST", &head, &body).await;
        }
        Packets(connected, packets) => {
            let mut raw = match connected {
                true => Raw::connect_with(server, &json!({ "token": token(0) })).await,
                false => Raw::open(server).await,
            };
            for packet in packets {
                raw.try_send(packet).await;
            }
            // Answered, or closed: whatever came before has been read.
            let _ = raw.try_send(Message::text("40/nowhere,")).await;
            while raw
                .text()
                .await
                .is_some_and(|text| !text.starts_with("44/nowhere"))
            {}
        }
        Frame(frame) => {
            let url = format!("ws://{}/ws?token={}", server.address, token(0));
            let (mut socket, _) = tokio_tungstenite::connect_async(url).await.unwrap();
            let _ = socket.send(Message::text(frame)).await;
            while let Some(Ok(message)) = socket.next().await {
                if message
                    .to_text()
                    .is_ok_and(|text| text.contains("\"error\""))
                {
                    break;
                }
            }
        }
        Request(method, head, body) => {
            let head = match head.contains("uthorization") {
                true => head,
                false => format!("{head}\r\nauthorization: Bearer {KEY}"),
            };
            request(server, method, &head, &body).await;
        }
    }
}

async fn request(server: &Server, method: &str, head: &str, body: &str) -> String {
    exchange(server, method, head, body.as_bytes()).await
}

/// One request; its whole answer, if it is let through so far.
async fn exchange(server: &Server, method: &str, head: &str, body: &[u8]) -> String {
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    let (address, length) = (server.address, body.len());
    let head = format!(
        "{method} {head}\r\nhost: {address}\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n"
    );
    let _ = stream.write_all(&[head.as_bytes(), body].concat()).await;
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    String::from_utf8_lossy(&answer).into_owned()
}

#[test]
fn whatever_is_read_of_a_stranger_takes_time_in_proportion_to_its_size() {
    let bench = Bench::new();
    let mut wrong = Vec::new();
    for (what, most, sent) in ROWS {
        // The machine has others to serve, too: once more before anything is said.
        let found = bench.is_linear(*most, *sent, 1);
        if found.is_err()
            && let Err(costs) = bench.is_linear(*most, *sent, 4)
        {
            wrong.push(format!("{what}: {costs}"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}
