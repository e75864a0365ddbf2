//! A server whose router an application serves itself, with axum's own server and a layer around everything.
#![allow(clippy::unwrap_used, reason = "a test may fail by panic")]

mod support;

use std::net::SocketAddr;

use axum::{
    Router,
    body::Body,
    extract::{ConnectInfo, Request},
    middleware::{Next, from_fn},
    response::Response,
    routing::get,
};
use futures_util::{SinkExt, StreamExt};
use http::{HeaderValue, StatusCode};
use serde_json::{Value, json};
use support::{DEADLINE, Raw, config, eventually};
use switchboard::{
    App, AppHandle,
    config::{Config, Store},
    hub::{Hub, Publish},
    model::{Namespace, RoomName},
    testing::TestClient,
};
use tokio::{net::TcpListener, net::TcpSocket, sync::oneshot, task::JoinHandle};
use tokio_tungstenite::tungstenite::{Message, client::IntoClientRequest};
use tower::ServiceExt;

/// A server behind `axum::serve`.
struct Served {
    address: SocketAddr,
    hub: Hub,
    handle: AppHandle,
    stop: oneshot::Sender<()>,
    serving: JoinHandle<()>,
}

impl Served {
    async fn start(config: Config) -> Self {
        let builder =
            App::builder(config).routes(|_, _| Router::new().route("/own", get(async || "own")));
        let app = builder.build().await.unwrap();
        let hub = app.hub().clone();
        let (router, handle) = app.into_router();
        let router = router.layer(from_fn(around_all));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel();
        let service = router.into_make_service_with_connect_info::<SocketAddr>();
        let serving = tokio::spawn(async move {
            let server = axum::serve(listener, service);
            let stopped = async { drop(stopped.await) };
            server.with_graceful_shutdown(stopped).await.unwrap();
        });
        Self {
            address,
            hub,
            handle,
            stop,
            serving,
        }
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    async fn stop(self) {
        self.handle.shutdown().await;
        drop(self.stop);
        let ended = tokio::time::timeout(DEADLINE, self.serving);
        ended.await.expect("axum's server stops in time").unwrap();
    }

    async fn send(&self, text: &str) {
        let publish = Publish::new(RoomName::parse("lobby").unwrap(), "message", &text).unwrap();
        let namespace = Namespace::root();
        let sent = self.hub.publish_as(&namespace, publish, None).await;
        sent.unwrap().settled().await.unwrap();
    }
}

/// A layer of the application's around everything.
async fn around_all(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let mark = HeaderValue::from_static("here");
    response.headers_mut().insert("x-around", mark);
    response
}

async fn connect(served: &Served, user: &str) -> Raw {
    Raw::connect_at(served.address, &json!({ "user": user })).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_routes_are_served_within_a_layer_around_everything() {
    let served = Served::start(config()).await;
    for (path, status) in [
        ("/own", StatusCode::OK),
        ("/healthz", StatusCode::OK),
        ("/v1/rooms", StatusCode::OK),
        ("/elsewhere", StatusCode::NOT_FOUND),
    ] {
        let answer = reqwest::get(served.url(path)).await.unwrap();
        assert_eq!(answer.status(), status, "{path}");
        assert_eq!(answer.headers()["x-around"], "here", "{path}");
        assert_eq!(
            answer.headers()["x-content-type-options"],
            "nosniff",
            "{path}"
        );
    }
    served.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_websocket_joins_and_receives() {
    let served = Served::start(config()).await;
    let mut alice = connect(&served, "alice").await;
    alice.call("join", json!("lobby")).await;
    served.send("hello").await;
    assert_eq!(alice.event("message").await[1]["data"], "hello");
    served.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_polls_and_upgrades() {
    let served = Served::start(config()).await;
    let client = reqwest::Client::new();
    let path = "/socket.io/?EIO=4&transport=polling";
    let text = async |request: reqwest::RequestBuilder| {
        let answer = request.send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK);
        answer.text().await.unwrap()
    };
    let open = text(client.get(served.url(path))).await;
    let open: Value = serde_json::from_str(open.strip_prefix('0').unwrap()).unwrap();
    let sid = open["sid"].as_str().unwrap();
    let polling = served.url(&format!("{path}&sid={sid}"));
    let connect = client.post(&polling).body(r#"40{"user":"alice"}"#);
    assert_eq!(text(connect).await, "ok");
    let mut received = String::new();
    while !received.contains("session") {
        received += &text(client.get(&polling)).await;
    }
    assert!(received.starts_with("40{"), "{received}");

    let url = format!(
        "ws://{}/socket.io/?EIO=4&transport=websocket&sid={sid}",
        served.address
    );
    let (mut socket, _) = tokio_tungstenite::connect_async(url).await.unwrap();
    for (sent, answer) in [
        ("2probe", Some("3probe")),
        ("5", None),
        (r#"421["join","lobby"]"#, Some("431[")),
    ] {
        socket.send(Message::text(sent)).await.unwrap();
        let Some(answer) = answer else { continue };
        let answered = async {
            loop {
                match socket.next().await.unwrap().unwrap() {
                    Message::Text(text) if text.starts_with(answer) => return,
                    _ => {}
                }
            }
        };
        let answered = tokio::time::timeout(DEADLINE, answered).await;
        assert!(answered.is_ok(), "no answer to {sent}");
    }
    served.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_stream_receives_and_ends_with_the_server() {
    let served = Served::start(config()).await;
    let stream = reqwest::get(served.url("/events/lobby")).await.unwrap();
    assert_eq!(stream.status(), StatusCode::OK);
    eventually("the stream is connected", async || {
        !served.hub.connections().is_empty()
    })
    .await;
    served.send("hello").await;
    let reading = tokio::spawn(stream.text());
    served.stop().await;
    let text = reading.await.unwrap().unwrap();
    assert!(text.contains("hello"), "{text}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_are_told_apart_by_their_addresses_behind_a_trusted_proxy_too() {
    let mut config = config();
    config.limits.connections_per_ip = 1;
    config.http.trusted_proxies = vec!["127.0.0.1/32".parse().unwrap()];
    let served = Served::start(config).await;
    let handshake = async |from: &str, client: &str| {
        let url = format!(
            "ws://{}/socket.io/?EIO=4&transport=websocket",
            served.address
        );
        let mut request = url.into_client_request().unwrap();
        let headers = request.headers_mut();
        headers.insert("x-forwarded-for", client.parse().unwrap());
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind(format!("{from}:0").parse().unwrap()).unwrap();
        let stream = socket.connect(served.address).await.unwrap();
        tokio_tungstenite::client_async(request, stream).await
    };
    let _first = handshake("127.0.0.1", "192.0.2.1").await.unwrap();
    let _other = handshake("127.0.0.1", "192.0.2.2").await.unwrap();
    let again = handshake("127.0.0.1", "192.0.2.1").await;
    assert!(again.is_err(), "a second one from one address");
    // Not a proxy, so what it says counts for nothing.
    let _liar = handshake("127.0.0.2", "192.0.2.1").await.unwrap();
    served.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_router_serves_without_addresses_and_below_a_path_of_the_applications() {
    let mut config = config();
    config.auth.allow_anyone = true;
    let app = App::builder(config).build().await.unwrap();
    let (router, handle) = app.into_router();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let outer = Router::new().nest("/below", router);
    let serving = tokio::spawn(async move { axum::serve(listener, outer).await });
    let url = format!("http://{address}/below/socket.io");
    let auth = json!({ "user": "alice" });
    let mut alice = TestClient::connect_at(&url, "/", auth).await.unwrap();
    let joined = alice.emit_with_ack("join", "lobby").await.unwrap();
    assert_eq!(joined[0]["ok"], true);
    let alive = reqwest::get(format!("http://{address}/below/healthz")).await;
    assert_eq!(alive.unwrap().status(), StatusCode::OK);
    handle.shutdown().await;
    serving.abort();
}

#[tokio::test]
async fn a_server_without_keys_answers_only_to_its_own_machine_whoever_serves_it() {
    let peers = [
        (Some("127.0.0.1:9"), StatusCode::OK),
        (Some("[::1]:9"), StatusCode::OK),
        (Some("[::ffff:127.0.0.1]:9"), StatusCode::OK),
        (Some("192.0.2.7:9"), StatusCode::FORBIDDEN),
        (Some("[2001:db8::7]:9"), StatusCode::FORBIDDEN),
        (None, StatusCode::FORBIDDEN),
    ];
    for allow_anyone in [false, true] {
        let mut config = config();
        config.auth.allow_anyone = allow_anyone;
        let (router, handle) = App::builder(config).build().await.unwrap().into_router();
        for (peer, expected) in peers {
            let mut request = Request::get("/healthz").body(Body::empty()).unwrap();
            request
                .headers_mut()
                .insert("host", HeaderValue::from_static("localhost"));
            let peer = peer.map(|peer| ConnectInfo(peer.parse::<SocketAddr>().unwrap()));
            peer.map(|peer| request.extensions_mut().insert(peer));
            let answer = router.clone().oneshot(request).await.unwrap();
            let expected = if allow_anyone {
                StatusCode::OK
            } else {
                expected
            };
            assert_eq!(answer.status(), expected, "{peer:?} {allow_anyone}");
        }
        handle.shutdown().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shutdown_notifies_and_closes_clients_and_stores_what_was_accepted() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = config();
    (config.store, config.data) = (Some(Store::Sqlite), folder.path().to_owned());
    let served = Served::start(config.clone()).await;
    let mut alice = connect(&served, "alice").await;
    alice.call("join", json!("lobby")).await;
    let message = json!({ "room": "lobby", "data": "last" });
    assert_eq!(alice.call("message", message).await["ok"], true);
    served.stop().await;
    alice.event("draining").await;
    while alice.text().await.is_some() {}

    let served = Served::start(config).await;
    let mut bob = connect(&served, "bob").await;
    let history = bob.call("history", json!({ "room": "lobby" })).await;
    assert!(history.to_string().contains("last"), "{history}");
    served.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dropping_the_handle_closes_all_clients() {
    let served = Served::start(config()).await;
    let mut alice = connect(&served, "alice").await;
    let Served { handle, .. } = served;
    drop(handle);
    while alice.text().await.is_some() {}
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dropping_the_handle_on_a_thread_of_the_applications_closes_all_clients() {
    let served = Served::start(config()).await;
    let mut alice = connect(&served, "alice").await;
    let Served { handle, .. } = served;
    std::thread::spawn(move || drop(handle)).join().unwrap();
    while alice.text().await.is_some() {}
}

#[test]
fn a_handle_may_be_dropped_after_its_runtime() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let (_alice, handle) = runtime.block_on(async {
        let served = Served::start(config()).await;
        let alice = connect(&served, "alice").await;
        (alice, served.handle)
    });
    drop(runtime);
    drop(handle);
}
