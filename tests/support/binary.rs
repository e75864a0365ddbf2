//! The `switchboard` binary as a process of its own, with all that it writes.

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
pub struct Binary {
    child: Child,
    folder: TempDir,
    pub address: SocketAddr,
}

impl Binary {
    /// Starts one on a port of its own with these flags, by way of `wrapper` if there is one: words before the command.
    pub fn start(wrapper: &[&str], flags: &[&str]) -> Self {
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
                "it did not start: {welcome}{}",
                fs::read_to_string(log(&folder)).unwrap()
            );
        };
        // What it prints later is nobody's concern, and must not find the pipe closed.
        std::thread::spawn(move || std::io::copy(&mut stdout, &mut std::io::sink()));
        Self {
            child,
            folder,
            address,
        }
    }

    /// All that it has written to its log.
    pub fn log(&self) -> String {
        fs::read_to_string(log(&self.folder)).unwrap()
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

impl Drop for Binary {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn log(folder: &TempDir) -> PathBuf {
    folder.path().join("log")
}
