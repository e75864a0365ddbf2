//! One thread of the load: what its clients share.

use std::{cell::RefCell, io, rc::Rc, sync::Arc};

use tokio::sync::Semaphore;

use super::{
    checker::Checker,
    counters::Counters,
    marker::Finder,
    plan::{Protocol, Ramp},
    recorder::Recorder,
    refusals::Refusal,
    sender::Sender,
    shared::Shared,
    wire::reader::ReadBuffer,
};

/// What the clients of a thread share.
pub(super) struct Shard {
    pub(super) shared: Arc<Shared>,
    pub(super) counters: Arc<Counters>,
    pub(super) recorder: RefCell<Recorder>,
    /// Of each client of this thread that has joined.
    pub(super) checkers: RefCell<Vec<Option<Checker>>>,
    senders: RefCell<Vec<Rc<RefCell<Sender>>>>,
    pub(super) ramp: Semaphore,
    pub(super) buffer: ReadBuffer,
    pub(super) finder: Finder,
    /// Where a message is put together.
    pub(super) scratch: RefCell<Vec<u8>>,
    /// What events that carry messages begin with, such as `["message",`.
    pub(super) receive_prefix: Vec<u8>,
}

impl Shard {
    pub(super) fn new(shared: Arc<Shared>, counters: Arc<Counters>) -> Self {
        let plan = &shared.plan;
        let at_once = match plan.ramp {
            Ramp::AtOnce(clients) => clients.div_ceil(plan.threads),
            Ramp::PerSecond(_) => plan.clients(),
        };
        let receive = match &plan.protocol {
            Protocol::Switchboard { .. } => "message",
            Protocol::Plain(events) => &events.receive,
        };
        let mut checkers = Vec::new();
        checkers.resize_with(plan.clients().div_ceil(plan.threads), || None);
        Self {
            receive_prefix: format!("[{},", serde_json::Value::from(receive)).into_bytes(),
            counters,
            recorder: RefCell::new(Recorder::new()),
            checkers: RefCell::new(checkers),
            senders: RefCell::default(),
            ramp: Semaphore::new(at_once),
            buffer: ReadBuffer::new(),
            finder: Finder::new(shared.tag),
            scratch: RefCell::default(),
            shared,
        }
    }

    /// Where a client of this thread is among them.
    pub(super) fn local(&self, client: usize) -> usize {
        client / self.shared.plan.threads
    }

    /// The name of a client's room.
    pub(super) fn room_name(&self, client: usize) -> String {
        let (plan, run) = (&self.shared.plan, &self.shared.run);
        format!("{}-{run}-{}", plan.room_prefix, plan.room_of(client))
    }

    pub(super) fn add_sender(&self, number: usize) -> Rc<RefCell<Sender>> {
        let sender = Rc::new(RefCell::new(Sender::new(number)));
        self.senders.borrow_mut().push(sender.clone());
        sender
    }

    pub(super) fn add_checker(&self, client: usize, checker: Checker) {
        self.checkers.borrow_mut()[self.local(client)] = Some(checker);
    }

    /// An attempt to connect has failed; without an error, by taking too long.
    pub(super) fn failed(&self, error: Option<io::Error>) {
        self.counters.failed_connects.inc();
        let message = match error {
            // It has been noted in the server's words.
            Some(error) if error.kind() == io::ErrorKind::PermissionDenied => return,
            Some(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                "the server closed the connection before it was joined".to_owned()
            }
            Some(error) => error.to_string(),
            None => format!(
                "no answer within {} s",
                self.shared.plan.connect_timeout.as_secs_f64()
            ),
        };
        self.shared.refused(Refusal {
            what: "connect",
            code: "failed".to_owned(),
            message,
        });
    }

    /// Lets the senders say what of theirs is in doubt.
    pub(super) fn finish(&self) {
        for sender in &*self.senders.borrow() {
            sender.borrow_mut().finish(&self.shared);
        }
    }
}
