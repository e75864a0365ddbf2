//! Redis for a benchmark: one server, or a Cluster of three masters, that keeps an append-only file.

use std::{
    net::TcpListener,
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use tempfile::TempDir;

use super::process::{Process, Result};

const SLOTS: usize = 16_384;
/// The maximum time until Redis is up.
const START_TIMEOUT: Duration = Duration::from_secs(30);

/// When a write is on disk.
#[derive(Clone, Copy)]
pub enum Fsync {
    EverySecond,
    Always,
}

/// The Redis that nodes share.
pub struct Redis {
    masters: Vec<Master>,
    _folder: TempDir,
}

struct Master {
    process: Process,
    port: u16,
}

impl Redis {
    pub fn start(fsync: Fsync) -> Result<Self> {
        let redis = Self::launch(1, fsync, false)?;
        redis.wait_for_all(|master| master.replies_with(&["PING"], "PONG"))?;
        Ok(redis)
    }

    pub fn start_cluster() -> Result<Self> {
        let cluster = Self::launch(3, Fsync::EverySecond, true)?;
        cluster.wait_for_all(|master| master.replies_with(&["PING"], "PONG"))?;
        let masters = &cluster.masters;
        for (nth, master) in masters.iter().enumerate() {
            let edge = |nth| SLOTS * nth / masters.len();
            let (first, last) = (edge(nth).to_string(), (edge(nth + 1) - 1).to_string());
            master.execute(&["CLUSTER", "ADDSLOTSRANGE", &first, &last])?;
            master.execute(&["CLUSTER", "SET-CONFIG-EPOCH", &(nth + 1).to_string()])?;
            let port = master.port.to_string();
            masters[0].execute(&["CLUSTER", "MEET", "127.0.0.1", &port])?;
        }
        let known = format!("cluster_known_nodes:{}", masters.len());
        cluster.wait_for_all(|master| master.replies_with(&["CLUSTER", "INFO"], &known))?;
        cluster
            .wait_for_all(|master| master.replies_with(&["CLUSTER", "INFO"], "cluster_state:ok"))?;
        Ok(cluster)
    }

    fn launch(masters: usize, fsync: Fsync, cluster: bool) -> Result<Self> {
        let folder = TempDir::new()?;
        let masters = (0..masters).map(|_| Master::launch(&folder, fsync, cluster));
        Ok(Self {
            masters: masters.collect::<Result<_>>()?,
            _folder: folder,
        })
    }

    /// The URL, in the form of the option `redis.url`.
    pub fn url(&self) -> String {
        let urls = self.masters.iter();
        let urls = urls.map(|master| format!("redis://127.0.0.1:{}", master.port));
        urls.collect::<Vec<_>>().join(",")
    }

    /// CPU time of each master so far.
    pub fn cpu(&self) -> Result<Vec<Duration>> {
        let masters = self.masters.iter();
        masters.map(|master| master.process.cpu()).collect()
    }

    /// A number of `INFO`, summed over all masters.
    pub fn info(&self, name: &str) -> Result<f64> {
        let mut sum = 0.0;
        for master in &self.masters {
            let info = master.execute(&["INFO"])?;
            let mut lines = info.lines();
            let number = lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
            sum += number
                .ok_or("no such line in INFO")?
                .trim()
                .parse::<f64>()?;
        }
        Ok(sum)
    }

    /// Waits until a condition holds for all masters.
    fn wait_for_all(&self, is_true: impl Fn(&Master) -> bool) -> Result<()> {
        let end = Instant::now() + START_TIMEOUT;
        while !self.masters.iter().all(&is_true) {
            if Instant::now() > end {
                return Err("Redis does not come up".into());
            }
            thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }
}

impl Master {
    /// Redis takes as a Cluster's second port the one that is 10,000 above its own.
    fn launch(folder: &TempDir, fsync: Fsync, cluster: bool) -> Result<Self> {
        let port = loop {
            let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
            let second = port.checked_add(10_000);
            if second.is_some_and(|second| TcpListener::bind(("127.0.0.1", second)).is_ok()) {
                break port;
            }
        };
        let own = folder.path().join(port.to_string());
        std::fs::create_dir(&own)?;
        let fsync = match fsync {
            Fsync::EverySecond => "everysec",
            Fsync::Always => "always",
        };
        let mut command = Command::new("redis-server");
        command
            .args(["--port", &port.to_string(), "--bind", "127.0.0.1"])
            .args(["--appendonly", "yes", "--appendfsync", fsync])
            // A rewrite of the file would slow down one load and not another.
            .args(["--auto-aof-rewrite-percentage", "0", "--save", ""])
            .args(["--cluster-enabled", if cluster { "yes" } else { "no" }])
            .arg("--dir")
            .arg(own)
            .stdout(Stdio::null());
        Ok(Self {
            process: Process::start(&mut command)?,
            port,
        })
    }

    /// Executes a command with `redis-cli`. Returns the reply; fails if it is an error.
    fn execute(&self, command: &[&str]) -> Result<String> {
        let port = self.port.to_string();
        let output = Command::new("redis-cli")
            .args(["-e", "-p", &port])
            .args(command)
            .output()?;
        let reply = String::from_utf8(output.stdout)?;
        if output.status.success() {
            return Ok(reply);
        }
        Err(format!("{command:?}: {reply}").into())
    }

    fn replies_with(&self, command: &[&str], part: &str) -> bool {
        self.execute(command)
            .is_ok_and(|reply| reply.contains(part))
    }
}
