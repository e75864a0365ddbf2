//! What operators have: the session of the dashboard, statistics, lists of users, tails of rooms, and draining a node.
#![allow(clippy::unwrap_used, reason = "a test may fail by panic")]

mod support;

use serde_json::{Value, json};
use support::{
    DEADLINE, Raw, Server, config, eventually,
    redis::Redis,
    rest::{Answer, ApiClient, KEY, conforms},
};
use switchboard::config::{Config, Secret};
use tokio::time::timeout;

const ADMIN_KEY: &str = "the-key-of-the-tests-operators";

fn with_keys(mut config: Config) -> Config {
    config.auth.admin_key = Some(Secret::new(ADMIN_KEY));
    config.auth.api_keys = vec![Secret::new(KEY)];
    config
}

async fn server() -> Server {
    Server::start(with_keys(config())).await
}

async fn log_in(server: &Server, key: &str) -> Answer {
    let nobody = ApiClient::new(server, None);
    nobody.post("/admin/session", &json!({ "key": key })).await
}

/// The cookie of a new session, as a browser sends it back.
async fn session(server: &Server) -> &'static str {
    let answer = log_in(server, ADMIN_KEY).await;
    assert_eq!(answer.status, 204, "{}", answer.text);
    let cookie = answer.headers["set-cookie"].to_str().unwrap();
    Box::leak(
        cookie
            .split(';')
            .next()
            .unwrap()
            .to_owned()
            .into_boxed_str(),
    )
}

/// The dashboard's own page, with this cookie.
fn page(server: &Server, cookie: &'static str) -> ApiClient {
    ApiClient::new(server, None).with_header("cookie", cookie)
}

/// Reads a stream of Server-Sent Events.
struct EventReader {
    response: reqwest::Response,
    text: String,
}

impl EventReader {
    async fn open(server: &Server, path: &str) -> Self {
        let request = reqwest::Client::new().get(server.url(path));
        let response = request.bearer_auth(KEY).send().await.unwrap();
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        Self {
            response,
            text: String::new(),
        }
    }

    /// The next event's name and data; `None` at the end.
    async fn next(&mut self) -> Option<(String, Value)> {
        loop {
            if let Some((block, rest)) = self.text.split_once("\n\n") {
                let field = |name: &str| {
                    let mut lines = block.lines();
                    lines.find_map(|line| line.strip_prefix(name).map(str::to_owned))
                };
                let found = field("event: ").zip(field("data: "));
                self.text = rest.to_owned();
                match found {
                    Some((name, data)) => {
                        return Some((name, serde_json::from_str(&data).unwrap()));
                    }
                    None => continue,
                }
            }
            let chunk = timeout(DEADLINE, self.response.chunk()).await;
            let chunk = chunk.expect("an event in time").ok()??;
            self.text += std::str::from_utf8(&chunk).unwrap();
        }
    }
}

#[tokio::test]
async fn without_a_key_the_dashboard_is_closed_and_says_how_to_open_it() {
    let server = Server::start(config()).await;
    let nobody = ApiClient::new(&server, None);
    for path in ["/admin", "/admin/"] {
        let answer = nobody.get(path).await;
        assert_eq!(answer.status, 404);
        assert!(
            answer.text.contains("SWITCHBOARD_AUTH_ADMIN_KEY"),
            "{}",
            answer.text
        );
        assert!(answer.headers.contains_key("content-security-policy"));
    }
    for path in ["/admin/session", "/admin/pages/admin/main.js"] {
        assert_eq!(nobody.get(path).await.status, 404, "{path}");
    }
    assert_eq!(log_in(&server, ADMIN_KEY).await.status, 404);
}

#[tokio::test]
async fn the_dashboard_is_left_out_where_its_routes_are() {
    let mut without = with_keys(config());
    without
        .http
        .routes
        .retain(|group| group.as_str() != "admin");
    let server = Server::start(without).await;
    assert_eq!(
        ApiClient::new(&server, None).get("/admin").await.status,
        404
    );
    assert_eq!(log_in(&server, ADMIN_KEY).await.status, 404);
}

