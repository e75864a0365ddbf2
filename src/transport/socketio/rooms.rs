//! The socketioxide rooms of one connection: the hub's, which are mirrored for what an application emits by `io`, one named by
//! the connection's id, and those that the application has joined it to.
//!
//! The last kind is stored with the session, so these rooms are told apart from the others at all times, also when the socket
//! ends.

use std::{
    borrow::Cow,
    collections::HashSet,
    sync::{Mutex, MutexGuard},
};

use super::Socket;
use crate::{
    model::{ConnectionId, RoomName},
    sync::lock,
};

/// The socketioxide rooms of one socket.
#[derive(Default)]
pub(super) struct SocketRooms(Mutex<RoomsState>);

#[derive(Default)]
struct RoomsState {
    /// Rooms that the server has joined it to.
    joined_by_server: HashSet<String>,
    /// The application's rooms at the time when the socket ended.
    at_end: Option<Vec<String>>,
}

/// The name of a hub room in socketioxide. A room whose name looks like a connection id has another name there: its members
/// would otherwise get what is sent to that connection alone.
pub(super) fn mirrored_name(room: &RoomName) -> Cow<'_, str> {
    match room.as_str().parse::<ConnectionId>() {
        Ok(_) => format!("room {room}").into(),
        Err(_) => room.as_str().into(),
    }
}

impl SocketRooms {
    /// Joins the room that has the connection's id, by which it can be addressed.
    pub(super) fn join_own(&self, socket: &Socket, id: ConnectionId) {
        self.join(socket, id.to_string());
    }

    /// Mirrors that the connection has joined a room of the hub.
    pub(super) fn mirror_join(&self, socket: &Socket, room: &RoomName) {
        self.join(socket, mirrored_name(room).into_owned());
    }

    /// Mirrors that the connection has left a room of the hub.
    pub(super) fn mirror_leave(&self, socket: &Socket, room: &RoomName) {
        let room = mirrored_name(room);
        let mut rooms = self.lock();
        socket.leave(room.clone().into_owned());
        rooms.joined_by_server.remove(&*room);
    }

    /// Joins the rooms that the application had joined it to before.
    pub(super) fn rejoin_rooms(&self, socket: &Socket, names: &[String]) {
        let rooms = self.lock();
        if rooms.at_end.is_none() {
            socket.join(names.to_vec());
        }
    }

    /// The rooms that the application has joined it to.
    pub(super) fn of_application(&self, socket: &Socket) -> Vec<String> {
        let rooms = self.lock();
        let at_end = rooms.at_end.clone();
        at_end.unwrap_or_else(|| rooms.of_application(socket))
    }

    /// The socket ends and is about to leave all its rooms: it must not join any more.
    pub(super) fn end(&self, socket: &Socket) {
        let mut rooms = self.lock();
        let others = rooms.of_application(socket);
        rooms.at_end.get_or_insert(others);
    }

    fn join(&self, socket: &Socket, name: String) {
        let mut rooms = self.lock();
        // After its end, nothing would remove it from the room again.
        if rooms.at_end.is_none() {
            socket.join(name.clone());
            rooms.joined_by_server.insert(name);
        }
    }

    fn lock(&self) -> MutexGuard<'_, RoomsState> {
        lock(&self.0)
    }
}

impl RoomsState {
    fn of_application(&self, socket: &Socket) -> Vec<String> {
        let rooms = socket.rooms().into_iter();
        let mut names: Vec<_> = rooms
            .filter(|room| !self.joined_by_server.contains(room.as_ref()))
            .map(Cow::into_owned)
            .collect();
        names.sort_unstable();
        names
    }
}

#[cfg(test)]
mod tests;
