//! The server as a process of its own: its log, its memory and CPU time can be read.

use std::{
    fs,
    io::{BufRead, BufReader},
    net::SocketAddr,
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::Duration,
};

use tempfile::TempDir;

/// A server that runs as a process.
pub struct ServerProcess {
    child: Child,
    folder: TempDir,
    pub address: SocketAddr,
}

impl ServerProcess {
    /// Starts a server on a free port with these flags. `wrapper` is put before the command, as `prlimit` would be.
    pub fn start(wrapper: &[&str], flags: &[&str]) -> Self {
        Self::start_in(wrapper, flags, &[])
    }

    /// Starts a server on a free port with these environment variables.
    pub fn with_environment(environment: &[(&str, &str)]) -> Self {
        Self::start_in(&[], &[], environment)
    }

    fn start_in(wrapper: &[&str], flags: &[&str], environment: &[(&str, &str)]) -> Self {
        let folder = TempDir::new().unwrap();
        let binary = env!("CARGO_BIN_EXE_switchboard");
        let mut words = wrapper
            .iter()
            .copied()
            .chain([binary, "--listen", "127.0.0.1:0"]);
        let mut child = Command::new(words.next().unwrap())
            .args(words)
            .args(flags)
            .current_dir(folder.path())
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .envs(environment.iter().copied())
            .stdout(Stdio::piped())
            .stderr(fs::File::create(log(&folder)).unwrap())
            .spawn()
            .unwrap();
        let mut welcome = String::new();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        stdout.read_line(&mut welcome).unwrap();
        let address = welcome
            .trim()
            .rsplit_once("http://")
            .map(|(_, address)| address.parse());
        let Some(Ok(address)) = address else {
            let _ = child.kill();
            panic!(
                "the server did not start: {welcome}{}",
                fs::read_to_string(log(&folder)).unwrap()
            );
        };
        // The pipe stays open: a server that prints more must not fail for it.
        std::thread::spawn(move || std::io::copy(&mut stdout, &mut std::io::sink()));
        Self {
            child,
            folder,
            address,
        }
    }

    /// Everything that it has written to its log.
    pub fn log(&self) -> String {
        fs::read_to_string(log(&self.folder)).unwrap()
    }

    /// Resident memory in bytes.
    pub fn memory(&self) -> usize {
        resident(self.id())
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// CPU time that it has used.
    pub fn cpu(&self) -> Duration {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.child.id())).unwrap();
        let fields: Vec<&str> = stat
            .rsplit_once(')')
            .unwrap()
            .1
            .split_whitespace()
            .collect();
        let ticks: u64 = fields[11..=12]
            .iter()
            .map(|field| field.parse::<u64>().unwrap())
            .sum();
        // The kernel's unit for this on every machine that tests run on.
        Duration::from_millis(10 * ticks)
    }
}

impl Drop for ServerProcess {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The resident memory of a process in bytes.
pub fn resident(process: u32) -> usize {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kibibytes = line.unwrap().trim().trim_end_matches(" kB");
    kibibytes.parse::<usize>().unwrap() << 10
}

fn log(folder: &TempDir) -> PathBuf {
    folder.path().join("log")
}
