//! A subscriber under publishes, joins, leaves and a sink that falls behind: every message arrives once and in order.

use std::{collections::BTreeMap, time::Duration};

use proptest::prelude::*;
use serde_json::value::{RawValue, to_raw_value};

use super::*;
use crate::{
    hub::{
        connections::{CloseReason, Drained, PendingReply},
        event::Event,
    },
    model::{Ephemeral, EventName, Message, MessageId, Namespace, RoomKey, Seq, Timestamp},
};

const ROOMS: usize = 3;

/// Records the events that are pushed to it.
#[derive(Default)]
struct Sink {
    pushed: Mutex<Vec<(usize, u64)>>,
    behind: AtomicBool,
    dropped: AtomicU64,
}

impl EventSink for Sink {
    fn push(&self, event: &OutgoingEvent) {
        if let Event::Message(message) = event.event() {
            let room = message.room.room.as_str()[1..].parse().unwrap();
            lock(&self.pushed).push((room, message.offset.0));
        }
    }

    fn push_with_reply(&self, _: &OutgoingEvent, _: Duration) -> Option<PendingReply> {
        None
    }

    fn dropped(&self, events: u64) {
        self.dropped.fetch_add(events, Ordering::Relaxed);
    }

    fn is_behind(&self) -> bool {
        self.behind.load(Ordering::Relaxed)
    }

    fn drained(&self) -> Drained {
        Box::pin(std::future::ready(()))
    }

    fn close(&self, _: CloseReason) {}
}

#[derive(Clone, Copy, Debug)]
enum Step {
    /// A message is stored.
    Store(usize),
    /// The next stored message is delivered to the rooms.
    Deliver,
    /// A notice, which is not stored, is sent to a room.
    Notice(usize),
    BeginJoin(usize),
    ReadJoin,
    EndJoin,
    Leave(usize),
    Behind(bool),
    BeginCatchUp,
    EndCatchUp,
    /// The client reconnects; of what was pushed, this many messages were lost on the way.
    Reconnect(usize),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let room = 0..ROOMS;
    let step = prop_oneof![
        6 => room.clone().prop_map(Step::Store),
        6 => Just(Step::Deliver),
        1 => room.clone().prop_map(Step::Notice),
        2 => room.clone().prop_map(Step::BeginJoin),
        2 => Just(Step::ReadJoin),
        2 => Just(Step::EndJoin),
        1 => room.prop_map(Step::Leave),
        1 => any::<bool>().prop_map(Step::Behind),
        2 => Just(Step::BeginCatchUp),
        2 => Just(Step::EndCatchUp),
        1 => (0..4_usize).prop_map(Step::Reconnect),
    ];
    prop::collection::vec(step, 1..200)
}

/// A minimal log, its rooms and the connection around one subscriber.
struct World {
    data: Arc<RawValue>,
    log: Vec<usize>,
    delivered: usize,
    subscriber: Subscriber,
    sink: Arc<Sink>,
    /// The start offset of each room that it is in.
    start_offsets: BTreeMap<usize, u64>,
    /// The end of the history in the reply to its join, for each room that it is a member of.
    members: BTreeMap<usize, u64>,
    joining: Option<(usize, Option<u64>)>,
    catching_up: Option<(u64, u64)>,
}

impl World {
    fn new() -> Self {
        let sink = Arc::<Sink>::default();
        Self {
            // Four of these are more than a subscriber holds.
            data: to_raw_value(&"x".repeat(300 << 10)).unwrap().into(),
            log: Vec::new(),
            delivered: 0,
            subscriber: Subscriber::live(sink.clone(), Offset(0), Box::new(|| {})),
            sink,
            start_offsets: BTreeMap::new(),
            members: BTreeMap::new(),
            joining: None,
            catching_up: None,
        }
    }

    fn message(&self, offset: u64) -> Arc<OutgoingEvent> {
        let room = self.log[usize::try_from(offset).unwrap() - 1];
        OutgoingEvent::new(Event::Message(Arc::new(Message {
            room: RoomKey {
                namespace: Namespace::root(),
                room: name(room),
            },
            id: MessageId::parse("m").unwrap(),
            seq: Seq(offset),
            offset: Offset(offset),
            event: EventName::message(),
            from: None,
            data: self.data.clone(),
            ts: Timestamp(9),
            except: None,
        })))
    }

