//! What only a log in Redis promises: that nodes share it, and that what is lost on the way is found.

use std::{
    net::TcpListener,
    process::{Child, Command as Process, Stdio},
    time::Instant,
};

use redis::Client;
use tempfile::TempDir;

use super::*;
use crate::{
    backend::{ReadMarker, ReadMarkers, SessionStore, StoredSession, conformance::LogUnderTest},
    model::{Pid, UserId},
};

mod between;
pub(in crate::backend) mod cluster;
mod jumps;
mod node;
mod prefix;
mod refused;
mod restored;
mod stalled;
mod trouble;

/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// A Redis of the test's own, on a port that was free, which keeps an append-only file.
pub(in crate::backend) struct Server {
    process: Child,
    port: u16,
    pub(in crate::backend) folder: TempDir,
    /// The port on which nodes of a Cluster meet.
    cluster: Option<u16>,
}

impl Server {
    pub(in crate::backend) async fn start() -> Self {
        Self::start_as(false).await
    }

    /// Starts it alone, or as a node of a Cluster that knows nobody.
    async fn start_as(cluster: bool) -> Self {
        loop {
            let port = free_port();
            let cluster = cluster.then(free_port);
            let folder = tempfile::tempdir().unwrap();
            let process = launch(port, &folder, cluster);
            let mut server = Self {
                process,
                port,
                folder,
                cluster,
            };
            if server.answers().await {
                return server;
            }
        }
    }

    pub(in crate::backend) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// Ends it without a word.
    pub(in crate::backend) fn kill(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }

    /// Starts it again with what it had written.
    pub(in crate::backend) async fn restart(&mut self) {
        self.process = launch(self.port, &self.folder, self.cluster);
        assert!(self.answers().await, "nobody else takes the port");
    }

    /// A copy of what it has written, to be put back by [`restore`](Self::restore).
    pub(in crate::backend) fn copy(&self) -> TempDir {
        let copy = tempfile::tempdir().unwrap();
        for file in std::fs::read_dir(self.folder.path().join("appendonlydir")).unwrap() {
            let file = file.unwrap();
            std::fs::copy(file.path(), copy.path().join(file.file_name())).unwrap();
        }
        copy
    }

    /// Has it killed, and started again with what it had when the copy was made.
    pub(in crate::backend) async fn restore(&mut self, copy: &TempDir) {
        self.kill();
        let folder = self.folder.path().join("appendonlydir");
        std::fs::remove_dir_all(&folder).unwrap();
        std::fs::create_dir(&folder).unwrap();
        for file in std::fs::read_dir(copy.path()).unwrap() {
            let file = file.unwrap();
            std::fs::copy(file.path(), folder.join(file.file_name())).unwrap();
        }
        self.restart().await;
    }

    /// Sends a signal, such as `STOP`.
    pub(in crate::backend) fn signal(&self, name: &str) {
        let id = self.process.id().to_string();
        let sent = Process::new("kill").args(["-s", name, &id]).status();
        assert!(sent.unwrap().success());
    }

