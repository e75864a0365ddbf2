//! Runs a load from its begin to its report: phases, faults, measuring.

use std::{
    collections::BTreeSet,
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use tokio::sync::oneshot;

use super::{
    checker::Checker,
    counters::{Counters, Totals},
    pacer,
    plan::{Pace, Plan, Protocol},
    recorder::Recorder,
    report::{self, Report},
    server_process::{ServerProcesses, Usage, own_usage},
    shared::{Phase, Shared},
    verdict::{self, Lost, Rooms, Sent},
    worker::{self, Found},
};
use crate::sync::lock;

mod faults;
mod warnings;

use faults::FaultSchedule;
use warnings::Warnings;

/// The time between two looks at what happens.
const TICK: Duration = Duration::from_millis(20);

/// The time between two lines of progress, and two looks at the server's process.
const PROGRESS: Duration = Duration::from_millis(500);

/// How long joins that nobody acknowledges are given.
const SETTLE: Duration = Duration::from_millis(300);

/// Who is told what happens meanwhile.
pub(crate) trait Watcher {
    /// Is called a few times a second: what is going on, and what was counted so far.
    fn progress(&mut self, doing: &str, totals: &Totals);

    /// Something that the user should know at once.
    fn warn(&mut self, text: &str);
}

/// Ends a load early; it is reported as far as it came.
#[derive(Clone, Debug, Default)]
pub(crate) struct Stop(Arc<AtomicBool>);

impl Stop {
    pub(crate) fn stop(&self) {
        self.0.store(true, Ordering::Release);
    }

    pub(crate) fn is_stopped(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

/// Why there is nothing to report.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LoadError {
    #[error("nobody could connect: {0}")]
    NobodyConnected(String),
    #[error("a thread of the load failed: {0}")]
    Thread(#[source] io::Error),
}

/// Runs a load.
///
/// # Errors
/// Nobody could connect, or the system has no threads.
pub(crate) fn run(plan: Plan, watcher: &mut dyn Watcher, stop: &Stop) -> Result<Report, LoadError> {
    let mut conductor = Conductor::start(plan, watcher, stop)?;
    conductor.connect()?;
    let measured = match conductor.shared.plan.senders {
        0 => conductor.hold(),
        _ => conductor.send(),
    };
    let drained = conductor.drain();
    conductor.report(&measured, drained)
}

struct Conductor<'a> {
    shared: Arc<Shared>,
    counters: Vec<Arc<Counters>>,
    shards: Vec<thread::JoinHandle<io::Result<Found>>>,
    stops: Vec<oneshot::Sender<()>>,
    server: Option<ServerProcesses>,
    /// The server's memory at first, and at most.
    memory: [u64; 2],
    watcher: &'a mut dyn Watcher,
    warnings: Warnings,
    stop: &'a Stop,
    last_progress: Instant,
}

/// What is known at one moment.
#[derive(Clone, Copy)]
struct Snapshot {
    at: Instant,
    totals: Totals,
    server: Option<Usage>,
    own: Usage,
}

/// What was measured, from when to when.
struct Measured {
    from: Snapshot,
    to: Snapshot,
    storms: Vec<Duration>,
}

impl<'a> Conductor<'a> {
    fn start(plan: Plan, watcher: &'a mut dyn Watcher, stop: &'a Stop) -> Result<Self, LoadError> {
        let is_local = plan.is_local() || plan.pid.is_some();
        let ports = plan.addresses.iter().map(|address| address.socket.port());
        let server = is_local.then(|| ServerProcesses::new(plan.pid, ports));
        let mut conductor = Self {
            shared: Arc::new(Shared::new(plan)),
            counters: Vec::new(),
            shards: Vec::new(),
            stops: Vec::new(),
            server,
            memory: [0; 2],
            watcher,
            warnings: Warnings::default(),
            stop,
            last_progress: Instant::now(),
        };
        let usage = conductor.server.as_mut().and_then(ServerProcesses::usage);
        conductor.memory = [usage.map_or(0, |usage| usage.memory); 2];
        for first in 0..conductor.shared.plan.threads {
            let (shared, counters) = (conductor.shared.clone(), Arc::new(Counters::default()));
            conductor.counters.push(counters.clone());
            let (stop, stopped) = oneshot::channel();
            conductor.stops.push(stop);
            let run = move || worker::run(shared, counters, first, stopped);
            let spawned = thread::Builder::new().name("load".into()).spawn(run);
            conductor.shards.push(spawned.map_err(LoadError::Thread)?);
        }
        Ok(conductor)
    }

    /// Waits until every client has joined, or none has for too long.
    fn connect(&mut self) -> Result<(), LoadError> {
        let clients = self.shared.plan.clients() as u64;
        let mut last = (0, Instant::now());
        loop {
            let totals = self.tick("connecting");
            let is_stuck = last.1.elapsed() > self.shared.plan.connect_timeout;
            if totals.joined > last.0 {
                last = (totals.joined, Instant::now());
            }
            if totals.joined >= clients || self.stop.is_stopped() || (is_stuck && totals.joined > 0)
            {
                break;
            }
            let refused_all = totals.joined == 0 && totals.failed_connects >= clients;
            if is_stuck || refused_all {
                return Err(LoadError::NobodyConnected(self.why()));
            }
        }
        if let Protocol::Plain(events) = &self.shared.plan.protocol
            && !events.acks
        {
            self.wait("settling", SETTLE);
        }
        Ok(())
    }

    /// The most frequent refusal.
    fn why(&self) -> String {
        let refusals = lock(&self.shared.refusals);
        let most = refusals.iter().max_by_key(|(_, times)| **times);
        most.map_or_else(
            || "the server does not answer".to_owned(),
            |(refusal, _)| refusal.to_string(),
        )
    }

    /// Holds the connections, and their faults.
    fn hold(&mut self) -> Measured {
        self.measure("holding")
    }

    /// Sends, and measures after the warm-up.
    fn send(&mut self) -> Measured {
        let plan = &self.shared.plan;
        let (pace, warm_up) = (plan.pace, plan.warm_up);
        self.shared.begin(Phase::Sending);
        let pacer = match pace {
            Pace::Open { rate } => {
                let shared = self.shared.clone();
                Some(thread::spawn(move || pacer::run(&shared, rate)))
            }
            Pace::Closed { .. } => None,
        };
        self.warnings.rate_to_expect(&self.shared, self.watcher);
        self.wait("warming up", warm_up);
        let measured = self.measure("sending");
        self.shared.begin(Phase::Draining);
        if let Some(pacer) = pacer {
            // It ends with the phase, and has nothing to say.
            let _ = pacer.join();
        }
        measured
    }

    fn measure(&mut self, doing: &str) -> Measured {
        let from = self.snapshot();
        self.shared.measure_from(self.shared.now());
        let duration = self.shared.plan.duration;
        let mut faults = FaultSchedule::new(&self.shared.plan);
        while from.at.elapsed() < duration && !self.stop.is_stopped() {
            let totals = self.tick(doing);
            faults.act(&self.shared, from.at.elapsed(), &totals);
        }
        self.shared.measure_until(self.shared.now());
        let to = self.snapshot();
        // A storm that is not over yet ends while what is on its way arrives.
        while !faults.is_over(from.at.elapsed(), &self.totals()) && !self.stop.is_stopped() {
            self.tick("waiting for the storm to end");
        }
        Measured {
            from,
            to,
            storms: faults.storms(),
        }
    }

    /// Waits for everything that is on its way. False if it did not all come.
    fn drain(&mut self) -> bool {
        let mut last = (self.totals(), Instant::now());
        while !self.stop.is_stopped() {
            let totals = self.tick("waiting for what is on its way");
            if self.is_complete(&totals) {
                return true;
            }
            if self.progress_of(&totals) != self.progress_of(&last.0) {
                last = (totals, Instant::now());
            }
            if last.1.elapsed() > self.shared.plan.drain {
                return false;
            }
        }
        false
    }

    fn progress_of(&self, totals: &Totals) -> [u64; 3] {
        [totals.deliveries, totals.acked, totals.connected()]
    }

    /// Whether everybody is there, and everything has arrived.
    fn is_complete(&self, totals: &Totals) -> bool {
        let expected: u64 = (0..self.shared.senders.len())
            .map(|number| {
                let slot = &self.shared.senders[number];
                let sent = u64::from(slot.sent.load(Ordering::Acquire));
                let doubted = lock(&slot.in_doubt).len() as u64;
                sent.saturating_sub(doubted) * u64::from(self.shared.receivers_of(number))
            })
            .sum();
        let is_acked = !self.shared.plan.acks() || totals.acked + totals.refused >= totals.sent;
        is_acked && totals.expected_deliveries >= expected && totals.connected() >= totals.joined
    }

    fn wait(&mut self, doing: &str, time: Duration) {
        let began = Instant::now();
        while began.elapsed() < time && !self.stop.is_stopped() {
            self.tick(doing);
        }
    }

    /// Lets a moment pass, and looks at what happened.
    fn tick(&mut self, doing: &str) -> Totals {
        thread::sleep(TICK);
        let totals = self.totals();
        self.warnings.refusals(&self.shared, self.watcher);
        if self.last_progress.elapsed() >= PROGRESS {
            self.last_progress = Instant::now();
            self.snapshot();
            self.warnings.paced(&self.shared, &totals, self.watcher);
            self.watcher.progress(doing, &totals);
            // A sender that waits for a message that got lost gives it up at some time.
            (0..self.shared.senders.len()).for_each(|sender| self.shared.wake_sender(sender));
        }
        totals
    }

    fn totals(&self) -> Totals {
        let mut totals = Totals::default();
        self.counters
            .iter()
            .for_each(|counters| totals.add(counters));
        totals
    }

    fn snapshot(&mut self) -> Snapshot {
        let server = self.server.as_mut().and_then(ServerProcesses::usage);
        self.memory[1] = self.memory[1].max(server.map_or(0, |usage| usage.memory));
        Snapshot {
            at: Instant::now(),
            totals: self.totals(),
            server,
            own: own_usage(),
        }
    }

    /// Ends all clients and adds up what they have found.
    fn report(mut self, measured: &Measured, drained: bool) -> Result<Report, LoadError> {
        let totals = self.totals();
        let (recorder, checkers) = self.end_clients()?;
        let (shared, plan) = (&self.shared, &self.shared.plan);
        let refusals = std::mem::take(&mut *lock(&shared.refusals));
        Ok(report::Facts {
            plan,
            totals,
            window: measured.to.totals.since(&measured.from.totals),
            took: measured.to.at.duration_since(measured.from.at),
            ramp: Duration::from_micros(shared.last_joined.load(Ordering::Relaxed)),
            usage: [
                usage_of(measured.from.server, measured.to.server),
                usage_of(Some(measured.from.own), Some(measured.to.own)),
            ],
            pid: self.server.as_ref().and_then(ServerProcesses::pid),
            memory: self.memory,
            storms: &measured.storms,
            recorder: &recorder,
            lost: judge(shared, &checkers),
            drained,
            stopped: self.stop.is_stopped(),
            refusals: refusals.into_iter().collect(),
        }
        .report())
    }

    /// Ends all clients; returns what they recorded, and what each received.
    fn end_clients(&mut self) -> Result<(Recorder, Vec<(usize, Checker)>), LoadError> {
        drop(std::mem::take(&mut self.stops));
        let (mut recorder, mut checkers) = (Recorder::new(), Vec::new());
        for shard in self.shards.drain(..) {
            let found = shard
                .join()
                .unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            let found = found.map_err(LoadError::Thread)?;
            recorder.add(&found.recorder);
            checkers.extend(found.checkers);
        }
        Ok((recorder, checkers))
    }
}

/// What is lost.
fn judge(shared: &Shared, checkers: &[(usize, Checker)]) -> Lost {
    let plan = &shared.plan;
    let sent = shared.senders.iter().map(|slot| Sent {
        messages: slot.sent.load(Ordering::Acquire),
        in_doubt: Vec::from_iter(BTreeSet::from_iter(lock(&slot.in_doubt).clone())),
    });
    let deaf_to = |client| {
        let is_deaf = plan.is_member(client) && !plan.echo();
        plan.sender_of(client).filter(|_| is_deaf)
    };
    let rooms = Rooms {
        rooms: plan.rooms,
        room_of: &|client| plan.room_of(client),
        deaf_to: &deaf_to,
    };
    verdict::judge(&sent.collect::<Vec<_>>(), checkers, &rooms)
}

/// CPU time between two looks, and memory at the second one.
fn usage_of(from: Option<Usage>, to: Option<Usage>) -> Option<Usage> {
    let (from, to) = (from?, to?);
    Some(Usage {
        cpu: to.cpu.saturating_sub(from.cpu),
        memory: to.memory,
    })
}
