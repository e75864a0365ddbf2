//! Verification with every kind of key, and open mode.

mod rotation;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::json;

use super::{super::testing::Signer, *};
use crate::error::Code;

const SECRET: &str = "0123456789abcdef0123456789abcdef";

fn authority(config: AuthorityConfig) -> Authority {
    Authority::new(config).unwrap()
}

fn with_secret() -> AuthorityConfig {
    AuthorityConfig {
        hmac_secret: Some(SECRET.into()),
        ..AuthorityConfig::default()
    }
}

fn with_public(pem: &str) -> AuthorityConfig {
    AuthorityConfig {
        public_key: Some(pem.into()),
        ..AuthorityConfig::default()
    }
}

async fn user(authority: &Authority, token: &str) -> Result<String, Code> {
    match authority.verify(token, Timestamp(0)).await {
        Ok(principal) => Ok(principal.user.to_string()),
        Err(error) => Err(error.code()),
    }
}

#[tokio::test]
async fn a_token_of_each_algorithm_is_accepted_with_its_key_and_no_other() {
    let signers = [Signer::rsa(), Signer::ec(), Signer::ed()];
    for signer in &signers {
        let authority = authority(with_public(&signer.public_pem));
        for other in &signers {
            let expected = if std::ptr::eq(signer, other) {
                Ok("alice".to_owned())
            } else {
                Err(Code::Unauthorized)
            };
            let token = other.token(None, "alice");
            assert_eq!(
                user(&authority, &token).await,
                expected,
                "{:?}",
                other.algorithm
            );
        }
    }
    let authority = authority(with_secret());
    let good = Signer::secret(SECRET).token(Some("any"), "alice");
    assert_eq!(user(&authority, &good).await, Ok("alice".into()));
    let bad = Signer::secret(&SECRET.to_uppercase()).token(None, "alice");
    assert_eq!(user(&authority, &bad).await, Err(Code::Unauthorized));
}

#[tokio::test]
async fn a_token_signed_with_another_key_of_the_same_kind_is_rejected() {
    for (ours, theirs) in [
        (Signer::rsa(), Signer::rsa()),
        (Signer::ec(), Signer::ec()),
        (Signer::ed(), Signer::ed()),
    ] {
        let authority = authority(with_public(&ours.public_pem));
        let token = theirs.token(None, "alice");
        assert_eq!(user(&authority, &token).await, Err(Code::Unauthorized));
    }
}

#[tokio::test]
async fn all_configured_keys_are_trusted_together() {
    let (rsa, ed) = (Signer::rsa(), Signer::ed());
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("secret");
    let second = "another secret of at least 32 bytes";
    std::fs::write(&file, format!("{second}\n")).unwrap();
    let pems = folder.path().join("keys.pem");
    std::fs::write(&pems, format!("{}{}", rsa.public_pem, ed.public_pem)).unwrap();
    let authority = authority(AuthorityConfig {
        hmac_secret_file: Some(file),
        public_key: Some(pems.display().to_string()),
        ..with_secret()
    });
    for signer in [rsa, ed, Signer::secret(SECRET), Signer::secret(second)] {
        let token = signer.token(None, "alice");
        assert_eq!(
            user(&authority, &token).await,
            Ok("alice".into()),
            "{:?}",
            signer.algorithm
        );
    }
}

#[tokio::test]
async fn a_public_key_is_not_accepted_as_an_hmac_secret() {
    let rsa = Signer::rsa();
    let both = authority(AuthorityConfig {
        hmac_secret: Some(SECRET.into()),
        ..with_public(&rsa.public_pem)
    });
    for authority in [authority(with_public(&rsa.public_pem)), both] {
        for text in [rsa.public_pem.as_str(), rsa.public_pem.trim_end()] {
            let forged = Signer::secret(text).token(None, "admin");
            assert_eq!(user(&authority, &forged).await, Err(Code::Unauthorized));
        }
    }
}

