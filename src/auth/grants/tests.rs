//! Which rules apply to which rooms, and the text forms of grants.

use proptest::prelude::*;

use super::*;

fn room(name: &str) -> RoomName {
    RoomName::parse(name).unwrap()
}

#[test]
fn any_matching_rule_with_the_permission_allows_it() {
    let grants = Grants::parse("team:*=join,publish; lobby=join team:7=history").unwrap();
    assert!(grants.allow(Permission::Join, &room("team:7")));
    assert!(grants.allow(Permission::Publish, &room("team:7")));
    assert!(grants.allow(Permission::History, &room("team:7")));
    assert!(!grants.allow(Permission::History, &room("team:8")));
    assert!(grants.allow(Permission::Join, &room("lobby")));
    assert!(!grants.allow(Permission::Publish, &room("lobby")));
    assert!(!grants.allow(Permission::Join, &room("lobby2")));
    assert!(!Grants::default().allow(Permission::Join, &room("lobby")));
}

#[test]
fn only_a_pattern_that_begins_with_user_matches_personal_rooms() {
    let alice = room("user:alice");
    for text in [
        "*=publish",
        "user*=publish",
        "*user:alice=publish",
        "u*=publish",
    ] {
        let grants = Grants::parse(text).unwrap();
        assert!(!grants.allow(Permission::Publish, &alice), "{text}");
    }
    for text in ["user:*=publish", "user:alice=publish"] {
        let grants = Grants::parse(text).unwrap();
        assert!(grants.allow(Permission::Publish, &alice), "{text}");
    }
}

#[test]
fn allow_everywhere_needs_a_rule_for_exactly_a_star() {
    let everywhere = |text| {
        Grants::parse(text)
            .unwrap()
            .allow_everywhere(Permission::Signal)
    };
    assert!(everywhere("*=signal"));
    assert!(everywhere("a=join;*=join,signal"));
    for text in ["**=signal", "a*=signal", "*=join", ""] {
        assert!(!everywhere(text), "{text}");
    }
    assert!(Grants::everything().allow_everywhere(Permission::Signal));
}

#[test]
fn an_invalid_rule_is_rejected_with_what_was_expected() {
    for (text, expected) in [
        ("lobby", "pattern=permission,permission"),
        ("lobby=join publish", "pattern=permission,permission"),
        ("lobby=join, publish", "is not a permission"),
        ("lobby=jion", "join, publish, history, presence, signal"),
        ("lobby=", "join, publish"),
        ("lobby=join,", "join, publish"),
        ("=join", "1 to 133 bytes"),
    ] {
        let error = Grants::parse(text).unwrap_err();
        assert!(error.message().contains(expected), "{text}: {error}");
    }
    assert!(Grants::parse(&"a=join;".repeat(64)).is_ok());
    assert!(Grants::parse(&"a=join;".repeat(65)).is_err());
}

#[test]
fn unknown_permissions_in_a_claim_are_ignored() {
    let claim = r#"[{"match":"a","can":["join","fly"],"note":1},{"match":"b","can":["fly"]}]"#;
    let grants: Grants = serde_json::from_str(claim).unwrap();
    assert_eq!(grants, Grants::parse("a=join").unwrap());
}

#[test]
fn a_claim_of_another_shape_is_rejected() {
    let rule = r#"{"match":"a","can":["join"]}"#;
    let many = |n: usize| format!("[{}]", vec![rule; n].join(","));
    assert!(serde_json::from_str::<Grants>(&many(64)).is_ok());
    for claim in [
        many(65).as_str(),
        r#""a=join""#,
        r#"[{"match":"a b","can":["join"]}]"#,
        r#"[{"match":"a"}]"#,
        r#"[{"can":["join"]}]"#,
        r#"[{"match":"a","can":"join"}]"#,
    ] {
        assert!(serde_json::from_str::<Grants>(claim).is_err(), "{claim}");
    }
}

fn some_grants() -> impl Strategy<Value = Grants> {
    let rule = ("[a-z:*ä-]{1,12}", 1u8..32).prop_map(|(pattern, bits)| Rule {
        pattern: Pattern::parse(&pattern).unwrap(),
        permissions: Permissions(bits),
    });
    prop::collection::vec(rule, 0..=MAX_RULES).prop_map(Grants)
}

proptest! {
    #[test]
    fn printed_grants_parse_to_the_same(grants in some_grants()) {
        prop_assert_eq!(&Grants::parse(&grants.to_string()).unwrap(), &grants);
    }

    #[test]
    fn grants_round_trip_through_their_claim(grants in some_grants()) {
        let claim = serde_json::to_string(&grants).unwrap();
        prop_assert_eq!(&serde_json::from_str::<Grants>(&claim).unwrap(), &grants);
    }

    #[test]
    fn parsing_arbitrary_text_does_not_panic(text in "[a-z=,; *]{0,60}") {
        if let Ok(grants) = Grants::parse(&text) {
            prop_assert_eq!(&Grants::parse(&grants.to_string()).unwrap(), &grants);
        }
    }
}
