//! A cluster in one process, over one log in memory.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::{mpsc, oneshot};

use crate::{
    auth::{Authority, AuthorityConfig},
    backend::{
        Backend, Bus, ClusterNodes, Deliveries, Delivery, Notice, PresenceEntry, RemoteEvent,
        RosterPage, Subscribing, deliveries, memory,
    },
    hub::{
        Hub, HubSettings, LimitSettings, PageLimits, PresenceSettings, RecoverySettings,
        TypingSettings, lock,
    },
    model::{ConnectionId, Ephemeral, Namespace, NodeId, RoomKey, RoomName, UserId},
};

/// What each node has of each user in each room.
pub(in crate::hub) type Entries = BTreeMap<(RoomKey, UserId, NodeId), PresenceEntry>;

/// What the nodes share besides the log.
#[derive(Default)]
pub(in crate::hub) struct FakeCluster {
    pub(in crate::hub) entries: Mutex<Entries>,
    pub(in crate::hub) streams: Mutex<Vec<(NodeId, mpsc::Sender<Delivery>)>>,
    /// Nodes are not told who is in the rooms that they begin to follow.
    pub(in crate::hub) sends_no_snapshots: AtomicBool,
}

/// One of them: hears of what the others say of any room, whether or not it follows that.
#[derive(Clone)]
pub(in crate::hub) struct FakeNode {
    pub(in crate::hub) id: NodeId,
    pub(in crate::hub) cluster: Arc<FakeCluster>,
    pub(in crate::hub) own: mpsc::Sender<Delivery>,
    pub(in crate::hub) log: Arc<dyn Bus>,
}

impl FakeNode {
    fn tell_others(&self, room: &RoomKey, said: impl Fn() -> RemoteEvent) {
        for (id, stream) in &*lock(&self.cluster.streams) {
            if *id != self.id {
                let told = Delivery::Remote(room.clone(), said());
                stream.try_send(told).expect("the tests are short");
            }
        }
    }

    fn tell_present(&self, room: &RoomKey) {
        let entries = lock(&self.cluster.entries);
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
impl ClusterNodes for FakeNode {
    fn set_presence(&self, room: &RoomKey, user: &UserId, attending: Option<PresenceEntry>) {
        // Locked until the others are told, so that whoever reads all is told of everything later.
        let mut entries = lock(&self.cluster.entries);
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
        let entries = lock(&self.cluster.entries);
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
        let mut rooms: Vec<_> = lock(&self.cluster.entries)
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
impl Bus for FakeNode {
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
        if !self.cluster.sends_no_snapshots.load(Ordering::Relaxed) {
            self.tell_present(room);
        }
        Box::pin(std::future::ready(Ok(())))
    }

    fn unsubscribe(&self, _: &RoomKey) {}
}

/// Gives every node what the log delivers.
pub(in crate::hub) async fn share(mut from: Deliveries, to: Vec<mpsc::Sender<Delivery>>) {
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

/// Two hubs over one log.
pub(in crate::hub) fn two_hubs() -> (Arc<FakeCluster>, [Hub; 2]) {
    let (backend, from) = memory::open(memory::MemoryConfig::default());
    let (cluster, mut to) = (Arc::<FakeCluster>::default(), Vec::new());
    let hubs = [(); 2].map(|()| {
        let (own, stream) = deliveries();
        let node = Arc::new(FakeNode {
            id: NodeId::generate(),
            cluster: cluster.clone(),
            own: own.clone(),
            log: backend.bus.clone(),
        });
        lock(&cluster.streams).push((node.id, own.clone()));
        to.push(own);
        let backend = Backend {
            bus: node.clone(),
            cluster: Some(node),
            ..backend.clone()
        };
        hub_with_timers(backend, stream)
    });
    tokio::spawn(share(from, to));
    (cluster, hubs)
}

fn hub_with_timers(backend: Backend, stream: Deliveries) -> Hub {
    let settings = HubSettings {
        limits: LimitSettings::default(),
        pages: PageLimits {
            messages: 100,
            bytes: 1 << 20,
        },
        recovery: RecoverySettings::default(),
        presence: PresenceSettings {
            grace: Duration::from_millis(50),
            ..PresenceSettings::default()
        },
        typing: TypingSettings {
            timeout: Duration::from_secs(1),
            ..TypingSettings::default()
        },
        grace: Duration::from_secs(25),
    };
    let authority = Authority::new(AuthorityConfig::default()).unwrap();
    let hub = Hub::new(backend, authority, settings, Arc::default());
    tokio::spawn(hub.clone().deliver_all(stream));
    tokio::spawn(hub.clone().run_maintenance());
    hub
}
