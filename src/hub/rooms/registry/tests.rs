//! What the registry does with members, and how often it schedules a room.

use serde_json::value::RawValue;

use super::*;
use crate::{
    backend::{LocalBus, deliveries},
    hub::{
        event::Event,
        rooms::testing::{RecordingSink, connection, connection_with, policy},
    },
    model::{EventName, Message, MessageId, Namespace, Offset, RoomName, Seq},
};

const GRACE: Duration = Duration::from_secs(5);
const TYPING: Duration = Duration::from_secs(3);

fn rooms() -> RoomRegistry {
    let (stream, _) = deliveries();
    let bus = Arc::new(LocalBus::new(stream));
    RoomRegistry::new(policy(GRACE, TYPING), bus, None, None, Arc::default())
}

fn lobby() -> RoomKey {
    RoomKey {
        namespace: Namespace::root(),
        room: RoomName::parse("lobby").unwrap(),
    }
}

fn show(rooms: &RoomRegistry, connection: &Connection) {
    let (user, status) = (
        connection.principal().user.clone(),
        connection.user_status(),
    );
    rooms.with(&lobby(), |room| {
        room.show_user(
            connection.id(),
            user,
            status,
            Instant::now(),
            Timestamp::now(),
        );
    });
}

#[test]
fn a_member_that_disconnects_before_its_join_is_complete_is_not_shown() {
    let (rooms, key) = (rooms(), lobby());
    let [alice, bob] = ["alice", "bob"].map(connection);
    for one in [&alice, &bob] {
        rooms.add_member(&key, one);
    }
    show(&rooms, &bob);
    rooms.remove_member(&key, &alice);
    show(&rooms, &alice);
    assert_eq!(rooms.with(&key, |room| room.user_count()), Some(1));
}

#[test]
fn a_member_that_misses_messages_while_it_joins_is_sent_who_entered() {
    let (rooms, key, sink) = (rooms(), lobby(), Arc::<RecordingSink>::default());
    let (alice, bob) = (connection_with("alice", sink.clone()), connection("bob"));
    alice.subscriber().hold_room(&key.room);
    rooms.add_member(&key, &alice);
    rooms.add_member(&key, &bob);
    let fill = || {
        for seq in 1..=2000 {
            rooms.deliver(&key, &message(seq), None);
        }
    };
    fill();
    show(&rooms, &bob);
    fill();
    alice.subscriber().release_room(&key.room, Offset(0));
    assert_eq!(alice.subscriber().begin_catch_up(), Some(Offset(0)));
    alice.subscriber().finish_catch_up(Offset(2000));
    assert_eq!(sink.names(), ["presence"]);
}

fn message(seq: u64) -> Arc<OutgoingEvent> {
    OutgoingEvent::new(Event::Message(Arc::new(Message {
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
fn a_room_in_which_something_is_always_due_is_scheduled_a_bounded_number_of_times() {
    let (rooms, key) = (rooms(), lobby());
    let alice = connection("alice");
    rooms.add_member(&key, &alice);
    let mut now = Instant::now();
    for round in 0..100 {
        let guest = connection(&format!("guest-{round}"));
        rooms.add_member(&key, &guest);
        show(&rooms, &guest);
        rooms.with(&key, |room| {
            room.remove_member(&guest, now, Timestamp::now())
        });
        // The guest before this one leaves; then typing is due before this one is.
        let later = now + Duration::from_secs(1);
        rooms.run_due(later);
        rooms.with(&key, |room| {
            let user = &alice.principal().user;
            room.set_typing(alice.id(), user, None, (true, None), later);
        });
        rooms.run_due(later + TYPING);
        now += GRACE - Duration::from_millis(500);
    }
    assert_eq!(rooms.with(&key, |room| room.user_count()), Some(1));
    let scheduled = lock(&rooms.timers.deadlines).len();
    assert!(scheduled <= 2, "{scheduled} times");
}
