//! Documents over REST: what back ends read and change while clients of Yjs have them open.
#![allow(clippy::unwrap_used, reason = "a test may fail by panic")]

mod support;

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use support::{
    DEADLINE, Server, config, eventually,
    redis::Redis,
    rest::{Answer, ApiClient, KEY},
};
use switchboard::{
    auth::{Grants, TokenClaims, issue},
    config::{ByteSize, Config, Secret},
    model::{Timestamp, UserId},
};
use tokio::net::TcpStream;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, tungstenite::Message};
use yrs::{
    Doc, GetString, ReadTxn, StateVector, Text, TextRef, Transact, Update,
    updates::{decoder::Decode, encoder::Encode},
};

const SECRET: &str = "a secret for tests, of 32 bytes or more";
const BINARY: &str = "application/octet-stream";

async fn server() -> (Server, ApiClient) {
    server_of(config()).await
}

async fn server_of(mut config: Config) -> (Server, ApiClient) {
    config.auth.api_keys = vec![Secret::new(KEY)];
    let server = Server::start(config).await;
    let api = ApiClient::new(&server, Some(KEY));
    (server, api)
}

/// A document that somebody edits.
struct Editor {
    doc: Doc,
    text: TextRef,
}

impl Editor {
    fn new(client: u64) -> Self {
        let doc = Doc::with_client_id(client);
        let text = doc.get_or_insert_text("text");
        Self { doc, text }
    }

    /// Types at the end; returns the update.
    fn types(&self, text: &str) -> Vec<u8> {
        let mut change = self.doc.transact_mut();
        self.text.push(&mut change, text);
        change.encode_update_v1()
    }

    /// Everything as one update.
    fn all(&self) -> Vec<u8> {
        let state = StateVector::default();
        self.doc.transact().encode_state_as_update_v1(&state)
    }

    fn state_vector(&self) -> String {
        let state_vector = self.doc.transact().state_vector().encode_v1();
        BASE64_URL_SAFE_NO_PAD.encode(state_vector)
    }

    fn apply(&self, update: &[u8]) {
        let update = Update::decode_v1(update).unwrap();
        self.doc.transact_mut().apply_update(update).unwrap();
    }

    fn text(&self) -> String {
        self.text.get_string(&self.doc.transact())
    }
}

/// The text of a document as it is stored.
async fn stored_text(api: &ApiClient, doc: &str) -> String {
    let state = api.get(&format!("/v1/documents/{doc}/state")).await;
    assert_eq!(state.status, 200, "{}", state.text);
    assert_eq!(state.headers["content-type"], BINARY);
    let reader = Editor::new(99);
    reader.apply(&state.bytes);
    reader.text()
}

async fn post(api: &ApiClient, doc: &str, update: impl Into<reqwest::Body>) -> Answer {
    api.send_as(&format!("/v1/documents/{doc}/updates"), BINARY, update)
        .await
}

/// A client of y-websocket, by hand.
struct Client(WebSocketStream<MaybeTlsStream<TcpStream>>);

impl Client {
    /// Opens a document, and waits until the server has it open.
    async fn open(server: &Server, doc: &str) -> Self {
        let url = format!("ws://{}/yjs/{doc}", server.address);
        let (socket, _) = tokio_tungstenite::connect_async(url).await.unwrap();
        let mut client = Self(socket);
        client.message(0).await;
        client
    }

    /// The content of the next message about the document of a kind: 0 a state vector, 2 an update.
    async fn message(&mut self, kind: u8) -> Bytes {
        loop {
            let next = tokio::time::timeout(DEADLINE, self.0.next()).await;
            let message = next.expect("something comes in time").unwrap().unwrap();
            if let Message::Binary(frame) = message
                && frame.starts_with(&[0, kind])
            {
                let length = frame[2..].iter().take_while(|byte| **byte >= 0x80).count();
                return frame.slice(3 + length..);
            }
        }
    }

