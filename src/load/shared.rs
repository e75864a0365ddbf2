//! What all threads of a load see.

use std::{
    collections::BTreeMap,
    net::IpAddr,
    sync::{
        Mutex,
        atomic::{AtomicU8, AtomicU32, AtomicU64, Ordering},
    },
    task::Waker,
    time::Instant,
};

use rand::RngExt;

use super::{marker, plan::Plan, refusals::Refusal};
use crate::sync::lock;

/// The load that all threads work on.
pub(super) struct Shared {
    pub(super) plan: Plan,
    /// Six letters and digits that no other run has.
    pub(super) run: String,
    pub(super) tag: [u8; 8],
    pub(super) sources: Vec<IpAddr>,
    /// Times are microseconds since then.
    base: Instant,
    phase: AtomicU8,
    /// When sending began.
    sending_since: AtomicU64,
    /// From when to when messages that are due are measured.
    measured: [AtomicU64; 2],
    clients: Box<[ClientSlot]>,
    pub(super) senders: Box<[SenderSlot]>,
    /// Members of each room that are there from the start.
    members: Box<[AtomicU32]>,
    /// When the last client joined for the first time.
    pub(super) last_joined: AtomicU64,
    /// The rate that the server has said it allows a connection; 0: none.
    pub(super) allowed_rate: AtomicU32,
    pub(super) refusals: Mutex<BTreeMap<Refusal, u64>>,
}

/// How far a load is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Phase {
    /// Clients connect and join; nobody sends.
    Connecting,
    /// Senders send.
    Sending,
    /// Nobody sends anything new; what is on its way arrives.
    Draining,
}

/// What the conductor wants of a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Command {
    /// Drop the connection, and come back after a while as after any loss.
    Cut,
    /// Drop the connection, and come back at once.
    Storm,
}

/// A client, as other threads see it.
#[derive(Default)]
struct ClientSlot {
    command: AtomicU8,
    /// Stays for as long as the connection: an `AtomicWaker` would have to be registered again behind every wake.
    waker: Mutex<Option<Waker>>,
}

/// A sender, as other threads see it.
pub(super) struct SenderSlot {
    /// Messages that are due by now, where a rate is kept.
    pub(super) due: AtomicU32,
    /// Messages that were given a number.
    pub(super) sent: AtomicU32,
    /// By number modulo the window: members that have not received the message yet.
    pending: Box<[AtomicU32]>,
    /// Numbers that may have got lost with a connection before anybody promised anything.
    pub(super) in_doubt: Mutex<Vec<u32>>,
}

/// Where a run is not unique: enough for as many as anybody makes.
const RUN_CHARS: &[u8] = b"0123456789abcdefghijklmnopqrstuvwxyz";

impl Shared {
    pub(super) fn new(plan: Plan) -> Self {
        let mut random = rand::rng();
        let run: String = (0..6)
            .map(|_| char::from(RUN_CHARS[random.random_range(0..RUN_CHARS.len())]))
            .collect();
        let window = plan.window_until_delivered().unwrap_or(0);
        let sender = || SenderSlot {
            due: AtomicU32::new(0),
            sent: AtomicU32::new(0),
            pending: (0..window).map(|_| AtomicU32::new(0)).collect(),
            in_doubt: Mutex::default(),
        };
        Self {
            tag: marker::tag(&run),
            run,
            sources: plan.sources(),
            base: Instant::now(),
            phase: AtomicU8::new(Phase::Connecting as u8),
            sending_since: AtomicU64::new(0),
            measured: [AtomicU64::new(u64::MAX), AtomicU64::new(u64::MAX)],
            clients: (0..plan.clients()).map(|_| ClientSlot::default()).collect(),
            senders: (0..plan.senders).map(|_| sender()).collect(),
            members: (0..plan.rooms).map(|_| AtomicU32::new(0)).collect(),
            last_joined: AtomicU64::new(0),
            allowed_rate: AtomicU32::new(0),
            refusals: Mutex::default(),
            plan,
        }
    }

    /// Microseconds since the load began.
    pub(super) fn now(&self) -> u64 {
        self.at(Instant::now())
    }

    pub(super) fn at(&self, time: Instant) -> u64 {
        time.saturating_duration_since(self.base).as_micros() as u64
    }

