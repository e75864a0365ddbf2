use std::cell::Cell;

use super::{MAX_TOKENS, SHARDS, VerifiedTokens};

/// Checks a token whose signature is valid or not; returns the outcome, and whether the signature was verified for it.
fn check(tokens: &VerifiedTokens, message: &str, signature: &str, valid: bool) -> (bool, bool) {
    let verified = Cell::new(false);
    let outcome = tokens.check(message, signature, || {
        verified.set(true);
        valid
    });
    (outcome, verified.get())
}

#[test]
fn a_valid_signature_is_verified_once() {
    let tokens = VerifiedTokens::default();
    assert_eq!(check(&tokens, "a.b", "good", true), (true, true));
    assert_eq!(check(&tokens, "a.b", "good", true), (true, false));
}

#[test]
fn an_invalid_signature_is_verified_each_time() {
    let tokens = VerifiedTokens::default();
    for _ in 0..2 {
        assert_eq!(check(&tokens, "a.b", "bad", false), (false, true));
    }
}

#[test]
fn neither_another_signature_nor_another_message_is_taken_for_a_verified_token() {
    let tokens = VerifiedTokens::default();
    assert!(check(&tokens, "a.b", "good", true).0);
    for (message, signature) in [("a.b", "goo"), ("a.c", "good"), ("a.b", "")] {
        let outcome = check(&tokens, message, signature, false);
        assert_eq!(outcome, (false, true), "{message} {signature}");
    }
}

#[test]
fn as_many_tokens_as_are_promised_are_remembered_and_those_in_use_stay() {
    let tokens = VerifiedTokens::default();
    assert!(check(&tokens, "a.b", "in use", true).0);
    for number in 0..20 * SHARDS * MAX_TOKENS {
        assert!(check(&tokens, "a.b", &number.to_string(), true).0);
        if number % 100 == 0 {
            assert_eq!(check(&tokens, "a.b", "in use", true), (true, false));
        }
    }
    for shard in &tokens.shards {
        let shard = shard.lock().unwrap();
        assert!(shard.recent.len() + shard.older.len() <= MAX_TOKENS);
    }
}