    /// Sends a short message about the document.
    async fn send(&mut self, kind: u8, content: &[u8]) {
        let length = u8::try_from(content.len()).unwrap();
        assert!(length < 0x80);
        let frame = [&[0, kind, length], content].concat();
        self.0.send(Message::binary(frame)).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_back_end_changes_and_reads_a_document_that_clients_have_open() {
    let (server, api) = server().await;
    let editor = Editor::new(1);
    let doc = "team%2Fnotes";
    let path = format!("/v1/documents/{doc}");
    let mut client = Client::open(&server, "team/notes").await;
    api.get(&path).await.is(404);

    let before = Timestamp::now();
    let update = editor.types("Hello");
    let first = post(&api, doc, update.clone()).await.is(201);
    assert_eq!(first["document"], "team/notes");
    assert_eq!(client.message(2).await, update);
    client.send(2, &editor.types(", world")).await;
    eventually("both updates are stored", async || {
        api.get(&path).await.is(200)["updates"] == 2
    })
    .await;
    let info = api.get(&path).await.is(200);
    assert_eq!(
        (&info["document"], &info["clients"], &info["last"]),
        (
            &json!("team/notes"),
            &json!(1),
            &json!(first["number"].as_u64().unwrap() + 1)
        )
    );
    assert!(info["bytes"].as_u64().unwrap() > 20, "{info}");
    assert!(info["changed"].as_u64().unwrap() >= before.0, "{info}");
    assert_eq!(stored_text(&api, doc).await, "Hello, world");

    let late = Editor::new(2);
    late.apply(&update);
    let vector = late.state_vector();
    let missing = api
        .get(&format!("{path}/state?state_vector={vector}"))
        .await;
    assert!(!missing.text.contains("Hello"), "{}", missing.text);
    late.apply(&missing.bytes);
    assert_eq!(late.text(), "Hello, world");
    let nothing = format!("{path}/state?state_vector={}", editor.state_vector());
    assert_eq!(api.get(&nothing).await.bytes, [0, 0].as_slice());

    let empty = post(&api, doc, vec![0, 0]).await.is(200);
    assert_eq!(empty, json!({ "document": "team/notes" }));
    let deleted = api.delete(&path).await.is(200);
    assert_eq!(deleted, json!({ "document": "team/notes", "clients": 1 }));
    api.delete(&path).await.is(404);
    for path in [path.clone(), format!("{path}/state")] {
        assert_eq!(api.get(&path).await.is(404)["code"], "not_found");
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_clients_have_open_when_it_is_deleted_they_store_again_once_they_are_back() {
    let (server, api) = server().await;
    let editor = Editor::new(1);
    let mut client = Client::open(&server, "notes").await;
    post(&api, "notes", editor.types("Hello")).await.is(201);
    client.message(2).await;
    api.delete("/v1/documents/notes").await.is(200);
    client.send(2, &editor.types(", world")).await;
    eventually("the document begins again", async || {
        api.get("/v1/documents/notes").await.status == 200
    })
    .await;
    // What it follows is gone.
    assert_eq!(stored_text(&api, "notes").await, "");
    drop(client);
    let mut client = Client::open(&server, "notes").await;
    client.send(1, &editor.all()).await;
    eventually("the document is whole again", async || {
        stored_text(&api, "notes").await == "Hello, world"
    })
    .await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bodies_that_are_no_updates_or_too_large_are_refused_and_nothing_is_stored() {
    let mut config = config();
    config.documents.update_bytes = ByteSize::new(1000);
    config.documents.bytes = ByteSize::new(1500);
    let (server, api) = server_of(config).await;
    let garbage: [&[u8]; 6] = [b"", b"\0", b"{}", &[0, 0, 0], &[255; 900], &[1; 900]];
    for body in garbage {
        let refused = post(&api, "notes", body).await.is(400);
        assert_eq!(refused["code"], "bad_request");
        assert!(
            refused["message"]
                .as_str()
                .unwrap()
                .contains("update of Yjs"),
            "{refused}"
        );
    }
    let updates = "/v1/documents/notes/updates";
    let large = Editor::new(1).types(&"x".repeat(1000));
    let refused = post(&api, "notes", large.clone()).await.is(413);
    assert_eq!(refused["code"], "too_large");
    assert!(
        refused["message"]
            .as_str()
            .unwrap()
            .contains("documents.update_bytes"),
        "{refused}"
    );
    for kind in ["text/plain", "application/json", ""] {
        api.send_as(updates, kind, vec![0, 0]).await.is(415);
    }
    let compressed = api.with_header("content-encoding", "gzip");
    compressed
        .send_as(updates, BINARY, vec![0, 0])
        .await
        .is(415);
    api.get("/v1/documents/notes").await.is(404);

    let half = Editor::new(1).types(&"x".repeat(900));
    post(&api, "full", half.clone()).await.is(201);
    let refused = post(&api, "full", half).await.is(413);
    assert!(
        refused["message"]
            .as_str()
            .unwrap()
            .contains("documents.bytes"),
        "{refused}"
    );
    for address in [
        "/v1/documents/a%20b",
        "/v1/documents/%FF",
        "/v1/documents/full/state?state_vector=!",
        "/v1/documents/full/state?state_vector=AQ",
        "/v1/documents?limit=0",
        "/v1/documents?limit=1001",
        "/v1/documents?cursor=a%20b",
        &format!("/v1/documents?prefix={}", "x".repeat(134)),
    ] {
        assert_eq!(api.get(address).await.is(400)["code"], "bad_request");
    }
    server.stop().await;
}

/// A body without an end.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_that_does_not_say_how_long_it_is_is_read_up_to_the_limit() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let mut config = config();
    config.documents.update_bytes = ByteSize::new(1000);
    let (server, _) = server_of(config).await;
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    let head = format!(
        "POST /v1/documents/notes/updates HTTP/1.1\r\nhost: {}\r\nauthorization: Bearer {KEY}\r\n\
         content-type: {BINARY}\r\ntransfer-encoding: chunked\r\n\r\n",
        server.address
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    for _ in 0..11 {
        let chunk = format!("64\r\n{}\r\n", "\u{1}".repeat(100));
        stream.write_all(chunk.as_bytes()).await.unwrap();
    }
    let mut answer = [0; 12];
    let read = tokio::time::timeout(DEADLINE, stream.read_exact(&mut answer)).await;
    read.expect("it is answered in time").unwrap();
    assert_eq!(&answer, b"HTTP/1.1 413");
    server.stop().await;
}

fn token(rooms: &str) -> String {
    let mut claims = TokenClaims::for_user(UserId::parse("alice").unwrap());
    claims.rooms = Some(Grants::parse(rooms).unwrap());
    issue(SECRET, &claims, Timestamp::now()).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_user_reads_and_changes_what_its_grants_say_and_lists_and_deletes_nothing() {
    let mut config = config();
    config.auth.hmac_secret = Some(Secret::new(SECRET));
    let (server, api) = server_of(config).await;
    let editor = Editor::new(1);
    post(&api, "notes", editor.types("a")).await.is(201);
    let of = |rooms: &str| ApiClient::new(&server, Some(&token(rooms)));
    let (reader, writer) = (of("notes=read"), of("notes=write"));
    let reads = ["/v1/documents/notes", "/v1/documents/notes/state"];
    for path in reads {
        assert_eq!(reader.get(path).await.status, 200, "{path}");
        for other in [
            &writer,
            &of("other=read"),
            &of("notes=join,publish,history"),
        ] {
            assert_eq!(other.get(path).await.is(403)["code"], "forbidden", "{path}");
        }
        ApiClient::new(&server, None).get(path).await.is(401);
    }
    post(&writer, "notes", editor.types("b")).await.is(201);
    for other in [
        &reader,
        &of("other=write"),
        &of("notes=join,publish,history"),
    ] {
        post(other, "notes", editor.types("c")).await.is(403);
    }
    for user in [&reader, &writer, &of("*=read,write")] {
        user.delete("/v1/documents/notes").await.is(403);
        user.get("/v1/documents").await.is(403);
        // What does not exist and what may not be read look the same.
        user.get("/v1/documents/user:bob").await.is(403);
    }
    assert_eq!(stored_text(&api, "notes").await, "ab");
    let page = api.with_header("origin", "https://evil.example");
    assert_eq!(page.get("/v1/documents").await.status, 403);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn documents_are_listed_by_name_page_by_page() {
    let (server, api) = server().await;
    assert_eq!(
        api.get("/v1/documents").await.is(200),
        json!({ "documents": [] })
    );
    for doc in ["b", "a", "team%2F1", "team%2F2", "c"] {
        post(&api, doc, Editor::new(1).types("x")).await.is(201);
    }
    let names = |page: &Value| -> Vec<String> {
        let documents = page["documents"].as_array().unwrap().iter();
        documents
            .map(|each| each["document"].as_str().unwrap().to_owned())
            .collect()
    };
    let (mut all, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = api.get(&format!("/v1/documents?limit=2{cursor}")).await;
        let page = page.is(200);
        assert!(names(&page).len() <= 2);
        all.extend(names(&page));
        let Some(next) = page["next"].as_str() else {
            break;
        };
        cursor = format!("&cursor={next}");
    }
    assert_eq!(all, ["a", "b", "c", "team/1", "team/2"]);
    let team = api.get("/v1/documents?prefix=team/&limit=2").await.is(200);
    assert_eq!(names(&team), ["team/1", "team/2"]);
    assert!(team.get("next").is_none());
    let each = &team["documents"][0];
    assert_eq!((&each["updates"], &each["clients"]), (&json!(1), &json!(0)));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_only_a_back_end_writes_is_compacted() {
    let (server, api) = server().await;
    let editor = Editor::new(1);
    for _ in 0..520 {
        post(&api, "log", editor.types("x")).await.is(201);
    }
    eventually("it is compacted", async || {
        api.get("/v1/documents/log").await.is(200)["updates"]
            .as_u64()
            .unwrap()
            < 500
    })
    .await;
    assert_eq!(stored_text(&api, "log").await, "x".repeat(520));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_has_the_calls_about_documents_that_are_json() {
    let (server, api) = server().await;
    post(&api, "notes", Editor::new(1).types("x")).await.is(201);
    let call = |method: &str, path: &str| json!({ "method": method, "path": path });
    let batch = json!({ "requests": [
        call("GET", "/v1/documents"),
        call("GET", "/v1/documents/notes/state"),
        call("POST", "/v1/documents/notes/updates"),
        call("DELETE", "/v1/documents/notes"),
        call("GET", "/v1/documents/notes"),
    ] });
    let answer = api.post("/v1/batch", &batch).await.is(200);
    let statuses: Vec<_> = answer["responses"]
        .as_array()
        .unwrap()
        .iter()
        .map(|each| each["status"].as_u64().unwrap())
        .collect();
    assert_eq!(statuses, [200, 404, 404, 200, 404]);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_to_one_node_reaches_the_clients_of_another_and_a_deleted_document_is_gone_on_both()
{
    let redis = Redis::start().await;
    let (one, to_one) = server_of(redis.node()).await;
    let (two, to_two) = server_of(redis.node()).await;
    let mut client = Client::open(&two, "notes").await;
    let update = Editor::new(1).types("old");
    post(&to_one, "notes", update.clone()).await.is(201);
    assert_eq!(client.message(2).await, update);
    assert_eq!(stored_text(&to_two, "notes").await, "old");
    to_one.delete("/v1/documents/notes").await.is(200);
    to_two.get("/v1/documents/notes/state").await.is(404);
    post(&to_one, "notes", Editor::new(2).types("new"))
        .await
        .is(201);
    // The other node has had it merged.
    assert_eq!(stored_text(&to_two, "notes").await, "new");
    for server in [one, two] {
        server.stop().await;
    }
}
