//! REST: what back ends and users without a connection ask, and that it is what the API's description says.
#![allow(clippy::unwrap_used, reason = "a test may fail by panic")]

mod support;

use futures_util::StreamExt;
use serde_json::{Value, json};
use support::{
    Raw, Server, config,
    rest::{ApiClient, KEY, conforms},
};
use switchboard::{
    auth::{Grants, TokenClaims, issue},
    config::{Config, Secret},
    model::{Timestamp, UserId},
};
use tokio_tungstenite::tungstenite::Message;

const SECRET: &str = "a secret for tests, of 32 bytes or more";

/// A server with one API key, and its back end.
async fn server() -> (Server, ApiClient) {
    server_of(config()).await
}

async fn server_of(mut config: Config) -> (Server, ApiClient) {
    config.auth.api_keys = vec![Secret::new("another-key-of-20-chars"), Secret::new(KEY)];
    let server = Server::start(config).await;
    let client = ApiClient::new(&server, Some(KEY));
    (server, client)
}

/// The same with tokens, so that nobody is let in without.
async fn closed_server() -> (Server, ApiClient) {
    let mut config = config();
    config.auth.hmac_secret = Some(Secret::new(SECRET));
    config.auth.grants = grants("*=join,publish,history,presence");
    server_of(config).await
}

fn grants(text: &str) -> Grants {
    Grants::parse(text).unwrap()
}

