//! What packets say: one client's side of the conversation, whatever the transport.
//!
//! Only what is rare is parsed: answers to CONNECT and to joins. Of a message no more is looked at than its marker, the room's
//! number and the offset, each where the server writes it.

use std::{cell::RefCell, io::Write as _, rc::Rc};

use super::{
    checker::{Checker, Seen},
    link::{Door, Outbox, Packet},
    marker::{self, Marker},
    plan::{Auth, Protocol, Transport},
    refusals::Refusal,
    sender::{Next, Sender},
    shard::Shard,
    shared::Phase,
};

mod blocks;
mod envelope;
mod message;
mod socketio;

use message::MessageText;

/// A client's conversation with the server, over all its connections.
pub(super) struct Talk {
    pub(super) shard: Rc<Shard>,
    client: usize,
    room: usize,
    transport: Transport,
    stage: Stage,
    resume: Resume,
    sending: Option<Box<Sending>>,
    /// When the connection was begun, in µs of the load; and when something was read last.
    began: u64,
    pub(super) now: u64,
    /// Why the conversation is over.
    over: bool,
}

/// How far a connection is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// The server has not greeted yet.
    Opening,
    /// The room is asked for.
    Joining,
    Joined,
}

/// What a client needs to come back without missing anything.
#[derive(Default)]
struct Resume {
    /// It has been joined before.
    returns: bool,
    /// The secret of its session, and the offset of the last event: Socket.IO's connection state recovery.
    pid: String,
    /// On an event stream: the last event's id.
    offset: Vec<u8>,
    /// The life of the room's log, from the answer to a join.
    epoch: String,
}

struct Sending {
    sender: Rc<RefCell<Sender>>,
    text: MessageText,
}

impl Talk {
    pub(super) fn new(shard: Rc<Shard>, client: usize) -> Self {
        let plan = &shard.shared.plan;
        let room = shard.room_name(client);
        let sending = plan.sender_of(client).map(|number| {
            let text = MessageText::new(&shard.shared, plan.transport_of(client), number, &room);
            let sender = shard.add_sender(number);
            Box::new(Sending { sender, text })
        });
        Self {
            client,
            room: plan.room_of(client),
            transport: plan.transport_of(client),
            stage: Stage::Opening,
            resume: Resume::default(),
            sending,
            began: 0,
            now: 0,
            over: false,
            shard,
        }
    }

    /// Begins a new connection.
    pub(super) fn begin(&mut self) {
        self.began = self.shard.shared.now();
        self.stage = Stage::Opening;
        self.over = false;
    }

    /// Where the next connection is made, and as whom.
    pub(super) fn door(&self) -> Door {
        let plan = &self.shard.shared.plan;
        let prefix = &plan.address_of(self.client).prefix;
        let user = self
            .user()
            .map_or_else(String::new, |user| format!("?user={user}"));
        let path = match self.transport {
            Transport::SocketIo => format!("{prefix}{}?EIO=4&transport=websocket", plan.path),
            Transport::Polling => format!("{prefix}{}?EIO=4&transport=polling", plan.path),
            Transport::WebSocket => format!("{prefix}/ws{user}"),
            Transport::EventStream => {
                let room = self.shard.room_name(self.client);
                format!("{prefix}/events/{room}{user}")
            }
        };
        // Socket.IO's token goes with CONNECT.
        let in_request = matches!(
            self.transport,
            Transport::WebSocket | Transport::EventStream
        );
        let token = self.token().filter(|_| in_request);
        let cursor = String::from_utf8_lossy(&self.resume.offset);
        Door {
            client: self.client,
            path,
            token: token.map(str::to_owned),
            cursor: (!cursor.is_empty()).then(|| cursor.into_owned()),
        }
    }

    fn token(&self) -> Option<&str> {
        match &self.shard.shared.plan.auth {
            Auth::Tokens(tokens) => Some(&tokens[self.client % tokens.len()]),
            Auth::Named(_) => None,
        }
    }

    fn user(&self) -> Option<String> {
        match &self.shard.shared.plan.auth {
            Auth::Named(prefix) => Some(format!("{prefix}{}", self.client + 1)),
            Auth::Tokens(_) => None,
        }
    }

