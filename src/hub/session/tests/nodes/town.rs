//! Other nodes as the hub's tests have them: in one process, over one log in memory.

use std::collections::BTreeMap;

use async_trait::async_trait;
use tokio::sync::{mpsc, oneshot};

use super::*;
use crate::{
    backend::{Bus, ClusterNodes, Delivery, Notice, PresenceEntry, RosterPage, Subscribing},
    model::Ephemeral,
};

/// What each node has of each user in each room.
pub(super) type Entries = BTreeMap<(RoomKey, UserId, NodeId), PresenceEntry>;

/// What the nodes share besides the log.
#[derive(Default)]
pub(super) struct Town {
    pub(super) entries: Mutex<Entries>,
    pub(super) streams: Mutex<Vec<(NodeId, mpsc::Sender<Delivery>)>>,
    /// Nodes are not told who is in the rooms that they begin to follow.
    pub(super) tells_nobody: AtomicBool,
}

/// One of them: hears of what the others say of any room, whether or not it follows that.
#[derive(Clone)]
pub(super) struct Node {
    pub(super) id: NodeId,
    pub(super) town: Arc<Town>,
    pub(super) own: mpsc::Sender<Delivery>,
    pub(super) log: Arc<dyn Bus>,
}

impl Node {
    fn tell_others(&self, room: &RoomKey, said: impl Fn() -> RemoteEvent) {
        for (id, stream) in &*lock(&self.town.streams) {
            if *id != self.id {
                let told = Delivery::Remote(room.clone(), said());
                stream.try_send(told).expect("the tests are short");
            }
        }
    }

    fn tell_present(&self, room: &RoomKey) {
        let entries = lock(&self.town.entries);
        let others = entries
            .iter()
            .filter(|((of, _, node), _)| of == room && *node != self.id);
        let others = others.map(|((_, user, node), entry)| (*node, user.clone(), entry.clone()));
        let present = RemoteEvent::Snapshot(others.collect());
        let told = Delivery::Remote(room.clone(), present);
        self.own.try_send(told).expect("the tests are short");
    }
}

#[async_trait]
impl ClusterNodes for Node {
    fn set_presence(&self, room: &RoomKey, user: &UserId, attending: Option<PresenceEntry>) {
        // Locked until the others are told, so that whoever reads all is told of everything later.
        let mut entries = lock(&self.town.entries);
        let place = (room.clone(), user.clone(), self.id);
        match &attending {
            Some(entry) => entries.insert(place, entry.clone()),
            None => entries.remove(&place),
        };
        self.tell_others(room, || {
            RemoteEvent::UserChanged(self.id, user.clone(), attending.clone())
        });
    }

    fn notify(&self, room: &RoomKey, notice: Notice) {
        self.tell_others(room, || RemoteEvent::Notice(notice.clone()));
    }

    async fn room_users(
        &self,
        room: &RoomKey,
        after: Option<&UserId>,
        limit: usize,
    ) -> crate::error::Result<RosterPage> {
        let entries = lock(&self.town.entries);
        let here = entries.iter().filter(|((of, ..), _)| of == room);
        let here: Vec<_> = here
            .map(|((_, user, _), entry)| (user.clone(), entry.clone()))
            .collect();
        let mut ids: Vec<_> = here.iter().map(|(user, _)| user.clone()).collect();
        ids.dedup();
        let behind: Vec<_> = ids
            .iter()
            .filter(|user| after.is_none_or(|after| *user > after))
            .collect();
        let listed = &behind[..limit.min(behind.len())];
        Ok(RosterPage {
            count: ids.len(),
            connections: here.iter().map(|(_, entry)| entry.connections).sum(),
            more: behind.len() > limit,
            users: here
                .iter()
                .filter(|(user, _)| listed.contains(&user))
                .cloned()
                .collect(),
        })
    }

    async fn occupied_rooms(
        &self,
        namespace: &Namespace,
        prefix: &str,
        after: Option<&RoomName>,
        limit: usize,
    ) -> crate::error::Result<Vec<RoomName>> {
        let mut rooms: Vec<_> = lock(&self.town.entries)
            .keys()
            .filter(|(key, ..)| key.namespace == *namespace)
            .map(|(key, ..)| key.room.clone())
            .filter(|room| room.as_str().starts_with(prefix))
            .filter(|room| after.is_none_or(|after| room > after))
            .collect();
        rooms.dedup();
        rooms.truncate(limit);
        Ok(rooms)
    }

    async fn request_all(&self, _: String, _: Duration) -> crate::error::Result<Vec<String>> {
        Ok(Vec::new())
    }
}

#[async_trait]
impl Bus for Node {
    async fn send(
        &self,
        event: Arc<Ephemeral>,
        except: Option<ConnectionId>,
    ) -> crate::error::Result<()> {
        self.log.send(event, except).await
    }

    async fn flush(&self) {
        self.log.flush().await;
    }

    fn subscribe(&self, room: &RoomKey) -> Subscribing {
        if !self.town.tells_nobody.load(Ordering::Relaxed) {
            self.tell_present(room);
        }
        Box::pin(std::future::ready(Ok(())))
    }

    fn unsubscribe(&self, _: &RoomKey) {}
}

/// Gives every node what the log delivers.
pub(super) async fn share(mut from: Deliveries, to: Vec<mpsc::Sender<Delivery>>) {
    while let Some(delivery) = from.recv().await {
        let mut marks = Vec::new();
        for stream in &to {
            let copy = match &delivery {
                Delivery::Message(message) => Delivery::Message(message.clone()),
                Delivery::Ephemeral(event, except) => Delivery::Ephemeral(event.clone(), *except),
                Delivery::Barrier(_) => {
                    let (reached, waiting) = oneshot::channel();
                    marks.push(waiting);
                    Delivery::Barrier(reached)
                }
                Delivery::Remote(..) | Delivery::Request(_) => continue,
            };
            let _ = stream.send(copy).await;
        }
        if let Delivery::Barrier(reached) = delivery {
            tokio::spawn(async move {
                for mark in marks {
                    let _ = mark.await;
                }
                let _ = reached.send(());
            });
        }
    }
}
