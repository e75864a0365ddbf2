//! Parsing and comparing API keys.

use super::*;

#[test]
fn a_key_matches_by_its_text_or_digest_only() {
    // printf %s abc | sha256sum
    let digest = "sha256:BA7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    let plain = "another-key-of-some-length";
    let keys = ApiKeys::parse([plain, digest]).unwrap();
    assert!(keys.contains(plain) && keys.contains("abc"));
    for other in ["", "another-key-of-some-lengt", digest, "sha256:"] {
        assert!(!keys.contains(other), "{other}");
    }
    assert!(!ApiKeys::default().contains(""));
}

#[test]
fn an_invalid_key_is_rejected_and_not_quoted() {
    let long = "x".repeat(MIN_API_KEY_CHARS);
    for bad in [
        "short-secret-key",
        "",
        "sha256:abc",
        "sha256:g7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad0",
        "a key with white space in it",
        "schlüssel-mit-umlauten-darin",
    ] {
        let problem = ApiKeys::parse([long.as_str(), bad]).unwrap_err();
        assert!(problem.starts_with("key number 2 "), "{problem}");
        assert!(bad.is_empty() || !problem.contains(bad), "{problem}");
    }
}
