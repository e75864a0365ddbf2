use super::*;

fn rule(namespace: Option<&str>, event: &str, to_sender: bool, empty_ack: bool) -> RelayRule {
    RelayRule {
        namespace: namespace.map(|name| Namespace::parse(name).unwrap()),
        event: event.to_owned(),
        mode: RelayMode {
            to_sender,
            empty_ack,
        },
    }
}

#[test]
fn a_rule_is_a_name_with_a_namespace_before_it_and_modes_behind_it() {
    for (text, expected) in [
        ("draw", rule(None, "draw", false, false)),
        ("chat message=all", rule(None, "chat message", true, false)),
        ("typing=ack", rule(None, "typing", false, true)),
        ("move=all=ack", rule(None, "move", true, true)),
        (
            "/game move:*=all",
            rule(Some("/game"), "move:*", true, false),
        ),
        ("/ message", rule(Some("/"), "message", false, false)),
        (
            "/path/of/an/event",
            rule(None, "/path/of/an/event", false, false),
        ),
        ("a=b", rule(None, "a=b", false, false)),
        ("a=all=b", rule(None, "a=all=b", false, false)),
        ("*", rule(None, "*", false, false)),
        ("5", rule(None, "5", false, false)),
    ] {
        let read: RelayRule = text.parse().unwrap();
        assert_eq!(read, expected, "{text:?}");
        assert_eq!(read.to_string().parse::<RelayRule>().unwrap(), read);
    }
    let backwards: RelayRule = "move=ack=all".parse().unwrap();
    assert_eq!(backwards.to_string(), "move=all=ack");
}

#[test]
fn what_no_client_may_be_sent_and_names_that_are_none_are_no_rules() {
    let long = "n".repeat(MAX_EVENT_BYTES + 1);
    for text in [
        "",
        " ",
        "=all",
        "disconnect",
        "error",
        "connect=all",
        "a\u{7}",
        &long,
    ] {
        assert!(text.parse::<RelayRule>().is_err(), "{text:?}");
    }
}
