use super::*;

fn event(text: &str) -> Result<EventReply, String> {
    match read::<EventReply>(200, text.as_bytes())? {
        Answer::Reply(reply) => Ok(reply),
        Answer::Denied(error) => panic!("{error}"),
    }
}

fn denied(status: u16, text: &str) -> String {
    match read::<JoinReply>(status, text.as_bytes()).unwrap() {
        Answer::Reply(reply) => panic!("{reply:?}"),
        Answer::Denied(error) => serde_json::to_string(&error).unwrap(),
    }
}

#[test]
fn the_order_of_the_keys_says_whether_the_ack_goes_first() {
    let first = event(r#"{"ack":[1],"state":{},"do":[{"join":"a"}]}"#).unwrap();
    assert!(first.ack_first);
    let last = event(r#"{"do":[{"join":"a"}],"ack":[1]}"#).unwrap();
    assert!(!last.ack_first);
    let none = event(r#"{"ack":null,"do":[]}"#).unwrap();
    assert!(none.ack.is_none() && !none.ack_first);
}

#[test]
fn actions_are_read_in_order() {
    let reply = event(
        r#"{"do":[{"join":"a"},{"leave":"b"},{"emit":["x",{"$binary":"AQ=="}]},{"emit":["y"],"to":"a","except":"caller"},
            {"emit":["z"],"to":{"user":"bob"}},{"emit":["w"],"to":"all"},{"publish":{"room":"a","data":[1.0]}},{"disconnect":"bye"}]}"#,
    );
    let shown = format!("{:?}", reply.unwrap().actions);
    for (before, after) in [
        ("Join", "Leave"),
        ("Leave", "Caller"),
        ("Room", "User"),
        ("All", "Publish"),
    ] {
        assert!(shown.find(before) < shown.find(after), "{shown}");
    }
    assert!(shown.contains("[1.0]"), "{shown}");
}

#[test]
fn a_reply_that_is_wrong_anywhere_is_refused() {
    let many = format!(r#"{{"do":[{}]}}"#, vec![r#"{"join":"a"}"#; 101].join(","));
    let deep = format!(r#"{{"ack":[{}{}]}}"#, "[".repeat(200), "]".repeat(200));
    for wrong in [
        "",
        "[]",
        "1",
        "{",
        "{}{}",
        r#"{"ack":1}"#,
        r#"{"ack":{}}"#,
        r#"{"state":[]}"#,
        r#"{"do":{}}"#,
        r#"{"ack":[],"ack":[]}"#,
        r#"{"do":[{}]}"#,
        r#"{"do":[1]}"#,
        r#"{"do":[{"join":"a","leave":"b"}]}"#,
        r#"{"do":[{"join":"a b"}]}"#,
        r#"{"do":[{"emit":[]}]}"#,
        r#"{"do":[{"emit":[1]}]}"#,
        r#"{"do":[{"emit":["disconnect"]}]}"#,
        r#"{"do":[{"emit":["x"],"to":"a","except":"me"}]}"#,
        r#"{"do":[{"emit":["x"],"except":"caller"}]}"#,
        r#"{"do":[{"emit":["x"],"to":{"users":"a"}}]}"#,
        r#"{"do":[{"publish":{"room":"a"}}]}"#,
        r#"{"do":[{"publish":{"room":"a","event":"typing","data":1}}]}"#,
        r#"{"do":[{"disconnect":1}]}"#,
        r#"{"deny":1}"#,
        r#"{"deny":{"code":"","message":"x"}}"#,
        &many,
        &deep,
    ] {
        let found = read::<EventReply>(200, wrong.as_bytes());
        assert!(found.is_err(), "{wrong}: {found:?}");
    }
    assert!(read::<EventReply>(200, b"{\"ack\":[\"\xff\"]}").is_err());
}

#[test]
fn a_refusal_has_the_code_and_the_message_of_the_endpoint() {
    assert_eq!(
        denied(200, r#"{"deny":{"code":"no_plan","message":"Buy one."}}"#),
        r#"{"code":"no_plan","message":"Buy one."}"#
    );
    assert_eq!(
        denied(200, r#"{"deny":{"message":"no"}}"#),
        r#"{"code":"forbidden","message":"no"}"#
    );
    assert_eq!(
        denied(403, r#"{"message":"no"}"#),
        r#"{"code":"forbidden","message":"no"}"#
    );
    for body in ["", "<html>", r#"{"deny":7}"#] {
        let error = denied(403, body);
        assert!(
            error.starts_with(r#"{"code":"forbidden","message":"the application"#),
            "{error}"
        );
    }
}

#[test]
fn a_connection_gets_an_identity_rooms_and_a_state() {
    let text = r#"{"user":"u1","name":"U","info":{"a":1},"rooms":[{"match":"*","can":["join"]}],"join":["a"],"expires_at":5,"state":{}}"#;
    let Ok(Answer::Reply(reply)) = read::<ConnectReply>(200, text.as_bytes()) else {
        panic!("it is a reply");
    };
    assert_eq!(reply.identity.user.unwrap().as_str(), "u1");
    assert_eq!((reply.join.len(), reply.state.is_some()), (1, true));
    for wrong in [
        r#"{"user":""}"#,
        r#"{"name":1}"#,
        r#"{"info":[]}"#,
        r#"{"rooms":{}}"#,
        r#"{"join":["a b"]}"#,
        r#"{"expires_at":"x"}"#,
        r#"{"state":1}"#,
    ] {
        assert!(
            read::<ConnectReply>(200, wrong.as_bytes()).is_err(),
            "{wrong}"
        );
    }
}

#[test]
fn a_message_keeps_its_data_unless_the_reply_has_other_data() {
    let data = |text: &str| match read::<PublishReply>(200, text.as_bytes()) {
        Ok(Answer::Reply(reply)) => reply.data.map(|data| data.get().to_owned()),
        other => panic!("{other:?}"),
    };
    assert_eq!(data("{}"), None);
    assert_eq!(data(r#"{"data":null}"#), Some("null".to_owned()));
    assert_eq!(
        data(r#"{"data":{"a":1.0}}"#),
        Some(r#"{"a":1.0}"#.to_owned())
    );
}