    pub(super) fn is_joined(&self) -> bool {
        self.stage == Stage::Joined
    }

    /// Whether the server has ended the conversation.
    pub(super) fn is_over(&self) -> bool {
        self.over
    }

    /// Reads a packet, and queues what answers it.
    pub(super) fn receive(&mut self, packet: &Packet<'_>, out: &mut Outbox) {
        match packet {
            Packet::Text(text) => match self.transport {
                Transport::SocketIo | Transport::Polling => socketio::receive(self, text, out),
                Transport::WebSocket => envelope::receive(self, text, out),
                Transport::EventStream => blocks::receive(self, text),
            },
            Packet::Refused(status, body) => {
                self.refuse("connect", &status.to_string(), body);
                self.over = true;
            }
            Packet::Closing(code, why) => {
                // 1000, 1001 and 1005 are ends in order.
                if *code > 1005 {
                    self.refuse("connection", &code.to_string(), why);
                }
                self.over = true;
            }
        }
    }

    fn refuse(&self, what: &'static str, code: &str, body: &[u8]) {
        self.shard.shared.refused(Refusal::read(what, code, body));
    }

    /// Queues all messages that are due.
    pub(super) fn produce(&mut self, out: &mut Outbox) {
        let Some(sending) = &self.sending else {
            return;
        };
        let shard = &self.shard;
        let mut sender = sending.sender.borrow_mut();
        while let Some(Next { marker, again }) = sender.next(&shard.shared, self.now) {
            match again {
                true => shard.counters.sent_again.inc(),
                false => shard.counters.sent.inc(),
            }
            let mut text = shard.scratch.borrow_mut();
            text.clear();
            sending.text.write(&shard.shared, &marker, &mut text);
            out.push(&text);
        }
    }

    /// Whether this client sends: others need no memory for it.
    pub(super) fn sends(&self) -> bool {
        self.sending.is_some()
    }

    /// The connection is gone.
    pub(super) fn disconnected(&mut self) {
        if self.stage == Stage::Joined {
            self.shard.counters.went.inc();
        }
        self.stage = Stage::Opening;
        if let Some(sending) = &self.sending {
            sending.sender.borrow_mut().disconnected(&self.shard.shared);
        }
    }

    /// The client is where it is to be. `recovered`: it has come back, and missed nothing.
    fn joined(&mut self, recovered: bool) {
        let shard = self.shard.clone();
        let took = self.now.saturating_sub(self.began);
        self.stage = Stage::Joined;
        shard.counters.came.inc();
        if std::mem::replace(&mut self.resume.returns, true) {
            match recovered {
                true => shard.counters.recovered.inc(),
                false => shard.counters.started_anew.inc(),
            }
            shard.recorder.borrow_mut().came_back(took);
            return;
        }
        let shared = &shard.shared;
        if shared.plan.is_member(self.client) {
            let is_late = shared.phase() != Phase::Connecting;
            if !is_late {
                shared.add_member(self.room);
            }
            let checker = if is_late {
                Checker::late()
            } else {
                Checker::default()
            };
            shard.add_checker(self.client, checker);
        }
        shared
            .last_joined
            .fetch_max(self.now, std::sync::atomic::Ordering::Relaxed);
        shard.recorder.borrow_mut().joined(took);
        shard.counters.joined.inc();
    }

    /// Notes the rate that the greeting says the server allows a connection.
    fn note_limits(&self, greeting: &[u8]) {
        const KEY: &[u8] = b"\"messages_per_second\":";
        let at = greeting.windows(KEY.len()).position(|text| text == KEY);
        if let Some(rate) = at.and_then(|at| marker::number(&greeting[at + KEY.len()..])) {
            let allowed = &self.shard.shared.allowed_rate;
            allowed.store(rate as u32, std::sync::atomic::Ordering::Relaxed);
        }
    }

    /// A message of ours has an ack.
    fn acked(&mut self, number: u32, refusal: Option<&[u8]>) {
        let (shard, Some(sending)) = (&self.shard, &self.sending) else {
            return;
        };
        let mut sender = sending.sender.borrow_mut();
        if let Some(body) = refusal {
            sender.refused(&shard.shared, number);
            shard.counters.refused.inc();
            return self.refuse("message", "error", body);
        }
        if let Some(due) = sender.acked(&shard.shared, number) {
            shard.counters.acked.inc();
            if shard.shared.is_measured(due) {
                let took = self.now.saturating_sub(due);
                shard.recorder.borrow_mut().acked(took);
            }
        }
    }

