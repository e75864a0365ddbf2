use super::*;

fn namespace(name: &str) -> Namespace {
    Namespace::parse(name).unwrap()
}

fn rules(texts: &[&str]) -> Vec<RelayRule> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

fn owners(contract: &ContractScope, relay: &[&str]) -> EventOwners {
    EventOwners::new(
        &[Namespace::root(), namespace("/game")],
        contract,
        &rules(relay),
    )
}

const TO_OTHERS: Owner = Owner::Relay(RelayMode {
    to_sender: false,
    empty_ack: false,
});
const TO_ALL: Owner = Owner::Relay(RelayMode {
    to_sender: true,
    empty_ack: false,
});

#[test]
fn an_event_belongs_to_who_names_it_then_to_the_contract_then_to_who_names_a_pattern() {
    let owners = owners(
        &ContractScope::All,
        &[
            "typing",
            "chat:*=all",
            "chat:quiet",
            "*:draw",
            "/game move=all",
        ],
    );
    let root = owners.of(&Namespace::root());
    for (event, owner) in [
        ("typing", Some(TO_OTHERS)),
        ("join", Some(Owner::Contract)),
        ("chat:loud", Some(TO_ALL)),
        ("chat:quiet", Some(TO_OTHERS)),
        ("chat:draw", Some(TO_ALL)),
        ("board:draw", Some(TO_OTHERS)),
        ("move", None),
        ("session", None),
    ] {
        assert_eq!(root.owner(event), owner, "{event}");
    }
    let game = owners.of(&namespace("/game"));
    assert_eq!(game.owner("move"), Some(TO_ALL));
    assert_eq!(game.owner("typing"), Some(TO_OTHERS));
    assert_eq!(owners.of(&namespace("/other")).owner("join"), None);
}

#[test]
fn a_pattern_takes_no_name_of_the_contract_and_nobody_owns_those_of_socketio() {
    let with = owners(&ContractScope::All, &["*"]).of(&Namespace::root());
    let without = owners(&ContractScope::None, &["*"]).of(&Namespace::root());
    for name in CONTRACT_EVENTS {
        assert_eq!(with.owner(name), Some(Owner::Contract), "{name}");
        assert_eq!(without.owner(name), Some(TO_OTHERS), "{name}");
    }
    for name in SERVER_EVENTS {
        assert_eq!(with.owner(name), None, "{name}");
        assert_eq!(without.owner(name), Some(TO_OTHERS), "{name}");
    }
    let long = "n".repeat(65);
    for name in [
        "connect",
        "disconnect",
        "connect_error",
        "newListener",
        "error",
        &long,
    ] {
        assert_eq!(with.owner(name), None, "{name}");
        assert_eq!(without.owner(name), None, "{name}");
    }
}

#[test]
fn a_rule_for_a_namespace_comes_before_one_for_all() {
    let owners = owners(&ContractScope::All, &["/game move=all", "move"]);
    assert_eq!(owners.of(&namespace("/game")).owner("move"), Some(TO_ALL));
    assert_eq!(owners.of(&Namespace::root()).owner("move"), Some(TO_OTHERS));
}

#[test]
fn without_the_contract_its_events_belong_to_nobody_and_only_errors_are_noticed() {
    let only = ContractScope::Only(vec![namespace("/game")]);
    let owners = owners(&only, &[]);
    let (root, game) = (
        owners.of(&Namespace::root()),
        owners.of(&namespace("/game")),
    );
    assert_eq!(root.owner("join"), None);
    assert_eq!(game.owner("join"), Some(Owner::Contract));
    assert!(root.sends_notice("error") && !root.sends_notice("session"));
    assert!(game.sends_notice("session"));
}

#[test]
fn notices_of_a_claimed_name_are_not_sent() {
    let owners = owners(&ContractScope::All, &["typing=all"]).of(&Namespace::root());
    assert!(!owners.sends_notice("typing"));
    assert!(owners.sends_notice("presence"));
}

