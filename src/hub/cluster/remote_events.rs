//! What other nodes say of rooms: handed to the room, and taken over by users that have connections here, too.

use std::{sync::Arc, time::Instant};

use crate::hub::{Connection, Hub, connections::LocalUser, rooms::user_status::UserStatus};
use crate::{
    backend::{Notice, RemoteEvent},
    model::{Namespace, RoomKey, RoomName, Timestamp, UserId},
};

impl Hub {
    /// Takes what other nodes say of a room.
    pub(in crate::hub) fn hear(&self, key: &RoomKey, said: RemoteEvent) {
        let words: Vec<(UserId, UserStatus)> = match &said {
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
                self.answer_status(key, user, &word);
                vec![(user.clone(), word)]
            }
            _ => Vec::new(),
        };
        let is_later = |(user, word): (UserId, UserStatus)| {
            let heard = self
                .0
                .users
                .with_shared(&user, |standing| standing.apply_remote_status(word));
            (heard == Some(true)).then_some(user)
        };
        let later: Vec<_> = words.into_iter().filter_map(is_later).collect();
        self.0.rooms.with(key, |room| {
            room.apply_remote(said, Instant::now(), Timestamp::now());
        });
        for user in later {
            if let Some(one) = self.connections_of(&user).first() {
                self.announce_status(one, None);
            }
        }
    }

    /// Tells the other nodes that have connections of a user what it said last.
    pub(in crate::hub) fn tell_status(&self, namespace: &Namespace, user: &UserId) {
        let Some(nodes) = &self.0.backend.cluster else {
            return;
        };
        let Some(word) = self.0.users.with_shared(user, LocalUser::last_update) else {
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
        let user = user.clone();
        nodes.notify(
            &personal,
            Notice::Status {
                user,
                status,
                info,
                changed,
            },
        );
    }

    /// Has other nodes answer what a user said there, if this is its first connection here.
    pub(in crate::hub) fn ask_status(&self, connection: &Arc<Connection>) {
        let is_first = connection.local_user().connections().len() == 1;
        if self.0.backend.cluster.is_none() || !is_first {
            return;
        }
        let (hub, connection) = (self.clone(), connection.clone());
        tokio::spawn(async move {
            let user = connection.principal().user.clone();
            let personal = connection.key(&RoomName::personal(&user));
            // The answer comes to whoever follows the room.
            if hub.0.rooms.subscribed(&personal).await.is_ok() {
                hub.tell_status(connection.namespace(), &user);
            }
        });
    }

    /// Another node knows less of what a user said than this one.
    fn answer_status(&self, key: &RoomKey, user: &UserId, word: &UserStatus) {
        let known = self.0.users.with_shared(user, LocalUser::last_update);
        if known.is_some_and(|known| known.changed > word.changed) {
            self.tell_status(&key.namespace, user);
        }
    }
}
