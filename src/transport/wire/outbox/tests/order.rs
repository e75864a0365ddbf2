//! The order of packets, and the offsets behind events, whatever is pushed, written, taken, polled and upgraded in between.

use proptest::prelude::*;

use super::*;
use crate::{
    model::{ConnectionId, Offset, Pid},
    transport::wire::ConnectReply,
};

#[derive(Clone, Debug)]
enum Step {
    Push(usize),
    Native(usize),
    Binary(usize),
    /// An event that ends in a string.
    Event,
    Fence,
    Write(usize),
    Take(usize),
    Flush,
    Walk,
    Poll(usize),
    Upgrade,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        6 => (0usize..300).prop_map(Step::Push),
        3 => (0usize..200).prop_map(Step::Native),
        2 => (1usize..4).prop_map(Step::Binary),
        3 => Just(Step::Event),
        1 => Just(Step::Fence),
        6 => (1usize..400).prop_map(Step::Write),
        6 => (1usize..400).prop_map(Step::Take),
        2 => Just(Step::Flush),
        4 => Just(Step::Walk),
        2 => (1usize..400).prop_map(Step::Poll),
        1 => Just(Step::Upgrade),
    ];
    prop::collection::vec(step, 1..120)
}

/// A session together with what socketioxide would do for it.
struct Session {
    outbox: Arc<Outbox>,
    shard: Arc<Shard>,
    client: Client,
    polls: bool,
    /// Packets that socketioxide has not passed on yet, marks among them.
    channel: VecDeque<Vec<u8>>,
    /// What it has begun to write to the WebSocket.
    stream: VecDeque<u8>,
    polled: Vec<String>,
    natives: usize,
    pushed: usize,
    /// For each packet of ours, how many of socketioxide's had to come before it.
    behind: Vec<usize>,
    /// How many came before the last mark that is under way.
    fenced: usize,
}

impl Session {
    fn new(polls: bool) -> Self {
        let (shard, client) = (Arc::default(), Client::default());
        let outbox = outbox(1 << 30, &shard);
        if !polls {
            outbox.attach(client.writer());
        }
        let mut session = Self {
            outbox,
            shard,
            client,
            polls,
            channel: VecDeque::new(),
            stream: VecDeque::new(),
            polled: Vec::new(),
            natives: 0,
            pushed: 0,
            behind: Vec::new(),
            fenced: 0,
        };
        let reply = ConnectReply {
            connection: ConnectionId::fresh(),
            pid: Some(Pid::fresh()),
            given: Offset(0),
        };
        let mut state = session.outbox.lock();
        let told = state.given.connected("40{\"sid\":\"x\"}", "/", &reply);
        assert!(told.is_some());
        drop(state);
        session.native(3);
        session.fence();
        session
    }

    fn native(&mut self, size: usize) {
        let payload = format!("n{} {}", self.natives, "y".repeat(size));
        self.natives += 1;
        self.channel.push_back(text(&payload));
    }

    /// The outbox has no link here: marks are sent for it.
    fn fence(&mut self) {
        self.outbox.lock().lane.fence();
        self.channel.push_back(MARK.to_vec());
        self.fenced = self.natives;
    }

    fn step(&mut self, step: &Step) {
        match *step {
            Step::Push(size) => {
                let offset = Offset(self.pushed as u64 + 1);
                let packet = numbered(self.pushed, size).at(Some(offset));
                self.outbox.push(packet, &Keep::Always);
                self.behind.push(self.fenced);
                self.pushed += 1;
            }
            Step::Native(size) => self.native(size),
            Step::Binary(_) if self.polls => self.native(1),
            Step::Binary(attachments) => {
                let mut packets = text(&format!("45{attachments}-[\"e\",\"s\"]"));
                for nth in 0..attachments {
                    packets.extend(frame(0x82, &format!("b{nth}")));
                }
                self.channel.push_back(packets);
            }
            Step::Event => self.channel.push_back(text("42[\"e\"]")),
            Step::Fence => self.fence(),
            Step::Write(most) => self.write(most),
            Step::Take(bytes) => self.client.takes(bytes),
            Step::Flush => self.outbox.flush(),
            Step::Walk => drop(self.shard.walk()),
            Step::Poll(budget) => self.poll(budget),
            Step::Upgrade => self.upgrade(),
        }
        self.mark();
        check(&self.outbox);
    }

