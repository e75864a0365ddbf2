//! Several servers that share the parts: one order all the same, and what happens when one of them is in trouble.

use std::collections::HashSet;

use redis::{aio::MultiplexedConnection, cmd};

use super::{
    node::{Node, event, offsets},
    *,
};
use crate::{
    backend::conformance::{draft, key, named},
    error::Code,
    model::Message,
};

/// Rooms in all parts.
pub(super) fn rooms() -> Vec<String> {
    (0..60).map(|nth| format!("r{nth}")).collect()
}

pub(super) fn names(rooms: &[String]) -> Vec<&str> {
    rooms.iter().map(String::as_str).collect()
}

/// Three masters, each with a third of the slots.
pub(in crate::backend) struct Cluster {
    pub(super) servers: Vec<Server>,
}

impl Cluster {
    pub(in crate::backend) async fn start() -> Self {
        let mut servers = Vec::new();
        for _ in 0..3 {
            servers.push(Server::start_as(true).await);
        }
        let cluster = Self { servers };
        for (nth, slots) in [(0, 5460), (5461, 10922), (10923, 16383)]
            .iter()
            .enumerate()
        {
            let mut connection = cluster.connect(nth).await;
            let mut add = cmd("CLUSTER");
            add.arg("ADDSLOTSRANGE").arg(slots.0).arg(slots.1);
            add.exec_async(&mut connection).await.unwrap();
            let mut epoch = cmd("CLUSTER");
            epoch.arg("SET-CONFIG-EPOCH").arg(nth + 1);
            epoch.exec_async(&mut connection).await.unwrap();
        }
        cluster.meet().await;
        cluster
    }

    /// Has all servers know each other.
    async fn meet(&self) {
        let mut first = self.connect(0).await;
        for server in &self.servers[1..] {
            let mut meet = cmd("CLUSTER");
            meet.arg("MEET").arg("127.0.0.1").arg(server.port);
            meet.arg(server.cluster);
            meet.exec_async(&mut first).await.unwrap();
        }
        for nth in 0..self.servers.len() {
            let known = format!("cluster_known_nodes:{}", self.servers.len());
            // A server's state is ok before it has heard of the others' slots.
            let lines = ["cluster_state:ok", "cluster_slots_assigned:16384", &known];
            self.until(nth, "INFO", |info| {
                lines.iter().all(|line| info.contains(line))
            })
            .await;
        }
    }

    /// The addresses of all.
    pub(in crate::backend) fn urls(&self) -> String {
        let urls: Vec<_> = self.servers.iter().map(Server::url).collect();
        urls.join(",")
    }

    /// Takes away whatever is stored.
    pub(in crate::backend) async fn empty(urls: &str) {
        for url in urls.split(',') {
            let client = Client::open(url).unwrap();
            let connection = client.get_multiplexed_async_connection().await;
            let mut connection = connection.unwrap();
            cmd("FLUSHALL").exec_async(&mut connection).await.unwrap();
        }
    }

    pub(super) async fn connect(&self, nth: usize) -> MultiplexedConnection {
        let client = Client::open(self.servers[nth].url()).unwrap();
        client.get_multiplexed_async_connection().await.unwrap()
    }

    /// The slot of a key.
    async fn slot(&self, key: &str) -> u16 {
        let mut slot = cmd("CLUSTER");
        slot.arg("KEYSLOT").arg(key);
        slot.query_async(&mut self.connect(2).await).await.unwrap()
    }

