#![allow(clippy::unwrap_used, reason = "a test may fail by panic")]

use proptest::prelude::*;

use super::{RoomPolicies, policy::KeptHistory, rate::RoomRate, read};
use crate::{
    model::RoomName,
    options::{OptionValue, Tables},
};

fn policies(json: &str) -> RoomPolicies {
    read(&Tables::from_json(json).unwrap()).unwrap()
}

fn index(policies: &RoomPolicies, room: &str) -> Option<usize> {
    let room = RoomName::parse(room).unwrap();
    policies.of(&room).map(|policy| policy.index)
}

#[test]
fn the_first_table_that_matches_applies() {
    let policies = policies(r#"[{"match":"board-7"},{"match":"board-*"},{"match":"*"}]"#);
    assert_eq!(index(&policies, "board-7"), Some(0));
    assert_eq!(index(&policies, "board-8"), Some(1));
    assert_eq!(index(&policies, "lobby"), Some(2));
}

#[test]
fn personal_rooms_have_a_policy_only_by_a_pattern_that_names_them() {
    let policies = policies(r#"[{"match":"*"},{"match":"user:a*"}]"#);
    assert_eq!(index(&policies, "user:alice"), Some(1));
    assert_eq!(index(&policies, "user:bob"), None);
}

#[test]
fn a_rate_is_events_in_a_second_a_minute_or_an_hour() {
    for text in ["20/s", "30/m", "1/h"] {
        assert_eq!(RoomRate::parse(text).unwrap().to_string(), text);
    }
    for text in ["", "20", "/s", "0/s", "-1/s", "20/d", "1.5/s", "20/s/s"] {
        assert_eq!(RoomRate::parse(text), None, "{text}");
    }
}

#[test]
fn history_is_a_count_and_an_age() {
    assert_eq!(
        KeptHistory::parse("1000, 30d").unwrap().to_string(),
        "1000, 30d"
    );
    for text in ["", "1000", "30d", "many, 30d", "1000, 30", "-1, 1d"] {
        assert_eq!(KeptHistory::parse(text), None, "{text}");
    }
}

proptest! {
    #[test]
    fn whatever_is_written_in_a_table_is_read_or_refused(
        key in "match|join|publish|history|presence|typing|rate|message_bytes|events|x",
        value in r#"true|7|-1|"[a-z0-9/, *]{0,12}"|\[\]|\{\}|null|\{"\*":(true|7|"x")\}"#,
    ) {
        let json = format!(r#"[{{"match":"a","{key}":{value}}}]"#);
        if let Some(tables) = Tables::from_json(&json) {
            let _ = read(&tables);
        }
    }
}