#[tokio::test]
async fn an_unsigned_or_modified_token_is_rejected() {
    let authority = authority(with_secret());
    let good = Signer::secret(SECRET).token(None, "alice");
    let parts: Vec<&str> = good.split('.').collect();
    let none = URL_SAFE_NO_PAD.encode(r#"{"alg":"none","typ":"JWT"}"#);
    let admin = URL_SAFE_NO_PAD.encode(r#"{"sub":"admin"}"#);
    for token in [
        format!("{none}.{admin}."),
        format!("{none}.{admin}.{}", parts[2]),
        format!("{}.{admin}.{}", parts[0], parts[2]),
        format!("{}.{}.", parts[0], parts[1]),
        format!("{}.{}.{}", parts[0], parts[1], &parts[2][1..]),
        format!("{good}="),
        format!("{good}\n"),
        "garbage".into(),
        String::new(),
    ] {
        assert_eq!(
            user(&authority, &token).await,
            Err(Code::Unauthorized),
            "{token}"
        );
    }
}

#[tokio::test]
async fn claims_are_validated_only_after_the_signature() {
    let authority = authority(AuthorityConfig {
        issuer: Some("https://id".into()),
        default_grants: Grants::parse("lobby=join").unwrap(),
        ..with_secret()
    });
    let old = json!({"sub": "alice", "iss": "https://id", "exp": 10});
    let token = Signer::secret(SECRET).sign(None, &old);
    let at = |ms| authority.verify(&token, Timestamp(ms));
    let alice = at(14_999).await.unwrap();
    assert_eq!(alice.expires_at, Some(Timestamp(10_000)));
    assert_eq!(alice.grants.to_string(), "lobby=join");
    assert_eq!(at(15_000).await.unwrap_err().code(), Code::TokenExpired);
    // The error for a forged token reveals nothing about its claims.
    let forged = Signer::secret(&SECRET.to_uppercase()).sign(None, &old);
    let error = authority
        .verify(&forged, Timestamp(15_000))
        .await
        .unwrap_err();
    assert_eq!(error.code(), Code::Unauthorized);
}

#[test]
fn all_key_problems_are_reported_at_once_with_their_options() {
    let problems = Authority::new(AuthorityConfig {
        hmac_secret: Some("short".into()),
        hmac_secret_file: Some("/no/such/file".into()),
        public_key: Some("-----BEGIN CERTIFICATE-----".into()),
        jwks: Some("/no/such/set".into()),
        ..AuthorityConfig::default()
    })
    .unwrap_err();
    let expected = [
        ("auth.hmac_secret", "has 5 bytes"),
        ("auth.hmac_secret_file", "/no/such/file cannot be read"),
        ("auth.public_key", "holds a CERTIFICATE"),
        ("auth.jwks", "cannot be read"),
    ];
    assert_eq!(problems.len(), expected.len(), "{problems:?}");
    for (problem, (option, what)) in problems.iter().zip(expected) {
        assert!(
            problem.option == option && problem.what.contains(what),
            "{problem}"
        );
    }
}

#[test]
fn no_secret_is_ever_printed() {
    let config = with_secret();
    assert!(!format!("{config:?}").contains(SECRET));
    assert!(!format!("{:?}", authority(config)).contains(SECRET));
}

#[tokio::test]
async fn in_open_mode_a_user_has_the_given_name_or_is_a_guest() {
    let open = authority(AuthorityConfig::default());
    assert!(open.is_open());
    assert_eq!(
        open.open_principal(Some("bob")).unwrap().user.as_str(),
        "bob"
    );
    assert_eq!(
        open.open_principal(Some("a b")).unwrap_err().code(),
        Code::BadRequest
    );
    let guest = open.open_principal(None).unwrap();
    let suffix = guest.user.as_str().strip_prefix("guest-").unwrap();
    assert_eq!(suffix.len(), 6);
    assert!(
        suffix
            .chars()
            .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit())
    );
    assert_ne!(guest.user, open.open_principal(None).unwrap().user);
    assert_eq!(guest.expires_at, None);
    assert_eq!(user(&open, "x").await, Err(Code::Unauthorized));
    assert!(open.start(CancellationToken::new()).await.is_none());
}

#[test]
fn with_a_key_a_user_name_alone_is_rejected() {
    let authority = authority(with_secret());
    assert!(!authority.is_open());
    for name in [None, Some("bob")] {
        let error = authority.open_principal(name).unwrap_err();
        assert_eq!(error.code(), Code::Unauthorized);
    }
}
