//! Statuses of users that disconnect and return, and of users on several nodes.

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

fn status(local: &LocalUser) -> String {
    local
        .user_status(|| principal().into())
        .displayed()
        .to_string()
}

#[test]
fn a_user_who_reconnects_within_the_grace_time_keeps_its_status() {
    let (now, grace) = (Instant::now(), Duration::from_secs(5));
    let (seen, user) = (LastSeen::default(), UserId::parse("alice").unwrap());
    let (first, second) = (ConnectionId::generate(), ConnectionId::generate());
    let local = LocalUser::default();
    local.add_connection(first, None, grace, now);
    local.set_status("busy".into(), None);
    seen.insert(
        user.clone(),
        local.remove_connection(first, now).expect("the last one"),
    );
    for (later, expected) in [(4, "busy"), (6, "online")] {
        let now = now + Duration::from_secs(later);
        let local = LocalUser::default();
        local.add_connection(second, seen.within(&user, grace, now), grace, now);
        assert_eq!(status(&local), expected, "after {later} s");
    }
}

/// The state that a user's connections share can outlive them: a task of the application may hold a connection that has ended.
#[test]
fn a_user_who_reconnects_after_the_grace_time_is_online_even_if_an_old_connection_is_still_held() {
    let (now, grace) = (Instant::now(), Duration::from_secs(5));
    let (seen, user) = (LastSeen::default(), UserId::parse("alice").unwrap());
    let (first, second) = (ConnectionId::generate(), ConnectionId::generate());
    let local = LocalUser::default();
    local.add_connection(first, None, grace, now);
    local.set_status("busy".into(), None);
    seen.insert(
        user.clone(),
        local.remove_connection(first, now).expect("the last one"),
    );
    let later = now + 2 * grace;
    local.add_connection(second, seen.within(&user, grace, later), grace, later);
    assert_eq!(status(&local), "online");
}

#[test]
fn a_status_set_on_this_node_is_newer_than_known_ones_of_nodes_whose_clocks_are_ahead() {
    let local = LocalUser::default();
    let remote = |status: &str, changed| {
        local.apply_remote_status(UserStatus {
            name: None,
            idle: false,
            status: status.into(),
            info: None,
            changed,
        })
    };
    let ahead = Timestamp(Timestamp::now().0 + 3_600_000);
    assert!(remote("busy", ahead));
    assert!(!remote("online", ahead), "it is not newer");
    assert_eq!(status(&local), "busy");
    local.set_status("out".into(), None);
    assert!(local.last_update().changed > ahead);
    assert!(!remote("busy", ahead));
    assert_eq!(status(&local), "out");
}

#[test]
fn an_inactive_user_is_away_until_it_is_active_unless_it_has_set_a_status() {
    let (begin, after) = (Instant::now(), Duration::from_secs(60));
    let local = LocalUser::default();
    local.add_connection(ConnectionId::generate(), None, Duration::ZERO, begin);
    assert!(!local.mark_idle(after, begin + after / 2));
    assert!(local.mark_idle(after, begin + after));
    assert!(!local.mark_idle(after, begin + after), "it is away already");
    assert_eq!(status(&local), "away");
    assert!(local.mark_active(begin + after));
    assert_eq!(status(&local), "online");
    local.set_status("busy".into(), None);
    assert!(!local.mark_idle(after, begin + after * 3));
    assert_eq!(status(&local), "busy");
}

#[test]
fn a_bounded_number_of_departed_users_is_remembered_and_the_newest_always() {
    let seen = LastSeen::default();
    let user = |number: usize| UserId::parse(&format!("u{number}")).unwrap();
    let departing = LocalUser::default();
    for number in 0..=2 * MAX_OFFLINE_USERS {
        seen.insert(
            user(number),
            departing
                .remove_connection(ConnectionId::generate(), Instant::now())
                .unwrap(),
        );
    }
    assert!(seen.get(&user(0)).is_none());
    assert!(seen.get(&user(2 * MAX_OFFLINE_USERS)).is_some());
    assert!(seen.get(&user(MAX_OFFLINE_USERS + 1)).is_some());
}
