use super::*;
use crate::auth::Grants;

fn principal() -> Principal {
    Principal {
        user: UserId::parse("alice").unwrap(),
        name: None,
        info: None,
        grants: Arc::new(Grants::everything()),
        expires_at: None,
    }
}

fn status(standing: &LocalUser) -> String {
    standing
        .user_status(|| principal().into())
        .displayed()
        .to_string()
}

#[test]
fn a_user_who_comes_back_within_the_grace_time_shows_what_it_showed() {
    let (now, grace) = (Instant::now(), Duration::from_secs(5));
    let (seen, user) = (LastSeen::default(), UserId::parse("alice").unwrap());
    let (first, second) = (ConnectionId::generate(), ConnectionId::generate());
    let standing = LocalUser::default();
    standing.connected(first, None, grace, now);
    standing.say("busy".into(), None);
    seen.note(
        user.clone(),
        standing.disconnected(first, now).expect("the last one"),
    );
    for (later, expected) in [(4, "busy"), (6, "online")] {
        let now = now + Duration::from_secs(later);
        let standing = LocalUser::default();
        standing.connected(second, seen.within(&user, grace, now), grace, now);
        assert_eq!(status(&standing), expected, "after {later} s");
    }
}

/// What a user's connections share can outlive them: a task of the application may hold one that has ended.
#[test]
fn a_user_who_comes_back_after_the_grace_time_shows_nothing_from_before_whoever_holds_a_connection()
{
    let (now, grace) = (Instant::now(), Duration::from_secs(5));
    let (seen, user) = (LastSeen::default(), UserId::parse("alice").unwrap());
    let (first, second) = (ConnectionId::generate(), ConnectionId::generate());
    let standing = LocalUser::default();
    standing.connected(first, None, grace, now);
    standing.say("busy".into(), None);
    seen.note(
        user.clone(),
        standing.disconnected(first, now).expect("the last one"),
    );
    let later = now + 2 * grace;
    standing.connected(second, seen.within(&user, grace, later), grace, later);
    assert_eq!(status(&standing), "online");
}

#[test]
fn what_is_said_here_is_later_than_what_is_known_of_other_nodes_whatever_their_clocks_say() {
    let standing = LocalUser::default();
    let heard = |status: &str, changed| {
        standing.hear(UserStatus {
            name: None,
            idle: false,
            status: status.into(),
            info: None,
            changed,
        })
    };
    let ahead = Timestamp(Timestamp::now().0 + 3_600_000);
    assert!(heard("busy", ahead));
    assert!(!heard("online", ahead), "it is no later");
    assert_eq!(status(&standing), "busy");
    standing.say("out".into(), None);
    assert!(standing.word().changed > ahead);
    assert!(!heard("busy", ahead));
    assert_eq!(status(&standing), "out");
}

#[test]
fn who_does_nothing_is_away_until_it_does_something_unless_it_said_how_it_is() {
    let (begin, after) = (Instant::now(), Duration::from_secs(60));
    let standing = LocalUser::default();
    standing.connected(ConnectionId::generate(), None, Duration::ZERO, begin);
    assert!(!standing.idles(after, begin + after / 2));
    assert!(standing.idles(after, begin + after));
    assert!(!standing.idles(after, begin + after), "it is away already");
    assert_eq!(status(&standing), "away");
    assert!(standing.acted(begin + after));
    assert_eq!(status(&standing), "online");
    standing.say("busy".into(), None);
    assert!(!standing.idles(after, begin + after * 3));
    assert_eq!(status(&standing), "busy");
}

#[test]
fn of_the_users_that_have_gone_a_bounded_number_is_remembered_and_the_last_surely() {
    let seen = LastSeen::default();
    let user = |number: usize| UserId::parse(&format!("u{number}")).unwrap();
    let gone = LocalUser::default();
    for number in 0..=2 * REMEMBERED {
        seen.note(
            user(number),
            gone.disconnected(ConnectionId::generate(), Instant::now())
                .unwrap(),
        );
    }
    assert!(seen.of(&user(0)).is_none());
    assert!(seen.of(&user(2 * REMEMBERED)).is_some());
    assert!(seen.of(&user(REMEMBERED + 1)).is_some());
}
