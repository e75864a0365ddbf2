//! A Redis Cluster of a test's own: three masters.

use std::time::{Duration, Instant};

use redis::{Client, aio::MultiplexedConnection, cmd};

use super::{TEST_TIMEOUT, server::Server};
use crate::backend::{conformance::key, redis::keys::Keys};

/// Names of rooms that are in all partitions.
pub(crate) fn rooms() -> Vec<String> {
    (0..60).map(|nth| format!("r{nth}")).collect()
}

pub(crate) fn names(rooms: &[String]) -> Vec<&str> {
    rooms.iter().map(String::as_str).collect()
}

/// Three masters, each with a third of the slots.
pub(in crate::backend) struct Cluster {
    pub(crate) servers: Vec<Server>,
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

    /// Joins all servers into one Cluster.
    async fn meet(&self) {
        let mut first = self.connect(0).await;
        for server in &self.servers[1..] {
            let mut meet = cmd("CLUSTER");
            meet.arg("MEET").arg("127.0.0.1").arg(server.port());
            meet.arg(server.cluster_port());
            meet.exec_async(&mut first).await.unwrap();
        }
        for nth in 0..self.servers.len() {
            let known = format!("cluster_known_nodes:{}", self.servers.len());
            // A server's state is ok before it knows the slots of the others.
            let lines = ["cluster_state:ok", "cluster_slots_assigned:16384", &known];
            self.wait_until(nth, "INFO", |info| {
                lines.iter().all(|line| info.contains(line))
            })
            .await;
        }
    }

    /// The URLs of all servers, separated by commas.
    pub(in crate::backend) fn urls(&self) -> String {
        let urls: Vec<_> = self.servers.iter().map(Server::url).collect();
        urls.join(",")
    }

    /// Deletes all data.
    pub(in crate::backend) async fn empty(urls: &str) {
        for url in urls.split(',') {
            let client = Client::open(url).unwrap();
            let connection = client.get_multiplexed_async_connection().await;
            let mut connection = connection.unwrap();
            cmd("FLUSHALL").exec_async(&mut connection).await.unwrap();
        }
    }

    pub(crate) async fn connect(&self, nth: usize) -> MultiplexedConnection {
        let client = Client::open(self.servers[nth].url()).unwrap();
        client.get_multiplexed_async_connection().await.unwrap()
    }

    /// The slot of a key.
    async fn slot(&self, key: &str) -> u16 {
        let mut slot = cmd("CLUSTER");
        slot.arg("KEYSLOT").arg(key);
        slot.query_async(&mut self.connect(2).await).await.unwrap()
    }

    /// The first of the rooms whose slot was assigned to a server at the start.
    pub(crate) async fn room_at<'a>(&self, nth: usize, rooms: &'a [String]) -> &'a str {
        for room in rooms {
            let slot = self.slot(&Keys::default().channel(&key("/", room))).await;
            if usize::from(slot) / 5461 == nth {
                return room;
            }
        }
        panic!("no room is on server {nth}");
    }

    pub(crate) async fn cluster_command(&self, nth: usize, command: &[&str]) -> String {
        let mut cluster = cmd("CLUSTER");
        cluster.arg(command);
        let reply = cluster.query_async(&mut self.connect(nth).await).await;
        reply.unwrap()
    }

    /// Adds a replica of a server.
    pub(crate) async fn add_replica_of(&mut self, nth: usize) {
        self.servers.push(Server::start_as(true).await);
        self.meet().await;
        let (replica, id) = (
            self.servers.len() - 1,
            self.cluster_command(nth, &["MYID"]).await,
        );
        self.cluster_command(replica, &["REPLICATE", &id]).await;
        let mut connection = self.connect(replica).await;
        let deadline = Instant::now() + TEST_TIMEOUT;
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
            self.wait_until(nth, "NODES", |nodes| nodes.contains(&known))
                .await;
        }
    }

    /// Migrates the slot of a key from one server to another.
    pub(crate) async fn migrate(&self, key: &str, from: usize, to: usize) {
        let slot = self.slot(key).await.to_string();
        let (source, target) = (
            self.cluster_command(from, &["MYID"]).await,
            self.cluster_command(to, &["MYID"]).await,
        );
        self.cluster_command(to, &["SETSLOT", &slot, "IMPORTING", &source])
            .await;
        self.cluster_command(from, &["SETSLOT", &slot, "MIGRATING", &target])
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
            migrate.arg("127.0.0.1").arg(self.servers[to].port());
            migrate.arg("").arg(0).arg(5000).arg("KEYS").arg(some);
            migrate.exec_async(&mut connection).await.unwrap();
        }
        for nth in [to, from, 3 - to - from] {
            self.cluster_command(nth, &["SETSLOT", &slot, "NODE", &target])
                .await;
        }
    }

    /// Waits until the reply of a server to `CLUSTER what` satisfies a condition.
    async fn wait_until(&self, nth: usize, what: &str, holds: impl Fn(&str) -> bool) {
        let mut connection = self.connect(nth).await;
        let deadline = Instant::now() + TEST_TIMEOUT;
        loop {
            let mut command = cmd("CLUSTER");
            let reply: String = command
                .arg(what)
                .query_async(&mut connection)
                .await
                .unwrap();
            if holds(&reply) {
                return;
            }
            assert!(Instant::now() < deadline, "{reply}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}
