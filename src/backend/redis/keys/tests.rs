//! Names of keys and channels are shared with running nodes of earlier versions: they never change.

use super::*;

#[test]
fn names_of_keys_and_channels_are_those_of_earlier_versions() {
    let keys = Keys::default();
    let partition = Partition(3);
    let room = RoomKey {
        namespace: Namespace::from_log("/chat"),
        room: RoomName::from_log("a"),
    };
    let node: NodeId = NodeId::generate();
    let of_room = |kind: &str| format!("switchboard:{{{}}}:{kind}:/chat a", Partition::of(&room).0);
    let expected = [
        (keys.log_incarnation(), "switchboard:{0}:life".to_owned()),
        (keys.retention_clock(), "switchboard:{0}:aged".to_owned()),
        (keys.leases(), "switchboard:{0}:leases".to_owned()),
        (keys.offset(partition), "switchboard:{3}:offset".to_owned()),
        (
            keys.shard_incarnation(partition),
            "switchboard:{3}:incarnation".to_owned(),
        ),
        (
            keys.forgotten(partition),
            "switchboard:{3}:forgotten".to_owned(),
        ),
        (keys.rooms(partition), "switchboard:{3}:rooms".to_owned()),
        (keys.ended(partition), "switchboard:{3}:ended".to_owned()),
        (keys.users(partition), "switchboard:{3}:user:".to_owned()),
        (
            keys.sessions(partition),
            "switchboard:{3}:session:".to_owned(),
        ),
        (keys.nodes(partition), "switchboard:{3}:nodes".to_owned()),
        (keys.live(partition), "switchboard:{3}:live".to_owned()),
        (keys.owned(partition), "switchboard:{3}:owned:".to_owned()),
        (
            keys.rooms_of(partition, node),
            format!("switchboard:{{3}}:in:{node}"),
        ),
        (
            keys.node(partition, node),
            format!("switchboard:{{3}}:node:{node}"),
        ),
        (keys.room(&room), of_room("room")),
        (keys.messages(&room), of_room("messages")),
        (keys.read_markers(&room), of_room("marks")),
        (keys.read_marker_times(&room), of_room("marked")),
        (keys.channel(&room), of_room("channel")),
        (keys.here(&room), of_room("here")),
        (
            keys.entries_of(&room, node),
            of_room("entries") + " " + &node.to_string(),
        ),
        (
            keys.id(&room, &MessageId::from_log("one")),
            of_room("id") + " one",
        ),
        (keys.outbox(partition), "switchboard:{3}:outbox".to_owned()),
        (
            keys.present(partition),
            "switchboard:{3}:present:".to_owned(),
        ),
        (
            keys.present_of(partition, node),
            format!("switchboard:{{3}}:present-of:{node}"),
        ),
        (
            keys.present_nodes(partition),
            "switchboard:{3}:present-nodes".to_owned(),
        ),
        (keys.endpoint("one"), "switchboard:{0}:hook:one".to_owned()),
        (keys.requests(), "switchboard:questions".to_owned()),
        (keys.responses(node), format!("switchboard:answers:{node}")),
    ];
    for (name, expected) in expected {
        assert_eq!(name, expected);
    }
}

#[test]
fn a_room_is_in_the_same_partition_on_every_node_and_in_every_version() {
    let partition = |name: &str| {
        Partition::of(&RoomKey {
            namespace: Namespace::root(),
            room: RoomName::from_log(name),
        })
        .number()
    };
    let partitions: Vec<_> = ["a", "b", "lobby", "user:alice"].map(partition).into();
    assert_eq!(partitions, [13, 6, 8, 13]);
}
