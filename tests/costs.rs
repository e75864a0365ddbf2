//! What a request costs is bounded and charged to who asks: lists, status changes, polls.
#![allow(clippy::unwrap_used, reason = "a test may fail by panic")]

mod support;

use serde_json::json;
use support::{
    Raw, Server, config,
    rest::{ApiClient, KEY},
};
use switchboard::{
    auth::{Grants, TokenClaims, issue},
    config::{Config, Secret},
    model::{Timestamp, UserId},
};

const SECRET: &str = "a secret for tests, of 32 bytes or more";

/// A server that lets in nobody without a token.
async fn closed_server(mut config: Config) -> Server {
    config.auth.hmac_secret = Some(Secret::new(SECRET));
    config.auth.api_keys = vec![Secret::new(KEY)];
    Server::start(config).await
}

fn token(user: &str, rooms: &str) -> String {
    let mut claims = TokenClaims::for_user(UserId::parse(user).unwrap());
    claims.rooms = Some(Grants::parse(rooms).unwrap());
    issue(SECRET, &claims, Timestamp::now()).unwrap()
}

async fn connect(server: &Server, user: &str, rooms: &str) -> Raw {
    Raw::connect_with(server, &json!({ "token": token(user, rooms) })).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_list_of_rooms_for_a_user_with_few_grants_is_paged() {
    let server = closed_server(config()).await;
    let mut members = Vec::new();
    for part in 0..2 {
        let mut raw = connect(&server, &format!("member-{part}"), "*=join").await;
        for nth in 0..200 {
            let room = format!("hidden-{:03}-name", part * 200 + nth);
            assert_eq!(raw.call("join", json!(room)).await["ok"], true);
        }
        members.push(raw);
    }
    let mut raw = connect(&server, "member", "*=join").await;
    raw.call("join", json!("later:open")).await;
    // As many rules as a token may have, none of which says how names begin.
    let rules: Vec<_> = (0..63).map(|nth| format!("*:x{nth}=join")).collect();
    let rules = format!("{};*:open=join", rules.join(";"));
    let api = ApiClient::new(&server, Some(&token("alice", &rules)));
    let first = api.get("/v1/rooms").await.is(200);
    assert_eq!(first["rooms"], json!([]));
    let next = first["next"].as_str().unwrap();
    assert!(
        next.starts_with("hidden-") && !next.contains("name"),
        "{next}"
    );
    let next: String = next.bytes().map(|byte| format!("%{byte:02X}")).collect();
    let second = api.get(&format!("/v1/rooms?cursor={next}")).await.is(200);
    assert_eq!(second, json!({ "rooms": [{ "room": "later:open" }] }));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_status_that_changes_all_the_time_is_acknowledged_each_time_and_shown_a_few_times_and_at_last()
 {
    let mut config = config();
    config.limits.messages_per_second = 0;
    config.limits.user_messages_per_second = 0;
    let server = Server::start(config).await;
    let mut alice = Raw::connect(&server, "alice").await;
    let mut bob = Raw::connect(&server, "bob").await;
    for raw in [&mut bob, &mut alice] {
        raw.call("join", json!("lobby")).await;
    }
    bob.event("presence").await;
    for change in 0..200 {
        let status = format!("status-{change}");
        let accepted = alice.call("status", json!({ "status": status })).await;
        assert_eq!(accepted["status"], json!(status));
    }
    let mut shown = 0;
    while bob.event("presence").await[1]["status"] != "status-199" {
        shown += 1;
    }
    assert!(shown < 50, "{shown}");
    server.stop().await;
}

/// A server whose users may ask for so many things at once, and then for one a second.
async fn server_with_burst(burst: u32) -> (Server, ApiClient, ApiClient) {
    let mut config = config();
    config.limits.user_messages_per_second = 1;
    config.limits.user_messages_burst = burst;
    let server = closed_server(config).await;
    let user = token("alice", "*=join,publish,history,presence");
    let user = ApiClient::new(&server, Some(&user));
    let back_end = ApiClient::new(&server, Some(KEY));
    (server, user, back_end)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn history_is_charged_by_its_bytes() {
    let (server, user, back_end) = server_with_burst(60).await;
    let (full, small) = ("/v1/rooms/full/messages", "/v1/rooms/small/messages");
    back_end.post(small, &json!({ "data": 1 })).await.is(201);
    for _ in 0..17 {
        let message = json!({ "data": "x".repeat(60_000) });
        back_end.post(full, &message).await.is(201);
    }
    for _ in 0..10 {
        user.get(small).await.is(200);
    }
    let mut pages = 0;
    while user.get(full).await.status == 200 {
        pages += 1;
    }
    assert!((3..=5).contains(&pages), "{pages}");
    assert_eq!(user.get(small).await.is(429)["code"], "rate_limited");
    for _ in 0..10 {
        back_end.get(full).await.is(200);
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_of_calls_that_are_none_costs_as_much_as_a_call() {
    let (server, user, _) = server_with_burst(5).await;
    let nothing = json!({ "requests": [{ "method": "GET", "path": "/v1/nothing" }] });
    for _ in 0..5 {
        user.post("/v1/batch", &nothing).await.is(200);
    }
    user.post("/v1/batch", &nothing).await.is(429);
    server.stop().await;
}