    fn head(&self) -> u64 {
        self.log.len() as u64
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Store(room) => self.log.push(room),
            Step::Deliver => self.deliver(),
            Step::Notice(room) if self.members.contains_key(&room) => {
                let notice = OutgoingEvent::notice("presence", &room);
                self.subscriber.push(&name(room), &notice);
            }
            // A join holds the membership lock: nothing catches up meanwhile.
            Step::BeginJoin(room) if self.idle() && !self.start_offsets.contains_key(&room) => {
                self.subscriber.hold_room(&name(room));
                self.members.insert(room, 0);
                self.joining = Some((room, None));
            }
            Step::ReadJoin => {
                let head = self.head();
                if let Some((room, read @ None)) = &mut self.joining {
                    *read = Some(head);
                    self.start_offsets.insert(*room, head);
                }
            }
            Step::EndJoin => {
                if let Some((room, Some(read))) = self.joining {
                    self.members.insert(room, read);
                    self.subscriber.release_room(&name(room), Offset(read));
                    self.joining = None;
                }
            }
            Step::Leave(room) if self.idle() && self.start_offsets.remove(&room).is_some() => {
                self.members.remove(&room);
                self.subscriber.remove_room(&name(room));
            }
            Step::Behind(behind) => self.sink.behind.store(behind, Ordering::Relaxed),
            Step::BeginCatchUp if self.idle() => {
                if let Some(pushed) = self.subscriber.begin_catch_up() {
                    self.catching_up = Some((pushed.0, self.head()));
                }
            }
            Step::EndCatchUp => self.end_catch_up(),
            Step::Reconnect(lost) if self.idle() => self.reconnect(lost),
            _ => {}
        }
    }

    fn idle(&self) -> bool {
        self.joining.is_none() && self.catching_up.is_none()
    }

    fn deliver(&mut self) {
        if self.delivered == self.log.len() {
            return;
        }
        let room = self.log[self.delivered];
        self.delivered += 1;
        let offset = self.delivered as u64;
        if self.members.get(&room).is_some_and(|after| offset > *after) {
            self.subscriber.push(&name(room), &self.message(offset));
        }
    }

    fn end_catch_up(&mut self) {
        let Some((pushed, until)) = self.catching_up.take() else {
            return;
        };
        for offset in pushed + 1..=until {
            let start = self
                .start_offsets
                .get(&self.log[usize::try_from(offset).unwrap() - 1]);
            if start.is_some_and(|start| offset > *start) {
                self.subscriber.push_replayed(&self.message(offset));
            }
        }
        self.subscriber.finish_catch_up(Offset(until));
    }

    fn reconnect(&mut self, lost: usize) {
        let mut pushed = lock(&self.sink.pushed);
        let rest = pushed.len().saturating_sub(lost);
        pushed.truncate(rest);
        let seen = pushed.last().map_or(0, |(_, offset)| *offset);
        drop(pushed);
        self.subscriber.close();
        self.subscriber = Subscriber::behind(self.sink.clone(), Offset(seen), Box::new(|| {}));
    }

    /// Completes everything that is in progress.
    fn settle(&mut self) {
        self.sink.behind.store(false, Ordering::Relaxed);
        for step in [Step::ReadJoin, Step::EndJoin, Step::EndCatchUp] {
            self.step(step);
        }
        while self.delivered < self.log.len() {
            self.deliver();
        }
        while let Some(pushed) = self.subscriber.begin_catch_up() {
            self.catching_up = Some((pushed.0, self.head()));
            self.end_catch_up();
        }
    }
}

fn name(room: usize) -> RoomName {
    RoomName::parse(&format!("r{room}")).unwrap()
}

proptest! {
    #[test]
    fn messages_arrive_in_order_of_offsets_without_gap_or_duplicate(steps in steps()) {
        let mut world = World::new();
        for step in steps {
            world.step(step);
            let pushed = lock(&world.sink.pushed);
            prop_assert!(pushed.is_sorted_by(|one, next| one.1 < next.1), "{pushed:?}");
        }
        world.settle();
        prop_assert!(lock(&world.subscriber.state).is_live());
        let pushed = lock(&world.sink.pushed);
        prop_assert!(pushed.is_sorted_by(|one, next| one.1 < next.1), "{pushed:?}");
        for (room, start) in &world.start_offsets {
            let of_room = |(at, of): (usize, &usize)| (of == room).then_some(at as u64 + 1);
            let stored: Vec<_> = world.log.iter().enumerate().filter_map(of_room).collect();
            let expected = stored.into_iter().filter(|offset| offset > start);
            let received = pushed.iter().filter(|(of, offset)| of == room && offset > start);
            prop_assert_eq!(
                expected.collect::<Vec<_>>(),
                received.map(|(_, offset)| *offset).collect::<Vec<_>>()
            );
        }
    }
}

