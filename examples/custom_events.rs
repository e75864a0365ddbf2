//! Switchboard embedded in an application, with a typed event and a route of its own.
//!
//! `cargo run --example custom_events`; then, in a client, `socket.emitWithAck("roll", { room: "table", sides: 6 })`,
//! or in a shell `curl -X POST http://127.0.0.1:3000/bell/table`.

use axum::{
    Router,
    extract::{Path, State},
    routing::post,
};
use serde::Deserialize;
use serde_json::{Value, json};
use switchboard::{
    App, Data, Error, EventContext, Result, StartError,
    app::{listen, stop_signal},
    config::Config,
    hub::{Hub, Publish},
    model::{Namespace, RoomName},
};

#[derive(Deserialize)]
struct Roll {
    room: RoomName,
    sides: u32,
}

/// Rolls a die on the server and publishes the result in the name of the caller.
async fn roll(context: EventContext, Data(roll): Data<Roll>) -> Result<Value> {
    if roll.sides == 0 {
        return Err(Error::bad_request("a die has at least one side"));
    }
    let rolled = rand::random_range(1..=roll.sides);
    let publish = Publish::new(roll.room, "rolled", &rolled)?;
    context.publish(publish).await?.settled().await?;
    // Stored with the session, so it survives a recovery; `context.state` reads it.
    context.set_state(&json!({ "rolled": rolled }))?;
    Ok(json!({ "value": rolled }))
}

/// Publishes to a room without a sender.
async fn bell(State(hub): State<Hub>, Path(room): Path<RoomName>) -> Result<()> {
    let publish = Publish::new(room, "bell", &"ding")?;
    let publishing = hub.publish_as(&Namespace::root(), publish, None).await?;
    publishing.settled().await.map(drop)
}

#[tokio::main]
async fn main() -> Result<(), StartError> {
    let app = App::builder(Config::from_env()?)
        .event("roll", roll)
        .routes(|hub, _io| {
            Router::new()
                .route("/bell/{room}", post(bell))
                .with_state(hub)
        })
        .build()
        .await?;
    let listener = listen(app.config().listen)?;
    app.run(listener, stop_signal()).await;
    Ok(())
}