    pub(super) fn phase(&self) -> Phase {
        match self.phase.load(Ordering::Relaxed) {
            0 => Phase::Connecting,
            1 => Phase::Sending,
            _ => Phase::Draining,
        }
    }

    /// Begins a phase, and wakes the senders for it.
    pub(super) fn begin(&self, phase: Phase) {
        if phase == Phase::Sending {
            self.sending_since.store(self.now(), Ordering::SeqCst);
        }
        self.phase.store(phase as u8, Ordering::SeqCst);
        for sender in 0..self.senders.len() {
            self.wake_sender(sender);
        }
    }

    /// When the first message was due.
    pub(super) fn sending_since(&self) -> u64 {
        self.sending_since.load(Ordering::Relaxed)
    }

    /// Begins to measure.
    pub(super) fn measure_from(&self, time: u64) {
        self.measured[0].store(time, Ordering::Relaxed);
    }

    /// Ends measuring.
    pub(super) fn measure_until(&self, time: u64) {
        self.measured[1].store(time, Ordering::Relaxed);
    }

    /// Whether a message that was due then is measured.
    pub(super) fn is_measured(&self, due: u64) -> bool {
        self.measured[0].load(Ordering::Relaxed) <= due
            && due < self.measured[1].load(Ordering::Relaxed)
    }

    /// Remembers whom to wake for a client.
    pub(super) fn register(&self, client: usize, waker: &Waker) {
        *lock(&self.clients[client].waker) = Some(waker.clone());
    }

    pub(super) fn command(&self, client: usize, command: Command) {
        let slot = &self.clients[client];
        slot.command.store(command as u8 + 1, Ordering::Release);
        slot.wake();
    }

    /// Takes what the conductor wants of a client.
    pub(super) fn take_command(&self, client: usize) -> Option<Command> {
        let slot = &self.clients[client];
        if slot.command.load(Ordering::Acquire) == 0 {
            return None;
        }
        match slot.command.swap(0, Ordering::AcqRel) {
            0 => None,
            1 => Some(Command::Cut),
            _ => Some(Command::Storm),
        }
    }

    pub(super) fn wake_sender(&self, sender: usize) {
        self.clients[self.plan.client_of(sender)].wake();
    }

    /// A member of a room has joined before the first message.
    pub(super) fn add_member(&self, room: usize) {
        self.members[room].fetch_add(1, Ordering::Relaxed);
    }

    /// Members of a sender's room that are to receive its messages.
    pub(super) fn receivers_of(&self, sender: usize) -> u32 {
        let client = self.plan.client_of(sender);
        let members = self.members[self.plan.room_of(client)].load(Ordering::Relaxed);
        match self.plan.is_member(client) && !self.plan.echo() {
            true => members.saturating_sub(1),
            false => members,
        }
    }

    /// Notes a refusal.
    pub(super) fn refused(&self, refusal: Refusal) {
        let mut refusals = lock(&self.refusals);
        // Refusals that differ in every text would fill the memory.
        if refusals.len() < 100 || refusals.contains_key(&refusal) {
            *refusals.entry(refusal).or_default() += 1;
        }
    }
}

impl ClientSlot {
    fn wake(&self) {
        if let Some(waker) = &*lock(&self.waker) {
            waker.wake_by_ref();
        }
    }
}

impl SenderSlot {
    /// Begins to count down the members that receive a message.
    pub(super) fn expect(&self, number: u32, members: u32) {
        if let Some(pending) = self.slot(number) {
            pending.store(members, Ordering::Release);
        }
    }

    /// One more has received a message; true if it was the last one, and the sender waits for that.
    pub(super) fn received(&self, number: u32) -> bool {
        self.slot(number).is_some_and(|pending| {
            // A message that was given up may still arrive: its place is another's by now, or free.
            pending.load(Ordering::Acquire) > 0 && pending.fetch_sub(1, Ordering::AcqRel) == 1
        })
    }

    /// Whether all members have received a message.
    pub(super) fn is_delivered(&self, number: u32) -> bool {
        self.slot(number)
            .is_none_or(|pending| pending.load(Ordering::Acquire) == 0)
    }

    fn slot(&self, number: u32) -> Option<&AtomicU32> {
        let window = self.pending.len();
        (window > 0).then(|| &self.pending[number as usize % window])
    }
}
