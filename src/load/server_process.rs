//! CPU time and memory of the servers' processes, where they run on this machine: read from `/proc`.

use std::{fs, io, iter::Sum, path::Path, time::Duration};

use crate::procfs::{TICKS_PER_SECOND, parse_cpu_ticks, parse_resident_kib};

/// The processes of all servers.
pub(super) struct ServerProcesses(Vec<ServerProcess>);

impl ServerProcesses {
    /// The process `pid`, or else those that listen on the ports.
    pub(super) fn new(pid: Option<u32>, ports: impl Iterator<Item = u16>) -> Self {
        let ports = ports.take(if pid.is_some() { 1 } else { usize::MAX });
        Self(ports.map(|port| ServerProcess::new(pid, port)).collect())
    }

    /// What they use now, in all; `None` if one of them is unknown.
    pub(super) fn usage(&mut self) -> Option<Usage> {
        self.0.iter_mut().map(ServerProcess::usage).sum()
    }

    /// The process, if there is but one.
    pub(super) fn pid(&self) -> Option<u32> {
        match self.0.as_slice() {
            [one] => one.pid(),
            _ => None,
        }
    }
}

/// A server's process, over its restarts.
struct ServerProcess {
    port: u16,
    /// Given by the user: nobody else is looked for.
    is_fixed: bool,
    pid: Option<u32>,
    /// CPU time of processes that are gone, and of this one when it was last looked at.
    before: Duration,
    last: Duration,
}

/// A look at a process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Usage {
    /// CPU time in all.
    pub(super) cpu: Duration,
    /// Resident memory in bytes.
    pub(super) memory: u64,
}

impl ServerProcess {
    /// The process `pid`, or else the one that listens on the port.
    fn new(pid: Option<u32>, port: u16) -> Self {
        Self {
            port,
            is_fixed: pid.is_some(),
            pid: pid.or_else(|| listener(port)),
            before: Duration::ZERO,
            last: Duration::ZERO,
        }
    }

    /// What it uses now; `None` if nobody knows the process.
    fn usage(&mut self) -> Option<Usage> {
        let look = |pid: Option<u32>| usage(&pid?.to_string()).ok();
        let mut used = look(self.pid);
        if used.is_none() && !self.is_fixed {
            // It was restarted, perhaps.
            self.before += std::mem::take(&mut self.last);
            self.pid = listener(self.port);
            used = look(self.pid);
        }
        let used = used?;
        self.last = used.cpu;
        Some(Usage {
            cpu: self.before + used.cpu,
            ..used
        })
    }

    fn pid(&self) -> Option<u32> {
        self.pid
    }
}

impl Sum for Usage {
    fn sum<I: Iterator<Item = Self>>(all: I) -> Self {
        all.fold(Self::default(), |sum, one| Self {
            cpu: sum.cpu + one.cpu,
            memory: sum.memory + one.memory,
        })
    }
}

/// What this process uses.
pub(super) fn own_usage() -> Usage {
    usage("self").unwrap_or_default()
}

/// What a process uses.
fn usage(pid: &str) -> io::Result<Usage> {
    let malformed = || io::Error::other("/proc is not as expected");
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let ticks = parse_cpu_ticks(&stat).ok_or_else(malformed)?;
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let kibibytes = parse_resident_kib(&status).ok_or_else(malformed)?;
    Ok(Usage {
        cpu: Duration::from_secs_f64(ticks / TICKS_PER_SECOND),
        memory: (kibibytes * 1024.0) as u64,
    })
}

/// The process that listens on a port of this machine.
fn listener(port: u16) -> Option<u32> {
    let mut sockets = Vec::new();
    for table in ["/proc/net/tcp", "/proc/net/tcp6"] {
        let table = fs::read_to_string(table).unwrap_or_default();
        sockets.extend(listening(&table, port).map(|inode| format!("socket:[{inode}]")));
    }
    let processes = fs::read_dir("/proc").ok()?.flatten();
    processes
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .find(|pid: &u32| {
            let files = fs::read_dir(Path::new("/proc").join(pid.to_string()).join("fd"));
            let mut files = files.into_iter().flatten().flatten();
            files.any(|file| {
                fs::read_link(file.path()).is_ok_and(|to| {
                    sockets
                        .iter()
                        .any(|socket| to.as_os_str() == socket.as_str())
                })
            })
        })
}

/// Inodes of the sockets of one of the kernel's tables that listen on a port.
fn listening(table: &str, port: u16) -> impl Iterator<Item = &str> {
    const LISTEN: &str = "0A";
    let port = format!(":{port:04X}");
    table.lines().skip(1).filter_map(move |line| {
        let fields: Vec<_> = line.split_whitespace().collect();
        let is_it = fields.get(1)?.ends_with(&port) && *fields.get(3)? == LISTEN;
        fields.get(9).copied().filter(|_| is_it)
    })
}

#[cfg(test)]
mod tests;
