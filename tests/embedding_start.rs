//! How an application starts a server: its configuration, what it is told when that fails, and TLS.
#![allow(clippy::unwrap_used, reason = "a test may fail by panic")]

mod support;

use std::{
    net::{IpAddr, Ipv4Addr},
    process::Command,
};

use http::{StatusCode, request::Parts};
use serde_json::Value;
use support::config;
use switchboard::{
    App, StartError,
    app::listen,
    auth::Reject,
    config::{ByteSize, Config},
};
use tokio::net::TcpListener;

/// Runs a test of this file in a process of its own, with these environment variables and in this folder.
fn run_alone(test: &str, folder: &std::path::Path, environment: &[(&str, &str)]) -> bool {
    let this = std::env::current_exe().unwrap();
    let mut command = Command::new(this);
    command.args([test, "--exact", "--ignored"]);
    command.current_dir(folder);
    command.envs(environment.iter().copied());
    command.status().unwrap().success()
}

#[test]
fn a_configuration_is_loaded_from_the_environment_and_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let file = "listen = \"127.0.0.1:4000\"\n[limits]\nmessage_bytes = \"1 KiB\"\n";
    std::fs::write(folder.path().join("switchboard.toml"), file).unwrap();
    let environment = [("SWITCHBOARD_LISTEN", "127.0.0.1:5000")];
    assert!(run_alone(
        "loads_a_configuration",
        folder.path(),
        &environment
    ));
}

#[test]
#[ignore = "run by a_configuration_is_loaded_from_the_environment_and_the_file"]
fn loads_a_configuration() {
    let config = Config::from_env().unwrap();
    assert_eq!(config.listen.port(), 5000, "the environment goes first");
    assert_eq!(config.limits.message_bytes, ByteSize::new(1024));
}

#[test]
fn an_application_that_identifies_clients_needs_no_key_to_listen_everywhere() {
    let folder = tempfile::tempdir().unwrap();
    let environment = [
        ("SWITCHBOARD_LISTEN", "0.0.0.0:4000"),
        ("SWITCHBOARD_STORE", "memory"),
    ];
    assert!(run_alone(
        "builds_with_and_without_identities",
        folder.path(),
        &environment
    ));
}

#[tokio::test]
#[ignore = "run by an_application_that_identifies_clients_needs_no_key_to_listen_everywhere"]
async fn builds_with_and_without_identities() {
    let identify = async |_: Parts, _: Value| Ok::<_, Reject>(None);
    let builder = App::builder(Config::from_env().unwrap()).authenticate(identify);
    builder.build().await.unwrap();
    let anyone = App::builder(Config::from_env().unwrap()).build().await;
    let error = anyone.err().unwrap().to_string();
    assert!(
        error.contains("0.0.0.0:4000 can be reached from other machines"),
        "{error}"
    );
}

#[test]
fn a_wrong_configuration_is_said_in_a_sentence_with_its_source() {
    let folder = tempfile::tempdir().unwrap();
    let environment = [("SWITCHBOARD_LISTEN", "nowhere")];
    assert!(run_alone(
        "refuses_a_configuration",
        folder.path(),
        &environment
    ));
}

#[test]
#[ignore = "run by a_wrong_configuration_is_said_in_a_sentence_with_its_source"]
fn refuses_a_configuration() {
    let error = Config::from_env().unwrap_err();
    let text = format!("{error:?}");
    assert!(
        text.contains("environment SWITCHBOARD_LISTEN: listen is \"nowhere\""),
        "{text}"
    );
    assert_eq!(format!("{:?}", StartError::from(error)), text);
}

#[tokio::test]
async fn an_address_in_use_is_said_in_a_sentence_even_by_debug() {
    let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let error = listen(taken.local_addr().unwrap()).unwrap_err();
    let text = format!("{error:?}");
    assert!(text.starts_with("cannot listen on 127.0.0.1:"), "{text}");
    assert!(text.contains("chooses another address"), "{text}");
}

#[tokio::test]
async fn a_server_leaves_a_provider_of_cryptography_for_all_of_the_process() {
    let _app = App::builder(config()).build().await.unwrap();
    assert!(rustls::crypto::CryptoProvider::get_default().is_some());
}

/// An address of this machine that others may know; `None` without a network.
fn address_in_the_network() -> Option<IpAddr> {
    let socket = std::net::UdpSocket::bind("0.0.0.0:0").ok()?;
    // Sends nothing: it only finds out from where it would be sent.
    socket.connect("198.51.100.1:9").ok()?;
    let address = socket.local_addr().ok()?.ip();
    (!address.is_loopback() && !address.is_unspecified()).then_some(address)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_without_keys_refuses_clients_of_other_machines_on_a_listener_of_the_application()
{
    let app = App::builder(config()).build().await.unwrap();
    let listener = TcpListener::bind("0.0.0.0:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let running = tokio::spawn(app.run(listener, async { drop(stopped.await) }));
    let status = async |ip: IpAddr| {
        let answer = reqwest::get(format!("http://{ip}:{port}/healthz")).await;
        answer.unwrap().status()
    };
    assert_eq!(status(Ipv4Addr::LOCALHOST.into()).await, StatusCode::OK);
    if let Some(address) = address_in_the_network() {
        assert_eq!(status(address).await, StatusCode::FORBIDDEN);
    }
    drop(stop);
    running.await.unwrap();
}

#[tokio::test]
async fn keys_are_refreshed_no_more_once_a_server_is_dropped_or_was_not_built() {
    let tasks = || {
        tokio::runtime::Handle::current()
            .metrics()
            .num_alive_tasks()
    };
    let before = tasks();
    for path in ["/socket.io", "/healthz"] {
        let mut config = config();
        // Nobody listens there.
        config.auth.jwks = Some("http://127.0.0.1:9/keys".into());
        config.socketio.path = path.to_owned();
        let built = App::builder(config).build().await;
        assert_eq!(built.is_ok(), path == "/socket.io");
        drop(built);
        support::eventually("all tasks have ended", async || tasks() == before).await;
    }
}
