//! How an application starts a server: its configuration, what it is told when that fails, and TLS.
#![allow(clippy::unwrap_used, reason = "a test may fail by panic")]

mod support;

use std::process::Command;

use support::config;
use switchboard::{
    App, StartError,
    app::listen,
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
