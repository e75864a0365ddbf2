//! Random interleavings of pushes, writes, polls and upgrades: packets keep their order, and events get the right offset.

use proptest::prelude::*;

use super::*;
use crate::{
    model::{ConnectionId, Offset, Pid},
    transport::wire::{ConnectReply, EngineProtocol},
};

#[derive(Clone, Debug)]
enum Step {
    Push(usize),
    EngineFrame(usize),
    Binary(usize),
    /// An event of socketioxide's that ends in a string.
    Event,
    /// An event of the hub's that ends in a string.
    Broadcast,
    Barrier,
    Write(usize),
    Take(usize),
    Flush,
    FlushAll,
    Poll(usize),
    Upgrade,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        6 => (0usize..300).prop_map(Step::Push),
        3 => (0usize..200).prop_map(Step::EngineFrame),
        2 => (1usize..4).prop_map(Step::Binary),
        3 => Just(Step::Event),
        3 => Just(Step::Broadcast),
        1 => Just(Step::Barrier),
        6 => (1usize..400).prop_map(Step::Write),
        6 => (1usize..400).prop_map(Step::Take),
        2 => Just(Step::Flush),
        4 => Just(Step::FlushAll),
        2 => (1usize..400).prop_map(Step::Poll),
        1 => Just(Step::Upgrade),
    ];
    prop::collection::vec(step, 1..120)
}

/// A session, with socketioxide's part played by the test.
struct ScriptedSession {
    outbox: Arc<Outbox>,
    queue: Arc<WriteQueue>,
    client: Client,
    polls: bool,
    /// socketioxide's channel: packets and barriers that it has not written yet.
    channel: VecDeque<Vec<u8>>,
    /// Bytes that it is writing to the WebSocket.
    stream: VecDeque<u8>,
    polled: Vec<String>,
    engine_packets: usize,
    pushed: usize,
    /// For each hub packet, how many of socketioxide's must come before it.
    required: Vec<usize>,
    /// How many came before the last barrier in flight.
    before_barrier: usize,
}

impl ScriptedSession {
    fn new(polls: bool) -> Self {
        let (queue, client) = (Arc::default(), Client::default());
        let outbox = outbox(1 << 30, &queue);
        if !polls {
            outbox.attach_websocket(client.writer());
        }
        let mut session = Self {
            outbox,
            queue,
            client,
            polls,
            channel: VecDeque::new(),
            stream: VecDeque::new(),
            polled: Vec::new(),
            engine_packets: 0,
            pushed: 0,
            required: Vec::new(),
            before_barrier: 0,
        };
        let reply = ConnectReply {
            connection: ConnectionId::generate(),
            pid: Some(Pid::generate()),
            delivered: Offset(0),
        };
        let mut state = session.outbox.lock();
        let reply = state.delivered.connected("40{\"sid\":\"x\"}", "/", &reply);
        assert!(reply.is_some());
        drop(state);
        session.queue_engine_bytes(3);
        session.add_barrier();
        session
    }

    fn queue_engine_bytes(&mut self, size: usize) {
        let payload = format!("n{} {}", self.engine_packets, "y".repeat(size));
        self.engine_packets += 1;
        self.channel.push_back(text(&payload));
    }

    /// The outbox has no owner here: the test sends its barriers.
    fn add_barrier(&mut self) {
        self.outbox.lock().gate.add_barrier();
        self.channel.push_back(BARRIER_EVENT.to_vec());
        self.before_barrier = self.engine_packets;
    }

    fn step(&mut self, step: &Step) {
        match *step {
            Step::Push(size) => {
                let offset = Offset(self.pushed as u64 + 1);
                let packet = numbered(self.pushed, size).with_offset(Some(offset));
                self.outbox.push(packet, &DeliveryPolicy::Always);
                self.required.push(self.before_barrier);
                self.pushed += 1;
            }
            Step::EngineFrame(size) => self.queue_engine_bytes(size),
            Step::Binary(_) if self.polls => self.queue_engine_bytes(1),
            Step::Binary(attachments) => {
                let mut packets = text(&format!("45{attachments}-[\"e\",\"s\"]"));
                for nth in 0..attachments {
                    packets.extend(frame(0x82, &format!("b{nth}")));
                }
                self.channel.push_back(packets);
            }
            Step::Broadcast => {
                let packet = Frame::text(b"42[\"e\"]").ending_in_string(true);
                self.outbox.push(packet, &DeliveryPolicy::Always);
            }
            Step::Event => self.channel.push_back(text("42[\"e\"]")),
            Step::Barrier => self.add_barrier(),
            Step::Write(most) => self.write(most),
            Step::Take(bytes) => self.client.takes(bytes),
            Step::Flush => self.outbox.flush(),
            Step::FlushAll => drop(self.queue.flush_all()),
            Step::Poll(budget) => self.poll(budget),
            Step::Upgrade => self.switch_to_websocket(),
        }
        self.send_pending_barrier();
        check(&self.outbox);
    }

