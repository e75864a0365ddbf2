//! An application's routes beside the server's: whose layers and fallbacks hold where, which routes are refused, and where the
//! server's own routes are.
#![allow(clippy::unwrap_used, reason = "a test may fail by panic")]

mod support;

use axum::{
    Router,
    extract::{Request, State},
    middleware::{Next, from_fn},
    response::{Html, IntoResponse, Response},
    routing::{any, get, post},
};
use http::StatusCode;
use reqwest::header::HeaderMap;
use serde_json::{Value, json};
use support::{Raw, Server, config};
use switchboard::{
    App, SocketIo, StartError,
    config::{Config, RouteGroup},
};
use tokio_tungstenite::tungstenite::Message;

/// A server whose application has these routes.
async fn server_with(routes: Router) -> Server {
    Server::start_with(App::builder(config()).routes(move |_, _| routes)).await
}

struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: String,
}

impl Answer {
    async fn of(request: reqwest::RequestBuilder) -> Self {
        let answer = request.send().await.unwrap();
        Self {
            status: answer.status(),
            headers: answer.headers().clone(),
            body: answer.text().await.unwrap(),
        }
    }

    fn code(&self) -> Value {
        serde_json::from_str::<Value>(&self.body).unwrap()["code"].take()
    }
}

async fn get_path(server: &Server, path: &str) -> Answer {
    let request = reqwest::Client::new().get(server.url(path));
    Answer::of(request.header("origin", server.url(""))).await
}

/// A layer that leaves a trace, and answers preflights as one for CORS would.
async fn marked(request: Request, next: Next) -> Response {
    if request.method() == http::Method::OPTIONS {
        return ([("x-application", "preflight")], StatusCode::NO_CONTENT).into_response();
    }
    let mut response = next.run(request).await;
    let mark = http::HeaderValue::from_static("layered");
    response.headers_mut().insert("x-application", mark);
    response
}