#[tokio::test]
async fn a_key_opens_a_session_that_log_out_ends() {
    let server = server().await;
    let nobody = ApiClient::new(&server, None);
    nobody.get("/v1/stats").await.is(403);
    nobody.get("/admin/session").await.is(401);
    let answer = log_in(&server, ADMIN_KEY).await;
    let cookie = answer.headers["set-cookie"].to_str().unwrap().to_owned();
    for attribute in ["HttpOnly", "SameSite=Strict", "Path=/;", "Max-Age=43200"] {
        assert!(cookie.contains(attribute), "{attribute} in {cookie}");
    }
    assert!(!cookie.contains("Secure"), "{cookie}");
    let page = page(&server, session(&server).await);
    assert!(page.get("/admin/session").await.is(200)["expires_at"].is_u64());
    page.get("/v1/stats").await.is(200);
    assert_eq!(page.delete("/admin/session").await.status, 204);
    page.get("/admin/session").await.is(401);
    page.get("/v1/stats").await.is(403);
}

#[tokio::test]
async fn a_session_counts_for_no_page_but_the_servers_own() {
    let mut listed = with_keys(config());
    listed.http.origins = vec!["https://app.example".parse().unwrap()];
    let server = Server::start(listed).await;
    let cookie = session(&server).await;
    let own: &'static str = Box::leak(server.url("").into_boxed_str());
    for (header, value, status) in [
        ("origin", own, 200),
        ("sec-fetch-site", "same-origin", 200),
        // Listed, and so let in by CORS, with cookies: but not with this one.
        ("origin", "https://app.example", 403),
        ("sec-fetch-site", "same-site", 403),
        ("sec-fetch-site", "cross-site", 403),
    ] {
        let request = reqwest::Client::new().get(server.url("/v1/stats"));
        let request = request.header("cookie", cookie).header(header, value);
        let answer = request.send().await.unwrap();
        assert_eq!(answer.status(), status, "{header}: {value}");
    }
    // Nor may other pages try keys.
    let request = reqwest::Client::new().post(server.url("/admin/session"));
    let request = request.header("origin", "https://app.example");
    let answer = request
        .json(&json!({ "key": ADMIN_KEY }))
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), 403);
}

#[tokio::test]
async fn an_address_that_tries_wrong_keys_has_to_wait_even_with_the_right_one() {
    let mut few = with_keys(config());
    few.limits.logins_per_minute = 3;
    let server = Server::start(few).await;
    for _ in 0..3 {
        log_in(&server, "a-wrong-key-of-an-attacker").await.is(401);
    }
    for key in ["a-wrong-key-of-an-attacker", ADMIN_KEY] {
        let answer = log_in(&server, key).await;
        let error = answer.is(429);
        assert_eq!(error["code"], "rate_limited");
        assert!(
            error["retry_after_ms"].as_u64().unwrap() <= 20_000,
            "{error}"
        );
        assert!(answer.headers.contains_key("retry-after"));
    }
    let limited = server.metric("switchboard_limited_total{limit=\"logins_per_minute\"}");
    assert!((limited - 2.0).abs() < 0.5, "{limited}");
    // A program with the key is no log-in.
    let operator = ApiClient::new(&server, Some(ADMIN_KEY));
    operator.get("/v1/stats").await.is(200);
}

#[tokio::test]
async fn a_session_of_a_browser_behind_tls_is_sent_by_tls_alone() {
    let mut proxied = with_keys(config());
    proxied.http.trusted_proxies = vec!["127.0.0.1/32".parse().unwrap()];
    let server = Server::start(proxied).await;
    let client = ApiClient::new(&server, None).with_header("x-forwarded-proto", "https");
    let answer = client
        .post("/admin/session", &json!({ "key": ADMIN_KEY }))
        .await;
    let cookie = answer.headers["set-cookie"].to_str().unwrap();
    assert!(cookie.ends_with("; Secure"), "{cookie}");
    // A browser says so itself, whatever is known of its proxy.
    let unknown = Server::start(with_keys(config())).await;
    let request = reqwest::Client::new().post(unknown.url("/admin/session"));
    let request = request.header("sec-fetch-site", "same-origin");
    let request = request.header("origin", "https://chat.example");
    let answer = request.json(&json!({ "key": ADMIN_KEY })).send().await;
    let answer = answer.unwrap();
    let cookie = answer.headers()["set-cookie"].to_str().unwrap().to_owned();
    assert!(cookie.ends_with("; Secure"), "{cookie}");
}

