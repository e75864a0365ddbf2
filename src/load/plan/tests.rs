//! Which options go together, and who is where.

use super::*;

/// A plan for `connections` in `rooms` with `senders`.
pub(in crate::load) fn plan(
    transport: Transport,
    connections: usize,
    rooms: usize,
    senders: usize,
) -> Plan {
    Plan {
        addresses: vec!["http://127.0.0.1:3000".parse().unwrap()],
        transport,
        protocol: Protocol::Switchboard {
            ids: true,
            echo: true,
        },
        path: "/socket.io/".to_owned(),
        connections,
        rooms,
        room_prefix: "load".to_owned(),
        senders,
        pace: Pace::Closed {
            window: 1,
            until: InFlight::Acked,
        },
        sizes: Sizes::List(vec![128]),
        ramp: Ramp::AtOnce(100),
        warm_up: Duration::ZERO,
        duration: Duration::from_secs(1),
        drain: Duration::from_secs(5),
        connect_timeout: Duration::from_secs(10),
        reconnect_after: Duration::from_secs(1),
        faults: Faults::default(),
        sources: Vec::new(),
        auth: Auth::Named("load-".to_owned()),
        pid: None,
        threads: 1,
    }
}

const FILES: u64 = 1 << 20;

#[test]
fn every_room_is_spread_over_the_servers() {
    let mut plan = plan(Transport::SocketIo, 8, 2, 2);
    plan.addresses
        .push("http://127.0.0.1:3001".parse().unwrap());
    for room in 0..2 {
        let members = (0..8).filter(|client| plan.room_of(*client) == room);
        let ports = members.map(|client| plan.address_of(client).socket.port());
        assert_eq!(ports.collect::<Vec<_>>(), [3000, 3001, 3000, 3001]);
    }
}

#[test]
fn senders_are_spread_over_the_rooms() {
    let plan = plan(Transport::SocketIo, 10, 3, 4);
    let senders: Vec<_> = (0..10)
        .filter_map(|client| plan.sender_of(client))
        .collect();
    assert_eq!(senders, [0, 1, 2, 3]);
    assert_eq!([0, 1, 2].map(|room| plan.senders_in(room)), [2, 1, 1]);
    assert_eq!(
        (0..4)
            .map(|client| plan.room_of(client))
            .collect::<Vec<_>>(),
        [0, 1, 2, 0]
    );
    assert!((0..4).all(|sender| plan.sender_of(plan.client_of(sender)) == Some(sender)));
}

#[test]
fn streams_have_senders_beside_them() {
    let plan = plan(Transport::EventStream, 10, 2, 3);
    assert_eq!(
        (plan.clients(), plan.sender_of(0), plan.sender_of(11)),
        (13, None, Some(1))
    );
    assert_eq!(plan.room_of(11), 1);
    assert_eq!(plan.transport_of(11), Transport::SocketIo);
    assert!(plan.is_member(9) && !plan.is_member(10));
    assert!((0..3).all(|sender| plan.sender_of(plan.client_of(sender)) == Some(sender)));
    assert_eq!(plan.check(FILES), Ok(()));
}

#[test]
fn what_makes_no_sense_together_is_refused() {
    let refused = |plan: Plan| plan.check(FILES).unwrap_err();
    let base = || plan(Transport::SocketIo, 10, 2, 1);
    assert!(matches!(
        refused(plan(Transport::SocketIo, 2, 3, 1)),
        PlanError::EmptyRooms { .. }
    ));
    assert!(matches!(
        refused(plan(Transport::SocketIo, 2, 1, 3)),
        PlanError::TooManySenders { .. }
    ));
    let plain = |acks, echo| {
        Protocol::Plain(Events {
            join: None,
            send: Template::parse("message", "\"{data}\"", true).unwrap(),
            receive: "message".to_owned(),
            acks,
            echo,
        })
    };
    let over = |transport| Plan {
        transport,
        protocol: plain(true, true),
        ..base()
    };
    assert_eq!(
        refused(over(Transport::WebSocket)),
        PlanError::TransportOfPlain("ws")
    );
    let without_acks = Plan {
        protocol: plain(false, true),
        ..base()
    };
    assert_eq!(refused(without_acks), PlanError::NoAcks);
    let alone = Plan {
        rooms: 10,
        protocol: plain(true, false),
        ..base()
    };
    assert_eq!(refused(alone), PlanError::NobodyReceives);
    let no_ids = Plan {
        protocol: Protocol::Switchboard {
            ids: false,
            echo: true,
        },
        ..plan(Transport::WebSocket, 2, 1, 1)
    };
    assert_eq!(refused(no_ids), PlanError::OnlySocketIo("ws"));
    assert!(matches!(
        base().check(70),
        Err(PlanError::OpenFiles { needed: 74, .. })
    ));
    let crowded = Plan {
        sources: vec!["127.0.0.1".parse().unwrap()],
        connections: 30_000,
        ..base()
    };
    assert!(matches!(refused(crowded), PlanError::Ports { .. }));
}

#[test]
fn sizes_are_one_several_or_a_range() {
    assert_eq!(Sizes::parse("128"), Ok(Sizes::List(vec![128])));
    assert_eq!(Sizes::parse("128, 1024"), Ok(Sizes::List(vec![128, 1024])));
    assert_eq!(Sizes::parse("64-4096"), Ok(Sizes::Range(64, 4096)));
    for wrong in ["", "x", "9-", "4096-64", "1,,2"] {
        assert!(
            Sizes::parse(wrong).unwrap_err().contains("such as 128"),
            "{wrong}"
        );
    }
    assert!(Sizes::parse("8").unwrap_err().contains("at least 38"));
}

#[test]
fn a_template_has_a_place_for_the_data() {
    let template = Template::parse("say", r#""{room}",{"text":"{data}"}"#, true).unwrap();
    let (before, behind) = template.for_room("r-1");
    assert_eq!(
        (before.as_str(), behind.as_str()),
        (r#"["say","r-1",{"text":""#, r#""}]"#)
    );
    let join = Template::parse("join", r#""{room}""#, false).unwrap();
    assert_eq!(join.for_room("r").0, r#"["join","r"]"#);
    let none = Template::parse("join", "", false).unwrap();
    assert_eq!(none.for_room("r").0, r#"["join"]"#);
    assert!(
        Template::parse("say", r#""{room}""#, true)
            .unwrap_err()
            .contains("{data}")
    );
    assert!(
        Template::parse("say", r#"{"a":"{data}""#, true)
            .unwrap_err()
            .contains("JSON")
    );
}
