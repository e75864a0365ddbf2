//! A Redis server of a test's own.

use std::{
    process::{Child, Command as Process, Stdio},
    time::{Duration, Instant},
};

use redis::Client;
use tempfile::TempDir;

use super::{TEST_TIMEOUT, port::ClaimedPort};

/// A Redis server on a port of its own, which writes an append-only file.
pub(in crate::backend) struct Server {
    process: Child,
    port: ClaimedPort,
    pub(in crate::backend) folder: TempDir,
    /// The port of the cluster bus, if it is a node of a Cluster.
    cluster: Option<ClaimedPort>,
}

impl Server {
    pub(in crate::backend) async fn start() -> Self {
        Self::start_as(false).await
    }

    /// Starts it alone, or as a node of a Cluster that knows no other node.
    pub(super) async fn start_as(cluster: bool) -> Self {
        let port = ClaimedPort::claim();
        let cluster = cluster.then(ClaimedPort::claim);
        let folder = tempfile::tempdir().unwrap();
        let mut server = Self {
            process: launch(&port, &folder, cluster.as_ref()),
            port,
            folder,
            cluster,
        };
        server.wait_until_up().await;
        server
    }

    pub(crate) fn port(&self) -> u16 {
        self.port.number
    }

    pub(super) fn cluster_port(&self) -> Option<u16> {
        self.cluster.as_ref().map(|port| port.number)
    }

    pub(in crate::backend) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port())
    }

    /// Kills the process.
    pub(in crate::backend) fn kill(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }

    /// Starts it again with the data that it has written.
    pub(in crate::backend) async fn restart(&mut self) {
        self.process = launch(&self.port, &self.folder, self.cluster.as_ref());
        self.wait_until_up().await;
    }

    /// Copies the data that it has written, for [`restore`](Self::restore).
    pub(in crate::backend) fn copy(&self) -> TempDir {
        let copy = tempfile::tempdir().unwrap();
        for file in std::fs::read_dir(self.folder.path().join("appendonlydir")).unwrap() {
            let file = file.unwrap();
            std::fs::copy(file.path(), copy.path().join(file.file_name())).unwrap();
        }
        copy
    }

    /// Kills it, and starts it again with a copy of earlier data.
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

    async fn wait_until_up(&mut self) {
        let client = Client::open(self.url()).unwrap();
        let deadline = Instant::now() + TEST_TIMEOUT;
        loop {
            if let Ok(mut connection) = client.get_multiplexed_async_connection().await
                && redis::cmd("PING").exec_async(&mut connection).await.is_ok()
            {
                return;
            }
            let ended = self.process.try_wait().unwrap();
            assert_eq!(ended, None, "Redis ended while it was started");
            assert!(Instant::now() < deadline, "Redis does not reply");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn launch(port: &ClaimedPort, folder: &TempDir, cluster: Option<&ClaimedPort>) -> Child {
    let mut server = Process::new("redis-server");
    server
        .args(["--port", &port.number.to_string(), "--bind", "127.0.0.1"])
        // With everysec, data may be lost with the process when the disk is busy.
        .args(["--appendonly", "yes", "--appendfsync", "always"])
        .args(["--save", "", "--dir"])
        .arg(folder.path());
    if let Some(cluster) = cluster {
        server
            .args(["--cluster-enabled", "yes", "--cluster-node-timeout", "1000"])
            .args(["--cluster-require-full-coverage", "no"])
            .args(["--cluster-port", &cluster.number.to_string()]);
    }
    server
        .stdout(Stdio::null())
        .spawn()
        .expect("redis-server is installed")
}
