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
/// How long it may take to begin.
const PATIENCE: Duration = Duration::from_secs(30);

/// When what was written is on disk.
#[derive(Clone, Copy)]
pub enum Fsync {
    EverySecond,
    Always,
}

/// What nodes share.
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
        redis.all(|master| master.says(&["PING"], "PONG"))?;
        Ok(redis)
    }

    pub fn start_cluster() -> Result<Self> {
        let cluster = Self::launch(3, Fsync::EverySecond, true)?;
        cluster.all(|master| master.says(&["PING"], "PONG"))?;
        let masters = &cluster.masters;
        for (nth, master) in masters.iter().enumerate() {
            let edge = |nth| SLOTS * nth / masters.len();
            let (first, last) = (edge(nth).to_string(), (edge(nth + 1) - 1).to_string());
            master.ask(&["CLUSTER", "ADDSLOTSRANGE", &first, &last])?;
            master.ask(&["CLUSTER", "SET-CONFIG-EPOCH", &(nth + 1).to_string()])?;
            let port = master.port.to_string();
            masters[0].ask(&["CLUSTER", "MEET", "127.0.0.1", &port])?;
        }
        let known = format!("cluster_known_nodes:{}", masters.len());
        cluster.all(|master| master.says(&["CLUSTER", "INFO"], &known))?;
        cluster.all(|master| master.says(&["CLUSTER", "INFO"], "cluster_state:ok"))?;
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

    /// As the option `redis.url` takes it.
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

    /// A number in what `INFO` says, over all masters.
    pub fn info(&self, name: &str) -> Result<f64> {
        let mut sum = 0.0;
        for master in &self.masters {
            let info = master.ask(&["INFO"])?;
            let mut lines = info.lines();
            let number = lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
            sum += number
                .ok_or("no such line in INFO")?
                .trim()
                .parse::<f64>()?;
        }
        Ok(sum)
    }

    /// Waits until something is true of all masters.
    fn all(&self, is_true: impl Fn(&Master) -> bool) -> Result<()> {
        let end = Instant::now() + PATIENCE;
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
            // A rewrite of the file would come at some moment, in one load and not in another.
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

    /// What `redis-cli` prints for a command, which has to succeed.
    fn ask(&self, command: &[&str]) -> Result<String> {
        let port = self.port.to_string();
        let asked = Command::new("redis-cli")
            .args(["-e", "-p", &port])
            .args(command)
            .output()?;
        let said = String::from_utf8(asked.stdout)?;
        if asked.status.success() {
            return Ok(said);
        }
        Err(format!("{command:?}: {said}").into())
    }

    fn says(&self, command: &[&str], word: &str) -> bool {
        self.ask(command).is_ok_and(|said| said.contains(word))
    }
}