    /// The first of the rooms that a server has, as slots were shared out.
    pub(super) async fn room_at<'a>(&self, nth: usize, rooms: &'a [String]) -> &'a str {
        for room in rooms {
            let slot = self.slot(&Keys::default().channel(&key("/", room))).await;
            if usize::from(slot) / 5461 == nth {
                return room;
            }
        }
        panic!("parts lie on all servers");
    }

    async fn tell(&self, nth: usize, command: &[&str]) -> String {
        let mut tell = cmd("CLUSTER");
        tell.arg(command);
        let told = tell.query_async(&mut self.connect(nth).await).await;
        told.unwrap()
    }

    /// Adds a server that takes over when one of them is away.
    async fn add_replica_of(&mut self, nth: usize) {
        self.servers.push(Server::start_as(true).await);
        self.meet().await;
        let (replica, id) = (self.servers.len() - 1, self.tell(nth, &["MYID"]).await);
        self.tell(replica, &["REPLICATE", &id]).await;
        let mut connection = self.connect(replica).await;
        let deadline = Instant::now() + PATIENCE;
        loop {
            let mut info = cmd("INFO");
            info.arg("replication");
            let info: String = info.query_async(&mut connection).await.unwrap();
            if info.contains("master_link_status:up") {
                break;
            }
            assert!(Instant::now() < deadline, "{info}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        for nth in 0..replica {
            let known = format!("slave {id}");
            self.until(nth, "NODES", |nodes| nodes.contains(&known))
                .await;
        }
    }

    /// Moves the slot of a key from one server to another.
    async fn migrate(&self, key: &str, from: usize, to: usize) {
        let slot = self.slot(key).await.to_string();
        let (source, target) = (
            self.tell(from, &["MYID"]).await,
            self.tell(to, &["MYID"]).await,
        );
        self.tell(to, &["SETSLOT", &slot, "IMPORTING", &source])
            .await;
        self.tell(from, &["SETSLOT", &slot, "MIGRATING", &target])
            .await;
        let mut connection = self.connect(from).await;
        loop {
            let mut some = cmd("CLUSTER");
            some.arg("GETKEYSINSLOT").arg(&slot).arg(100);
            let some: Vec<String> = some.query_async(&mut connection).await.unwrap();
            if some.is_empty() {
                break;
            }
            let mut migrate = cmd("MIGRATE");
            migrate.arg("127.0.0.1").arg(self.servers[to].port);
            migrate.arg("").arg(0).arg(5000).arg("KEYS").arg(some);
            migrate.exec_async(&mut connection).await.unwrap();
        }
        for nth in [to, from, 3 - to - from] {
            self.tell(nth, &["SETSLOT", &slot, "NODE", &target]).await;
        }
    }

    /// Waits until what a server answers to `CLUSTER what` is as it should be.
    async fn until(&self, nth: usize, what: &str, fits: impl Fn(&str) -> bool) {
        let mut connection = self.connect(nth).await;
        let deadline = Instant::now() + PATIENCE;
        loop {
            let mut ask = cmd("CLUSTER");
            let answer: String = ask.arg(what).query_async(&mut connection).await.unwrap();
            if fits(&answer) {
                return;
            }
            assert!(Instant::now() < deadline, "{answer}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

#[tokio::test]
async fn nodes_that_write_at_once_over_all_parts_are_delivered_the_same_order() {
    const EACH: usize = 3000;
    let cluster = Cluster::start().await;
    let rooms = rooms();
    let parts: HashSet<_> = rooms.iter().map(|room| Part::of(&key("/", room))).collect();
    assert_eq!(parts.len(), 16);
    // Both follow the rooms in the middle, and each some that the other does not.
    let mut one = Node::at(cluster.urls(), &names(&rooms[..40])).await;
    let mut two = Node::at(cluster.urls(), &names(&rooms[20..])).await;
    let write = |node: &Node, step: usize| {
        let (log, rooms) = (node.log.clone(), rooms.clone());
        tokio::spawn(async move {
            for nth in 0..EACH {
                let room = &rooms[nth * step % 60];
                let receipt = log.append(draft(room, "1")).await.unwrap();
                if nth % 10 == 0 {
                    receipt.wait().await.unwrap();
                }
            }
        })
    };
    let writing = [write(&one, 1), write(&two, 7)];
    let (of_one, of_two) = tokio::join!(one.next(EACH / 60 * 40 * 2), two.next(EACH / 60 * 40 * 2));
    assert!(offsets(&of_one).is_sorted());
    assert!(offsets(&of_two).is_sorted());
    let shared = |came: &[Arc<Message>]| -> Vec<_> {
        let both = came.iter().filter(|message| {
            rooms[20..40]
                .iter()
                .any(|room| room.as_str() == message.room.room.as_str())
        });
        both.map(|message| message.id.clone()).collect()
    };
    assert_eq!(shared(&of_one), shared(&of_two));
    for writing in writing {
        writing.await.unwrap();
    }
}

/// Sends to all rooms until it is told to stop, each message until it is stored; what was sent, in its order for each room.
fn keep_sending(sender: Node, rooms: &[String]) -> (Sending, oneshot::Sender<()>) {
    let (stop, mut stopped) = oneshot::channel();
    let rooms = rooms.to_vec();
    let sending = tokio::spawn(async move {
        let mut sent = Vec::new();
        while stopped.try_recv().is_err() {
            let id = format!("id{}", sent.len());
            let room = &rooms[sent.len() * 7 % rooms.len()];
            sender.insist(&named(room, &id)).await;
            sent.push(id);
        }
        sent
    });
    (sending, stop)
}

type Sending = tokio::task::JoinHandle<Vec<String>>;

/// A node that follows the rooms, and another one that sends there.
async fn under_traffic(
    cluster: &Cluster,
    rooms: &[String],
) -> (Node, (Sending, oneshot::Sender<()>)) {
    let node = Node::at(cluster.urls(), &names(rooms)).await;
    let writer = Node::at(cluster.urls(), &[]).await;
    (node, keep_sending(writer, rooms))
}

/// Ends the sending, and looks whether all of it came, once and in order.
async fn all_came(
    node: &mut Node,
    mut came: Vec<Arc<Message>>,
    (sending, stop): (Sending, oneshot::Sender<()>),
) {
    stop.send(()).unwrap();
    let sent = sending.await.unwrap();
    came.extend(node.next(sent.len() - came.len()).await);
    assert!(offsets(&came).is_sorted());
    let mut ids: Vec<_> = came.iter().map(|message| message.id.to_string()).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), sent.len());
}

#[tokio::test]
async fn connections_to_all_servers_that_are_cut_again_and_again_lose_and_double_nothing() {
    let cluster = Cluster::start().await;
    let rooms = rooms();
    let (mut node, sending) = under_traffic(&cluster, &rooms).await;
    let mut came = Vec::new();
    for round in 0..12 {
        came.extend(node.next(100).await);
        let mut connection = cluster.connect(round % 3).await;
        let kind = ["pubsub", "normal"][round % 2];
        let mut kill = cmd("CLIENT");
        kill.arg("KILL").arg("TYPE").arg(kind);
        let killed: usize = kill.query_async(&mut connection).await.unwrap();
        assert!(killed > 0, "nobody was connected");
    }
    all_came(&mut node, came, sending).await;
}

#[tokio::test]
async fn while_a_server_is_away_only_its_parts_are_refused_and_then_all_comes_in_order() {
    let mut cluster = Cluster::start().await;
    let rooms = rooms();
    let mut node = Node::at(cluster.urls(), &names(&rooms)).await;
    let away = cluster.room_at(0, &rooms).await;
    let there = cluster.room_at(1, &rooms).await;
    node.insist(&draft(away, "1")).await;
    cluster.servers[0].kill();
    let began = Instant::now();
    let refused = node.send(draft(away, "1")).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unavailable);
    let mut stored = Vec::new();
    for _ in 0..3 {
        stored.push(node.send(draft(there, "1")).await.unwrap().id);
    }
    node.log.send(event(there), None).await.unwrap();
    assert!(node.log.ready().await.is_err());
    let took = began.elapsed();
    assert!(took < Duration::from_secs(12), "answered after {took:?}");
    cluster.servers[0].restart().await;
    node.insist(&named(away, "again")).await;
    let came = node.messages(5).await;
    assert!(offsets(&came).is_sorted());
    for id in stored {
        assert!(came.iter().any(|message| message.id == id));
    }
    assert!(came.iter().any(|message| message.id.as_str() == "again"));
    node.is_ready().await;
}

#[tokio::test]
async fn while_a_server_stands_still_its_parts_are_refused_and_then_go_on() {
    let cluster = Cluster::start().await;
    let rooms = rooms();
    let (mut node, sending) = under_traffic(&cluster, &rooms).await;
    let mut came = node.next(100).await;
    cluster.servers[1].signal("STOP");
    let still = cluster.room_at(1, &rooms).await;
    let refused = node.send(named(still, "during")).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unavailable);
    cluster.servers[1].signal("CONT");
    came.extend(node.next(300).await);
    came.retain(|message| message.id.as_str() != "during");
    all_came(&mut node, came, sending).await;
}

