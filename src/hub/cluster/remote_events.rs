//! Events of other nodes: the room applies them, and users that have connections here, too, take over their newer status.

use std::{sync::Arc, time::Instant};

use crate::{
    backend::{ClusterNotice, RemoteEvent},
    hub::{Connection, Hub, connections::LocalUser, rooms::user_status::UserStatus},
    model::{Namespace, RoomKey, RoomName, Timestamp, UserId},
};

impl Hub {
    /// Applies an event of another node to a room and its users.
    pub(in crate::hub) fn apply_remote(&self, key: &RoomKey, event: RemoteEvent) {
        let statuses = statuses_of(&event);
        if let RemoteEvent::Notice(ClusterNotice::Status { .. }) = &event {
            for (user, status) in &statuses {
                self.send_newer_status_to_nodes(key, user, status);
            }
        }
        let is_newer = |(user, status): (UserId, UserStatus)| {
            let users = self.connection_table();
            let newer = users.with_user(&user, |local| local.apply_remote_status(status));
            (newer == Some(true)).then_some(user)
        };
        let changed: Vec<_> = statuses.into_iter().filter_map(is_newer).collect();
        self.rooms().with(key, |room| {
            room.apply_remote(event, Instant::now(), Timestamp::now());
        });
        for user in changed {
            if let Some(connection) = self.connection_table().of_user(&user).first() {
                self.announce_status(connection, None);
            }
        }
    }

    /// Sends a user's latest status to the other nodes that have connections of the user.
    pub(in crate::hub) fn send_status_to_nodes(&self, namespace: &Namespace, user: &UserId) {
        let Some(nodes) = self.cluster().nodes() else {
            return;
        };
        let Some(latest) = self
            .connection_table()
            .with_user(user, LocalUser::last_update)
        else {
            return;
        };
        let personal = RoomKey {
            namespace: namespace.clone(),
            room: RoomName::personal(user),
        };
        let UserStatus {
            status,
            info,
            changed,
            ..
        } = latest;
        let notice = ClusterNotice::Status {
            user: user.clone(),
            status,
            info,
            changed,
        };
        nodes.notify(&personal, notice);
    }

    /// Makes other nodes send the status that a user has set there, if this is its first connection to this node.
    pub(in crate::hub) fn request_status_from_nodes(&self, connection: &Arc<Connection>) {
        let is_first = connection.local_user().connections().len() == 1;
        if self.cluster().is_single_node() || !is_first {
            return;
        }
        let (hub, connection) = (self.clone(), connection.clone());
        tokio::spawn(async move {
            let user = connection.principal().user.clone();
            let personal = connection.room_key(&RoomName::personal(&user));
            // The notice goes to the nodes that are subscribed to the room. Those that know a newer status reply with it.
            if hub.rooms().subscribed(&personal).await.is_ok() {
                hub.send_status_to_nodes(connection.namespace(), &user);
            }
        });
    }

    /// Sends a user's status to other nodes if it is newer than the one that they know.
    fn send_newer_status_to_nodes(&self, key: &RoomKey, user: &UserId, known_there: &UserStatus) {
        let known = self
            .connection_table()
            .with_user(user, LocalUser::last_update);
        if known.is_some_and(|known| known.changed > known_there.changed) {
            self.send_status_to_nodes(&key.namespace, user);
        }
    }
}

/// The statuses of users that an event of another node carries.
fn statuses_of(event: &RemoteEvent) -> Vec<(UserId, UserStatus)> {
    match event {
        RemoteEvent::Snapshot(entries) => {
            let entries = entries.iter();
            entries
                .map(|(_, user, entry)| (user.clone(), entry.into()))
                .collect()
        }
        RemoteEvent::UserChanged(_, user, Some(entry)) => vec![(user.clone(), entry.into())],
        RemoteEvent::Notice(ClusterNotice::Status {
            user,
            status,
            info,
            changed,
        }) => {
            let status = UserStatus {
                name: None,
                idle: false,
                status: status.clone(),
                info: info.clone(),
                changed: *changed,
            };
            vec![(user.clone(), status)]
        }
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests;
