//! A Redis of the test's own: started on a port of its own, killed, started again.

use std::process::{Child, Command, Stdio};

use switchboard::config::{Config, SecretUrl, Store};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::{config, eventually, port::ClaimedPort};

pub struct Redis {
    process: Child,
    port: ClaimedPort,
    folder: TempDir,
}

impl Redis {
    pub async fn start() -> Self {
        let port = ClaimedPort::claim();
        let folder = tempfile::tempdir().unwrap();
        let process = launch(&port, &folder);
        let redis = Self {
            process,
            port,
            folder,
        };
        redis.answers().await;
        redis
    }

    /// The configuration of a node over it.
    pub fn node(&self) -> Config {
        let mut config = config();
        config.store = Some(Store::Redis);
        config.redis.url = Some(SecretUrl::new(format!(
            "redis://127.0.0.1:{}",
            self.port.number
        )));
        config
    }

    /// Ends it without a word.
    pub fn kill(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }

    /// Starts it again with what it had written.
    pub async fn restart(&mut self) {
        self.process = launch(&self.port, &self.folder);
        self.answers().await;
    }

    /// Has it carry out a command without arguments.
    pub async fn ask(&self, command: &str) {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port.number))
            .await
            .unwrap();
        stream
            .write_all(format!("{command}\r\n").as_bytes())
            .await
            .unwrap();
        let mut answer = [0; 3];
        stream.read_exact(&mut answer).await.unwrap();
        assert_eq!(answer, *b"+OK");
    }

    async fn answers(&self) {
        eventually("Redis answers", async || {
            let Ok(mut stream) = TcpStream::connect(("127.0.0.1", self.port.number)).await else {
                return false;
            };
            let mut answer = [0; 5];
            stream.write_all(b"PING\r\n").await.is_ok()
                && stream.read_exact(&mut answer).await.is_ok()
                && answer == *b"+PONG"
        })
        .await;
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn launch(port: &ClaimedPort, folder: &TempDir) -> Child {
    Command::new("redis-server")
        .args(["--port", &port.number.to_string(), "--bind", "127.0.0.1"])
        // What is synchronised each second may be lost with the process, too, when the disk is busy.
        .args(["--appendonly", "yes", "--appendfsync", "always"])
        .args(["--save", "", "--dir"])
        .arg(folder.path())
        .stdout(Stdio::null())
        .spawn()
        .expect("redis-server is installed")
}
