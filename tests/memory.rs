//! What clients can make a node hold: a thousand connections at their limits, of each kind, cost less than is said here, and
//! a client beside them waits for no ack longer than a second, as seen on a machine that has nothing else to do.
//!
//! The server has a budget of 32 MiB, of which one address or one user gets half. A bound says what that comes to in memory of
//! the process, with what a thousand connections and requests cost by themselves.
#![allow(clippy::unwrap_used, reason = "a test may fail by panic")]

mod support;

use std::time::Duration;

use futures_util::future::join_all;
use support::{
    child::{Bystander, Child, Http, KEY, Watch, token},
    eventually,
};

/// Connections of each trial.
const CONNECTIONS: usize = 1000;

/// What bodies may cost: the budget, and what a thousand connections and sessions have read beside that.
const BODIES: usize = 96;

const MIB: usize = 1 << 20;

/// A client waits no longer for an ack.
const PATIENCE: Duration = Duration::from_secs(1);

async fn server() -> Child {
    let environment = [
        ("SWITCHBOARD_LIMITS_MEMORY", "32 MiB"),
        ("SWITCHBOARD_LIMITS_CONNECTS_BURST", "0"),
        ("SWITCHBOARD_LIMITS_CONNECTS_PER_SECOND", "0"),
        ("SWITCHBOARD_LIMITS_CONNECTIONS_PER_USER", "0"),
    ];
    Child::start(&environment).await
}

/// Runs an attack beside a client that is not to notice it; the memory may grow by so many MiB.
async fn costs_less_than(bound: usize, child: &Child, attack: impl Future<Output = ()>) {
    // What a busy machine costs everybody shows at a server that nobody attacks.
    let elsewhere = Child::start(&[]).await;
    let calm = Bystander::begin(&elsewhere).await;
    let bystander = Bystander::begin(child).await;
    let watch = Watch::begin(child);
    attack.await;
    let (longest, usual) = (bystander.end().await, calm.end().await);
    let grown = watch.end();
    assert!(grown < bound * MIB, "{} MiB", grown / MIB);
    assert!(
        longest < PATIENCE + usual,
        "an ack took {longest:?}, and {usual:?} elsewhere"
    );
}

/// One attempt a connection, at the same time.
async fn each<F: Future>(attempt: impl Fn(usize) -> F) -> Vec<F::Output> {
    let mut done = Vec::with_capacity(CONNECTIONS);
    // Some at a time: how many connections a second a server takes is not what is tried here.
    for begin in (0..CONNECTIONS).step_by(25) {
        done.extend(join_all((begin..begin + 25).map(&attempt)).await);
    }
    done
}

/// A body of which the last byte never comes.
const WITHHELD: usize = 128 << 10;

fn withheld(begin: &str) -> Vec<u8> {
    let mut body = begin.as_bytes().to_vec();
    body.resize(WITHHELD - 1, b'x');
    body
}

async fn session(http: &mut Http, protocol: u8) -> String {
    let path = format!("/socket.io/?EIO={protocol}&transport=polling");
    http.send(format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n").as_bytes())
        .await;
    let (status, body) = http.answer().await;
    assert_eq!(status, 200, "{body}");
    let (_, rest) = body.split_once("\"sid\":\"").unwrap();
    let sid = rest.split('"').next().unwrap();
    format!("{path}&sid={sid}")
}

fn post(path: &str, headers: &str) -> Vec<u8> {
    format!("POST {path} HTTP/1.1\r\nHost: a\r\n{headers}Content-Length: {WITHHELD}\r\n\r\n")
        .into_bytes()
}

async fn posted_packets_withheld(protocol: u8) {
    let child = server().await;
    costs_less_than(BODIES, &child, async {
        let body = withheld("4");
        let _held = each(async |_| {
            let mut http = child.dial().await;
            let path = session(&mut http, protocol).await;
            http.send(&post(&path, "Content-Type: text/plain\r\n"))
                .await;
            http.send(&body).await;
            http
        })
        .await;
        eventually("some are refused", async || {
            child
                .metric("switchboard_limited_total{limit=\"memory\"}")
                .await
                > 0.0
        })
        .await;
        assert!(child.metric("switchboard_memory_held_bytes").await <= 32.0 * MIB as f64);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn packets_of_engine_io_4_that_are_posted_and_never_end() {
    posted_packets_withheld(4).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn packets_of_engine_io_3_that_are_posted_and_never_end() {
    posted_packets_withheld(3).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_has_one_post_at_a_time_and_ends_with_a_second() {
    let child = server().await;
    costs_less_than(32, &child, async {
        let path = session(&mut child.dial().await, 4).await;
        let (head, body) = (post(&path, "Content-Type: text/plain\r\n"), withheld("4"));
        let answers = each(async |_| {
            let mut http = child.dial().await;
            http.send(&head).await;
            http.send(&body).await;
            http.answer().await.0
        })
        .await;
        assert!(answers.iter().all(|status| *status == 400), "{answers:?}");
        assert_eq!(child.metric("switchboard_memory_held_bytes").await, 0.0);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bodies_of_api_requests_that_never_end() {
    let child = server().await;
    let mallory = token("mallory", "x");
    for (bearer, refused) in [
        (mallory.as_str(), [503, 503]),
        (KEY, [503, 503]),
        ("nobody", [401, 429]),
    ] {
        costs_less_than(BODIES, &child, async {
            let headers =
                format!("Content-Type: application/json\r\nAuthorization: Bearer {bearer}\r\n");
            let (head, body) = (
                post("/v1/rooms/x/messages", &headers),
                withheld("{\"data\":\""),
            );
            let mut held = each(async |_| {
                let mut http = child.dial().await;
                http.send(&head).await;
                http.send(&body).await;
                http
            })
            .await;
            let (status, said) = held.last_mut().unwrap().answer().await;
            assert!(refused.contains(&status), "{status} {said}");
        })
        .await;
    }
}