#[test]
fn a_join_without_messages_delays_no_other_room() {
    let mut world = World::new();
    for step in [Step::BeginJoin(0), Step::ReadJoin, Step::EndJoin] {
        world.step(step);
    }
    world.step(Step::BeginJoin(1));
    for step in [Step::Store(0), Step::Deliver] {
        world.step(step);
    }
    assert_eq!(*lock(&world.sink.pushed), [(0, 1)]);
    for step in [Step::Store(1), Step::Store(0), Step::Deliver, Step::Deliver] {
        world.step(step);
    }
    assert_eq!(
        *lock(&world.sink.pushed),
        [(0, 1)],
        "held behind a message of the room that is being joined"
    );
}

#[test]
fn messages_before_the_reply_to_a_second_join_are_pushed_before_it() {
    let mut world = World::new();
    for step in [Step::BeginJoin(0), Step::ReadJoin, Step::EndJoin] {
        world.step(step);
    }
    world.subscriber.hold_room(&name(0));
    for _ in 0..3 {
        world.step(Step::Store(0));
        world.step(Step::Deliver);
    }
    assert!(
        world
            .subscriber
            .flush_before_reply(&name(0), Offset(2), Offset(2))
    );
    assert_eq!(*lock(&world.sink.pushed), [(0, 1)]);
    world.subscriber.release_room(&name(0), Offset(2));
    assert_eq!(*lock(&world.sink.pushed), [(0, 1), (0, 3)]);
}

#[test]
fn held_messages_that_the_client_is_too_slow_for_are_read_from_the_log_instead() {
    let mut world = World::new();
    let triggered = Arc::new(AtomicU64::new(0));
    let trigger = triggered.clone();
    let trigger = Box::new(move || {
        trigger.fetch_add(1, Ordering::Relaxed);
    });
    world.subscriber = Subscriber::live(world.sink.clone(), Offset(0), trigger);
    world.step(Step::BeginJoin(0));
    world.step(Step::ReadJoin);
    for _ in 0..2 {
        world.step(Step::Store(0));
        world.step(Step::Deliver);
    }
    world.step(Step::Behind(true));
    world.step(Step::EndJoin);
    assert_eq!(*lock(&world.sink.pushed), []);
    assert_eq!(triggered.load(Ordering::Relaxed), 1);
    world.settle();
    assert_eq!(*lock(&world.sink.pushed), [(0, 1), (0, 2)]);
}

#[test]
fn events_that_are_dropped_while_the_log_is_read_are_counted() {
    let sink = Arc::<Sink>::default();
    let subscriber = Subscriber::behind(sink.clone(), Offset(0), Box::new(|| {}));
    let room: RoomName = "r0".parse().unwrap();
    let ephemeral = OutgoingEvent::new(Event::Ephemeral(Arc::new(Ephemeral {
        room: RoomKey {
            namespace: Namespace::root(),
            room: room.clone(),
        },
        id: None,
        event: EventName::parse("e").unwrap(),
        from: None,
        data: to_raw_value(&()).unwrap().into(),
        ts: Timestamp(0),
    })));
    let taken = (0..MAX_HELD_EVENTS + 3).filter(|_| subscriber.push(&room, &ephemeral));
    assert_eq!(taken.count(), MAX_HELD_EVENTS + 2);
    // The first event beyond the bound replaces all held droppable events: the oldest are too late anyway.
    assert_eq!(sink.dropped.load(Ordering::Relaxed), 1025);
    let notice = OutgoingEvent::notice("n", &());
    for _ in 0..MAX_HELD_EVENTS + 1 {
        subscriber.push(&room, &notice);
    }
    assert_eq!(sink.dropped.load(Ordering::Relaxed), 1025 + 2 + 1024);
}
