//! Presence over several nodes, by hand-made cases and by random histories that reach each node in its own time.

use std::collections::VecDeque;

use super::*;

/// What one node sends another: an entry, or that it has left.
enum NodeMessage {
    Entry(UserId, Option<PresenceEntry>),
    Left,
}

/// Nodes that share a room, and the messages in transit between them.
struct TestCluster {
    ids: Vec<NodeId>,
    rooms: Vec<Presence>,
    /// By sender and receiver.
    in_transit: HashMap<(usize, usize), VecDeque<NodeMessage>>,
    /// What each node has announced of each user to its members.
    members: Vec<BTreeMap<UserId, Vec<ChangeKind>>>,
    now: Instant,
}

impl TestCluster {
    fn new(count: usize) -> Self {
        Self {
            ids: (0..count).map(|_| NodeId::generate()).collect(),
            rooms: (0..count).map(|_| Presence::new(GRACE, 0)).collect(),
            in_transit: HashMap::new(),
            members: vec![BTreeMap::new(); count],
            now: Instant::now(),
        }
    }

    /// Changes a node: its members are told, and what it publishes is in transit to the others.
    fn on(
        &mut self,
        node: usize,
        act: impl FnOnce(&mut Presence) -> Vec<PresenceChange>,
    ) -> Vec<String> {
        let changes = act(&mut self.rooms[node]);
        for change in &changes {
            let told = self.members[node].entry(change.user.clone()).or_default();
            told.push(change.kind);
        }
        let published = self.rooms[node].take_unpublished(|_| true);
        for (user, entry) in published {
            for to in (0..self.ids.len()).filter(|to| *to != node) {
                let told = NodeMessage::Entry(user.clone(), entry.clone());
                self.in_transit
                    .entry((node, to))
                    .or_default()
                    .push_back(told);
            }
        }
        changes.iter().map(show).collect()
    }

    fn enter(
        &mut self,
        node: usize,
        connection: ConnectionId,
        id: &str,
        status: UserStatus,
    ) -> Vec<String> {
        let (user_id, status) = (user(id), status);
        self.on(node, |room| {
            room.enter(connection, user_id, status, Timestamp(1))
                .into_iter()
                .collect()
        })
    }

    fn leave(&mut self, node: usize, connection: ConnectionId) -> Vec<String> {
        let now = self.now;
        self.on(node, |room| {
            let user = user_of(room, connection).expect("a user of this connection");
            room.leave(connection, &user, now).into_iter().collect()
        })
    }

    fn update(&mut self, node: usize, id: &str, status: UserStatus) -> Vec<String> {
        self.on(node, |room| {
            room.update(&user(id), status).into_iter().collect()
        })
    }

    fn expire(&mut self, node: usize) -> Vec<String> {
        let now = self.now;
        self.on(node, |room| room.expire(now))
    }

    /// The next message of `from` reaches `to`.
    fn deliver(&mut self, from: usize, to: usize) -> Vec<String> {
        let Some(told) = self.in_transit.entry((from, to)).or_default().pop_front() else {
            return Vec::new();
        };
        let id = self.ids[from];
        self.on(to, |room| match told {
            NodeMessage::Entry(user, entry) => {
                room.set_remote(id, &user, entry).into_iter().collect()
            }
            NodeMessage::Left => room.remove_node(id),
        })
    }

    /// Delivers everything that is in transit, and what is sent meanwhile.
    fn deliver_all(&mut self) -> Vec<String> {
        let mut told = Vec::new();
        while let Some(&(from, to)) = self
            .in_transit
            .iter()
            .find(|(_, waiting)| !waiting.is_empty())
            .map(|(way, _)| way)
        {
            told.extend(self.deliver(from, to));
        }
        told
    }

    /// A node crashes, and another one takes its place.
    fn crash(&mut self, node: usize) {
        self.rooms[node] = Presence::new(GRACE, 0);
        self.members[node].clear();
        for other in (0..self.ids.len()).filter(|other| *other != node) {
            self.in_transit
                .entry((node, other))
                .or_default()
                .push_back(NodeMessage::Left);
            self.in_transit.remove(&(other, node));
        }
        // Its entries were published under its old id: the new node has another one, once the others know that it has left.
        while let Some(&(from, to)) = self
            .in_transit
            .iter()
            .find(|((from, _), waiting)| *from == node && !waiting.is_empty())
            .map(|(way, _)| way)
        {
            self.deliver(from, to);
        }
        self.ids[node] = NodeId::generate();
        let entries = self.entries_for(node);
        self.on(node, |room| room.replace_remote(entries));
    }

