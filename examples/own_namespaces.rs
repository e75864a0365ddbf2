//! Custom namespaces next to the server's: socketioxide alone handles their events, with any number of arguments, binary
//! anywhere, and acks of any form.
//!
//! `SWITCHBOARD_SOCKETIO_NAMESPACES=/rooms cargo run --example own_namespaces`: the server itself is in `/rooms`,
//! and `/` and `/custom` belong to the application. `message` is echoed as `message-back`, `message-with-ack` in its ack, and
//! the auth payload of CONNECT as `auth`.

#![allow(
    clippy::needless_pass_by_value,
    reason = "what socketioxide gives its handlers"
)]

use std::{
    fmt,
    future::{Ready, ready},
};

use switchboard::{
    Adapter, App, SocketRef,
    app::{listen, stop_signal},
    config::Config,
    socketioxide::extract::{AckSender, Data, TryData},
};

mod support {
    pub mod arguments;
}
use support::arguments::Arguments;

async fn connected(socket: SocketRef, auth: TryData<serde_json::Value>) {
    socket.on("message", echo);
    socket.on("message-with-ack", acknowledge);
    let auth = auth.0.unwrap_or_else(|_| serde_json::json!({}));
    report(socket.emit("auth", &auth));
}

// Not async: the body runs as the event arrives, so replies keep the order of events.
fn echo(socket: SocketRef, Data(arguments): Data<Arguments>) -> Ready<()> {
    report(socket.emit("message-back", &arguments));
    ready(())
}

fn acknowledge(Data(arguments): Data<Arguments>, ack: AckSender<Adapter>) -> Ready<()> {
    report(ack.send(&arguments));
    ready(())
}

fn report(sent: Result<(), impl fmt::Display>) {
    if let Err(error) = sent {
        eprintln!("sending an event failed: {error}");
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let app = App::builder(Config::from_env()?).build().await?;
    for namespace in ["/", "/custom"] {
        app.io().ns(namespace, connected).await?;
    }
    let listener = listen(app.config().listen)?;
    println!("http://{}", listener.local_addr()?);
    app.run(listener, stop_signal()).await;
    Ok(())
}
