//! Open files: as many as the machine allows, and a server that goes on when there are no more.
#![allow(clippy::unwrap_used, reason = "a test may fail by panic")]

mod support;

use std::{net::SocketAddr, time::Duration};

use support::{eventually, process::ServerProcess};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_limit_of_open_files_is_raised_to_what_the_machine_allows() {
    let wrapper = ["sh", "-c", "ulimit -Sn 64 && exec \"$0\" \"$@\""];
    let server = ServerProcess::start(
        &wrapper,
        &["--store", "memory", "--limits-connections", "100"],
    );
    let mut streams = Vec::new();
    for _ in 0..100 {
        streams.push(TcpStream::connect(server.address).await.unwrap());
    }
    let url = format!("http://{}/metrics", server.address);
    eventually("all of them are served", async || {
        let page = reqwest::get(&url).await.unwrap().text().await.unwrap();
        page.contains("switchboard_idle_connections 10")
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_without_descriptors_closes_idle_connections_serves_on_and_does_not_spin() {
    let wrapper = ["sh", "-c", "ulimit -n 80 && exec \"$0\" \"$@\""];
    let server = ServerProcess::start(&wrapper, &["--store", "memory"]);
    let mut streams = Vec::new();
    for _ in 0..300 {
        streams.push(TcpStream::connect(server.address).await.unwrap());
    }
    for _ in 0..5 {
        let url = format!("http://{}/healthz", server.address);
        let answer = tokio::time::timeout(support::DEADLINE, reqwest::get(&url));
        assert_eq!(answer.await.unwrap().unwrap().status(), 200);
    }
    // Now with connections that it may not close.
    drop(streams);
    let mut listeners = vec![served(server.address).await];
    for _ in 1..200 {
        listeners.push(asking(server.address).await);
    }
    let before = server.cpu();
    tokio::time::sleep(Duration::from_secs(1)).await;
    let used = server.cpu() - before;
    assert!(used < Duration::from_millis(500), "{used:?}");
    let log = server.log();
    assert!(
        log.contains("fewer open files than limits.connections needs"),
        "{log}"
    );
    let lines = log
        .lines()
        .filter(|line| line.contains("cannot accept connections"));
    assert!((1..=3).contains(&lines.count()), "{log}");
    listeners.clear();
    let url = format!("http://{}/healthz", server.address);
    eventually("it takes connections again", async || {
        reqwest::get(&url)
            .await
            .is_ok_and(|answer| answer.status() == 200)
    })
    .await;
}

/// A connection that has asked for a stream of events.
async fn asking(address: SocketAddr) -> TcpStream {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = b"GET /events/lobby HTTP/1.1\r\nHost: localhost\r\n\r\n";
    stream.write_all(request).await.unwrap();
    stream
}

/// One that is given it: before its request has come, the server may close it like any idle one.
async fn served(address: SocketAddr) -> TcpStream {
    loop {
        let (mut stream, mut answer) = (asking(address).await, [0; 12]);
        if stream.read_exact(&mut answer).await.is_ok() {
            assert_eq!(&answer, b"HTTP/1.1 200");
            return stream;
        }
    }
}
