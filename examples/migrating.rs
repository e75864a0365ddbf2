//! The calls of Socket.IO's server API as they are written here: the handlers behind docs/migrating-from-socketio-node.md, one for each row
//! that needs code.
//!
//! `cargo run --example migrating`

use std::time::Duration;

use axum::{Json, Router, extract::Path, http::HeaderMap, routing::post};
use serde::Deserialize;
use serde_json::{Value, json};
use switchboard::{
    AckSender, Acks, App, Data, DisconnectReason, Emitter, EventContext, Result, SocketIo,
    StartError,
    app::{AppBuilder, listen, stop_signal},
    auth::{Grants, Principal, Reject},
    config::Config,
    hub::{Hub, Publish},
    model::{ConnectionId, Namespace, RoomKey, RoomName, UserId},
};

const TIMEOUT: Duration = Duration::from_millis(500);

/// `io.use(async (socket, next) => { ... })`
async fn authenticate(_: axum::http::request::Parts, auth: Value) -> Result<Principal, Reject> {
    match auth["user"].as_str() {
        Some("mallory") => Err(Reject::new("not you").with_data(&json!({ "code": 7 }))),
        Some(user) => Ok(Principal::new(UserId::parse(user)?, Grants::everything())),
        None => Err(Reject::new("who are you?")),
    }
}

#[derive(Deserialize)]
struct Auth {
    theme: Option<String>,
}

/// `io.on("connection", (socket) => { ... socket.handshake.auth ... socket.recovered ... })`
async fn connected(
    context: EventContext,
    Data(auth): Data<Auth>,
    headers: HeaderMap,
) -> Result<()> {
    let agent = headers.contains_key("user-agent");
    let recovered = context.is_recovered();
    let theme = auth.theme;
    context.emit(
        "greeting",
        &json!({ "theme": theme, "agent": agent, "recovered": recovered }),
    )
}

/// `socket.on("disconnecting", (reason) => { for (const room of socket.rooms) socket.to(room).emit(...) })`
async fn disconnected(context: EventContext, reason: DisconnectReason) -> Result<()> {
    for room in context.rooms() {
        context
            .to(room)
            .emit("bye", &(context.id(), reason.as_str(), 0))
            .await?;
    }
    Ok(())
}

/// `socket.on("add", (a, b, callback) => callback(a + b, a, b))`
async fn add(Data((a, b)): Data<(i64, i64)>, ack: AckSender) -> Result<()> {
    ack.send(&(a + b, a, b))
}

/// `socket.emit(...)`, `socket.broadcast.emit(...)`, `io.emit(...)`
async fn shout(context: EventContext, Data((whom, text)): Data<(String, String)>) -> Result<()> {
    let data = (text, 0);
    match whom.as_str() {
        "me" => context.emit("shouted", &data),
        "others" => context.to_others().emit("shouted", &data).await,
        _ => context.to_all().emit("shouted", &data).await,
    }
}

/// `socket.to(room).except(other).emit(...)`
async fn whisper(
    context: EventContext,
    Data((to, except)): Data<(RoomName, RoomName)>,
) -> Result<()> {
    context.to(to).except(except).emit("whispered", &1).await
}

/// `io.to(socketId).emit(...)`
async fn tell(context: EventContext, Data(id): Data<String>) -> Result<()> {
    let id: ConnectionId = id.parse()?;
    context.to_connection(id).emit("told", &1).await
}

/// `await socket.timeout(ms).emitWithAck("double", n)`
async fn ask_me(context: EventContext, Data(n): Data<i64>) -> Result<i64> {
    context.emit_with_ack("double", &n, TIMEOUT).await
}

/// `await io.timeout(ms).emitWithAck("double", n)`
async fn ask_all(context: EventContext, Data(n): Data<i64>) -> Result<Value> {
    let acks: Acks<i64> = context
        .to_all()
        .timeout(TIMEOUT)
        .emit_with_ack("double", &n)
        .await?;
    Ok(json!({ "acks": acks.received, "missing": acks.missing }))
}

