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
        Backend, Bus, BusEvent, ClusterNodes, ClusterNotice, Deliveries, Delivery, PresenceEntry,
        RemoteEvent, RosterPage, Subscribing, deliveries, memory,
    },
    documents::DocumentSettings,
    hub::{
        Hub, HubSettings, LimitSettings, NodeInfo, PageLimits, PresenceSettings, RecoverySettings,
        TypingSettings,
    },
    model::{Namespace, NodeId, RoomKey, RoomName, UserId},
    policies::CurrentPolicies,
    sync::lock,
};

/// The entry of each node for each user in each room.
pub(in crate::hub) type Entries = BTreeMap<(RoomKey, UserId, NodeId), PresenceEntry>;

/// What the nodes share besides the log.
#[derive(Default)]
pub(in crate::hub) struct FakeCluster {
    pub(in crate::hub) entries: Mutex<Entries>,
    pub(in crate::hub) streams: Mutex<Vec<(NodeId, mpsc::Sender<Delivery>)>>,
    /// Nodes receive no rosters of rooms that they subscribe to.
    pub(in crate::hub) sends_no_snapshots: AtomicBool,
}

/// One of the nodes. It receives the events of the others about every room, subscribed or not.
#[derive(Clone)]
pub(in crate::hub) struct FakeNode {
    pub(in crate::hub) id: NodeId,
    pub(in crate::hub) cluster: Arc<FakeCluster>,
    pub(in crate::hub) own: mpsc::Sender<Delivery>,
    pub(in crate::hub) log: Arc<dyn Bus>,
}

impl FakeNode {
    fn send_to_others(&self, room: &RoomKey, event: impl Fn() -> RemoteEvent) {
        for (id, stream) in &*lock(&self.cluster.streams) {
            if *id != self.id {
                let delivery = Delivery::Remote(room.clone(), event());
                stream.try_send(delivery).expect("the tests are short");
            }
        }
    }

    fn send_snapshot(&self, room: &RoomKey) {
        let entries = lock(&self.cluster.entries);
        let others = entries
            .iter()
            .filter(|((of, _, node), _)| of == room && *node != self.id);
        let others = others.map(|((_, user, node), entry)| (*node, user.clone(), entry.clone()));
        let snapshot = RemoteEvent::Snapshot(others.collect());
        let delivery = Delivery::Remote(room.clone(), snapshot);
        self.own.try_send(delivery).expect("the tests are short");
    }
}

#[async_trait]
impl ClusterNodes for FakeNode {
    fn set_presence(&self, room: &RoomKey, user: &UserId, entry: Option<PresenceEntry>) {
        // Locked until the change is sent to the others, so that a node with a snapshot receives every later change.
        let mut entries = lock(&self.cluster.entries);
        let key = (room.clone(), user.clone(), self.id);
        match &entry {
            Some(entry) => entries.insert(key, entry.clone()),
            None => entries.remove(&key),
        };
        self.send_to_others(room, || {
            RemoteEvent::UserChanged(self.id, user.clone(), entry.clone())
        });
    }

    fn notify(&self, room: &RoomKey, notice: ClusterNotice) {
        self.send_to_others(room, || RemoteEvent::Notice(notice.clone()));
    }

    async fn room_users(
        &self,
        room: &RoomKey,
        after: Option<&UserId>,
        limit: usize,
    ) -> crate::error::Result<RosterPage> {
        let entries = lock(&self.cluster.entries);
        let in_room = entries.iter().filter(|((of, ..), _)| of == room);
        let in_room: Vec<_> = in_room
            .map(|((_, user, _), entry)| (user.clone(), entry.clone()))
            .collect();
        let mut ids: Vec<_> = in_room.iter().map(|(user, _)| user.clone()).collect();
        ids.dedup();
        let following: Vec<_> = ids
            .iter()
            .filter(|user| after.is_none_or(|after| *user > after))
            .collect();
        let listed = &following[..limit.min(following.len())];
        Ok(RosterPage {
            count: ids.len(),
            connections: in_room.iter().map(|(_, entry)| entry.connections).sum(),
            more: following.len() > limit,
            users: in_room
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
    async fn send(&self, event: BusEvent) -> crate::error::Result<()> {
        self.log.send(event).await
    }

    async fn flush(&self) {
        self.log.flush().await;
    }

    fn subscribe(&self, room: &RoomKey) -> Subscribing {
        if !self.cluster.sends_no_snapshots.load(Ordering::Relaxed) {
            self.send_snapshot(room);
        }
        Box::pin(std::future::ready(Ok(())))
    }

    fn unsubscribe(&self, _: &RoomKey) {}
}

/// Sends every delivery of the log to every node.
pub(in crate::hub) async fn share(mut from: Deliveries, to: Vec<mpsc::Sender<Delivery>>) {
    while let Some(delivery) = from.recv().await {
        let mut barriers = Vec::new();
        for stream in &to {
            let copy = match &delivery {
                Delivery::Message(message) => Delivery::Message(message.clone()),
                Delivery::Event(event) => Delivery::Event(event.clone()),
                Delivery::Barrier(_) => {
                    let (reached, waiting) = oneshot::channel();
                    barriers.push(waiting);
                    Delivery::Barrier(reached)
                }
                Delivery::Remote(..) | Delivery::NodeGone(_) | Delivery::Request(_) => continue,
            };
            let _ = stream.send(copy).await;
        }
        if let Delivery::Barrier(reached) = delivery {
            tokio::spawn(async move {
                for barrier in barriers {
                    let _ = barrier.await;
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
        node: NodeInfo::started_now("node".into(), "127.0.0.1:3000".into(), "memory".into()),
        hooks: Arc::default(),
        answer_window: Duration::from_secs(60),
        documents: DocumentSettings::default(),
        policies: CurrentPolicies::default(),
    };
    let authority = Authority::new(AuthorityConfig::default()).unwrap();
    let hub = Hub::new(backend, authority, settings, Arc::default());
    tokio::spawn(hub.clone().deliver_all(stream));
    tokio::spawn(hub.clone().run_maintenance());
    hub
}
