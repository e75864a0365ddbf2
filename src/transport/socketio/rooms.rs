//! The rooms of socketioxide that one connection is in: the hub's, which are mirrored there for relaying and for what an
//! application emits by itself, one that is named by the connection's id, and those that the application has joined it to.
//!
//! The last are kept with its session, so they have to be told from the others, at every moment and when its socket ends.

use std::{
    borrow::Cow,
    collections::HashSet,
    sync::{Mutex, MutexGuard},
};

use super::Socket;
use crate::{
    model::{ConnectionId, RoomName},
    transport::lock,
};

/// What is known of them.
#[derive(Default)]
pub(super) struct SocketRooms(Mutex<Rooms>);

#[derive(Default)]
struct Rooms {
    /// Those that the server has joined it to.
    ours: HashSet<String>,
    /// The application's, as they were when the socket ended.
    left: Option<Vec<String>>,
}

/// What a room of the hub is called in socketioxide. One that is named as connections are has another name there: whoever
/// joined it would be told what is for that connection alone.
pub(super) fn mirrored(room: &RoomName) -> Cow<'_, str> {
    match room.as_str().parse::<ConnectionId>() {
        Ok(_) => format!("room {room}").into(),
        Err(_) => room.as_str().into(),
    }
}

impl SocketRooms {
    /// Has the connection reached by its id.
    pub(super) fn join_own(&self, socket: &Socket, id: ConnectionId) {
        self.join(socket, id.to_string());
    }

    /// Mirrors a room of the hub.
    pub(super) fn enter(&self, socket: &Socket, room: &RoomName) {
        self.join(socket, mirrored(room).into_owned());
    }

    /// The connection has left a room of the hub.
    pub(super) fn leave(&self, socket: &Socket, room: &RoomName) {
        let room = mirrored(room);
        let mut rooms = self.lock();
        socket.leave(room.clone().into_owned());
        rooms.ours.remove(&*room);
    }

    /// Joins what the application had joined before.
    pub(super) fn rejoin(&self, socket: &Socket, names: &[String]) {
        let rooms = self.lock();
        if rooms.left.is_none() {
            socket.join(names.to_vec());
        }
    }

    /// The rooms that the application has joined it to.
    pub(super) fn of_application(&self, socket: &Socket) -> Vec<String> {
        let rooms = self.lock();
        let left = rooms.left.clone();
        left.unwrap_or_else(|| rooms.others(socket))
    }

    /// The socket ends, and is about to be taken out of all its rooms: none is joined any more.
    pub(super) fn end(&self, socket: &Socket) {
        let mut rooms = self.lock();
        let others = rooms.others(socket);
        rooms.left.get_or_insert(others);
    }

    fn join(&self, socket: &Socket, name: String) {
        let mut rooms = self.lock();
        // Nobody would take it out again.
        if rooms.left.is_none() {
            socket.join(name.clone());
            rooms.ours.insert(name);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Rooms> {
        lock(&self.0)
    }
}

impl Rooms {
    fn others(&self, socket: &Socket) -> Vec<String> {
        let rooms = socket.rooms().into_iter().map(|room| room.to_string());
        let mut others: Vec<_> = rooms.filter(|room| !self.ours.contains(room)).collect();
        others.sort_unstable();
        others
    }
}

#[cfg(test)]
mod tests;
