//! Parsing tokens and validating claims.

use proptest::prelude::*;
use serde_json::json;

use super::*;

fn policy() -> ClaimPolicy {
    ClaimPolicy {
        issuer: None,
        audience: Vec::new(),
        leeway: Duration::from_secs(5),
        default_grants: Arc::new(Grants::parse("lobby=join").unwrap()),
    }
}

fn principal(policy: &ClaimPolicy, claims: &serde_json::Value, now_ms: u64) -> Result<Principal> {
    let text = claims.to_string();
    let claims =
        serde_json::from_str(&text).map_err(|error| Error::unauthorized(error.to_string()))?;
    policy.principal(&claims, Timestamp(now_ms))
}

fn code(policy: &ClaimPolicy, claims: &serde_json::Value, now_ms: u64) -> Option<Code> {
    principal(policy, claims, now_ms)
        .err()
        .map(|error| error.code())
}

#[test]
fn a_token_expires_at_exp_plus_the_leeway() {
    let claims = json!({"sub": "alice", "exp": 1000});
    let alice = principal(&policy(), &claims, 1_004_999).unwrap();
    assert_eq!(alice.expires_at, Some(Timestamp(1_000_000)));
    assert_eq!(
        code(&policy(), &claims, 1_005_000),
        Some(Code::TokenExpired)
    );
    let claims = json!({"sub": "alice", "exp": 1000.5});
    assert_eq!(code(&policy(), &claims, 1_005_499), None);
    assert_eq!(
        code(&policy(), &claims, 1_005_500),
        Some(Code::TokenExpired)
    );
}

#[test]
fn a_token_without_exp_does_not_expire() {
    let alice = principal(&policy(), &json!({"sub": "alice"}), u64::MAX).unwrap();
    assert_eq!(alice.expires_at, None);
}

#[test]
fn a_time_that_is_not_a_number_is_rejected_and_extreme_ones_are_valid() {
    for exp in [json!(null), json!("1000"), json!([]), json!({})] {
        let claims = json!({"sub": "alice", "exp": exp});
        assert_eq!(
            code(&policy(), &claims, 0),
            Some(Code::Unauthorized),
            "{exp}"
        );
    }
    let never = json!({"sub": "alice", "exp": 1e300});
    assert_eq!(code(&policy(), &never, u64::MAX - 1), None);
    let before_all = json!({"sub": "alice", "exp": -1e300});
    assert_eq!(code(&policy(), &before_all, 5000), Some(Code::TokenExpired));
}

#[test]
fn a_token_is_valid_from_nbf_minus_the_leeway() {
    let claims = json!({"sub": "alice", "nbf": 1000});
    assert_eq!(code(&policy(), &claims, 994_999), Some(Code::Unauthorized));
    assert_eq!(code(&policy(), &claims, 995_000), None);
}

#[test]
fn issuer_and_audience_must_match_the_configuration() {
    let policy = ClaimPolicy {
        issuer: Some("https://id".into()),
        audience: vec!["chat".into(), "app".into()],
        ..policy()
    };
    let with = |iss: serde_json::Value, aud: serde_json::Value| {
        code(&policy, &json!({"sub": "alice", "iss": iss, "aud": aud}), 0)
    };
    assert_eq!(with(json!("https://id"), json!("app")), None);
    assert_eq!(with(json!("https://id"), json!(["x", "chat"])), None);
    for (iss, aud) in [
        (json!("https://id/"), json!("app")),
        (json!(null), json!("app")),
        (json!("https://id"), json!("application")),
        (json!("https://id"), json!([])),
        (json!("https://id"), json!(null)),
        (json!("https://id"), json!(7)),
    ] {
        assert_eq!(
            with(iss.clone(), aud.clone()),
            Some(Code::Unauthorized),
            "{iss} {aud}"
        );
    }
}

#[test]
fn claims_become_the_principal_with_defaults_for_missing_ones() {
    let text = r#"{"sub":"alice","name":"Alice","info":{"b":1.0,"a":[]},
            "rooms":[{"match":"team:*","can":["publish"]}],"other":{}}"#;
    let alice = policy()
        .principal(&serde_json::from_str(text).unwrap(), Timestamp(0))
        .unwrap();
    assert_eq!(alice.user.as_str(), "alice");
    assert_eq!(alice.name.as_deref(), Some("Alice"));
    assert_eq!(alice.info.unwrap().get(), r#"{"b":1.0,"a":[]}"#);
    assert_eq!(alice.grants.to_string(), "team:*=publish");

    let bare = json!({"sub": "bob", "name": "", "info": null});
    let bob = principal(&policy(), &bare, 0).unwrap();
    assert!(bob.name.is_none() && bob.info.is_none());
    assert_eq!(bob.grants.to_string(), "lobby=join");
    // An empty list of rooms grants nothing; a missing one grants the default.
    let nowhere = principal(&policy(), &json!({"sub": "bob", "rooms": []}), 0).unwrap();
    assert!(nowhere.grants.is_empty());
}