#[test]
fn the_application_may_claim_names_of_the_contract_but_not_a_name_twice() {
    let mut owners = owners(&ContractScope::All, &["draw", "chat:*"]);
    let root = Namespace::root();
    owners.claim(&root, "message").unwrap();
    owners.claim(&root, "chat:mine").unwrap();
    let claimed = owners.of(&root);
    assert_eq!(claimed.owner("message"), Some(Owner::Application));
    assert_eq!(claimed.owner("chat:mine"), Some(Owner::Application));
    assert_eq!(claimed.owner("chat:other"), Some(TO_OTHERS));
    for (name, expected) in [
        ("message", "two handlers"),
        ("draw", "socketio.relay names it"),
        ("disconnect", "Socket.IO uses this name itself"),
        (&"n".repeat(65), "at most 64 bytes"),
        ("cart:*", "patterns are for socketio.relay"),
    ] {
        let problem = owners.claim(&root, name).unwrap_err();
        assert!(problem.contains(expected), "{problem}");
    }
    let problem = owners.claim(&namespace("/other"), "x").unwrap_err();
    assert!(problem.contains("socketio.namespaces"), "{problem}");
}

#[test]
fn conflicting_rules_and_unknown_namespaces_are_problems() {
    let namespaces = [Namespace::root(), namespace("/game")];
    let problems = |contract: &ContractScope, relay: &[&str]| {
        EventOwners::problems(&namespaces, contract, &rules(relay))
    };
    assert_eq!(
        problems(
            &ContractScope::All,
            &["a", "/game b", "/ b", "b*", "c=all", "/game a=all", "*"]
        ),
        []
    );
    for twice in [["a", "a=all"], ["/game a=ack", "/game a"]] {
        let found = problems(&ContractScope::All, &twice);
        assert_eq!(found.len(), 1, "{twice:?}");
        assert_eq!(found[0].0, "socketio.relay");
        assert!(found[0].1.contains("the same event"), "{found:?}");
    }
    let found = problems(&ContractScope::All, &["*", "cart:*=ack"]);
    assert!(found[0].1.contains("never applies"), "{found:?}");
    let found = problems(&ContractScope::All, &["kicked"]);
    assert!(found[0].1.contains("forge"), "{found:?}");
    let only_root = ContractScope::Only(vec![Namespace::root()]);
    assert_eq!(problems(&only_root, &["/game kicked"]), []);
    let found = problems(&ContractScope::Only(vec![namespace("/x")]), &["/y a"]);
    let options: Vec<_> = found.iter().map(|(option, _)| *option).collect();
    assert_eq!(options, ["socketio.contract", "socketio.relay"]);
}

#[test]
fn the_table_is_described_a_line_for_each_owner() {
    let mut owners = owners(
        &ContractScope::None,
        &["draw", "cursor", "chat=all", "/game move=ack"],
    );
    owners.claim(&Namespace::root(), "roll").unwrap();
    assert_eq!(
        owners.describe(),
        "/ application: roll\n/ relay: cursor, draw\n/ relay to all: chat\n\
         /game relay: cursor, draw\n/game relay to all: chat\n/game relay with an ack: move\n"
    );
}

#[test]
fn hooks_own_the_names_they_claim_and_their_patterns_come_before_those_that_are_relayed() {
    let mut owners = owners(&ContractScope::All, &["*=all", "draw"]);
    let of = |events: &[&str]| events.iter().map(ToString::to_string).collect();
    owners.add_hooks(&[of(&["typing", "cart:*"]), of(&["cart:add", "order"])]);
    let root = owners.of(&Namespace::root());
    for (event, owner) in [
        ("typing", Some(Owner::Hook(0))),
        ("cart:remove", Some(Owner::Hook(0))),
        ("cart:add", Some(Owner::Hook(1))),
        ("order", Some(Owner::Hook(1))),
        ("draw", Some(TO_OTHERS)),
        ("move", Some(TO_ALL)),
        ("join", Some(Owner::Contract)),
        ("kicked", None),
    ] {
        assert_eq!(root.owner(event), owner, "{event}");
    }
    assert!(root.has_hooks() && !root.sends_notice("typing"));
    let error = owners.claim(&Namespace::root(), "order").unwrap_err();
    assert!(error.contains("hooks.call names it"), "{error}");
}
