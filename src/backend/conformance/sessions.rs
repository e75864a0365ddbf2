//! What a client that comes back is given again, and for how long.

use super::*;
use crate::{
    error::Code,
    model::{Pid, UserId},
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
        lost: Vec::new(),
        claims: 0,
    }
}

impl Rig {
    async fn find(&self, session: &StoredSession) -> Option<StoredSession> {
        self.log.find(session.pid).await.unwrap()
    }
}

pub(super) async fn a_saved_session_is_found_as_it_was_saved_last(kind: Kind) {
    let rig = kind.rig(Retention::default()).await;
    let mut alice = session(&[("user:alice", 0), ("räume/\"1\"", 7), ("b", u64::MAX >> 1)]);
    let other = session(&[]);
    assert_eq!(rig.find(&alice).await, None);
    for session in [&alice, &other] {
        rig.log.save(session.clone()).await.unwrap();
    }
    assert_eq!(rig.find(&alice).await.as_ref(), Some(&alice));
    assert_eq!(rig.find(&other).await.as_ref(), Some(&other));

    let (room, _) = alice.rooms.remove(1);
    alice.lost = vec![(room, "\"rüde\"".to_owned())];
    alice.application = Some(r#"{"rooms":["a"],"state":{"n":1.0,"none":[]}}"#.to_owned());
    alice.connection = ConnectionId::generate();
    rig.log.save(alice.clone()).await.unwrap();
    assert_eq!(rig.find(&alice).await, Some(alice));
    assert_eq!(rig.find(&other).await, Some(other));
}

pub(super) async fn changes_of_a_session_take_effect_in_the_order_they_were_asked(kind: Kind) {
    let rig = kind.rig(Retention::default()).await;
    let mut alice = session(&[]);
    for round in 0..20 {
        let earlier = StoredSession {
            connection: ConnectionId::generate(),
            ..alice.clone()
        };
        alice.rooms = session(&[("r", round)]).rooms;
        let _waits = tokio::join!(
            biased;
            rig.log.forget(alice.pid),
            rig.log.save(earlier),
            rig.log.end(alice.pid),
            rig.log.save(alice.clone()),
        );
        rig.hands.advance(3 * MINUTE);
        assert_eq!(rig.find(&alice).await.as_ref(), Some(&alice));
    }
    let _waits = tokio::join!(
        biased;
        rig.log.save(alice.clone()),
        rig.log.forget(alice.pid),
    );
    assert_eq!(rig.find(&alice).await, None);
}

pub(super) async fn a_session_is_found_as_long_as_it_goes_on_and_for_a_window_after_that(
    kind: Kind,
) {
    let rig = kind.rig(Retention::default()).await;
    let alice = session(&[("r", 1)]);
    rig.log.save(alice.clone()).await.unwrap();
    rig.hands.advance(600 * MINUTE);
    rig.log.trim_all(rig.hands.now()).await;
    assert!(rig.find(&alice).await.is_some(), "it goes on");

    rig.log.end(alice.pid).await.unwrap();
    rig.hands.advance(MINUTE);
    rig.log.end(alice.pid).await.unwrap();
    rig.hands.advance(MINUTE);
    for trimmed in [false, true] {
        assert_eq!(rig.find(&alice).await.as_ref(), Some(&alice), "{trimmed}");
        rig.log.trim_all(rig.hands.now()).await;
    }
    rig.hands.advance(Duration::from_millis(1));
    for trimmed in [false, true] {
        assert_eq!(rig.find(&alice).await, None, "{trimmed}");
        rig.log.trim_all(rig.hands.now()).await;
    }
    rig.log.end(alice.pid).await.unwrap();
    assert_eq!(rig.find(&alice).await, None);
}

pub(super) async fn a_session_saved_after_it_ended_goes_on_again(kind: Kind) {
    let rig = kind.rig(Retention::default()).await;
    let alice = session(&[]);
    for wait in [MINUTE, 2 * MINUTE, 3 * MINUTE] {
        rig.log.save(alice.clone()).await.unwrap();
        rig.log.end(alice.pid).await.unwrap();
        rig.hands.advance(wait);
        rig.log.save(alice.clone()).await.unwrap();
        rig.hands.advance(9 * MINUTE);
        rig.log.trim_all(rig.hands.now()).await;
        assert_eq!(rig.find(&alice).await.as_ref(), Some(&alice));
    }
    rig.log.end(alice.pid).await.unwrap();
    rig.hands.advance(2 * MINUTE);
    assert!(rig.find(&alice).await.is_some(), "the last end counts");
}

pub(super) async fn a_forgotten_session_is_not_found_and_ending_an_unknown_one_does_nothing(
    kind: Kind,
) {
    let rig = kind.rig(Retention::default()).await;
    let alice = session(&[]);
    rig.log.end(alice.pid).await.unwrap();
    rig.log.forget(alice.pid).await.unwrap();
    assert_eq!(rig.find(&alice).await, None);
    for ended in [false, true] {
        rig.log.save(alice.clone()).await.unwrap();
        if ended {
            rig.log.end(alice.pid).await.unwrap();
        }
        rig.log.forget(alice.pid).await.unwrap();
        assert_eq!(rig.find(&alice).await, None);
        rig.log.end(alice.pid).await.unwrap();
        assert_eq!(rig.find(&alice).await, None);
    }
}

pub(super) async fn a_user_is_forgotten_with_all_of_its_sessions_and_nobody_else_is(kind: Kind) {
    let rig = kind.rig(Retention::default()).await;
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
        rig.log.save(session.clone()).await.unwrap();
    }
    rig.log.end(ended.pid).await.unwrap();
    rig.log.forget_user(goes_on.user.clone()).await.unwrap();
    for session in [&goes_on, &ended, &elsewhere] {
        assert_eq!(rig.find(session).await, None);
    }
    assert!(rig.find(&other).await.is_some());
}

