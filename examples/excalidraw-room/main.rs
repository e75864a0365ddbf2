//! The collaboration server of Excalidraw, for its front end as it is. README.md says how to run both.

use std::collections::BTreeSet;

use bytes::Bytes;
use serde::Deserialize;
use switchboard::{
    App, Data, EventContext, Result,
    app::{listen, stop_signal},
    config::Config,
    model::{ConnectionId, RoomName},
};

/// The room of those who follow a client is this, and the client's id.
const FOLLOWERS: &str = "follow@";

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Follow {
    user_to_follow: User,
    action: Action,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct User {
    socket_id: ConnectionId,
}

#[derive(Deserialize)]
#[serde(rename_all = "UPPERCASE")]
enum Action {
    Follow,
    Unfollow,
}

async fn connected(context: EventContext) -> Result<()> {
    // A client that has resumed its session is in rooms already, and their members believe that it has left.
    for room in context.rooms() {
        announce(&context, &room).await?;
    }
    context.emit("init-room", &())
}

async fn join_room(context: EventContext, Data(room): Data<RoomName>) -> Result<()> {
    // Before the join: of two that come at once, one at least is the first.
    let mut before = members(&context, &room).await?;
    before.remove(&context.id());
    context.join(&room).await?;
    if before.is_empty() {
        context.emit("first-in-room", &())?;
    }
    let others = context.to(room.clone());
    others.emit("new-user", &context.id()).await?;
    announce(&context, &room).await
}

async fn broadcast(
    context: EventContext,
    Data((room, scene, iv)): Data<(RoomName, Bytes, Bytes)>,
) -> Result<()> {
    let others = context.to(room);
    others.emit("client-broadcast", &(scene, iv)).await
}

async fn follow(context: EventContext, Data(follow): Data<Follow>) -> Result<()> {
    let room = RoomName::parse(&format!("{FOLLOWERS}{}", follow.user_to_follow.socket_id))?;
    match follow.action {
        Action::Follow => context.join(&room).await?,
        Action::Unfollow => context.leave(&room).await?,
    }
    announce(&context, &room).await
}

async fn disconnected(context: EventContext) -> Result<()> {
    for room in context.rooms() {
        match followed(&room) {
            None => announce(&context, &room).await?,
            Some(user) if members(&context, &room).await?.is_empty() => {
                let user = context.to_connection(user);
                user.emit("broadcast-unfollow", &()).await?;
            }
            Some(_) => {}
        }
    }
    Ok(())
}

/// Tells who is in a room: its members, or the one whose followers they are.
async fn announce(context: &EventContext, room: &RoomName) -> Result<()> {
    let mut told = None;
    loop {
        let members = members(context, room).await?;
        // Others come and go meanwhile, and their lists may be told first: the last one that is told has to be right.
        if told.as_ref() == Some(&members) {
            return Ok(());
        }
        let (to, event) = match followed(room) {
            Some(user) => (context.to_connection(user), "user-follow-room-change"),
            None => (context.to_all().to(room.clone()), "room-user-change"),
        };
        to.emit(event, &members).await?;
        told = Some(members);
    }
}

async fn members(context: &EventContext, room: &RoomName) -> Result<BTreeSet<ConnectionId>> {
    let members = context.connections_in(room).await?;
    Ok(members.into_iter().map(|member| member.id).collect())
}

/// The client whose followers are in a room.
fn followed(room: &RoomName) -> Option<ConnectionId> {
    room.as_str().strip_prefix(FOLLOWERS)?.parse().ok()
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let app = App::builder(Config::from_env()?)
        .on_connect(connected)
        .event("join-room", join_room)
        .event("server-broadcast", broadcast)
        .event("server-volatile-broadcast", broadcast)
        .event("user-follow", follow)
        .on_disconnect(disconnected)
        .build()
        .await?;
    let listener = listen(app.config().listen)?;
    println!("http://{}", listener.local_addr()?);
    app.run(listener, stop_signal()).await;
    Ok(())
}
