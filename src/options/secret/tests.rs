//! Redaction of secrets and URLs.

use proptest::prelude::*;

use super::*;

#[test]
fn a_secret_is_redacted_in_every_format() {
    let secret = Secret::new("hush");
    assert_eq!(
        format!("{secret} {secret:?} {:#?}", Some(&secret)),
        "(set) (set) Some(\n    (set),\n)"
    );
    assert_eq!(Some(secret).to_value(), Value::Text("(set)".into()));
}

#[test]
fn user_password_query_and_fragment_of_a_url_are_redacted() {
    for (url, shown) in [
        ("https://id.example/jwks", "https://id.example/jwks"),
        (
            "https://me:hush@id.example/jwks?key=hush",
            "https://***@id.example/jwks?***",
        ),
        (
            "https://hush@id.example:8443/jwks#hush",
            "https://***@id.example:8443/jwks#***",
        ),
        ("https://me:hu?s@h@id.example", "https://***@id.example"),
        ("keys/jwks.json", "keys/jwks.json"),
        ("id.example/jwks?key=hush", "id.example/jwks?***"),
        ("me:hush@id.example", "***@id.example"),
        (
            "redis://:hush@a:1,redis://me:hu,sh@b:2/0",
            "redis://***@a:1,redis://***@b:2/0",
        ),
        ("redis://a:1, rediss://b:2", "redis://a:1, rediss://b:2"),
        (
            "unix:///run/redis.sock?pass=hush",
            "unix:///run/redis.sock?***",
        ),
    ] {
        let secret = SecretUrl::new(url);
        assert_eq!(secret.to_string(), shown);
        assert_eq!(format!("{secret:?}"), shown);
        assert_eq!(secret.is_redacted(), url != shown);
    }
}

proptest! {
    #[test]
    fn a_password_of_any_characters_is_redacted(
        before in "[a-z]{0,4}",
        after in "[!-~]{0,12}",
        query in "[!-~]{0,12}",
    ) {
        let url = format!("redis://{before}:HUSH{after}@host:1/?HUSH{query}");
        prop_assert!(!SecretUrl::new(&url).to_string().contains("HUSH"), "{url}");
    }
}