    fn send_pending_barrier(&mut self) {
        let mut state = self.outbox.lock();
        if !state.held.is_empty() && state.gate.hold_packet() {
            self.channel.push_back(BARRIER_EVENT.to_vec());
            self.before_barrier = self.engine_packets;
        }
    }

    fn write(&mut self, most: usize) {
        if self.polls {
            return;
        }
        self.stream.extend(self.channel.drain(..).flatten());
        let written: Vec<u8> = self.stream.drain(..most.min(self.stream.len())).collect();
        self.outbox.queue_engine_bytes(&written).unwrap();
    }

    fn poll(&mut self, budget: usize) {
        if !self.polls {
            return;
        }
        for packet in std::mem::take(&mut self.channel) {
            if packet == BARRIER_EVENT {
                let taken = self.outbox.take_at_barrier(budget);
                // An offset that is appended does not count.
                let bytes: usize = taken
                    .iter()
                    .filter(|frame| !frame.ends_in_string())
                    .map(Frame::len)
                    .sum();
                assert!(taken.len() <= 1 || bytes <= budget, "within the budget");
                let packets = taken
                    .iter()
                    .flat_map(|frame| frame.packets(EngineProtocol::V4));
                self.polled.extend(packets);
            } else {
                for text in texts(&packet) {
                    let rewritten = self.outbox.rewrite_packet(&text);
                    self.polled.push(rewritten.unwrap_or(text));
                }
            }
        }
    }

    fn switch_to_websocket(&mut self) {
        if std::mem::take(&mut self.polls) {
            self.outbox.attach_upgraded(self.client.writer()).unwrap();
            // Without an owner, the upgrade's own barrier could not be sent.
            self.add_barrier();
            self.outbox.queue_engine_bytes(&text("3probe")).unwrap();
        }
    }

    /// Runs until everything is delivered.
    fn settle(mut self) -> Vec<String> {
        self.client.takes(1 << 30);
        while !self.channel.is_empty() || !self.stream.is_empty() {
            self.step(&Step::Write(1 << 20));
            self.step(&Step::Poll(1 << 20));
        }
        while self.queue.flush_all() {}
        check(&self.outbox);
        let mut received = self.polled;
        received.extend(self.client.texts());
        assert_eq!(
            numbers(&received, 'n'),
            (0..self.engine_packets).collect::<Vec<_>>()
        );
        assert_eq!(
            numbers(&received, 'o'),
            (0..self.pushed).collect::<Vec<_>>()
        );
        let (mut engine_packets, mut given) = (0, 0);
        for packet in &received {
            given += usize::from(packet.starts_with('o'));
            if packet.starts_with("42[") || packet.starts_with("45") {
                assert!(packet.ends_with(&format!(",\"{given}~\"]")), "{packet}");
            }
            engine_packets += usize::from(packet.starts_with('n'));
            if packet.starts_with('o') {
                let number = numbers(std::slice::from_ref(packet), 'o')[0];
                assert!(
                    engine_packets >= self.required[number],
                    "{number} was too early"
                );
            }
        }
        received
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]
    #[test]
    fn every_packet_arrives_once_and_in_order(polls: bool, steps in steps()) {
        let mut session = ScriptedSession::new(polls);
        let binary = steps.iter().filter(|step| matches!(step, Step::Binary(_))).count();
        steps.iter().for_each(|step| session.step(step));
        let received = session.settle();
        let mut found = 0;
        for (at, packet) in received.iter().enumerate() {
            if let Some(packet) = packet.strip_prefix("45") {
                let attachments: usize = packet[..1].parse().unwrap();
                let expected: Vec<String> = (0..attachments).map(|nth| format!("b{nth}")).collect();
                prop_assert_eq!(&received[at + 1..][..attachments], expected);
                found += 1;
            }
        }
        prop_assert!(polls || found == binary);
    }
}