#[tokio::test]
async fn without_a_session_a_call_of_the_dashboard_is_no_users() {
    let server = server().await;
    let path = "/v1/rooms/lobby/messages";
    // In open mode whoever brings nothing is a guest.
    let guest = ApiClient::new(&server, None);
    guest.post(path, &json!({ "data": 1 })).await.is(201);
    let dashboard = guest.with_header("x-switchboard-dashboard", "1");
    dashboard.post(path, &json!({ "data": 2 })).await.is(401);
    let back_end = ApiClient::new(&server, Some(KEY));
    assert_eq!(back_end.get("/v1/rooms/lobby").await.is(200)["seq"], 1);
}

#[tokio::test]
async fn streams_of_a_session_end_with_it_and_those_of_a_key_do_not() {
    let server = server().await;
    let cookie = session(&server).await;
    let request = reqwest::Client::new().get(server.url("/v1/stats/stream"));
    let response = request.header("cookie", cookie).send().await.unwrap();
    let mut stream = EventReader {
        response,
        text: String::new(),
    };
    let mut of_key = EventReader::open(&server, "/v1/stats/stream").await;
    assert_eq!(stream.next().await.unwrap().0, "stats");
    assert_eq!(of_key.next().await.unwrap().0, "stats");
    let page = page(&server, cookie);
    assert_eq!(page.delete("/admin/session").await.status, 204);
    assert_eq!(stream.next().await, None);
    assert_eq!(of_key.next().await.unwrap().0, "update");
}

