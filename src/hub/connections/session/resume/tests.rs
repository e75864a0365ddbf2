//! What decides, without the log, whether a session is resumed.

use super::*;
use crate::auth::Grants;

fn principal(user: &str) -> Principal {
    Principal {
        user: UserId::parse(user).unwrap(),
        name: None,
        info: None,
        grants: Arc::new(Grants::everything()),
        expires_at: None,
    }
}

fn session(user: &str) -> StoredSession {
    StoredSession {
        pid: Pid::generate(),
        namespace: Namespace::root(),
        user: UserId::parse(user).unwrap(),
        connection: ConnectionId::generate(),
        rooms: Vec::new(),
        application: None,
        removals: Vec::new(),
        claim_count: 0,
    }
}

fn check(user: &str, removed: bool, received: u64) -> Result<(), ResumeRejection> {
    let principal = principal(user);
    let claimant = Claimant {
        namespace: &Namespace::root(),
        principal: &principal,
        received: Offset(received),
    };
    claimant.check(&session("alice"), Some(&principal), removed, Offset(7))
}

#[test]
fn a_session_is_resumed_by_its_user_from_no_further_than_the_end_of_the_log() {
    assert_eq!(check("alice", false, 0), Ok(()));
    assert_eq!(check("alice", false, 7), Ok(()));
    assert_eq!(check("alice", false, 8), Err(ResumeRejection::BadOffset));
    assert_eq!(check("alice", true, 7), Err(ResumeRejection::Removed));
    assert_eq!(check("bob", true, 8), Err(ResumeRejection::OtherUser));
}

#[test]
fn a_session_whose_identity_a_hook_has_ended_is_not_resumed() {
    let shown = principal("shown");
    let claimant = Claimant {
        namespace: &Namespace::root(),
        principal: &shown,
        received: Offset(0),
    };
    let check =
        |given: Option<&Principal>| claimant.check(&session("alice"), given, false, Offset(7));
    assert_eq!(check(Some(&principal("alice"))), Ok(()));
    assert_eq!(check(None), Err(ResumeRejection::OtherUser));
    let ended = Principal {
        expires_at: Some(Timestamp(1)),
        ..principal("alice")
    };
    assert_eq!(check(Some(&ended)), Err(ResumeRejection::Expired));
}

#[test]
fn a_session_of_another_namespace_is_rejected_and_kept() {
    let other = Namespace::parse("/other").unwrap();
    let claimant = Claimant {
        namespace: &other,
        principal: &principal("alice"),
        received: Offset(0),
    };
    let rejection = claimant
        .check(
            &session("alice"),
            Some(&principal("alice")),
            false,
            Offset(7),
        )
        .unwrap_err();
    assert_eq!(rejection, ResumeRejection::OtherNamespace);
    assert!(!rejection.deletes_session());
    assert!(ResumeRejection::BadOffset.deletes_session());
}