    /// What a node reads when it subscribes to the room. The store has everything that was written, also what is in transit.
    fn entries_for(&self, reader: usize) -> Vec<(NodeId, UserId, PresenceEntry)> {
        let others = (0..self.ids.len()).filter(|node| *node != reader);
        others
            .flat_map(|node| {
                let own = self.rooms[node].users.iter();
                own.filter_map(move |(user, here)| {
                    let entry = here.local.as_ref()?.entry.clone();
                    Some((self.ids[node], user.clone(), entry))
                })
            })
            .collect()
    }

    fn shown(&self, node: usize) -> String {
        let page = self.rooms[node].page(None, usize::MAX);
        serde_json::to_string(&page.users).unwrap()
    }
}

#[test]
fn a_user_on_two_nodes_is_shown_once_and_leaves_when_both_have_removed_it() {
    let mut nodes = TestCluster::new(2);
    let [phone, laptop] = [0; 2].map(|_| ConnectionId::generate());
    assert_eq!(
        nodes.enter(0, phone, "alice", new_status("online")).len(),
        1
    );
    assert_eq!(nodes.deliver_all(), ["Join alice online 1"]);
    let quiet: [String; 0] = [];
    assert_eq!(nodes.enter(1, laptop, "alice", new_status("online")), quiet);
    assert_eq!(nodes.deliver_all(), quiet);
    for room in &nodes.rooms {
        let page = room.page(None, 9);
        assert_eq!(page.users[0].connections, 2);
        assert_eq!((room.user_count(), room.local_user_count()), (1, 1));
        assert_eq!(room.remote_connection_count(), 1);
    }
    nodes.leave(0, phone);
    nodes.now += GRACE;
    assert_eq!(
        nodes.expire(0),
        quiet,
        "it has a connection on the other node"
    );
    assert_eq!(nodes.deliver_all(), quiet);
    assert_eq!(nodes.rooms[0].local_user_count(), 0);
    nodes.leave(1, laptop);
    nodes.now += GRACE;
    assert_eq!(nodes.expire(1), ["Leave alice online 0"]);
    assert_eq!(nodes.deliver_all(), ["Leave alice online 0"]);
    assert_eq!(nodes.rooms[0].remote_connection_count(), 0);
}

#[test]
fn a_user_that_reconnects_to_another_node_in_time_is_not_announced_and_keeps_its_status() {
    let mut nodes = TestCluster::new(2);
    let [before, after] = [0; 2].map(|_| ConnectionId::generate());
    nodes.enter(0, before, "alice", new_status("busy"));
    nodes.deliver_all();
    nodes.leave(0, before);
    nodes.deliver_all();
    let unsaid = UserStatus {
        changed: Timestamp(0),
        ..new_status("online")
    };
    assert!(nodes.enter(1, after, "alice", unsaid).is_empty());
    nodes.now += GRACE;
    let mut told = nodes.deliver_all();
    told.extend(nodes.expire(0));
    told.extend(nodes.deliver_all());
    assert!(told.is_empty(), "{told:?}");
    assert_eq!(
        nodes.rooms[0].page(None, 9).users[0].status.as_ref(),
        "busy"
    );
}

#[test]
fn a_status_set_on_one_node_stays_when_the_connection_there_closes() {
    let mut nodes = TestCluster::new(2);
    let [phone, laptop] = [0; 2].map(|_| ConnectionId::generate());
    nodes.enter(0, phone, "alice", new_status("online"));
    nodes.deliver_all();
    nodes.enter(1, laptop, "alice", new_status("online"));
    nodes.deliver_all();
    nodes.update(1, "alice", new_status("busy"));
    assert_eq!(nodes.deliver_all(), ["Update alice busy 1"]);
    nodes.leave(1, laptop);
    nodes.now += GRACE;
    assert!(nodes.expire(1).is_empty());
    assert!(nodes.deliver_all().is_empty());
}