#[tokio::test]
async fn the_cookie_is_for_the_path_where_the_browser_has_the_server() {
    let mut below = with_keys(config());
    below.http.prefix = "/realtime".to_owned();
    let server = Server::start(below).await;
    let nobody = ApiClient::new(&server, None);
    for (query, path) in [
        ("", "/realtime"),
        ("?path=/app/realtime", "/app/realtime"),
        ("?path=/realtime", "/realtime"),
        ("?path=/elsewhere", "/realtime"),
        ("?path=/a;Domain=evil.example/realtime", "/realtime"),
    ] {
        let to = format!("/realtime/admin/session{query}");
        let answer = nobody.post(&to, &json!({ "key": ADMIN_KEY })).await;
        let cookie = answer.headers["set-cookie"].to_str().unwrap().to_owned();
        assert!(
            cookie.contains(&format!("; Path={path};")),
            "{query}: {cookie}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn statistics_count_what_was_sent() {
    let server = server().await;
    let api = ApiClient::new(&server, Some(KEY));
    let mut alice = Raw::connect(&server, "alice").await;
    alice.call("join", json!("lobby")).await;
    for number in 0..7 {
        let body = json!({ "data": number });
        api.post("/v1/rooms/lobby/messages", &body).await.is(201);
    }
    for _ in 0..7 {
        alice.event("message").await;
    }
    eventually("the statistics are fresh", async || {
        let stats = api.get("/v1/stats").await.is(200);
        stats["nodes"][0]["totals"]["messages"] == 7
            && stats["rooms"]["busiest"][0]["room"] == "lobby"
    })
    .await;
    let answer = api.get("/v1/stats").await;
    let document = api.get("/v1/openapi.json").await.is(200);
    conforms(&document, "get_stats", &answer);
    let stats = answer.is(200);
    let node = &stats["nodes"][0];
    assert_eq!(node["id"], stats["node"]);
    assert_eq!(
        (&node["ready"], &node["draining"]),
        (&json!(true), &json!(false))
    );
    assert_eq!(node["store"], "memory");
    assert_eq!(stats["missing_nodes"], 0);
    let room = &stats["rooms"]["largest"][0];
    assert_eq!(
        (&room["room"], &room["connections"]),
        (&json!("lobby"), &json!(1))
    );
    let rate = stats["rooms"]["busiest"][0]["events_per_second"]
        .as_f64()
        .unwrap();
    assert!((0.1..=0.7).contains(&rate), "{rate}");
    let listed = api.get("/v1/rooms?rates=true").await;
    conforms(&document, "list_rooms", &listed);
    assert!(
        listed.is(200)["rooms"][0]["events_per_second"]
            .as_f64()
            .unwrap()
            > 0.0
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_of_statistics_begins_with_everything_and_goes_on_with_samples() {
    let server = server().await;
    let mut stream = EventReader::open(&server, "/v1/stats/stream").await;
    let (name, stats) = stream.next().await.unwrap();
    assert_eq!(name, "stats");
    let times = stats["series"]["ts"].as_array().unwrap().clone();
    let (name, update) = stream.next().await.unwrap();
    assert_eq!(name, "update");
    assert!(
        times
            .last()
            .is_none_or(|last| last.as_u64() < update["ts"].as_u64())
    );
    assert_eq!(update["sample"]["ts"], update["ts"]);
    assert_eq!(update["sample"]["messages_per_second"], 0);
    assert_eq!(update["nodes"][0]["id"], stats["node"]);
    assert!(update["rooms"]["largest"].is_array());
    // The columns have the same series as the samples, and begin where the reader says.
    let since = format!("/v1/stats?since={}", update["ts"]);
    let later = ApiClient::new(&server, Some(KEY)).get(&since).await.is(200);
    assert_eq!(later["series"]["ts"], json!([]));
    let names = |object: &Value| {
        let names: Vec<_> = object.as_object().unwrap().keys().cloned().collect();
        names
    };
    assert_eq!(names(&later["series"]), names(&update["sample"]));
}

#[tokio::test]
async fn a_tail_shows_a_room_without_being_seen_in_it() {
    let server = server().await;
    let api = ApiClient::new(&server, Some(KEY));
    let path = "/v1/rooms/lobby/messages";
    for number in 1..=3 {
        api.post(path, &json!({ "data": number })).await.is(201);
    }
    let mut tail = EventReader::open(&server, "/v1/rooms/lobby/tail?history=2").await;
    api.post(path, &json!({ "data": { "x": "a\nb" }, "from": "bob" }))
        .await
        .is(201);
    let ephemeral = json!({ "data": 5, "event": "cursor", "ephemeral": true, "from": "bob" });
    api.post(path, &ephemeral).await.is(202);
    for number in [2, 3] {
        let (name, message) = tail.next().await.unwrap();
        assert_eq!(
            (name.as_str(), &message["seq"], &message["data"]),
            ("message", &json!(number), &json!(number))
        );
    }
    let (_, message) = tail.next().await.unwrap();
    assert_eq!(
        (&message["data"], &message["from"]),
        (&json!({ "x": "a\nb" }), &json!({ "user": "bob" }))
    );
    let (name, event) = tail.next().await.unwrap();
    assert_eq!(name, "event");
    assert_eq!(
        event,
        json!({ "event": "cursor", "from": { "user": "bob" }, "data": 5 })
    );
    assert_eq!(api.get("/v1/rooms").await.is(200)["rooms"], json!([]));
    assert_eq!(
        api.get("/v1/rooms/lobby/presence").await.is(200)["count"],
        0
    );
    drop(tail);
    eventually("the room is forgotten", async || {
        server.metric("switchboard_rooms") < 0.5
    })
    .await;
}

#[tokio::test]
async fn a_node_has_so_many_streams_and_no_more() {
    let mut few = with_keys(config());
    few.limits.api_streams = 2;
    let server = Server::start(few).await;
    let api = ApiClient::new(&server, Some(KEY));
    let first = EventReader::open(&server, "/v1/rooms/lobby/tail").await;
    let _second = EventReader::open(&server, "/v1/stats/stream").await;
    let answer = api.get("/v1/rooms/lobby/tail").await;
    assert_eq!(answer.is(503)["code"], "limit_reached");
    drop(first);
    eventually("a place is free", async || {
        let client = reqwest::Client::new().get(server.url("/v1/rooms/lobby/tail"));
        client.bearer_auth(KEY).send().await.unwrap().status() == 200
    })
    .await;
}

#[tokio::test]
async fn users_and_their_connections_are_for_back_ends() {
    let server = server().await;
    let api = ApiClient::new(&server, Some(KEY));
    let document = api.get("/v1/openapi.json").await.is(200);
    let mut alice = Raw::connect(&server, "alice").await;
    alice.call("join", json!("lobby")).await;
    let _bob = Raw::connect(&server, "bob").await;
    let users = api.get("/v1/users?prefix=a&limit=1").await;
    conforms(&document, "list_users", &users);
    assert_eq!(
        users.is(200),
        json!({ "users": [{ "user": "alice", "connections": 1 }] })
    );
    let page = api.get("/v1/users?limit=1").await.is(200);
    assert_eq!(page["next"], "alice");
    let rest = api.get("/v1/users?cursor=alice").await.is(200);
    assert_eq!(rest["users"][0]["user"], "bob");
    let connections = api.get("/v1/users/alice/connections").await;
    conforms(&document, "list_connections", &connections);
    let connections = connections.is(200);
    let connection = &connections["connections"][0];
    assert_eq!(connection["transport"], "socketio");
    assert!(
        connection["rooms"]
            .as_array()
            .unwrap()
            .contains(&json!("lobby")),
        "{connection}"
    );
    let alice = ApiClient::new(&server, None);
    for path in [
        "/v1/users?user=alice",
        "/v1/users/alice/connections?user=alice",
        "/v1/stats?user=alice",
        "/v1/stats/stream?user=alice",
        "/v1/rooms/lobby/tail?user=alice",
        "/v1/rooms?rates=true&user=alice",
    ] {
        alice.get(path).await.is(403);
    }
}

#[tokio::test]
async fn a_node_is_drained_by_an_operator_who_names_it() {
    let mut named = with_keys(config());
    named.node = Some("web-1".to_owned());
    let server = Server::start(named).await;
    let mut alice = Raw::connect(&server, "alice").await;
    let back_end = ApiClient::new(&server, Some(KEY));
    back_end
        .post("/v1/nodes/web-1/drain", &json!({}))
        .await
        .is(403);
    let operator = page(&server, session(&server).await);
    operator
        .post("/v1/nodes/web-2/drain", &json!({}))
        .await
        .is(404);
    let mut stream = EventReader::open(&server, "/v1/stats/stream").await;
    let answer = operator.post("/v1/nodes/web-1/drain", &json!({})).await;
    assert_eq!(answer.is(202), json!({ "node": "web-1", "draining": true }));
    alice.event("draining").await;
    // The stream ends with the node; the server returns by itself.
    while stream.next().await.is_some() {}
    server.ended().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_node_shows_all_nodes_users_and_rates() {
    let redis = Redis::start().await;
    let node = |name: &str| {
        let mut config = with_keys(redis.node());
        config.node = Some(name.to_owned());
        config
    };
    let (first, second) = (
        Server::start(node("one")).await,
        Server::start(node("two")).await,
    );
    let mut alice = Raw::connect(&first, "alice").await;
    alice.call("join", json!("lobby")).await;
    let _bob = Raw::connect(&second, "bob").await;
    let second_api = ApiClient::new(&second, Some(KEY));
    for number in 0..5 {
        let body = json!({ "data": number });
        second_api
            .post("/v1/rooms/lobby/messages", &body)
            .await
            .is(201);
        alice.event("message").await;
    }
    eventually("both nodes are known to each other", async || {
        let stats = second_api.get("/v1/stats").await.is(200);
        let ids: Vec<_> = stats["nodes"]
            .as_array()
            .unwrap()
            .iter()
            .map(|node| node["id"].clone())
            .collect();
        ids == [json!("two"), json!("one")] && stats["missing_nodes"] == 0
    })
    .await;
    let stats = second_api.get("/v1/stats").await.is(200);
    assert_eq!(stats["nodes"][0]["totals"]["messages"], 5);
    assert_eq!(
        stats["nodes"][1]["totals"]["deliveries"].as_u64().unwrap(),
        5
    );
    let users = second_api.get("/v1/users").await.is(200);
    let users: Vec<_> = users["users"]
        .as_array()
        .unwrap()
        .iter()
        .map(|user| user["user"].clone())
        .collect();
    assert_eq!(users, [json!("alice"), json!("bob")]);
    let connections = second_api.get("/v1/users/alice/connections").await.is(200);
    assert_eq!(connections["connections"][0]["node"], "one");
    // The room has members on the other node alone.
    let rooms = second_api.get("/v1/rooms?rates=true").await.is(200);
    assert_eq!(rooms["rooms"][0]["room"], "lobby");
    assert!(
        rooms["rooms"][0]["events_per_second"].as_f64().unwrap() > 0.0,
        "{rooms}"
    );
    // A session of one node is one of the other, too.
    let cookie = session(&first).await;
    page(&second, cookie).get("/v1/stats").await.is(200);
}
