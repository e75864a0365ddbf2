//! An embedding application that decides itself who its clients are.
#![allow(clippy::unwrap_used, reason = "a test may fail by panic")]

mod support;

use std::{
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use http::request::Parts;
use serde_json::{Value, json};
use support::{Raw, Server, config};
use switchboard::{
    App, Error, SocketRef,
    app::AppBuilder,
    auth::{Grants, Principal, Reject, TokenClaims, issue},
    model::{Timestamp, UserId},
};

const SECRET: &str = "a secret of at least thirty-two bytes";

/// The user of the session that a cookie or the payload names.
async fn identify(request: Parts, auth: Value) -> Result<Option<Principal>, Reject> {
    assert_eq!(
        request.extensions.get::<IpAddr>(),
        Some(&"127.0.0.1".parse().unwrap())
    );
    let cookie = request.headers.get("cookie");
    let cookie = cookie.and_then(|cookie| cookie.to_str().ok()?.strip_prefix("session="));
    match auth["session"].as_str().or(cookie) {
        Some("panic") => panic!("a bug of the application"),
        Some("banned") => Err(Reject::new("you are banned").with_data(&json!({ "until": 7 }))),
        Some(user) => Ok(Some(Principal::new(
            UserId::parse(user)?,
            Grants::everything(),
        ))),
        None => Ok(None),
    }
}

fn application() -> AppBuilder {
    let mut config = config();
    // Nobody is let in by a name alone, so this is no reason to refuse the configuration.
    config.listen = "0.0.0.0:3000".parse().unwrap();
    config.auth.hmac_secret = Some(SECRET.into());
    App::builder(config)
        .authenticate(identify)
        .event("who", async |principal: Principal| {
            Ok::<_, Error>(principal.user)
        })
}

/// What a CONNECT with this payload is answered.
async fn connect(server: &Server, auth: &str) -> String {
    let mut client = Raw::open(server).await;
    client.send(&format!("40{auth}")).await;
    client.text().await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_payload_of_a_connect_decides_and_a_refusal_is_told_as_it_is() {
    let server = Server::start_with(application()).await;
    let mut alice = Raw::connect_with(&server, &json!({ "session": "alice" })).await;
    assert_eq!(alice.ack_of(r#"["who"]"#).await, json!(["alice"]));
    let refused = connect(&server, r#"{"session":"banned"}"#).await;
    assert_eq!(
        refused,
        r#"44{"message":"you are banned","data":{"until":7}}"#
    );
    // Other errors keep their code.
    let invalid = connect(&server, r#"{"session":"a b"}"#).await;
    assert!(
        invalid.starts_with(r#"44{"message":"bad_request","data":{"#),
        "{invalid}"
    );
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_the_application_leaves_to_its_token_needs_one() {
    let server = Server::start_with(application()).await;
    let refused = connect(&server, "").await;
    assert!(
        refused.starts_with(r#"44{"message":"unauthorized""#),
        "{refused}"
    );
    let named = connect(&server, r#"{"user":"mallory"}"#).await;
    assert!(
        named.starts_with(r#"44{"message":"unauthorized""#),
        "{named}"
    );
    let claims = TokenClaims::for_user(UserId::parse("bob").unwrap());
    let token = issue(SECRET, &claims, Timestamp::now()).unwrap();
    let mut bob = Raw::connect_with(&server, &json!({ "token": token })).await;
    assert_eq!(bob.ack_of(r#"["who"]"#).await, json!(["bob"]));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_request_of_other_protocols_decides_without_what_a_foreign_page_may_have_added() {
    let server = Server::start_with(application()).await;
    let http = reqwest::Client::new();
    let rooms = |origin: Option<&str>, session: &str| {
        let request = http.get(server.url("/poll/lobby?wait=0"));
        let request = request.header("cookie", format!("session={session}"));
        match origin {
            Some(origin) => request.header("origin", origin.to_owned()),
            None => request,
        }
    };
    let own = server.url("");
    for (origin, session, status) in [
        (None, "alice", 200),
        (Some(&*own), "alice", 200),
        (None, "banned", 401),
        (None, "panic", 503),
        (Some("https://foreign.example"), "alice", 403),
    ] {
        let answer = rooms(origin, session).send().await.unwrap();
        assert_eq!(answer.status(), status, "{origin:?} {session}");
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cookie_of_the_handshake_is_shown_at_the_connect_unless_the_page_is_foreign() {
    use futures_util::{SinkExt, StreamExt};
    use tokio_tungstenite::tungstenite::{Message, client::IntoClientRequest};

    let server = Server::start_with(application()).await;
    for (origin, reply) in [
        (server.url(""), "40{"),
        (
            "https://foreign.example".to_owned(),
            r#"44{"message":"unauthorized""#,
        ),
    ] {
        let url = format!(
            "ws://{}/socket.io/?EIO=4&transport=websocket",
            server.address
        );
        let mut request = url.into_client_request().unwrap();
        request
            .headers_mut()
            .insert("cookie", "session=alice".parse().unwrap());
        request
            .headers_mut()
            .insert("origin", origin.parse().unwrap());
        let (mut socket, _) = tokio_tungstenite::connect_async(request).await.unwrap();
        socket.next().await.unwrap().unwrap();
        socket.send(Message::text("40")).await.unwrap();
        let answer = socket.next().await.unwrap().unwrap();
        assert!(
            answer.to_text().unwrap().starts_with(reply),
            "{origin}: {answer}"
        );
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_identity_that_cannot_be_checked_now_is_asked_for_again() {
    let tries = Arc::new(AtomicUsize::new(0));
    let counted = tries.clone();
    let app = App::builder(config()).authenticate(move |_, _| {
        let first = counted.fetch_add(1, Ordering::Relaxed) == 0;
        async move {
            if first {
                return Err(std::io::Error::other("the database is away").into());
            }
            Ok(Principal::new(
                UserId::parse("alice")?,
                Grants::everything(),
            ))
        }
    });
    let server = Server::start_with(app).await;
    let reply = connect(&server, "").await;
    assert!(reply.starts_with("40{"), "{reply}");
    assert_eq!(tries.load(Ordering::Relaxed), 2);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_namespace_of_socketioxide_alone_lets_nobody_in_whom_the_configuration_refuses() {
    let mut config = config();
    config.auth.hmac_secret = Some(SECRET.into());
    let app = App::builder(config).build().await.unwrap();
    app.io().ns("/own", async || ()).await.unwrap();
    let server = Server::run(app).await;
    let claims = TokenClaims::for_user(UserId::parse("alice").unwrap());
    let token = issue(SECRET, &claims, Timestamp::now()).unwrap();
    let reply = async |client: &mut Raw| {
        client.send("40/own,").await;
        client.text().await.unwrap()
    };
    let mut unknown = Raw::open(&server).await;
    let refused = reply(&mut unknown).await;
    assert!(
        refused.starts_with(r#"44/own,{"message":"unauthorized""#),
        "{refused}"
    );
    // The name by which that is done is nobody's.
    unknown.send("40/switchboard:unidentified/own,").await;
    unknown
        .send(r#"42/switchboard:unidentified/own,["x"]"#)
        .await;
    let again = reply(&mut unknown).await;
    assert!(again.starts_with(r#"44/own,{"message""#), "{again}");
    let mut known = Raw::connect_with(&server, &json!({ "token": token })).await;
    assert!(reply(&mut known).await.starts_with(r#"40/own,{"sid""#));
    let mut early = Raw::open_with(&server, &format!("&token={token}")).await;
    assert!(reply(&mut early).await.starts_with(r#"40/own,{"sid""#));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pattern_of_namespaces_that_matches_every_name_tells_an_unknown_client_nothing() {
    let mut config = config();
    config.auth.hmac_secret = Some(SECRET.into());
    let app = App::builder(config).build().await.unwrap();
    let tell = async |socket: SocketRef| drop(socket.emit("secret", &1));
    app.io().dyn_ns("/{*rest}", tell).unwrap();
    let server = Server::run(app).await;
    let mut unknown = Raw::open(&server).await;
    unknown.send("40/own,").await;
    let refused = unknown.text().await.unwrap();
    assert!(
        refused.starts_with(r#"44/own,{"message":"unauthorized""#),
        "{refused}"
    );
    while let Some(text) = unknown.text().await {
        assert!(!text.contains("secret"), "{text}");
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_the_application_leaves_to_its_token_may_have_it_in_its_request() {
    let server = Server::start_with(application()).await;
    let claims = TokenClaims::for_user(UserId::parse("bob").unwrap());
    let token = issue(SECRET, &claims, Timestamp::now()).unwrap();
    let mut bob = Raw::open_with(&server, &format!("&token={token}")).await;
    bob.send("40").await;
    assert!(bob.text().await.unwrap().starts_with("40{"));
    bob.event("session").await;
    assert_eq!(bob.ack_of(r#"["who"]"#).await, json!(["bob"]));
    let refreshed = bob.call("refresh", json!(token)).await;
    assert_eq!(refreshed["error"]["code"], "bad_request");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_application_is_not_asked_for_ever_by_an_address_that_it_refuses() {
    let mut config = config();
    config.limits.auth_failures_per_second = 1;
    config.limits.auth_failures_burst = 3;
    let asked = Arc::new(AtomicUsize::new(0));
    let counted = asked.clone();
    let app = App::builder(config).authenticate(move |_, _| {
        counted.fetch_add(1, Ordering::Relaxed);
        async { Ok::<Option<Principal>, _>(None) }
    });
    let server = Server::start_with(app).await;
    let http = reqwest::Client::new();
    let mut statuses = Vec::new();
    for _ in 0..10 {
        let answer = http
            .get(server.url("/poll/lobby?wait=0"))
            .send()
            .await
            .unwrap();
        statuses.push(answer.status().as_u16());
    }
    assert_eq!(statuses[0], 401);
    assert_eq!(statuses[9], 429);
    assert!(asked.load(Ordering::Relaxed) < 8, "{statuses:?}");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_payload_that_is_too_large_or_too_deep_is_refused_before_the_application_is_asked() {
    let server = Server::start_with(application()).await;
    for payload in [
        format!(r#"{{"session":"alice","x":"{}"}}"#, "x".repeat(16 << 10)),
        format!(
            r#"{{"session":"alice","x":{}{}}}"#,
            "[".repeat(100),
            "]".repeat(100)
        ),
    ] {
        let refused = connect(&server, &payload).await;
        assert!(
            refused.starts_with(r#"44{"message":"too_large""#),
            "{refused}"
        );
    }
    server.stop().await;
}
