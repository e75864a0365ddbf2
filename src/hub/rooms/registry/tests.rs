use serde_json::value::RawValue;

use super::*;
use crate::{
    auth::{Grants, Principal},
    backend::{LocalBus, deliveries},
    hub::{
        Entrant,
        connections::LocalUser,
        connections::Subscriber,
        connections::{CloseReason, Drained, EventSink, Memberships, PendingReply},
        event::Event,
        rooms::fan_out::FanOut,
        rooms::presence::Arrival,
    },
    limits::{Counts, Rate},
    model::{EventName, Message, MessageId, Namespace, Offset, RoomName, Seq},
};

const GRACE: Duration = Duration::from_secs(5);
const TYPING: Duration = Duration::from_secs(3);

/// Keeps the names of what it was given.
#[derive(Default)]
struct Names(Mutex<Vec<String>>);

impl EventSink for Names {
    fn push(&self, event: &Outgoing) {
        lock(&self.0).push(event.arguments().name.to_string());
    }

    fn ask(&self, _: &Outgoing, _: Duration) -> Option<PendingReply> {
        None
    }

    fn is_behind(&self) -> bool {
        false
    }

    fn drained(&self) -> Drained {
        Box::pin(std::future::ready(()))
    }

    fn close(&self, _: CloseReason) {}
}

fn rooms() -> Rooms {
    let manners = Manners {
        grace: GRACE,
        room_users: 0,
        typing: TYPING,
        typists: 0,
        fan_out: Arc::new(FanOut::new(Rate::new(0, 0))),
    };
    let (stream, _) = deliveries();
    let bus = Arc::new(LocalBus::new(stream));
    Rooms::new(manners, bus, None, Arc::default())
}

fn lobby() -> RoomKey {
    RoomKey {
        namespace: Namespace::root(),
        room: RoomName::parse("lobby").unwrap(),
    }
}

fn connection(user: &str) -> Connection {
    connection_by(user, Arc::<Names>::default())
}

/// A connection that gets its events by `outlet`.
pub(in crate::hub) fn connection_by(user: &str, outlet: Arc<dyn EventSink>) -> Connection {
    let user = UserId::parse(user).unwrap();
    let users: Arc<Counts<UserId, LocalUser>> = Arc::default();
    let place = users.take(user.clone(), 0).unwrap();
    let principal = Principal {
        user,
        name: None,
        info: None,
        grants: Arc::new(Grants::everything()),
        expires_at: None,
    };
    Connection::new(
        Entrant { principal, place },
        Namespace::root(),
        (ConnectionId::fresh(), None),
        Memberships::new(),
        Subscriber::live(outlet, Offset(0), Box::new(|| {})),
    )
}

fn appear(rooms: &Rooms, who: &Connection) {
    let arrival = Arrival {
        user: who.principal().user.clone(),
        stance: who.stance(),
    };
    rooms.with(&lobby(), |room| {
        room.appear(who.id(), arrival, Instant::now(), Timestamp::now());
    });
}

#[test]
fn a_member_that_went_before_its_join_was_done_is_not_shown() {
    let (rooms, key) = (rooms(), lobby());
    let [alice, bob] = ["alice", "bob"].map(connection);
    for one in [&alice, &bob] {
        rooms.enter(&key, one);
    }
    appear(&rooms, &bob);
    rooms.leave(&key, &alice);
    appear(&rooms, &alice);
    assert_eq!(rooms.with(&key, |room| room.count()), Some(1));
}

#[test]
fn a_member_that_cannot_hold_all_that_comes_while_it_reads_is_told_who_came() {
    let (rooms, key, names) = (rooms(), lobby(), Arc::<Names>::default());
    let (alice, bob) = (connection_by("alice", names.clone()), connection("bob"));
    alice.feed().begin_joining(&key.room);
    rooms.enter(&key, &alice);
    rooms.enter(&key, &bob);
    let fill = || {
        for seq in 1..=2000 {
            rooms.deliver(&key, &message(seq), None);
        }
    };
    fill();
    appear(&rooms, &bob);
    fill();
    alice.feed().joined(&key.room, Offset(0));
    assert_eq!(alice.feed().begin_catching_up(), Some(Offset(0)));
    alice.feed().caught_up(Offset(2000));
    assert_eq!(*lock(&names.0), ["presence"]);
}

fn message(seq: u64) -> Arc<Outgoing> {
    Outgoing::new(Event::Message(Arc::new(Message {
        room: lobby(),
        id: MessageId::parse("m").unwrap(),
        seq: Seq(seq),
        offset: Offset(seq),
        event: EventName::message(),
        from: None,
        data: RawValue::NULL.to_owned().into(),
        ts: Timestamp(9),
        except: None,
    })))
}

#[test]
fn a_room_that_always_has_something_due_is_noted_a_bounded_number_of_times() {
    let (rooms, key) = (rooms(), lobby());
    let alice = connection("alice");
    rooms.enter(&key, &alice);
    let mut now = Instant::now();
    for round in 0..100 {
        let guest = connection(&format!("guest-{round}"));
        rooms.enter(&key, &guest);
        appear(&rooms, &guest);
        rooms.with(&key, |room| room.remove(&guest, now, Timestamp::now()));
        // The guest before this one leaves; then typing is due before this one is.
        let later = now + Duration::from_secs(1);
        rooms.look_after_due(later);
        rooms.with(&key, |room| {
            let user = &alice.principal().user;
            room.types(alice.id(), user, None, true, later);
        });
        rooms.look_after_due(later + TYPING);
        now += GRACE - Duration::from_millis(500);
    }
    assert_eq!(rooms.with(&key, |room| room.count()), Some(1));
    let noted = lock(&rooms.due).len();
    assert!(noted <= 2, "{noted} times");
}