#[tokio::test]
async fn a_replica_that_takes_over_is_found() {
    let mut cluster = Cluster::start().await;
    cluster.add_replica_of(0).await;
    let rooms = rooms();
    let (mut node, sending) = under_traffic(&cluster, &rooms).await;
    let mut came = node.next(100).await;
    // What the replica was not given may be lost; what comes goes on in order all the same.
    cluster.servers[0].kill();
    came.extend(node.next(600).await);
    assert!(offsets(&came).is_sorted());
    let (sending, stop) = sending;
    stop.send(()).unwrap();
    sending.await.unwrap();
    node.is_ready().await;
}

#[tokio::test]
async fn a_part_that_moves_to_another_server_is_followed_there() {
    let cluster = Cluster::start().await;
    let rooms = rooms();
    let (mut node, sending) = under_traffic(&cluster, &rooms).await;
    let mut came = node.next(100).await;
    let moving = key("/", cluster.room_at(2, &rooms).await);
    cluster
        .migrate(&Keys::default().channel(&moving), 2, 0)
        .await;
    came.extend(node.next(600).await);
    all_came(&mut node, came, sending).await;
}

#[tokio::test]
async fn a_server_that_has_lost_everything_begins_another_life_of_the_log() {
    let mut cluster = Cluster::start().await;
    let rooms = rooms();
    let mut node = Node::at(cluster.urls(), &names(&rooms)).await;
    let room = cluster.room_at(1, &rooms).await;
    let life = node.log.incarnation();
    let before = node.send(draft(room, "1")).await.unwrap();
    cluster.servers[1].kill();
    let folder = cluster.servers[1].folder.path();
    std::fs::remove_dir_all(folder.join("appendonlydir")).unwrap();
    cluster.servers[1].restart().await;
    let after = node.insist(&named(room, "after")).await;
    assert_ne!(after.epoch, before.epoch);
    let came = node.next(2).await;
    assert_eq!((came[1].seq, came[1].id.as_str()), (Seq(1), "after"));
    assert!(offsets(&came).is_sorted());
    let deadline = Instant::now() + PATIENCE;
    while node.log.incarnation() == life {
        assert!(Instant::now() < deadline, "nobody noticed");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

async fn refusal(url: String) -> OpenError {
    let opened = open(RedisConfig::new(url)).await;
    opened.err().expect("it is refused")
}

#[tokio::test]
async fn an_address_that_cannot_be_meant_is_refused_in_plain_words() {
    let (one, two) = tokio::join!(Server::start(), Server::start());
    let several = format!("{},{}", one.url(), two.url());
    let refused = refusal(several).await;
    assert!(matches!(refused, OpenError::Several));
    let cluster = Cluster::start().await;
    for server in [&one, &cluster.servers[0]] {
        let refused = refusal(format!("{}/3", server.url())).await;
        assert!(matches!(refused, OpenError::Database));
    }
    let dead = "redis://127.0.0.1:1";
    let refused = refusal(dead.to_owned()).await;
    assert!(matches!(refused, OpenError::Away(_)));
    // One that answers is enough.
    let some = format!("{dead},{}", cluster.servers[1].url());
    open(RedisConfig::new(some)).await.unwrap();
}
