//! What a client that comes back is given again, and for how long.

use super::*;
use crate::{
    error::Code,
    model::{Pid, RoomName, UserId},
};

const MINUTE: Duration = Duration::from_secs(60);

pub(in crate::backend) fn session(rooms: &[(&str, u64)]) -> StoredSession {
    StoredSession {
        pid: Pid::generate(),
        namespace: Namespace::parse("/chat").unwrap(),
        user: UserId::parse("alice").unwrap(),
        connection: ConnectionId::generate(),
        rooms: rooms
            .iter()
            .map(|(room, offset)| (RoomName::parse(room).unwrap(), Offset(*offset)))
            .collect(),
        application: None,
        removals: Vec::new(),
        claim_count: 0,
    }
}

impl Fixture {
    async fn find(&self, session: &StoredSession) -> Option<StoredSession> {
        self.log.find(session.pid).await.unwrap()
    }
}

pub(super) async fn a_saved_session_is_found_as_it_was_saved_last(kind: LogKind) {
    let fixture = kind.open(Retention::default()).await;
    let mut alice = session(&[("user:alice", 0), ("räume/\"1\"", 7), ("b", u64::MAX >> 1)]);
    let other = session(&[]);
    assert_eq!(fixture.find(&alice).await, None);
    for session in [&alice, &other] {
        fixture.log.save(session.clone()).await.unwrap();
    }
    assert_eq!(fixture.find(&alice).await.as_ref(), Some(&alice));
    assert_eq!(fixture.find(&other).await.as_ref(), Some(&other));

    let (room, _) = alice.rooms.remove(1);
    alice.removals = vec![(room, "\"rüde\"".to_owned())];
    alice.application = Some(r#"{"rooms":["a"],"state":{"n":1.0,"none":[]}}"#.to_owned());
    alice.connection = ConnectionId::generate();
    fixture.log.save(alice.clone()).await.unwrap();
    assert_eq!(fixture.find(&alice).await, Some(alice));
    assert_eq!(fixture.find(&other).await, Some(other));
}

pub(super) async fn changes_of_a_session_take_effect_in_the_order_of_the_requests(kind: LogKind) {
    let fixture = kind.open(Retention::default()).await;
    let mut alice = session(&[]);
    for round in 0..20 {
        let earlier = StoredSession {
            connection: ConnectionId::generate(),
            ..alice.clone()
        };
        alice.rooms = session(&[("r", round)]).rooms;
        let _waits = tokio::join!(
            biased;
            fixture.log.forget(alice.pid),
            fixture.log.save(earlier),
            fixture.log.end(alice.pid),
            fixture.log.save(alice.clone()),
        );
        fixture.clock.advance(3 * MINUTE);
        assert_eq!(fixture.find(&alice).await.as_ref(), Some(&alice));
    }
    let _waits = tokio::join!(
        biased;
        fixture.log.save(alice.clone()),
        fixture.log.forget(alice.pid),
    );
    assert_eq!(fixture.find(&alice).await, None);
}

pub(super) async fn a_session_is_found_while_active_and_for_a_window_after_its_end(kind: LogKind) {
    let fixture = kind.open(Retention::default()).await;
    let alice = session(&[("r", 1)]);
    fixture.log.save(alice.clone()).await.unwrap();
    fixture.clock.advance(600 * MINUTE);
    fixture.log.trim_all(fixture.clock.now()).await;
    assert!(fixture.find(&alice).await.is_some(), "it is active");

    fixture.log.end(alice.pid).await.unwrap();
    fixture.clock.advance(MINUTE);
    fixture.log.end(alice.pid).await.unwrap();
    fixture.clock.advance(MINUTE);
    for trimmed in [false, true] {
        assert_eq!(
            fixture.find(&alice).await.as_ref(),
            Some(&alice),
            "{trimmed}"
        );
        fixture.log.trim_all(fixture.clock.now()).await;
    }
    fixture.clock.advance(Duration::from_millis(1));
    for trimmed in [false, true] {
        assert_eq!(fixture.find(&alice).await, None, "{trimmed}");
        fixture.log.trim_all(fixture.clock.now()).await;
    }
    fixture.log.end(alice.pid).await.unwrap();
    assert_eq!(fixture.find(&alice).await, None);
}

pub(super) async fn a_session_saved_after_it_ended_is_active_again(kind: LogKind) {
    let fixture = kind.open(Retention::default()).await;
    let alice = session(&[]);
    for wait in [MINUTE, 2 * MINUTE, 3 * MINUTE] {
        fixture.log.save(alice.clone()).await.unwrap();
        fixture.log.end(alice.pid).await.unwrap();
        fixture.clock.advance(wait);
        fixture.log.save(alice.clone()).await.unwrap();
        fixture.clock.advance(9 * MINUTE);
        fixture.log.trim_all(fixture.clock.now()).await;
        assert_eq!(fixture.find(&alice).await.as_ref(), Some(&alice));
    }
    fixture.log.end(alice.pid).await.unwrap();
    fixture.clock.advance(2 * MINUTE);
    assert!(fixture.find(&alice).await.is_some(), "the last end counts");
}

pub(super) async fn a_deleted_session_is_not_found_and_ending_an_unknown_one_does_nothing(
    kind: LogKind,
) {
    let fixture = kind.open(Retention::default()).await;
    let alice = session(&[]);
    fixture.log.end(alice.pid).await.unwrap();
    fixture.log.forget(alice.pid).await.unwrap();
    assert_eq!(fixture.find(&alice).await, None);
    for ended in [false, true] {
        fixture.log.save(alice.clone()).await.unwrap();
        if ended {
            fixture.log.end(alice.pid).await.unwrap();
        }
        fixture.log.forget(alice.pid).await.unwrap();
        assert_eq!(fixture.find(&alice).await, None);
        fixture.log.end(alice.pid).await.unwrap();
        assert_eq!(fixture.find(&alice).await, None);
    }
}

pub(super) async fn deleting_the_sessions_of_a_user_deletes_all_of_them_and_no_others(
    kind: LogKind,
) {
    let fixture = kind.open(Retention::default()).await;
    let (goes_on, ended) = (session(&[("r", 1)]), session(&[]));
    let elsewhere = StoredSession {
        namespace: Namespace::root(),
        ..session(&[])
    };
    let other = StoredSession {
        user: UserId::parse("alice2").unwrap(),
        ..session(&[])
    };
    for session in [&goes_on, &ended, &elsewhere, &other] {
        fixture.log.save(session.clone()).await.unwrap();
    }
    fixture.log.end(ended.pid).await.unwrap();
    fixture.log.forget_user(goes_on.user.clone()).await.unwrap();
    for session in [&goes_on, &ended, &elsewhere] {
        assert_eq!(fixture.find(session).await, None);
    }
    assert!(fixture.find(&other).await.is_some());
}

pub(super) async fn removing_a_user_from_a_room_changes_all_of_its_sessions_and_no_others(
    kind: LogKind,
) {
    let fixture = kind.open(Retention::default()).await;
    let rooms = [("r", 7), ("s", 8), ("t\"", 9)];
    let (goes_on, ended) = (session(&rooms), session(&rooms));
    let elsewhere = StoredSession {
        namespace: Namespace::root(),
        ..session(&rooms)
    };
    let other = StoredSession {
        user: UserId::parse("alice2").unwrap(),
        ..session(&rooms)
    };
    for session in [&goes_on, &ended, &elsewhere, &other] {
        fixture.log.save(session.clone()).await.unwrap();
    }
    fixture.log.end(ended.pid).await.unwrap();
    let room = RoomKey {
        namespace: goes_on.namespace.clone(),
        room: RoomName::parse("s").unwrap(),
    };
    // The second time there is nothing that it could be taken out of.
    for reason in ["\"rüde\"", "again"] {
        let (user, room) = (goes_on.user.clone(), room.clone());
        fixture
            .log
            .remove_from_room(user, room, reason.to_owned())
            .await
            .unwrap();
    }
    for before in [goes_on, ended] {
        let after = StoredSession {
            rooms: vec![before.rooms[0].clone(), before.rooms[2].clone()],
            removals: vec![(room.room.clone(), "\"rüde\"".to_owned())],
            ..before.clone()
        };
        assert_eq!(fixture.find(&before).await, Some(after));
    }
    for untouched in [elsewhere, other] {
        assert_eq!(fixture.find(&untouched).await.as_ref(), Some(&untouched));
    }
}

pub(super) async fn a_closed_log_rejects_sessions(kind: LogKind) {
    let fixture = kind.open(Retention::default()).await;
    let alice = session(&[]);
    fixture.log.save(alice.clone()).await.unwrap();
    fixture.log.close().await;
    let errors = [
        fixture.log.find(alice.pid).await.unwrap_err(),
        fixture.log.end(alice.pid).await.unwrap_err(),
        fixture.log.forget(alice.pid).await.unwrap_err(),
        fixture
            .log
            .forget_user(alice.user.clone())
            .await
            .unwrap_err(),
        fixture.log.save(alice).await.unwrap_err(),
    ];
    for error in errors {
        assert_eq!(error.code(), Code::Unavailable);
    }
}
