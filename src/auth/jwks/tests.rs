//! Tests of jwks.

use super::{super::testing::Signer, *};

const KEEP: Duration = Duration::from_secs(600);

fn key(signer: &Signer, kid: &str) -> Key {
    Key::from_jwk(&signer.jwk(kid)).unwrap()
}

fn check(set: &KeySet, token: &str, now: Instant) -> SignatureCheck {
    set.check(&UnverifiedToken::parse(token).unwrap(), now)
}

#[test]
fn a_key_that_left_the_set_is_accepted_for_a_while_and_then_unknown() {
    let (old, new) = (Signer::ed(), Signer::ed());
    let start = Instant::now();
    let set = KeySet::default()
        .replaced_by(vec![key(&old, "1")], start, KEEP)
        .replaced_by(vec![key(&new, "2")], start, KEEP);
    let token = old.token(Some("1"), "alice");
    let end = start + KEEP;
    assert_eq!(
        check(&set, &token, end - Duration::from_millis(1)),
        SignatureCheck::Valid
    );
    assert_eq!(check(&set, &token, end), SignatureCheck::UnknownKey);
    assert_eq!(
        check(&set, &new.token(Some("2"), "alice"), end),
        SignatureCheck::Valid
    );
    // A later change of the set does not lengthen its time.
    let later = end - Duration::from_secs(1);
    let set = set.replaced_by(vec![key(&old, "3")], later, KEEP);
    assert_eq!(check(&set, &token, later), SignatureCheck::Valid);
    assert_eq!(check(&set, &token, end), SignatureCheck::UnknownKey);
}

#[test]
fn a_key_that_comes_back_stays() {
    let signer = Signer::ed();
    let start = Instant::now();
    let set = KeySet::default()
        .replaced_by(vec![key(&signer, "1")], start, KEEP)
        .replaced_by(Vec::new(), start, KEEP)
        .replaced_by(vec![key(&signer, "1")], start, KEEP);
    let token = signer.token(Some("1"), "alice");
    assert_eq!(check(&set, &token, start + 2 * KEEP), SignatureCheck::Valid);
    assert!(set.retired.is_empty());
}

#[test]
fn a_key_id_that_is_given_has_to_be_the_keys_own() {
    let (a, b) = (Signer::ed(), Signer::ed());
    let now = Instant::now();
    let set = KeySet::default().replaced_by(vec![key(&a, "a"), key(&b, "b")], now, KEEP);
    assert_eq!(
        check(&set, &a.token(Some("a"), "u"), now),
        SignatureCheck::Valid
    );
    assert_eq!(check(&set, &a.token(None, "u"), now), SignatureCheck::Valid);
    assert_eq!(check(&set, &b.token(None, "u"), now), SignatureCheck::Valid);
    assert_eq!(
        check(&set, &a.token(Some("b"), "u"), now),
        SignatureCheck::Invalid
    );
    assert_eq!(
        check(&set, &a.token(Some("c"), "u"), now),
        SignatureCheck::UnknownKey
    );
    assert_eq!(
        check(&set, &Signer::ed().token(None, "u"), now),
        SignatureCheck::Invalid
    );
    assert_eq!(
        check(&set, &Signer::ec().token(None, "u"), now),
        SignatureCheck::UnknownKey
    );
}

#[test]
fn the_keys_remembered_after_they_left_are_bounded() {
    let signer = Signer::ed();
    let now = Instant::now();
    let mut set = KeySet::default();
    for n in 0..200 {
        set = set.replaced_by(vec![key(&signer, &n.to_string())], now, KEEP);
    }
    assert_eq!(set.retired.len(), MAX_KEYS);
    let recent = signer.token(Some("198"), "u");
    assert_eq!(check(&set, &recent, now), SignatureCheck::Valid);
}

#[test]
fn keys_of_a_set_that_cannot_be_used_do_not_keep_the_others_from_being_used() {
    let good = serde_json::to_value(Signer::ec().jwk("good")).unwrap();
    let set = serde_json::json!({ "keys": [
        {"kty": "oct", "k": "c2VjcmV0", "alg": "HS256"},
        {"kty": "EC", "crv": "P-521", "x": "AA", "y": "AA"},
        {"kid": 7},
        "nonsense",
        good,
    ]});
    let keys = parse(set.to_string().as_bytes()).unwrap();
    assert_eq!(keys.len(), 1);
    assert!(keys[0].has_id("good"));
}

#[test]
fn what_is_no_set_or_too_large_a_one_is_an_error() {
    assert!(matches!(parse(b"[]"), Err(LoadError::NotASet(_))));
    assert!(matches!(parse(b"<html>"), Err(LoadError::NotASet(_))));
    let keys = |n| format!("{{\"keys\":[{}]}}", vec!["{}"; n].join(","));
    assert!(parse(keys(64).as_bytes()).is_ok());
    assert!(matches!(
        parse(keys(65).as_bytes()),
        Err(LoadError::TooManyKeys { keys: 65, .. })
    ));
}