#[test]
fn a_user_is_away_only_when_it_is_idle_wherever_it_has_connections() {
    let mut nodes = TestCluster::new(2);
    let [phone, laptop] = [0; 2].map(|_| ConnectionId::generate());
    let unsaid = |idle| UserStatus {
        changed: Timestamp(0),
        idle,
        ..new_status("online")
    };
    nodes.enter(0, phone, "alice", unsaid(false));
    nodes.enter(1, laptop, "alice", unsaid(false));
    nodes.deliver_all();
    assert!(nodes.update(0, "alice", unsaid(true)).is_empty());
    assert!(nodes.deliver_all().is_empty(), "it is busy with the other");
    assert_eq!(
        nodes.update(1, "alice", unsaid(true)),
        ["Update alice away 1"]
    );
    assert_eq!(nodes.deliver_all(), ["Update alice away 1"]);
    assert_eq!(
        nodes.update(1, "alice", unsaid(false)),
        ["Update alice online 1"]
    );
    nodes.deliver_all();
    assert_eq!(nodes.leave(1, laptop), ["Update alice away 1"]);
    assert_eq!(nodes.deliver_all(), ["Update alice away 1"]);
}

#[test]
fn users_of_a_failed_node_leave_unless_they_are_here_or_on_another() {
    let mut nodes = TestCluster::new(3);
    for (node, id) in [
        (0, "alice"),
        (1, "alice"),
        (1, "bob"),
        (2, "carol"),
        (1, "carol"),
    ] {
        nodes.enter(node, ConnectionId::generate(), id, new_status("online"));
    }
    nodes.deliver_all();
    let gone = nodes.ids[1];
    assert_eq!(
        nodes.on(0, |room| room.remove_node(gone)),
        ["Leave bob online 2"]
    );
    assert!(nodes.on(0, |room| room.remove_node(gone)).is_empty());
}

#[test]
fn a_snapshot_of_all_entries_announces_only_what_is_different() {
    let mut nodes = TestCluster::new(2);
    let other = nodes.ids[1];
    let entry = |status: &str| new_status(status).into_entry(Timestamp(1));
    let read = |entries: &[(&str, PresenceEntry)]| {
        let listed = entries.iter().cloned();
        listed
            .map(|(id, entry)| (other, user(id), entry))
            .collect::<Vec<_>>()
    };
    let [alice, bob] = [entry("online"), entry("online")];
    let first = read(&[("alice", alice.clone()), ("bob", bob)]);
    let told = nodes.on(0, |room| room.replace_remote(first));
    assert_eq!(told, ["Join alice online 1", "Join bob online 2"]);
    let again = read(&[("alice", alice), ("carol", entry("busy"))]);
    let told = nodes.on(0, |room| room.replace_remote(again));
    assert_eq!(told, ["Join carol busy 3", "Leave bob online 2"]);
    let moved = vec![(NodeId::generate(), user("alice"), entry("online"))];
    let told = nodes.on(0, |room| room.replace_remote(moved));
    assert_eq!(told, ["Leave carol busy 1"]);
}

#[derive(Clone, Copy, Debug)]
enum Step {
    /// A connection; it belongs to the node and the user of its number.
    Enter(usize),
    Leave(usize),
    /// What somebody says on a node, and how much later than all it knows of.
    Say(usize, usize, usize, u64),
    Idle(usize, usize, bool),
    Carry(usize, usize),
    Pass(u64),
    Expire(usize),
    Die(usize),
}

const NODES: usize = 3;
const CONNECTIONS: usize = NODES * USERS * 2;

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (0..CONNECTIONS).prop_map(Step::Enter),
        6 => (0..CONNECTIONS).prop_map(Step::Leave),
        3 => (0..NODES, 0..USERS, 0..3usize, 0..2u64).prop_map(|(n, u, s, l)| Step::Say(n, u, s, l)),
        2 => (0..NODES, 0..USERS, any::<bool>()).prop_map(|(n, u, i)| Step::Idle(n, u, i)),
        12 => (0..NODES, 0..NODES).prop_map(|(from, to)| Step::Carry(from, to)),
        2 => (1..4000u64).prop_map(Step::Pass),
        2 => (0..NODES).prop_map(Step::Expire),
        1 => (0..NODES).prop_map(Step::Die),
    ]
}