pub(super) async fn a_user_is_taken_out_of_a_room_in_all_of_its_sessions_and_nobody_else_is(
    kind: Kind,
) {
    let rig = kind.rig(Retention::default()).await;
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
        rig.log.save(session.clone()).await.unwrap();
    }
    rig.log.end(ended.pid).await.unwrap();
    let room = RoomKey {
        namespace: goes_on.namespace.clone(),
        room: RoomName::parse("s").unwrap(),
    };
    // The second time there is nothing that it could be taken out of.
    for reason in ["\"rüde\"", "again"] {
        let (user, room) = (goes_on.user.clone(), room.clone());
        rig.log.expel(user, room, reason.to_owned()).await.unwrap();
    }
    for before in [goes_on, ended] {
        let after = StoredSession {
            rooms: vec![before.rooms[0].clone(), before.rooms[2].clone()],
            lost: vec![(room.room.clone(), "\"rüde\"".to_owned())],
            ..before.clone()
        };
        assert_eq!(rig.find(&before).await, Some(after));
    }
    for untouched in [elsewhere, other] {
        assert_eq!(rig.find(&untouched).await.as_ref(), Some(&untouched));
    }
}

pub(super) async fn a_closed_log_refuses_sessions(kind: Kind) {
    let rig = kind.rig(Retention::default()).await;
    let alice = session(&[]);
    rig.log.save(alice.clone()).await.unwrap();
    rig.log.close().await;
    let errors = [
        rig.log.find(alice.pid).await.unwrap_err(),
        rig.log.end(alice.pid).await.unwrap_err(),
        rig.log.forget(alice.pid).await.unwrap_err(),
        rig.log.forget_user(alice.user.clone()).await.unwrap_err(),
        rig.log.save(alice).await.unwrap_err(),
    ];
    for error in errors {
        assert_eq!(error.code(), Code::Unavailable);
    }
}