    fn mark(&mut self) {
        let mut state = self.outbox.lock();
        if !state.held.is_empty() && state.lane.waits() {
            self.channel.push_back(MARK.to_vec());
            self.fenced = self.natives;
        }
    }

    fn write(&mut self, most: usize) {
        if self.polls {
            return;
        }
        self.stream.extend(self.channel.drain(..).flatten());
        let written: Vec<u8> = self.stream.drain(..most.min(self.stream.len())).collect();
        self.outbox.native(&written).unwrap();
    }

    fn poll(&mut self, budget: usize) {
        if !self.polls {
            return;
        }
        for packet in std::mem::take(&mut self.channel) {
            if packet == MARK {
                let taken = self.outbox.spliced(budget);
                let bytes: usize = taken.iter().map(Frame::len).sum();
                assert!(taken.len() <= 1 || bytes <= budget, "within the budget");
                self.polled
                    .extend(taken.iter().map(|frame| frame.packet().to_owned()));
            } else {
                for text in texts(&packet) {
                    let rewritten = self.outbox.rewritten(&text);
                    self.polled.push(rewritten.unwrap_or(text));
                }
            }
        }
    }

    fn upgrade(&mut self) {
        if std::mem::take(&mut self.polls) {
            self.outbox.upgrade(self.client.writer()).unwrap();
            // Without a link, the mark of the upgrade itself could not be sent.
            self.fence();
            self.outbox.native(&text("3probe")).unwrap();
        }
    }

    /// Everything that was begun comes to its end.
    fn settle(mut self) -> Vec<String> {
        self.client.takes(1 << 30);
        while !self.channel.is_empty() || !self.stream.is_empty() {
            self.step(&Step::Write(1 << 20));
            self.step(&Step::Poll(1 << 20));
        }
        while self.shard.walk() {}
        check(&self.outbox);
        let mut arrived = self.polled;
        arrived.extend(self.client.texts());
        assert_eq!(
            numbers(&arrived, 'n'),
            (0..self.natives).collect::<Vec<_>>()
        );
        assert_eq!(numbers(&arrived, 'o'), (0..self.pushed).collect::<Vec<_>>());
        let (mut natives, mut given) = (0, 0);
        for packet in &arrived {
            given += usize::from(packet.starts_with('o'));
            if packet.starts_with("42[") || packet.starts_with("45") {
                assert!(packet.ends_with(&format!(",\"{given}~\"]")), "{packet}");
            }
            natives += usize::from(packet.starts_with('n'));
            if packet.starts_with('o') {
                let number = numbers(std::slice::from_ref(packet), 'o')[0];
                assert!(natives >= self.behind[number], "{number} was too early");
            }
        }
        arrived
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]
    #[test]
    fn every_packet_arrives_once_whole_and_in_its_order(polls: bool, steps in steps()) {
        let mut session = Session::new(polls);
        let binary = steps.iter().filter(|step| matches!(step, Step::Binary(_))).count();
        steps.iter().for_each(|step| session.step(step));
        let arrived = session.settle();
        let mut found = 0;
        for (at, packet) in arrived.iter().enumerate() {
            if let Some(packet) = packet.strip_prefix("45") {
                let attachments: usize = packet[..1].parse().unwrap();
                let expected: Vec<String> = (0..attachments).map(|nth| format!("b{nth}")).collect();
                prop_assert_eq!(&arrived[at + 1..][..attachments], expected);
                found += 1;
            }
        }
        prop_assert!(polls || found == binary);
    }
}
