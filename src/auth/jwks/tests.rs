//! Rotation of a key set, and parsing one.

use super::{super::testing::Signer, *};

const KEEP: Duration = Duration::from_secs(600);

fn key(signer: &Signer, kid: &str) -> Key {
    Key::from_jwk(&signer.jwk(kid)).unwrap()
}

fn check(set: &KeySet, token: &str, now: Instant) -> SignatureCheck {
    set.check(&UnverifiedToken::parse(token).unwrap(), now)
}

#[test]
fn a_key_that_left_the_set_is_accepted_until_it_expires() {
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
fn a_key_that_returns_to_the_set_is_current_again() {
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
fn a_key_id_selects_the_key_and_a_token_without_one_tries_all() {
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
fn the_number_of_retired_keys_is_limited() {
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
fn unusable_keys_of_a_set_are_skipped() {
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
fn an_invalid_or_too_large_set_is_an_error() {
    assert!(matches!(parse(b"[]"), Err(LoadError::NotASet(_))));
    assert!(matches!(parse(b"<html>"), Err(LoadError::NotASet(_))));
    let keys = |n| format!("{{\"keys\":[{}]}}", vec!["{}"; n].join(","));
    assert!(parse(keys(64).as_bytes()).is_ok());
    assert!(matches!(
        parse(keys(65).as_bytes()),
        Err(LoadError::TooManyKeys { keys: 65, .. })
    ));
}