/// A token for a user who may do this.
fn token(user: &str, rooms: &str) -> String {
    let mut claims = TokenClaims::for_user(UserId::parse(user).unwrap());
    claims.rooms = Some(grants(rooms));
    issue(SECRET, &claims, Timestamp::now()).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_is_stored_once_delivered_and_read_back() {
    let (server, api) = server().await;
    let mut alice = Raw::connect(&server, "alice").await;
    alice.call("join", json!("lobby")).await;
    let path = "/v1/rooms/lobby/messages";
    let body = json!({ "data": { "text": "hi" }, "id": "one", "from": { "user": "shop", "name": "Shop" } });
    let sent = api.post(path, &body).await.is(201);
    assert_eq!(
        (&sent["room"], &sent["id"], &sent["seq"]),
        (&json!("lobby"), &json!("one"), &json!(1))
    );
    assert!(sent.get("duplicate").is_none());
    let again = api.post(path, &body).await.is(200);
    assert_eq!(
        (&again["seq"], &again["duplicate"]),
        (&json!(1), &json!(true))
    );
    let heard = alice.event("message").await;
    assert_eq!(heard[1]["from"], json!({ "user": "shop", "name": "Shop" }));

    api.post(path, &json!({ "data": 2, "event": "price", "from": "bob" }))
        .await
        .is(201);
    let heard = alice.event("price").await;
    assert_eq!(
        (&heard[1], &heard[2]["from"]),
        (&json!(2), &json!({ "user": "bob" }))
    );
    let passed = api
        .post(
            path,
            &json!({ "data": 3, "event": "cursor", "ephemeral": true }),
        )
        .await
        .is(202);
    assert_eq!(passed, json!({ "room": "lobby" }));
    assert_eq!(alice.event("cursor").await[1], 3);
    api.post(path, &json!({ "data": null })).await.is(201);
    let heard = alice.event("message").await;
    assert_eq!(
        (&heard[1]["data"], &heard[1]["from"]),
        (&Value::Null, &Value::Null)
    );

    let page = api.get(&format!("{path}?after=1&limit=1")).await.is(200);
    assert_eq!(page["messages"].as_array().unwrap().len(), 1);
    assert_eq!(
        (&page["messages"][0]["data"], &page["more"], &page["next"]),
        (&json!(2), &json!(true), &json!(2))
    );
    let rest = api.get(&format!("{path}?after=2")).await.is(200);
    assert_eq!(
        (&rest["messages"][0]["seq"], &rest["more"], rest.get("next")),
        (&json!(3), &json!(false), None)
    );
    let last = api.get(&format!("{path}?limit=2")).await.is(200);
    assert_eq!(
        (&last["messages"][0]["seq"], &last["next"]),
        (&json!(2), &json!(2))
    );
    let before = api.get(&format!("{path}?before=2")).await.is(200);
    assert_eq!(before["messages"][0]["id"], "one");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn data_passes_byte_for_byte_alone_and_in_a_batch() {
    let (server, api) = server().await;
    let path = "/v1/rooms/lobby/messages";
    let odd = r#"{"b": 1.0,"a":12345678901234567890123, "e":1e400,"z":"\u0000\/","n":[ ]}"#;
    let alone = format!(r#"{{"data":{odd}}}"#);
    api.send(path, alone.clone()).await.is(201);
    let batch = format!(
        r#"{{"requests":[{{"method":"POST","path":"{path}","body":{alone}}},{{"method":"GET","path":"{path}"}}]}}"#
    );
    let answer = api.send("/v1/batch", batch).await;
    assert_eq!(answer.text.matches(odd).count(), 2, "{}", answer.text);
    let read = api.get(path).await;
    assert_eq!(read.text.matches(odd).count(), 2, "{}", read.text);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn malformed_requests_are_refused_with_a_reason() {
    let (server, api) = server().await;
    let path = "/v1/rooms/lobby/messages";
    for (body, part) in [
        (json!({}), "data: is missing"),
        (json!([1]), "{ data, event?, id?, from?, ephemeral? }"),
        (json!({ "data": 1, "event": "session" }), "reserved"),
        // A reader of a stream would believe that it has missed something.
        (json!({ "data": 1, "event": "reset" }), "reserved"),
        (
            json!({ "data": 1, "event": "notification" }),
            "personal room",
        ),
        (json!({ "data": 1, "ephemeral": true }), "always kept"),
        (json!({ "data": 1, "id": "" }), "1 to 64"),
        (
            json!({ "data": 1, "from": true }),
            "a user's id or { user, name? }",
        ),
        (
            json!({ "data": 1, "from": { "user": "a", "name": "x".repeat(200) } }),
            "128 bytes",
        ),
    ] {
        let refused = api.post(path, &body).await.is(400);
        assert_eq!(refused["code"], "bad_request");
        assert!(
            refused["message"].as_str().unwrap().contains(part),
            "{refused}"
        );
    }
    for query in [
        "limit=0",
        "limit=10001",
        "limit=x",
        "after=-1",
        "after=1&before=2",
        "after=9007199254740992",
    ] {
        api.get(&format!("{path}?{query}")).await.is(400);
    }
    for address in [
        "/v1/rooms/a%20b/messages",
        "/v1/rooms/%FF",
        "/v1/rooms?limit=1001",
        &format!("/v1/rooms?prefix={}", "x".repeat(134)),
        "/v1/rooms?cursor=a%20b",
        "/v1/rooms/a/presence?limit=0",
        "/v1/users/a%20b",
    ] {
        api.get(address).await.is(400);
    }
    let long = "x".repeat(129);
    api.delete(&format!("/v1/rooms/a/members/b?reason={long}"))
        .await
        .is(400);
    api.delete("/v1/rooms/user:b/members/b").await.is(400);
    let large = api
        .post(path, &json!({ "data": "x".repeat(70_000) }))
        .await
        .is(413);
    assert_eq!(large["code"], "too_large");
    let deep = format!(r#"{{"data":{}{}}}"#, "[".repeat(65), "]".repeat(65));
    api.send(path, deep).await.is(413);
    api.send(path, "x".repeat(2 << 20)).await.is(413);
    api.send_as(path, "text/plain", "{}").await.is(415);
    api.get("/v1/nothing").await.is(404);
    let wrong = api.delete("/v1/rooms").await;
    assert_eq!(wrong.headers["allow"], "GET,HEAD");
    assert_eq!(wrong.is(405)["code"], "bad_request");
    assert!(server.metric("switchboard_errors_total{code=\"too_large\"}") >= 3.0);
    let route =
        "switchboard_api_requests_total{route=\"/v1/rooms/{room}/messages\",status=\"4xx\"}";
    assert!(server.metric(route) > 10.0);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_caller_is_a_key_or_a_token_or_refused_and_a_key_is_for_programs() {
    let (server, api) = closed_server().await;
    let nobody = ApiClient::new(&server, None);
    let refused = nobody.get("/v1/rooms").await;
    assert_eq!(refused.headers["www-authenticate"], "Bearer");
    assert_eq!(refused.is(401)["code"], "unauthorized");
    for bad in [
        "another-key-of-20-char",
        "no.good.token",
        &KEY.to_uppercase(),
    ] {
        ApiClient::new(&server, Some(bad))
            .get("/v1/rooms")
            .await
            .is(401);
    }
    nobody.get(&format!("/v1/rooms?token={KEY}")).await.is(401);
    api.get("/v1/rooms").await.is(200);

    let alice = token("alice", "team=join,publish;user:bob=publish");
    nobody
        .get(&format!("/v1/rooms/team?token={alice}"))
        .await
        .is(200);
    let user = ApiClient::new(&server, Some(&alice));
    let own = json!({ "data": 1 });
    user.post("/v1/rooms/team/messages", &own).await.is(201);
    user.post("/v1/users/bob/notifications", &own).await.is(201);
    user.get("/v1/users/alice").await.is(200);
    for path in [
        "/v1/rooms/other",
        "/v1/rooms/team/messages",
        "/v1/rooms/team/presence",
        "/v1/users/bob",
    ] {
        assert_eq!(user.get(path).await.is(403)["code"], "forbidden", "{path}");
    }
    for path in ["/v1/rooms/other/messages", "/v1/users/carol/notifications"] {
        user.post(path, &own).await.is(403);
    }
    user.post(
        "/v1/rooms/team/messages",
        &json!({ "data": 1, "from": "alice" }),
    )
    .await
    .is(403);
    for path in [
        "/v1/rooms/team/members/alice",
        "/v1/users/alice/connections",
    ] {
        user.delete(path).await.is(403);
    }
    let from = api.get("/v1/rooms/team/messages").await.is(200);
    assert_eq!(from["messages"][0]["from"], json!({ "user": "alice" }));

    let mut claims = TokenClaims::for_user(UserId::parse("alice").unwrap());
    claims.ttl = Some(std::time::Duration::from_secs(1));
    let ended = issue(SECRET, &claims, Timestamp(0)).unwrap();
    let refused = ApiClient::new(&server, Some(&ended)).get("/v1/rooms").await;
    assert_eq!(refused.is(401)["code"], "token_expired");

    let page = api.with_header("origin", "https://evil.example");
    assert_eq!(page.get("/v1/rooms").await.is(403)["code"], "forbidden");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn open_mode_takes_names_from_callers_and_keys_from_back_ends() {
    let (server, api) = server().await;
    let anybody = ApiClient::new(&server, None);
    anybody
        .post("/v1/rooms/lobby/messages?user=alice", &json!({ "data": 1 }))
        .await
        .is(201);
    anybody
        .post("/v1/rooms/lobby/messages", &json!({ "data": 2 }))
        .await
        .is(201);
    let page = api.get("/v1/rooms/lobby/messages").await.is(200);
    assert_eq!(page["messages"][0]["from"]["user"], "alice");
    let guest = page["messages"][1]["from"]["user"].as_str().unwrap();
    assert!(guest.starts_with("guest-"), "{guest}");
    anybody
        .delete("/v1/users/alice/connections?user=alice")
        .await
        .is(403);
    ApiClient::new(&server, Some("no-key-of-this-server"))
        .get("/v1/rooms")
        .await
        .is(401);
    let rebound = anybody.with_header("host", "rebound.example");
    rebound.get("/v1/rooms").await.is(403);
    api.with_header("host", "switchboard.internal")
        .get("/v1/rooms")
        .await
        .is(200);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rooms_and_their_presence_are_listed() {
    let (server, api) = closed_server().await;
    let join = async |user: &str, rooms: &[&str]| {
        let token = token(user, "*=join,publish,history,presence");
        let mut raw = Raw::connect_with(&server, &json!({ "token": token })).await;
        for room in rooms {
            assert_eq!(raw.call("join", json!(room)).await["ok"], true);
        }
        raw
    };
    let _alice = join("alice", &["team-1", "team-2"]).await;
    let _other = join("alice", &["team-1"]).await;
    let _bob = join("bob", &["team-1"]).await;
    let first = api.get("/v1/rooms?limit=1").await.is(200);
    assert_eq!(
        first,
        json!({ "rooms": [{ "room": "team-1", "users": 2, "connections": 3 }], "next": "team-1" })
    );
    let second = api.get("/v1/rooms?limit=1&cursor=team-1").await.is(200);
    assert_eq!(
        second,
        json!({ "rooms": [{ "room": "team-2", "users": 1, "connections": 1 }] })
    );
    let personal = api.get("/v1/rooms?prefix=user:a").await.is(200);
    assert_eq!(
        personal["rooms"],
        json!([{ "room": "user:alice", "users": 1, "connections": 2 }])
    );
    let carol = ApiClient::new(&server, Some(&token("carol", "team-2=join")));
    assert_eq!(
        carol.get("/v1/rooms").await.is(200),
        json!({ "rooms": [{ "room": "team-2" }] })
    );

    let room = api.get("/v1/rooms/team-1").await.is(200);
    assert_eq!(
        (&room["seq"], &room["users"], &room["connections"]),
        (&json!(0), &json!(2), &json!(3))
    );
    assert!(
        carol
            .get("/v1/rooms/team-2")
            .await
            .is(200)
            .get("users")
            .is_none()
    );
    let page = api.get("/v1/rooms/team-1/presence?limit=1").await.is(200);
    assert_eq!(
        (&page["count"], &page["users"][0]["user"], &page["next"]),
        (&json!(2), &json!("alice"), &json!("alice"))
    );
    let page = api
        .get("/v1/rooms/team-1/presence?after=alice")
        .await
        .is(200);
    assert_eq!(
        (&page["users"][0]["user"], page.get("next")),
        (&json!("bob"), None)
    );
    let nobody = api.get("/v1/rooms/empty/presence").await.is(200);
    assert_eq!(
        (&nobody["count"], &nobody["users"]),
        (&json!(0), &json!([]))
    );

    let state = api.get("/v1/users/alice").await.is(200);
    assert_eq!(
        (&state["online"], &state["connections"], &state["status"]),
        (&json!(true), &json!(2), &json!("online"))
    );
    assert_eq!(state["rooms"].as_array().unwrap().len(), 3);
    let nobody = api.get("/v1/users/nobody").await.is(200);
    assert_eq!(
        (&nobody["online"], &nobody["last_seen"]),
        (&json!(false), &Value::Null)
    );
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kicked_user_receives_it_on_every_connection_and_others_see_it_leave() {
    let (server, api) = server().await;
    let mut bob = Raw::connect(&server, "bob").await;
    bob.call("join", json!("lobby")).await;
    let mut first = Raw::connect(&server, "alice").await;
    let mut second = Raw::connect(&server, "alice").await;
    for alice in [&mut first, &mut second] {
        alice.call("join", json!("lobby")).await;
    }
    bob.event("presence").await;
    let path = "/v1/rooms/lobby/members/alice";
    let kicked = api.delete(&format!("{path}?reason=spam")).await.is(200);
    assert_eq!(
        kicked,
        json!({ "room": "lobby", "user": "alice", "connections": 2 })
    );
    for alice in [&mut first, &mut second] {
        let told = alice.event("kicked").await;
        assert_eq!(told[1], json!({ "room": "lobby", "reason": "spam" }));
        let answer = alice
            .call("typing", json!({ "room": "lobby", "typing": true }))
            .await;
        assert_eq!(answer["error"]["code"], "not_joined");
    }
    let left = bob.event("presence").await;
    assert_eq!(
        (&left[1]["event"], &left[1]["user"], &left[1]["count"]),
        (&json!("leave"), &json!("alice"), &json!(1))
    );
    assert_eq!(api.delete(path).await.is(200)["connections"], 0);
    first.call("join", json!("lobby")).await;
    api.delete(path).await.is(200);
    assert_eq!(first.event("kicked").await[1]["reason"], "removed");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disconnected_user_gets_a_disconnect_packet_and_a_new_session() {
    let (server, api) = server().await;
    let mut alice = Raw::connect(&server, "alice").await;
    let answer = api.delete("/v1/users/alice/connections").await.is(200);
    assert_eq!(answer, json!({ "user": "alice", "connections": 1 }));
    assert_eq!(alice.text().await.unwrap(), "41");
    support::eventually("the user has gone", async || {
        api.get("/v1/users/alice").await.is(200)["online"] == false
    })
    .await;
    assert!(api.get("/v1/users/alice").await.is(200)["last_seen"].is_u64());
    assert_eq!(
        server.metric("switchboard_connections_closed_total{reason=\"removed\"}"),
        1.0
    );
    assert_eq!(
        api.delete("/v1/users/alice/connections").await.is(200)["connections"],
        0
    );
    Raw::connect(&server, "alice").await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_user_is_kicked_and_disconnected_on_every_transport() {
    let (server, api) = server().await;
    let url = format!("ws://{}/ws/lobby?user=alice", server.address);
    let (mut socket, _) = tokio_tungstenite::connect_async(url).await.unwrap();
    let stream = reqwest::get(server.url("/events/lobby?user=alice"));
    let mut stream = stream.await.unwrap();
    support::eventually("both are in the room", async || {
        let room = api.get("/v1/rooms/lobby").await.is(200);
        (&room["users"], &room["connections"]) == (&json!(1), &json!(2))
    })
    .await;
    let kicked = api.delete("/v1/rooms/lobby/members/alice").await.is(200);
    assert_eq!(kicked["connections"], 2);
    let ended = api.delete("/v1/users/alice/connections").await.is(200);
    assert_eq!(ended["connections"], 2);
    let (mut frames, mut code) = (String::new(), None);
    while let Some(Ok(message)) = socket.next().await {
        match message {
            Message::Text(text) => frames.push_str(&text),
            Message::Close(frame) => code = frame.map(|frame| u16::from(frame.code)),
            _ => {}
        }
    }
    assert!(frames.contains(r#""event":"kicked""#), "{frames}");
    assert_eq!(code, Some(4003));
    let mut events = Vec::new();
    while let Some(chunk) = stream.chunk().await.unwrap() {
        events.extend_from_slice(&chunk);
    }
    let events = String::from_utf8(events).unwrap();
    assert!(events.contains("event: kicked"), "{events}");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_notification_is_delivered_now_or_later() {
    let (server, api) = server().await;
    let mut alice = Raw::connect(&server, "alice").await;
    let path = "/v1/users/alice/notifications";
    let body = json!({ "data": { "title": "paid" }, "id": "n1", "from": "shop" });
    let sent = api.post(path, &body).await.is(201);
    assert_eq!(sent["room"], "user:alice");
    api.post(path, &body).await.is(200);
    let heard = alice.event("notification").await;
    assert_eq!(
        (&heard[1]["data"]["title"], &heard[1]["from"]["user"]),
        (&json!("paid"), &json!("shop"))
    );
    api.post("/v1/users/bob/notifications", &json!({ "data": 1 }))
        .await
        .is(201);
    let mut bob = Raw::connect(&server, "bob").await;
    let history = bob.call("history", json!("user:bob")).await;
    assert_eq!(history["messages"][0]["event"], "notification");
    api.post(path, &json!({ "title": "paid" })).await.is(400);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_is_executed_in_order_and_each_call_has_its_response() {
    let (server, api) = server().await;
    let messages = "/v1/rooms/lobby/messages";
    let send = |number: u32| json!({ "method": "POST", "path": messages, "body": { "data": number, "id": format!("{number}") } });
    let mut requests: Vec<_> = (1..=50).map(send).collect();
    requests.extend([
        json!({ "method": "GET", "path": format!("{messages}?limit=1") }),
        send(50),
        json!({ "method": "POST", "path": messages, "body": { "data": 1, "event": "session" } }),
        json!({ "method": "POST", "path": messages }),
        json!({ "method": "POST", "path": messages, "body": { "data": 1, "event": "cursor", "ephemeral": true } }),
        json!({ "method": "POST", "path": "/v1/users/bob/notifications", "body": { "data": 1 } }),
        json!({ "method": "DELETE", "path": "/v1/rooms/lobby/members/bob" }),
        json!({ "method": "POST", "path": "/v1/batch", "body": { "requests": [] } }),
        json!({ "method": "GET", "path": "/v1/nothing" }),
        json!({ "method": "GET", "path": "/healthz" }),
        json!({ "method": "GET", "path": "http://elsewhere/v1/rooms" }),
        json!({ "method": "DELETE", "path": "/v1/rooms" }),
    ]);
    let answer = api
        .post("/v1/batch", &json!({ "requests": requests }))
        .await
        .is(200);
    let responses = answer["responses"].as_array().unwrap();
    for (response, seq) in responses.iter().zip(1..=50) {
        assert_eq!(
            (&response["status"], &response["body"]["seq"]),
            (&json!(201), &json!(seq))
        );
    }
    let statuses: Vec<_> = responses[50..]
        .iter()
        .map(|response| response["status"].as_u64().unwrap())
        .collect();
    assert_eq!(
        statuses,
        [200, 200, 400, 400, 202, 201, 200, 400, 404, 400, 400, 405]
    );
    assert_eq!(
        responses[50]["body"]["messages"][0]["seq"], 50,
        "a reader finds what was sent before"
    );
    let many: Vec<_> = (0..101).map(send).collect();
    for bad in [
        json!({ "requests": many }),
        json!({ "requests": [{ "method": "PUT", "path": "/v1/rooms" }] }),
        json!([]),
    ] {
        api.post("/v1/batch", &bad).await.is(400);
    }
    api.post("/v1/batch", &json!({ "requests": [] }))
        .await
        .is(200);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_batch_sends_arrives_in_its_order_kept_or_not() {
    let (server, api) = server().await;
    let mut alice = Raw::connect(&server, "alice").await;
    alice.call("join", json!("lobby")).await;
    let send = |number: u32| {
        let body = match number % 3 {
            0 => json!({ "data": number, "event": "cursor", "ephemeral": true }),
            _ => json!({ "data": number, "event": "step" }),
        };
        json!({ "method": "POST", "path": "/v1/rooms/lobby/messages", "body": body })
    };
    let requests: Vec<_> = (1..=90).map(send).collect();
    api.post("/v1/batch", &json!({ "requests": requests }))
        .await
        .is(200);
    for number in 1..=90 {
        let text = alice.text().await.unwrap();
        let event: Vec<Value> = serde_json::from_str(text.strip_prefix("42").unwrap()).unwrap();
        assert_eq!(event[1], number, "{text}");
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_with_large_responses_skips_the_rest() {
    let (server, api) = server().await;
    let path = "/v1/rooms/large/messages";
    for _ in 0..16 {
        api.post(path, &json!({ "data": "x".repeat(60_000) }))
            .await
            .is(201);
    }
    let mut requests = vec![json!({ "method": "GET", "path": path }); 99];
    requests.push(json!({ "method": "POST", "path": path, "body": { "data": 1 } }));
    let answer = api
        .post("/v1/batch", &json!({ "requests": requests }))
        .await;
    assert!(answer.text.len() < 10 << 20, "{} bytes", answer.text.len());
    let answer = answer.is(200);
    let responses = answer["responses"].as_array().unwrap();
    assert_eq!(responses.len(), 100);
    assert_eq!(responses[7]["status"], 200);
    for left in &responses[10..] {
        assert_eq!(
            (&left["status"], &left["body"]["code"]),
            (&json!(413), &json!("too_large"))
        );
    }
    let room = api.get("/v1/rooms/large").await.is(200);
    assert_eq!(room["seq"], 16);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_acts_for_its_caller() {
    let (server, _) = closed_server().await;
    let alice = ApiClient::new(&server, Some(&token("alice", "team=publish")));
    let batch = json!({ "requests": [
        { "method": "POST", "path": format!("/v1/rooms/team/messages?token={KEY}"), "body": { "data": 1 } },
        { "method": "POST", "path": "/v1/rooms/other/messages", "body": { "data": 1 } },
        { "method": "GET", "path": "/v1/users/alice" },
        { "method": "DELETE", "path": "/v1/users/alice/connections" },
    ] });
    let answer = alice.post("/v1/batch", &batch).await.is(200);
    let statuses: Vec<_> = answer["responses"]
        .as_array()
        .unwrap()
        .iter()
        .map(|each| each["status"].as_u64().unwrap())
        .collect();
    assert_eq!(statuses, [201, 403, 200, 403]);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_user_over_its_rate_gets_retry_after_and_a_back_end_has_no_rate() {
    let mut config = config();
    (
        config.limits.user_messages_per_second,
        config.limits.user_messages_burst,
    ) = (1, 2);
    let (server, api) = server_of(config).await;
    let anybody = ApiClient::new(&server, None);
    let path = "/v1/rooms/lobby/messages?user=alice";
    let mut last = anybody.post(path, &json!({ "data": 1 })).await;
    for _ in 0..2 {
        last = anybody.post(path, &json!({ "data": 1 })).await;
    }
    assert_eq!(last.headers["retry-after"], "1");
    let refused = last.is(429);
    assert_eq!(refused["code"], "rate_limited");
    assert!(refused["retry_after_ms"].as_u64().unwrap() > 0);
    // Reading counts like sending.
    anybody
        .get("/v1/rooms/lobby/messages?user=alice")
        .await
        .is(429);
    for _ in 0..5 {
        api.post("/v1/rooms/lobby/messages", &json!({ "data": 1 }))
            .await
            .is(201);
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_response_has_a_request_id_and_is_not_cached() {
    let (server, api) = server().await;
    let named = api.with_header("x-request-id", "order-7");
    for path in [
        "/v1/rooms",
        "/v1/nothing",
        "/v1/rooms?limit=x",
        "/v1/openapi.json",
    ] {
        let answer = named.get(path).await;
        assert_eq!(answer.headers["x-request-id"], "order-7", "{path}");
        assert_eq!(answer.headers["cache-control"], "no-store", "{path}");
    }
    assert_eq!(
        named.delete("/v1/rooms").await.headers["x-request-id"],
        "order-7"
    );
    server.stop().await;
}

/// Every call.
const TABLE: [(&str, &str); 27] = [
    ("get", "/v1/documents"),
    ("get", "/v1/documents/{doc}"),
    ("delete", "/v1/documents/{doc}"),
    ("get", "/v1/documents/{doc}/state"),
    ("post", "/v1/documents/{doc}/updates"),
    ("post", "/v1/emit"),
    ("post", "/v1/hooks/resume"),
    ("get", "/v1/hooks"),
    ("post", "/v1/rooms/{room}/messages"),
    ("get", "/v1/rooms/{room}/messages"),
    ("get", "/v1/rooms"),
    ("get", "/v1/rooms/{room}"),
    ("get", "/v1/rooms/{room}/presence"),
    ("delete", "/v1/rooms/{room}/members/{user}"),
    ("get", "/v1/users/{user}"),
    ("post", "/v1/users/{user}/notifications"),
    ("delete", "/v1/users/{user}/connections"),
    ("get", "/v1/users"),
    ("get", "/v1/users/{user}/connections"),
    ("get", "/v1/rooms/{room}/tail"),
    ("get", "/v1/stats"),
    ("get", "/v1/stats/stream"),
    ("post", "/v1/nodes/{node}/drain"),
    ("post", "/v1/batch"),
    ("get", "/v1/openapi.json"),
    ("get", "/v1/asyncapi.json"),
    ("get", "/v1/docs"),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_call_is_described_and_every_described_call_exists() {
    let (server, api) = server().await;
    let document = api.get("/v1/openapi.json").await.is(200);
    assert!(document["openapi"].as_str().unwrap().starts_with("3.1"));
    let tags: Vec<_> = document["tags"]
        .as_array()
        .unwrap()
        .iter()
        .map(|tag| &tag["name"])
        .collect();
    let mut described = Vec::new();
    let mut ids = std::collections::HashSet::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            described.push((method.as_str(), path.as_str()));
            assert!(
                ids.insert(operation["operationId"].as_str().unwrap()),
                "{operation}"
            );
            assert!(
                tags.contains(&&operation["tags"][0]) && operation["summary"].is_string(),
                "{operation}"
            );
            assert!(
                operation["responses"].as_object().unwrap().len()
                    > usize::from(operation["security"].is_null())
            );
            let path = path.replace("{room}", "lobby").replace("{doc}", "notes");
            let url = server.url(&path.replace("{user}", "alice"));
            let method = method.to_uppercase().parse().unwrap();
            let answer = reqwest::Client::new()
                .request(method, url)
                .bearer_auth(KEY)
                .send()
                .await
                .unwrap();
            let status = answer.status();
            // A document may be missing, its call is not. Streams have no end.
            let is_missing =
                status == 404 && answer.text().await.unwrap().contains("there is nothing at");
            assert!(!is_missing && status != 405, "{path}: {status}");
        }
    }
    described.sort_unstable();
    let mut table = TABLE;
    table.sort_unstable();
    assert_eq!(described, table);
    let schemes = document["components"]["securitySchemes"]
        .as_object()
        .unwrap();
    for requirement in document["security"].as_array().unwrap() {
        assert!(
            requirement
                .as_object()
                .unwrap()
                .keys()
                .all(|name| schemes.contains_key(name))
        );
    }
    for reference in document.to_string().split("\"$ref\":\"#").skip(1) {
        let pointer = reference.split('"').next().unwrap();
        assert!(document.pointer(pointer).is_some(), "{pointer}");
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_description_gives_as_an_example_of_a_body_is_taken() {
    let (server, api) = server().await;
    let document = api.get("/v1/openapi.json").await.is(200);
    for (path, item) in document["paths"].as_object().unwrap() {
        let body = &item["post"]["requestBody"]["content"]["application/json"]["schema"];
        let Some(reference) = body["$ref"].as_str() else {
            continue;
        };
        let schema = document.pointer(reference.trim_start_matches('#')).unwrap();
        let path = path.replace("{room}", "lobby").replace("{user}", "alice");
        let answer = api.post(&path, &schema["example"]).await;
        if path == "/v1/hooks/resume" {
            answer.is(404); // it is taken, and this server tells nobody
            continue;
        }
        assert!(answer.status < 300, "{path}: {}", answer.text);
        assert!(!answer.text.contains("\"code\""), "{path}: {}", answer.text);
    }
    server.stop().await;
}

/// What is answered is written by other types than those that describe it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn responses_match_their_description() {
    let (server, api) = server().await;
    let document = api.get("/v1/openapi.json").await.is(200);
    let mut alice = Raw::connect(&server, "alice").await;
    for room in ["lobby", "other"] {
        alice.call("join", json!(room)).await;
    }
    alice
        .call("status", json!({ "status": "busy", "info": { "a": 1 } }))
        .await;
    let message = json!({ "data": 1, "id": "a", "from": { "user": "x", "name": "X" } });
    let batch = json!({ "requests": [{ "method": "GET", "path": "/v1/rooms" }] });
    let (rooms, messages) = ("/v1/rooms", "/v1/rooms/{room}/messages");
    let check = |operation: &str, answer: support::rest::Answer| {
        conforms(&document, operation, &answer);
    };
    let of = |path: &str| path.replace("{room}", "lobby").replace("{user}", "alice");
    for _ in 0..2 {
        check("send_message", api.post(&of(messages), &message).await);
    }
    check(
        "send_message",
        api.post(
            &of(messages),
            &json!({ "data": 1, "event": "e", "ephemeral": true }),
        )
        .await,
    );
    check(
        "send_message",
        api.post(&of(messages), &json!({ "data": null })).await,
    );
    check("send_message", api.post(&of(messages), &json!({})).await);
    check(
        "list_messages",
        api.get(&format!("{}?limit=1", of(messages))).await,
    );
    check("list_messages", api.get(&of(messages)).await);
    check("list_rooms", api.get(&format!("{rooms}?limit=1")).await);
    check("get_room", api.get("/v1/rooms/lobby").await);
    check("list_presence", api.get("/v1/rooms/lobby/presence").await);
    check("get_user", api.get("/v1/users/alice").await);
    check("get_user", api.get("/v1/users/nobody").await);
    check(
        "notify_user",
        api.post("/v1/users/alice/notifications", &json!({ "data": 1 }))
            .await,
    );
    check(
        "kick_member",
        api.delete("/v1/rooms/lobby/members/alice").await,
    );
    check("run_batch", api.post("/v1/batch", &batch).await);
    check(
        "disconnect_user",
        api.delete("/v1/users/alice/connections").await,
    );
    let update_document = |update: &'static [u8]| {
        api.send_as(
            "/v1/documents/notes/updates",
            "application/octet-stream",
            update,
        )
    };
    for update in [&b"\x01\x01\x05\0\x04\x01\x01t\x01a\0"[..], &[0, 0], &[1]] {
        check("update_document", update_document(update).await);
    }
    check("list_documents", api.get("/v1/documents?limit=1").await);
    for path in ["/v1/documents/notes", "/v1/documents/nothing"] {
        check("get_document", api.get(path).await);
    }
    for _ in 0..2 {
        check("delete_document", api.delete("/v1/documents/notes").await);
    }
    check("read_document", api.get("/v1/documents/notes/state").await);
    let nobody = ApiClient::new(&server, Some("no-key-of-this-server"));
    check("list_rooms", nobody.get(rooms).await);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_page_to_try_it_has_all_it_needs_and_may_fetch_nothing_from_elsewhere() {
    let (server, _) = closed_server().await;
    let anybody = ApiClient::new(&server, None);
    let page = anybody.get("/v1/docs").await;
    let policy = page.headers["content-security-policy"]
        .to_str()
        .unwrap()
        .to_owned();
    assert!(policy.starts_with("default-src 'self';"), "{policy}");
    assert!(!page.text.contains("://") && page.text.contains("<base href=\"docs/\">"));
    let named = page
        .text
        .split(['"'])
        .filter(|part| part.ends_with(".js") || part.ends_with(".css"));
    let named: Vec<_> = named.collect();
    assert_eq!(named.len(), 5);
    for name in named {
        let file = anybody.get(&format!("/v1/docs/{name}")).await;
        assert_eq!(file.status, 200, "{name}");
        let kind = file.headers["content-type"].to_str().unwrap();
        assert!(
            kind.contains("javascript") || kind.contains("css"),
            "{kind}"
        );
        if name == "swagger-initializer.js" {
            assert!(file.text.contains("/v1/openapi.json"), "{}", file.text);
        }
    }
    anybody.get("/v1/docs/elsewhere.js").await.is(404);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_back_end_may_finish_while_the_node_drains() {
    let mut config = config();
    config.drain.over = Some(std::time::Duration::from_secs(2));
    let (server, api) = server_of(config).await;
    // So many that closing them takes the whole time.
    let mut clients = Vec::new();
    for _ in 0..100 {
        clients.push(Raw::connect(&server, "alice").await);
    }
    let alice = &mut clients[0];
    let ready = reqwest::Client::new();
    let ready = ready.get(server.url("/readyz"));
    let stopping = tokio::spawn(server.stop());
    alice.event("draining").await;
    api.post("/v1/rooms/lobby/messages", &json!({ "data": 1 }))
        .await
        .is(201);
    assert_eq!(ready.send().await.unwrap().status(), 503);
    stopping.await.unwrap();
}
