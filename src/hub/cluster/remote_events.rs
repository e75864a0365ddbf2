//! Events of other nodes: the room applies them, and users that have connections here, too, take over their newer status.

use std::{sync::Arc, time::Instant};

use crate::{
    backend::{Notice, RemoteEvent},
    hub::{Connection, Hub, connections::LocalUser, rooms::user_status::UserStatus},
    model::{Namespace, RoomKey, RoomName, Timestamp, UserId},
};

impl Hub {
    /// Applies an event of another node to a room and its users.
    pub(in crate::hub) fn apply_remote(&self, key: &RoomKey, event: RemoteEvent) {
        let words = statuses(&event);
        if let RemoteEvent::Notice(Notice::Status { .. }) = &event {
            for (user, word) in &words {
                self.answer_status(key, user, word);
            }
        }
        let is_newer = |(user, word): (UserId, UserStatus)| {
            let users = self.connection_table();
            let newer = users.with_user(&user, |standing| standing.apply_remote_status(word));
            (newer == Some(true)).then_some(user)
        };
        let changed: Vec<_> = words.into_iter().filter_map(is_newer).collect();
        self.rooms().with(key, |room| {
            room.apply_remote(event, Instant::now(), Timestamp::now());
        });
        for user in changed {
            if let Some(connection) = self.connection_table().of_user(&user).first() {
                self.announce_status(connection, None);
            }
        }
    }

    /// Tells the other nodes that have connections of a user its latest status.
    pub(in crate::hub) fn tell_status(&self, namespace: &Namespace, user: &UserId) {
        let Some(nodes) = self.cluster().nodes() else {
            return;
        };
        let Some(word) = self
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
        } = word;
        let notice = Notice::Status {
            user: user.clone(),
            status,
            info,
            changed,
        };
        nodes.notify(&personal, notice);
    }

    /// Has other nodes tell what status a user has set there, if this is its first connection here.
    pub(in crate::hub) fn ask_status(&self, connection: &Arc<Connection>) {
        let is_first = connection.local_user().connections().len() == 1;
        if self.cluster().is_single_node() || !is_first {
            return;
        }
        let (hub, connection) = (self.clone(), connection.clone());
        tokio::spawn(async move {
            let user = connection.principal().user.clone();
            let personal = connection.key(&RoomName::personal(&user));
            // The notice goes to the nodes that have subscribed to the room.
            if hub.rooms().subscribed(&personal).await.is_ok() {
                hub.tell_status(connection.namespace(), &user);
            }
        });
    }

    /// Tells other nodes a user's status if this node has a newer one than they have.
    fn answer_status(&self, key: &RoomKey, user: &UserId, word: &UserStatus) {
        let known = self
            .connection_table()
            .with_user(user, LocalUser::last_update);
        if known.is_some_and(|known| known.changed > word.changed) {
            self.tell_status(&key.namespace, user);
        }
    }
}

/// The statuses of users that an event of another node carries.
fn statuses(event: &RemoteEvent) -> Vec<(UserId, UserStatus)> {
    match event {
        RemoteEvent::Snapshot(entries) => {
            let entries = entries.iter();
            entries
                .map(|(_, user, entry)| (user.clone(), entry.into()))
                .collect()
        }
        RemoteEvent::UserChanged(_, user, Some(entry)) => vec![(user.clone(), entry.into())],
        RemoteEvent::Notice(Notice::Status {
            user,
            status,
            info,
            changed,
        }) => {
            let word = UserStatus {
                name: None,
                idle: false,
                status: status.clone(),
                info: info.clone(),
                changed: *changed,
            };
            vec![(user.clone(), word)]
        }
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests;
