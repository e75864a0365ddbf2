//! Issued tokens, as the server verifies them.

use super::*;
use crate::auth::{Authority, AuthorityConfig, parse_info, parse_name};

const SECRET: &str = "0123456789abcdef0123456789abcdef";

fn authority() -> Authority {
    Authority::new(AuthorityConfig {
        hmac_secret: Some(SECRET.into()),
        issuer: Some("https://id".into()),
        audience: vec!["chat".into()],
        leeway: Duration::ZERO,
        ..AuthorityConfig::default()
    })
    .unwrap()
}

fn alice() -> TokenClaims {
    TokenClaims::for_user(UserId::parse("alice").unwrap())
}

#[tokio::test]
async fn the_claims_of_an_issued_token_are_verified_as_issued() {
    let info = RawValue::from_string(r#"{"a":1.0}"#.into()).unwrap();
    let claims = TokenClaims {
        name: parse_name("Alice").unwrap(),
        info: Some(parse_info(info).unwrap()),
        rooms: Some(Grants::parse("team:*=join,publish; lobby=join").unwrap()),
        ttl: Some(Duration::from_secs(60)),
        iss: Some("https://id".into()),
        aud: vec!["other".into(), "chat".into()],
        ..alice()
    };
    let token = issue(SECRET, &claims, Timestamp(1_000_400)).unwrap();
    let principal = authority()
        .verify(&token, Timestamp(1_060_999))
        .await
        .unwrap();
    assert_eq!(principal.sender().user, claims.sub);
    assert_eq!(principal.sender().name, claims.name);
    assert_eq!(principal.info.unwrap().get(), r#"{"a":1.0}"#);
    assert_eq!(Some(&*principal.grants), claims.rooms.as_ref());
    assert_eq!(principal.expires_at, Some(Timestamp(1_061_000)));
    assert!(
        authority()
            .verify(&token, Timestamp(1_061_000))
            .await
            .is_err()
    );
}

#[tokio::test]
async fn a_token_with_only_a_user_gets_the_default_grants() {
    let other = Authority::new(AuthorityConfig {
        hmac_secret: Some(SECRET.into()),
        default_grants: Grants::parse("lobby=join").unwrap(),
        ..AuthorityConfig::default()
    })
    .unwrap();
    let token = issue(SECRET, &alice(), Timestamp(0)).unwrap();
    let principal = other.verify(&token, Timestamp(u64::MAX)).await.unwrap();
    assert_eq!(principal.grants.to_string(), "lobby=join");
    assert_eq!(principal.expires_at, None);
    assert!(authority().verify(&token, Timestamp(0)).await.is_err());
}

#[test]
fn a_token_that_no_server_would_accept_is_not_issued() {
    let error = issue("short", &alice(), Timestamp(0)).unwrap_err();
    assert_eq!(error.code(), Code::BadRequest);
    let rule = format!("{}=join", "x".repeat(128));
    let rooms = Grants::parse(&vec![rule; 64].join(";")).unwrap();
    let claims = TokenClaims {
        rooms: Some(rooms),
        ..alice()
    };
    let error = issue(SECRET, &claims, Timestamp(0)).unwrap_err();
    assert_eq!(error.code(), Code::TooLarge);
}