#[test]
fn invalid_claims_are_rejected_with_the_name_of_the_claim() {
    for (claims, named) in [
        (json!({}), "sub"),
        (json!({"sub": "a b"}), "sub"),
        (json!({"sub": "x".repeat(129)}), "sub"),
        (json!({"sub": 7.5}), "sub"),
        (json!({"sub": ["a"]}), "sub"),
        (json!({"sub": "a", "name": "\u{7}"}), "name"),
        (json!({"sub": "a", "name": 7}), "name"),
        (json!({"sub": "a", "info": []}), "info"),
        (json!({"sub": "a", "exp": "soon"}), "exp"),
        (json!({"sub": "a", "nbf": {}}), "nbf"),
        (json!({"sub": "a", "iss": 7}), "iss"),
        (json!({"sub": "a", "aud": 7}), "aud"),
        (json!({"sub": "a", "rooms": "all"}), "rooms"),
        (json!({"sub": "a", "rooms": ["a", "b"]}), "rooms"),
        (
            json!({"sub": "a", "rooms": [{"match": "a", "can": "join"}]}),
            "rooms",
        ),
        (json!([]), "expected"),
    ] {
        let error = principal(&policy(), &claims, 0).unwrap_err();
        assert_eq!(error.code(), Code::Unauthorized);
        assert!(error.message().contains(named), "{claims}: {error}");
    }
}

#[test]
fn a_numeric_sub_becomes_its_digits() {
    for (sub, user) in [
        ("42", "42"),
        ("-7", "-7"),
        ("0", "0"),
        (
            "123456789012345678901234567890",
            "123456789012345678901234567890",
        ),
        (r#""4\u0032""#, "42"),
    ] {
        let claims = serde_json::from_str(&format!("{{\"sub\":{sub}}}")).unwrap();
        let principal = policy().principal(&claims, Timestamp(0)).unwrap();
        assert_eq!(principal.user.as_str(), user, "{sub}");
    }
}

#[test]
fn a_duplicate_claim_is_rejected_by_name() {
    for (twice, name) in [
        (r#"{"sub":"alice","sub":"admin"}"#, "sub"),
        (r#"{"sub":"a","rooms":[],"\u0072ooms":null}"#, "rooms"),
    ] {
        let error = serde_json::from_str::<Claims>(twice).err().unwrap();
        assert!(error.to_string().contains(name), "{error}");
    }
}

#[test]
fn a_malformed_token_is_rejected() {
    let header = |json: &str| URL_SAFE_NO_PAD.encode(json);
    let good = header(r#"{"alg":"HS256"}"#);
    assert!(UnverifiedToken::parse(&format!("{good}.e30.c2ln")).is_ok());
    for token in [
        String::new(),
        "a.b".into(),
        "..".into(),
        format!("{good}.e30"),
        format!("{good}.e30.c2ln.x"),
        format!("{}.e30.", header(r#"{"alg":"none"}"#)),
        format!("{}.e30.", header(r#"{"alg":"nOnE"}"#)),
        format!("{}.e30.c2ln", header(r#"{"alg":"HS512"}"#)),
        format!("{}.e30.c2ln", header(r#"{"typ":"JWT"}"#)),
        format!("{}.e30.c2ln", header(r#"{"alg":"HS256","crit":["b64"]}"#)),
        format!("{good}.{}.c2ln", "A".repeat(MAX_TOKEN_BYTES)),
    ] {
        let error = UnverifiedToken::parse(&token).err().expect(&token);
        assert_eq!(error.code(), Code::Unauthorized);
    }
}

proptest! {
    #[test]
    fn parsing_arbitrary_text_does_not_panic(text in "[A-Za-z0-9._=-]{0,60}|\\PC{0,40}") {
        let _ = UnverifiedToken::parse(&text).map(|token| token.claims().is_ok());
    }

    #[test]
    fn validating_arbitrary_times_does_not_panic(exp: f64, nbf: f64, now: u64) {
        let claims = json!({"sub": "alice", "exp": exp, "nbf": nbf});
        let _ = principal(&policy(), &claims, now);
    }
}