    /// Counts the message in an event.
    fn deliver(&mut self, packet: &[u8]) -> bool {
        let Some((at, marker)) = self.shard.finder.find(packet, 0) else {
            self.shard.counters.other_packets.inc();
            return false;
        };
        // An envelope's number is behind its data.
        let (from, to) = match self.transport {
            Transport::WebSocket => (at, packet.len()),
            _ => (0, at),
        };
        self.count(&marker, marker::seq_before(packet, from, to));
        true
    }

    /// Counts all messages in a list of them, where each one's number is before its data.
    fn deliver_list(&mut self, list: &[u8]) {
        let mut from = 0;
        while let Some((at, marker)) = self.shard.finder.find(list, from) {
            self.count(&marker, marker::seq_before(list, from, at));
            from = at + marker::LEN;
        }
    }

    fn count(&mut self, marker: &Marker, seq: Option<u64>) {
        let shard = &self.shard;
        let (shared, counters) = (&shard.shared, &shard.counters);
        let plan = &shared.plan;
        let (sender, room) = (marker.sender as usize, self.room);
        let mut checkers = shard.checkers.borrow_mut();
        let checker = checkers[shard.local(self.client)].as_mut();
        let Some(checker) =
            checker.filter(|_| sender < plan.senders && sender % plan.rooms == room)
        else {
            counters.other_packets.inc();
            return;
        };
        let seen = checker.see(plan.senders_in(room), sender / plan.rooms, marker.number);
        let is_numbered = matches!(plan.protocol, Protocol::Switchboard { .. });
        match seen {
            Seen::Repeat => return counters.repeats.inc(),
            Seen::Overtaken => counters.disorder.inc(),
            Seen::New if is_numbered && !seq.is_some_and(|seq| checker.see_seq(seq)) => {
                counters.disorder.inc();
            }
            Seen::New => {}
        }
        counters.deliveries.inc();
        if !checker.is_late() {
            counters.expected_deliveries.inc();
            if shared.senders[sender].received(marker.number) {
                shared.wake_sender(sender);
            }
        }
        if shared.is_measured(marker.due) {
            let took = self.now.saturating_sub(marker.due);
            shard.recorder.borrow_mut().delivered(took);
        }
    }

    /// The position behind the last message of the room, for a client that starts anew.
    fn since(&self) -> Option<String> {
        let checkers = self.shard.checkers.borrow();
        let checker = checkers[self.shard.local(self.client)].as_ref()?;
        let known = self.resume.returns && !self.resume.epoch.is_empty();
        known.then(|| format!("{}:{}", self.resume.epoch, checker.seq()))
    }

    /// Reads the answer to a join, `{ epoch, recovered, messages, ... }`, which may hold what was missed.
    fn read_join(&mut self, answer: &[u8]) {
        let text = String::from_utf8_lossy(answer);
        let Some((_, rest)) = text.split_once("\"epoch\":\"") else {
            return;
        };
        let epoch = rest.split('"').next().unwrap_or_default();
        if epoch != self.resume.epoch {
            if self.resume.returns {
                self.forget_seq();
            }
            epoch.clone_into(&mut self.resume.epoch);
        }
        if self.resume.returns {
            self.deliver_list(answer);
        }
    }

    /// The server numbers the room anew.
    fn forget_seq(&self) {
        let mut checkers = self.shard.checkers.borrow_mut();
        if let Some(checker) = &mut checkers[self.shard.local(self.client)] {
            checker.forget_seq();
        }
    }

    /// Keeps the offset of the last event, in the memory of the one before.
    fn keep_offset(&mut self, offset: &[u8]) {
        self.resume.offset.clear();
        self.resume.offset.extend_from_slice(offset);
    }
}

/// Writes a decimal number.
fn write_number(out: &mut Vec<u8>, number: u32) {
    // Writing into memory does not fail.
    let _ = write!(out, "{number}");
}