fn take(step: Step, nodes: &mut TestCluster, open: &mut BTreeMap<usize, ConnectionId>) {
    let place = |connection: usize| {
        (
            connection % NODES,
            format!("u{}", connection / NODES % USERS),
        )
    };
    let known = |nodes: &TestCluster, node: usize, user: &UserId| {
        nodes.rooms[node]
            .users
            .get(user)
            .and_then(|entries| entries.merged())
    };
    match step {
        Step::Enter(number) => {
            let (node, id) = place(number);
            let connection = *open.entry(number).or_insert_with(ConnectionId::generate);
            let unsaid = UserStatus {
                changed: Timestamp(0),
                ..super::new_status("online")
            };
            nodes.enter(node, connection, &id, unsaid);
        }
        Step::Leave(number) => {
            if let Some(connection) = open.remove(&number) {
                nodes.leave(place(number).0, connection);
            }
        }
        Step::Say(node, number, status, later) => {
            let last = known(nodes, node, &id(number)).map_or(0, |entry| entry.changed.0);
            let mut said = unnamed_status(["online", "busy", "out"][status], None);
            said.changed = Timestamp(last + 1 + later);
            nodes.update(node, &format!("u{number}"), said);
        }
        Step::Idle(node, number, idle) => {
            let entry = nodes.rooms[node].local_entry(&id(number)).cloned();
            if let Some(entry) = entry {
                let mut same = unnamed_status(&entry.status, None);
                (same.changed, same.idle) = (entry.changed, idle);
                nodes.update(node, &format!("u{number}"), same);
            }
        }
        Step::Carry(from, to) => {
            nodes.deliver(from, to);
        }
        Step::Pass(millis) => nodes.now += Duration::from_millis(millis),
        Step::Expire(node) => {
            nodes.expire(node);
        }
        Step::Die(node) => {
            open.retain(|number, _| place(*number).0 != node);
            nodes.crash(node);
        }
    }
}

proptest! {
    #[test]
    fn whenever_messages_arrive_nodes_agree_in_the_end_and_each_announces_joins_and_leaves_alternately(
        steps in prop::collection::vec(step(), 0..150),
    ) {
        let mut nodes = TestCluster::new(NODES);
        let mut open = BTreeMap::new();
        for step in steps {
            take(step, &mut nodes, &mut open);
        }
        nodes.deliver_all();
        let mut connections = BTreeMap::<usize, usize>::new();
        for number in open.keys() {
            *connections.entry(number / NODES % USERS).or_default() += 1;
        }
        for node in 0..NODES {
            prop_assert_eq!(nodes.shown(node), nodes.shown(0));
            let room = &nodes.rooms[node];
            for present in room.page(None, usize::MAX).users {
                let expected = connections.get(&number(&present.user)).copied();
                prop_assert_eq!(present.connections, expected.unwrap_or(0));
            }
            let elsewhere = open.keys().filter(|number| **number % NODES != node).count();
            prop_assert_eq!(room.remote_connection_count(), elsewhere);
        }
        nodes.now += GRACE;
        for (number, connection) in std::mem::take(&mut open) {
            nodes.leave(number % NODES, connection);
        }
        nodes.now += GRACE;
        for node in 0..NODES {
            nodes.expire(node);
        }
        nodes.deliver_all();
        for node in 0..NODES {
            prop_assert_eq!(nodes.rooms[node].user_count(), 0);
            prop_assert_eq!(nodes.rooms[node].local_user_count(), 0);
            for told in nodes.members[node].values() {
                let turns: Vec<_> = told.iter().filter(|kind| **kind != ChangeKind::Update).collect();
                for turn in turns.chunks(2) {
                    prop_assert_eq!(turn, [&ChangeKind::Join, &ChangeKind::Leave]);
                }
                for updated in told.windows(2).filter(|pair| pair[1] == ChangeKind::Update) {
                    prop_assert_ne!(updated[0], ChangeKind::Leave);
                }
            }
        }
    }
}