fn single_page_application() -> Router {
    Router::new()
        .route("/app/data", get(async || "data"))
        .fallback(async || Html("the page"))
        .layer(from_fn(marked))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn routes_are_given_the_hub_and_the_handle_of_socketioxide() {
    async fn shout(State(io): State<SocketIo>) {
        io.emit("news", "extra").await.unwrap();
    }
    let builder = App::builder(config()).routes(|hub, io| {
        let count = get(async move || hub.connections().len().to_string());
        let shout = post(shout).with_state(io);
        Router::new().route("/count", count).route("/shout", shout)
    });
    let server = Server::start_with(builder).await;
    let mut client = Raw::connect(&server, "alice").await;
    assert_eq!(get_path(&server, "/count").await.body, "1");
    Answer::of(reqwest::Client::new().post(server.url("/shout"))).await;
    assert_eq!(client.event("news").await[1], "extra");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_applications_fallback_and_layers_hold_for_its_own_routes_only() {
    let server = server_with(single_page_application()).await;
    for (path, body) in [
        ("/app/data", "data"),
        ("/", "the page"),
        ("/any/page", "the page"),
    ] {
        let answer = get_path(&server, path).await;
        assert_eq!((answer.status, &*answer.body), (StatusCode::OK, body));
        assert_eq!(answer.headers["x-application"], "layered", "{path}");
        let cors = answer.headers.get("access-control-allow-origin");
        assert_eq!(cors, None, "{path} is not the server's");
    }
    for path in [
        "/healthz",
        "/socket.io/?EIO=4&transport=polling",
        "/v1/rooms",
    ] {
        let answer = get_path(&server, path).await;
        assert_eq!(answer.status, StatusCode::OK, "{path}");
        assert!(!answer.headers.contains_key("x-application"), "{path}");
        let cors = answer.headers.get("access-control-allow-origin");
        assert_eq!(cors.unwrap(), &server.url(""), "{path}");
    }
    let misspelt = get_path(&server, "/v1/romos").await;
    assert_eq!(misspelt.status, StatusCode::NOT_FOUND);
    assert_eq!(misspelt.code(), "not_found");
    assert!(misspelt.headers.contains_key("x-request-id"));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_that_is_misspelt_is_not_answered_by_a_wildcard_of_the_application() {
    let own = Router::new()
        .route("/v1/{own}", get(async || "own"))
        .route("/v1/{own}/of/application", get(async || "own"));
    for wildcard in ["/{*rest}", "/{one}/{two}/{three}"] {
        let routes = own.clone().route(wildcard, get(async || "wild"));
        for router in [routes.clone(), routes.fallback(async || "fallback")] {
            let server = server_with(router).await;
            for (path, body) in [
                ("/elsewhere/for/anything", "wild"),
                ("/v1/own", "own"),
                ("/v1/own/of/application", "own"),
            ] {
                assert_eq!(get_path(&server, path).await.body, body, "{path}");
            }
            let misspelt = get_path(&server, "/v1/romos/lobby").await;
            assert_eq!(misspelt.status, StatusCode::NOT_FOUND, "{wildcard}");
            assert_eq!(misspelt.code(), "not_found");
            assert!(misspelt.headers.contains_key("x-request-id"));
            server.stop().await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_applications_layer_answers_the_preflights_of_its_routes() {
    let routes = Router::new().route("/app/data", post(async || "data"));
    let server = server_with(routes.layer(from_fn(marked))).await;
    let preflight = |path: &str| {
        let request = reqwest::Client::new().request(http::Method::OPTIONS, server.url(path));
        let request = request.header("origin", server.url(""));
        Answer::of(request.header("access-control-request-method", "POST"))
    };
    let own = preflight("/app/data").await;
    assert_eq!(own.headers["x-application"], "preflight");
    let servers = preflight("/v1/batch").await;
    assert_eq!(servers.headers["access-control-allow-methods"], "POST");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_fallback_of_the_application_the_server_answers_where_no_route_matches() {
    let routes = Router::new().route("/app/data", get(async || "data"));
    let server = server_with(routes.layer(from_fn(marked))).await;
    let missing = get_path(&server, "/app/elsewhere").await;
    assert_eq!(missing.status, StatusCode::NOT_FOUND);
    assert_eq!(missing.code(), "not_found");
    let welcome = get_path(&server, "/").await;
    assert!(
        welcome
            .body
            .contains(r#""prefix":"","socketio":"/socket.io","open":true"#)
    );
    let style = get_path(&server, "/pages/try/style.css").await;
    assert_eq!(style.status, StatusCode::OK);
    assert_eq!(style.headers["content-type"], "text/css");
    assert_eq!(
        get_path(&server, "/pages/try/none.js").await.status,
        StatusCode::NOT_FOUND
    );
    server.stop().await;
}

async fn refusal(routes: Router) -> String {
    let app = App::builder(config()).routes(move |_, _| routes);
    match app.build().await {
        Err(StartError::Route(message)) => message,
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("the routes were accepted"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_route_that_the_server_has_is_refused_with_a_sentence_that_names_both() {
    async fn fail() {
        panic!("a handler was run");
    }
    let never = || any(fail);
    for (route, servers) in [
        ("/healthz", "/healthz"),
        ("/socket.io/", "/socket.io/"),
        ("/events/{stream}", "/events/{room}"),
        ("/poll/{*rest}", "/poll/{room}"),
        ("/v1/rooms/{id}/messages", "/v1/rooms/{room}/messages"),
        ("/v1/docs/{page}", "/v1/docs/{file}"),
    ] {
        let message = refusal(Router::new().route(route, never())).await;
        let expected =
            format!("the application's route {route} is taken: the server has {servers}.");
        assert!(message.starts_with(&expected), "{message}");
    }
    let nested = Router::new().nest_service("/poll", Router::new().fallback(fail));
    assert!(
        refusal(nested)
            .await
            .contains("the server has /poll/{room}")
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn socketio_cannot_have_the_path_of_a_route_that_the_server_has() {
    let mut config = config();
    for (prefix, path) in [("", "/healthz"), ("/realtime", "/realtime/events")] {
        config.http.prefix = prefix.to_owned();
        config.socketio.path = path.to_owned();
        let refused = App::builder(config.clone()).build().await.err().unwrap();
        let text = refused.to_string();
        let expected = format!("the server has its own route {path};");
        assert!(text.contains(&expected), "{text}");
    }
    config.http.prefix = "/moved".to_owned();
    App::builder(config).build().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_more_specific_route_goes_first_and_a_less_specific_one_last() {
    let routes = Router::new()
        .route("/events/special", get(async || "special"))
        .route("/v1/{tenant}/orders", get(async || "orders"))
        .route("/v1/mine", get(async || "mine"))
        .route("/{*rest}", get(async || "rest"));
    let server = server_with(routes).await;
    for (path, body) in [
        ("/events/special", "special"),
        ("/v1/mine", "mine"),
        ("/v1/acme/orders", "orders"),
        ("/elsewhere", "rest"),
        ("/healthz", r#"{"ok":true}"#),
    ] {
        assert_eq!(get_path(&server, path).await.body, body, "{path}");
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn groups_of_the_servers_routes_can_be_left_out_and_are_free_for_the_application() {
    let mut config = config();
    config.http.routes = vec![RouteGroup::Health];
    let routes = Router::new().route("/metrics", get(async || "mine"));
    let builder = App::builder(config).routes(move |_, _| routes);
    let server = Server::start_with(builder).await;
    for path in [
        "/v1/rooms",
        "/v1/elsewhere",
        "/ws/lobby",
        "/events/lobby",
        "/poll/lobby",
    ] {
        let answer = get_path(&server, path).await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND, "{path}");
    }
    assert_eq!(get_path(&server, "/healthz").await.status, StatusCode::OK);
    assert_eq!(get_path(&server, "/metrics").await.body, "mine");
    Raw::connect(&server, "alice").await;
    server.stop().await;
}

fn moved() -> Config {
    let mut config = config();
    config.http.prefix = "/real/time".to_owned();
    config
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_servers_routes_can_be_moved_below_a_prefix() {
    let routes = Router::new().route("/healthz", get(async || "mine"));
    let builder = App::builder(moved()).routes(move |_, _| routes);
    let server = Server::start_with(builder).await;
    assert_eq!(get_path(&server, "/healthz").await.body, "mine");
    for path in ["/healthz", "/readyz", "/metrics", "/v1/rooms"] {
        let answer = get_path(&server, &format!("/real/time{path}")).await;
        assert_eq!(answer.status, StatusCode::OK, "{path}");
    }
    let missing = get_path(&server, "/real/time/v1/romos").await;
    assert_eq!(missing.status, StatusCode::NOT_FOUND);
    assert!(missing.body.contains("nothing at /real/time/v1/romos"));

    let mut member = Raw::connect(&server, "alice").await;
    member.call("join", json!("lobby")).await;
    let url = format!("ws://{}/real/time/ws/lobby", server.address);
    let (mut socket, _) = tokio_tungstenite::connect_async(url).await.unwrap();
    let publish = json!({ "data": "hello" });
    let request = reqwest::Client::new().post(server.url("/real/time/v1/rooms/lobby/messages"));
    let sent = Answer::of(request.json(&publish)).await;
    assert_eq!(sent.status, StatusCode::CREATED, "{}", sent.body);
    assert_eq!(member.event("message").await[1]["data"], "hello");
    let received = async {
        use futures_util::StreamExt;
        loop {
            match socket.next().await.unwrap().unwrap() {
                Message::Text(text) if text.contains("hello") => return,
                _ => {}
            }
        }
    };
    tokio::time::timeout(support::DEADLINE, received)
        .await
        .unwrap();
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_description_and_the_links_of_moved_routes_are_right() {
    let server = Server::start(moved()).await;
    let document = get_path(&server, "/real/time/v1/openapi.json").await.body;
    let document: Value = serde_json::from_str(&document).unwrap();
    assert_eq!(document["servers"][0]["url"], "/real/time");
    assert!(document["paths"]["/v1/rooms"].is_object());
    let script = get_path(&server, "/real/time/v1/docs/swagger-initializer.js").await;
    assert!(
        script.body.contains("/real/time/v1/openapi.json"),
        "{}",
        script.body
    );
    let welcome = get_path(&server, "/").await.body;
    assert!(welcome.contains(r#""prefix":"/real/time""#), "{welcome}");
    let calls = ["/v1/rooms", "/real/time/v1/rooms"];
    let calls = calls.map(|path| json!({ "method": "GET", "path": path }));
    let request = reqwest::Client::new().post(server.url("/real/time/v1/batch"));
    let batch = Answer::of(request.json(&json!({ "requests": calls }))).await;
    assert_eq!(
        batch.body.matches(r#""status":200"#).count(),
        2,
        "{}",
        batch.body
    );
    server.stop().await;
}
