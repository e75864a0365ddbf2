//! A Redis server of a test's own.

use std::{
    net::TcpListener,
    process::{Child, Command as Process, Stdio},
    time::{Duration, Instant},
};

use redis::Client;
use tempfile::TempDir;

use super::TEST_TIMEOUT;

/// A Redis server on a free port, which writes an append-only file.
pub(in crate::backend) struct Server {
    process: Child,
    pub(crate) port: u16,
    pub(in crate::backend) folder: TempDir,
    /// The port of the cluster bus, if it is a node of a Cluster.
    pub(super) cluster: Option<u16>,
}

impl Server {
    pub(in crate::backend) async fn start() -> Self {
        Self::start_as(false).await
    }

    /// Starts it alone, or as a node of a Cluster that knows no other node.
    pub(super) async fn start_as(cluster: bool) -> Self {
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
            if server.is_up().await {
                return server;
            }
        }
    }

    pub(in crate::backend) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// Kills the process.
    pub(in crate::backend) fn kill(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }

    /// Starts it again with the data that it has written.
    pub(in crate::backend) async fn restart(&mut self) {
        self.process = launch(self.port, &self.folder, self.cluster);
        assert!(self.is_up().await, "another process has taken the port");
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

    /// Waits until it replies; false if it has ended, because another process had taken the port.
    async fn is_up(&mut self) -> bool {
        let client = Client::open(self.url()).unwrap();
        let deadline = Instant::now() + TEST_TIMEOUT;
        while self.process.try_wait().unwrap().is_none() {
            if let Ok(mut connection) = client.get_multiplexed_async_connection().await
                && redis::cmd("PING").exec_async(&mut connection).await.is_ok()
            {
                return true;
            }
            assert!(Instant::now() < deadline, "Redis does not reply");
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
        // With everysec, data may be lost with the process when the disk is busy.
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