/// `socket.join(room)`
async fn enter(context: EventContext, Data(room): Data<RoomName>) -> Result<()> {
    context.join(&room).await
}

/// `socket.leave(room)`
async fn exit(context: EventContext, Data(room): Data<RoomName>) -> Result<()> {
    context.leave(&room).await
}

/// `[...socket.rooms]`
async fn rooms(context: EventContext) -> Result<Value> {
    Ok(json!({ "rooms": context.rooms() }))
}

/// `await io.in(room).fetchSockets()`
async fn sockets(context: EventContext, Data(room): Data<RoomName>) -> Result<Value> {
    Ok(json!({ "sockets": context.connections_in(&room).await? }))
}

/// `socket.data.count = (socket.data.count ?? 0) + 1`
async fn count(context: EventContext) -> Result<u64> {
    let data: Option<Value> = context.state()?;
    let count = data.map_or(0, |data| data["count"].as_u64().unwrap_or(0)) + 1;
    context.set_state(&json!({ "count": count }))?;
    Ok(count)
}

/// `socket.disconnect()`
async fn kick_me(context: EventContext) {
    context.disconnect();
}

/// `await db.insert(message); io.to(room).emit("message", message)`
async fn save(context: EventContext, Data((room, text)): Data<(RoomName, String)>) -> Result<u64> {
    let publish = Publish::new(room, "saved", &text)?;
    let stored = context.publish(publish).await?.settled().await?;
    Ok(stored.map_or(0, |stored| stored.seq.0))
}

/// `app.post("/...", (req, res) => io.in(`user:${user}`).socketsJoin(room) ...)`
fn routes(hub: Hub, io: SocketIo) -> Router {
    let (admit, remove, announce) = (hub.clone(), hub.clone(), hub);
    let key = |room| RoomKey {
        namespace: Namespace::root(),
        room,
    };
    Router::new()
        .route(
            "/admit/{room}/{user}",
            post(async move |Path((room, user)): Path<(RoomName, UserId)>| {
                Ok::<_, switchboard::Error>(Json(admit.admit_user(&key(room), &user).await?))
            }),
        )
        .route(
            "/remove/{room}/{user}",
            post(async move |Path((room, user)): Path<(RoomName, UserId)>| {
                Ok::<_, switchboard::Error>(Json(remove.remove_user(&key(room), &user).await?))
            }),
        )
        .route(
            "/announce/{room}",
            post(async move |Path(room): Path<RoomName>| {
                let emitter = Emitter::new(&announce, &io, &Namespace::root());
                emitter.to(room).emit("announced", &1).await
            }),
        )
}

fn application(config: Config) -> AppBuilder {
    App::builder(config)
        .authenticate(authenticate)
        .on_connect(connected)
        .on_disconnect(disconnected)
        .event("add", add)
        .event("shout", shout)
        .event("whisper", whisper)
        .event("tell", tell)
        .event("ask me", ask_me)
        .event("ask all", ask_all)
        .event("enter", enter)
        .event("exit", exit)
        .event("rooms", rooms)
        .event("sockets", sockets)
        .event("count", count)
        .event("kick me", kick_me)
        .event("save", save)
        // io.of("/admin").on("connection", ...)
        .namespace("/admin", |admin| {
            admin
                .without_contract()
                .event("ping", async || Ok::<_, switchboard::Error>("pong"))
        })
        // app.post(...) of Express
        .routes(routes)
}

#[tokio::main]
async fn main() -> Result<(), StartError> {
    let app = application(Config::from_env()?).build().await?;
    let listener = listen(app.config().listen)?;
    if let Ok(address) = listener.local_addr() {
        println!("http://{address}");
    }
    app.run(listener, stop_signal()).await;
    Ok(())
}
