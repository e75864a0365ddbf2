//! One core for the servers and one for the load, so that neither takes time from the other.

use rustix::{
    io::Result,
    thread::{CpuSet, sched_getaffinity, sched_setaffinity},
};

/// Who runs on which core; `None` if there is one core only.
#[derive(Clone, Copy)]
pub struct Cores(Option<[usize; 2]>);

impl Cores {
    /// The first two cores that this program may use.
    pub fn find() -> Self {
        let allowed = sched_getaffinity(None).unwrap_or_else(|_| CpuSet::new());
        let mut cores = (0..CpuSet::MAX_CPU).filter(|core| allowed.is_set(*core));
        Self(cores.next().zip(cores.next()).map(<[usize; 2]>::from))
    }

    pub fn are_apart(self) -> bool {
        self.0.is_some()
    }

    /// What this thread starts from now on are servers.
    pub fn for_servers(self) -> Result<()> {
        self.pin(0)
    }

    /// What this thread starts from now on is the load.
    pub fn for_load(self) -> Result<()> {
        self.pin(1)
    }

    /// Processes inherit the core of the thread that starts them.
    fn pin(self, side: usize) -> Result<()> {
        let Some(cores) = self.0 else {
            return Ok(());
        };
        let mut set = CpuSet::new();
        set.set(cores[side]);
        sched_setaffinity(None, &set)
    }
}