    /// Waits until it answers; false if it has ended, because somebody else took the port.
    async fn answers(&mut self) -> bool {
        let client = Client::open(self.url()).unwrap();
        let deadline = Instant::now() + PATIENCE;
        while self.process.try_wait().unwrap().is_none() {
            if let Ok(mut connection) = client.get_multiplexed_async_connection().await
                && redis::cmd("PING").exec_async(&mut connection).await.is_ok()
            {
                return true;
            }
            assert!(Instant::now() < deadline, "Redis does not answer");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        false
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn free_port() -> u16 {
    let free = TcpListener::bind("127.0.0.1:0").unwrap();
    free.local_addr().unwrap().port()
}

fn launch(port: u16, folder: &TempDir, cluster: Option<u16>) -> Child {
    let mut server = Process::new("redis-server");
    server
        .args(["--port", &port.to_string(), "--bind", "127.0.0.1"])
        // What is synchronised each second may be lost with the process, too, when the disk is busy.
        .args(["--appendonly", "yes", "--appendfsync", "always"])
        .args(["--save", "", "--dir"])
        .arg(folder.path());
    if let Some(cluster) = cluster {
        server
            .args(["--cluster-enabled", "yes", "--cluster-node-timeout", "1000"])
            .args(["--cluster-require-full-coverage", "no"])
            .args(["--cluster-port", &cluster.to_string()]);
    }
    server
        .stdout(Stdio::null())
        .spawn()
        .expect("redis-server is installed")
}

/// A log that follows each room before it writes there, as the hub does for its members.
struct Following(Arc<RedisLog>);

/// A log as the suite wants it, and its bus.
pub(in crate::backend) async fn following(
    config: RedisConfig,
    clock: Clock,
) -> (Arc<dyn LogUnderTest>, Arc<dyn Bus>, Deliveries) {
    let (log, _, deliveries) = open_with(config, Some(clock)).await.unwrap();
    let log = Arc::new(log);
    (Arc::new(Following(log.clone())), log, deliveries)
}

#[async_trait]
impl LogUnderTest for Following {
    async fn trim_all(&self, now: Timestamp) {
        let reads = &self.0.reads;
        let sweeper = Sweeper {
            shared: self.0.shared.clone(),
            reads: reads.clone(),
            session_window: self.0.session_window,
        };
        for part in Part::all() {
            let rooms = self.0.shared.keys.rooms(part);
            let mut now_due = redis::cmd("ZUNIONSTORE");
            now_due.arg(&rooms).arg(1).arg(&rooms);
            now_due.arg("WEIGHTS").arg(0);
            reads.of(part).ask(now_due).await.unwrap();
        }
        while sweeper.step(now.into()).await {}
    }

    async fn stored(&self) -> usize {
        let mut keys = 0;
        for part in Part::all() {
            let size = redis::cmd("DBSIZE");
            let size: usize =
                line::read_as(self.0.reads.of(part).ask(size).await.unwrap()).unwrap();
            keys += size;
            if !self.0.shared.site.is_cluster() {
                break;
            }
        }
        keys
    }
}

#[async_trait]
impl Log for Following {
    async fn append(&self, draft: Draft) -> Result<Receipt> {
        self.0.subscribe(&draft.room).await?;
        self.0.append(draft).await
    }

    async fn read(&self, room: &RoomKey, range: Range, size: PageSize) -> Result<Page> {
        self.0.read(room, range, size).await
    }

    async fn missed(
        &self,
        room: &RoomKey,
        after: Offset,
        until: Offset,
        size: PageSize,
    ) -> Result<Missed> {
        self.0.missed(room, after, until, size).await
    }

    async fn last_offset(&self, namespace: &Namespace) -> Result<Offset> {
        self.0.last_offset(namespace).await
    }

    fn incarnation(&self) -> Epoch {
        self.0.incarnation()
    }

    async fn ready(&self) -> Result<()> {
        self.0.ready().await
    }

    async fn close(&self) {
        self.0.close().await;
    }
}

#[async_trait]
impl ReadMarkers for Following {
    async fn advance(&self, room: &RoomKey, user: &UserId, seq: Seq) -> Result<ReadMarker> {
        self.0.advance(room, user, seq).await
    }

    async fn get(&self, room: &RoomKey, user: &UserId) -> Result<ReadMarker> {
        self.0.get(room, user).await
    }
}

#[async_trait]
impl SessionStore for Following {
    async fn save(&self, session: StoredSession) -> Result<()> {
        self.0.save(session).await
    }

    async fn end(&self, pid: Pid) -> Result<()> {
        self.0.end(pid).await
    }

    async fn forget(&self, pid: Pid) -> Result<()> {
        self.0.forget(pid).await
    }

    async fn forget_user(&self, user: UserId) -> Result<()> {
        self.0.forget_user(user).await
    }

    async fn expel(&self, user: UserId, room: RoomKey, reason: String) -> Result<()> {
        self.0.expel(user, room, reason).await
    }

    async fn find(&self, pid: Pid) -> Result<Option<StoredSession>> {
        self.0.find(pid).await
    }
}
