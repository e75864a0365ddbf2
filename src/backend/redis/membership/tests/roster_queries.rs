//! Lists of rooms and users over all nodes.

use super::*;

#[tokio::test]
async fn rooms_are_listed_by_prefix_and_page_over_all_partitions_and_nodes() {
    let server = Server::start().await;
    let (a, b) = (Node::at(&server, LONG).await, Node::at(&server, LONG).await);
    let mut names: Vec<_> = (0..60).map(|nth| format!("team{nth}")).collect();
    for (nth, name) in names.iter().enumerate() {
        [&a, &b][nth % 2].set_entry(name, "alice", 1);
    }
    for other in ["tea", "teapot", "teb", "räume"] {
        a.set_entry(other, "alice", 1);
        b.set_entry(other, "bob", 1);
    }
    a.log
        .set_presence(&key("/chat", "team0"), &user("alice"), Some(entry(1)));
    names.push("teapot".into());
    names.push("tea".into());
    names.sort_unstable();
    let list = async |prefix: &str, after: Option<&str>, limit| {
        let after = after.map(|after| RoomName::parse(after).unwrap());
        let root = Namespace::root();
        let rooms = b.log.occupied_rooms(&root, prefix, after.as_ref(), limit);
        let rooms = rooms.await.unwrap();
        rooms.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    eventually("all are listed", async || {
        list("", None, 100).await.len() == 64
    })
    .await;
    assert_eq!(list("tea", None, 100).await, names);
    let mut paged = Vec::new();
    loop {
        let page = list("tea", paged.last().map(String::as_str), 7).await;
        if page.is_empty() {
            break;
        }
        paged.extend(page);
    }
    assert_eq!(paged, names);
    assert_eq!(list("team", Some("a"), 1).await, ["team0"]);
    assert_eq!(list("team5", Some("team58"), 9).await, ["team59"]);
    assert!(list("none", None, 9).await.is_empty());
    a.remove_entry("teb", "alice");
    b.remove_entry("teb", "bob");
    eventually("an empty room is not listed", async || {
        list("teb", None, 9).await.is_empty()
    })
    .await;
}

#[tokio::test]
async fn users_are_paged_over_nodes_and_counted_once() {
    let server = Server::start().await;
    let (a, b) = (Node::at(&server, LONG).await, Node::at(&server, LONG).await);
    for (nth, who) in ["alice", "bob", "carol", "dave", "erin"].iter().enumerate() {
        a.set_entry("r", who, nth);
    }
    b.set_entry("r", "bob", 7);
    eventually("all are there", async || {
        b.read_users("r", None, 0).await.1.connections == 17
    })
    .await;
    let (users, page) = b.read_users("r", None, 2).await;
    assert_eq!((page.count, page.connections, page.more), (5, 17, true));
    assert_eq!(users[0], "alice:0");
    let mut of_bob = users[1..].to_vec();
    of_bob.sort_unstable();
    assert_eq!(of_bob, ["bob:1", "bob:7"]);
    let (users, page) = a.read_users("r", Some("bob"), 3).await;
    assert_eq!(
        (users, page.more),
        (
            ["carol:2", "dave:3", "erin:4"].map(String::from).to_vec(),
            false
        )
    );
    assert!(a.read_users("r", Some("erin"), 3).await.0.is_empty());
    assert_eq!(a.read_users("nowhere", None, 3).await.1.count, 0);
    a.log.close().await;
    let refused = a.log.room_users(&key("/", "r"), None, 1).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unavailable);
}
