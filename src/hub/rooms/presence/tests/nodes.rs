//! Presence over several nodes, by hand-made cases and by random histories that reach each node in its own time.

use std::collections::VecDeque;

use super::*;

/// What one node tells another: an entry, or that it has gone.
enum Told {
    Entry(UserId, Option<PresenceEntry>),
    Gone,
}

/// Some nodes that share a room, and what is on its way between them.
struct Nodes {
    ids: Vec<NodeId>,
    rooms: Vec<Presence>,
    /// By sender and receiver.
    under_way: HashMap<(usize, usize), VecDeque<Told>>,
    /// What each node has told its members of each user.
    members: Vec<BTreeMap<UserId, Vec<ChangeKind>>>,
    now: Instant,
}

impl Nodes {
    fn new(count: usize) -> Self {
        Self {
            ids: (0..count).map(|_| NodeId::fresh()).collect(),
            rooms: (0..count).map(|_| Presence::new(GRACE, 0)).collect(),
            under_way: HashMap::new(),
            members: vec![BTreeMap::new(); count],
            now: Instant::now(),
        }
    }

    /// Something happens on a node: its members are told, what it noted is on its way to the others.
    fn on(&mut self, node: usize, act: impl FnOnce(&mut Presence) -> Vec<Change>) -> Vec<String> {
        let changes = act(&mut self.rooms[node]);
        for change in &changes {
            let told = self.members[node].entry(change.user.clone()).or_default();
            told.push(change.kind);
        }
        let noted = self.rooms[node].take_noted(|_| true);
        for (user, entry) in noted {
            for to in (0..self.ids.len()).filter(|to| *to != node) {
                let told = Told::Entry(user.clone(), entry.clone());
                self.under_way
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
        stance: Stance,
    ) -> Vec<String> {
        let who = Arrival {
            user: user(id),
            stance,
        };
        self.on(node, |room| {
            room.enter(connection, who, Timestamp(1))
                .into_iter()
                .collect()
        })
    }

    fn leave(&mut self, node: usize, connection: ConnectionId) -> Vec<String> {
        let now = self.now;
        self.on(node, |room| {
            room.leave(connection, now).into_iter().collect()
        })
    }

    fn update(&mut self, node: usize, id: &str, stance: Stance) -> Vec<String> {
        self.on(node, |room| {
            room.update(&user(id), stance).into_iter().collect()
        })
    }

    fn expire(&mut self, node: usize) -> Vec<String> {
        let now = self.now;
        self.on(node, |room| room.expire(now))
    }

    /// The next of what `from` has told reaches `to`.
    fn carry(&mut self, from: usize, to: usize) -> Vec<String> {
        let Some(told) = self.under_way.entry((from, to)).or_default().pop_front() else {
            return Vec::new();
        };
        let id = self.ids[from];
        self.on(to, |room| match told {
            Told::Entry(user, entry) => room.elsewhere(id, &user, entry).into_iter().collect(),
            Told::Gone => room.gone(id),
        })
    }

    /// Everything that is on its way comes, and what comes of that.
    fn carry_all(&mut self) -> Vec<String> {
        let mut told = Vec::new();
        while let Some(&(from, to)) = self
            .under_way
            .iter()
            .find(|(_, waiting)| !waiting.is_empty())
            .map(|(way, _)| way)
        {
            told.extend(self.carry(from, to));
        }
        told
    }

    /// A node is gone without a word, and another one has its place.
    fn die(&mut self, node: usize) {
        self.rooms[node] = Presence::new(GRACE, 0);
        self.members[node].clear();
        for other in (0..self.ids.len()).filter(|other| *other != node) {
            self.under_way
                .entry((node, other))
                .or_default()
                .push_back(Told::Gone);
            self.under_way.remove(&(other, node));
        }
        // What was its own is told under its old name: the new one has another, once that has been heard.
        while let Some(&(from, to)) = self
            .under_way
            .iter()
            .find(|((from, _), waiting)| *from == node && !waiting.is_empty())
            .map(|(way, _)| way)
        {
            self.carry(from, to);
        }
        self.ids[node] = NodeId::fresh();
        let entries = self.entries_for(node);
        self.on(node, |room| room.all(entries));
    }

    /// What a node reads that begins to follow the room. The store has what was written, also what is still on its way to others.
    fn entries_for(&self, reader: usize) -> Vec<(NodeId, UserId, PresenceEntry)> {
        let others = (0..self.ids.len()).filter(|node| *node != reader);
        others
            .flat_map(|node| {
                let own = self.rooms[node].users.iter();
                own.filter_map(move |(user, here)| {
                    let entry = here.own.as_ref()?.entry.clone();
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
fn a_user_on_two_nodes_is_shown_once_and_leaves_when_both_have_let_go_of_it() {
    let mut nodes = Nodes::new(2);
    let [phone, laptop] = [0; 2].map(|_| ConnectionId::fresh());
    assert_eq!(nodes.enter(0, phone, "alice", stance("online")).len(), 1);
    assert_eq!(nodes.carry_all(), ["Join alice online 1"]);
    let quiet: [String; 0] = [];
    assert_eq!(nodes.enter(1, laptop, "alice", stance("online")), quiet);
    assert_eq!(nodes.carry_all(), quiet);
    for room in &nodes.rooms {
        let page = room.page(None, 9);
        assert_eq!(page.users[0].connections, 2);
        assert_eq!((room.count(), room.own_count()), (1, 1));
        assert_eq!(room.connections_elsewhere(), 1);
    }
    nodes.leave(0, phone);
    nodes.now += GRACE;
    assert_eq!(nodes.expire(0), quiet, "it has a connection elsewhere");
    assert_eq!(nodes.carry_all(), quiet);
    assert_eq!(nodes.rooms[0].own_count(), 0);
    nodes.leave(1, laptop);
    nodes.now += GRACE;
    assert_eq!(nodes.expire(1), ["Leave alice online 0"]);
    assert_eq!(nodes.carry_all(), ["Leave alice online 0"]);
    assert_eq!(nodes.rooms[0].connections_elsewhere(), 0);
}

#[test]
fn a_user_that_comes_back_on_another_node_in_time_is_no_news_and_keeps_what_it_said() {
    let mut nodes = Nodes::new(2);
    let [before, after] = [0; 2].map(|_| ConnectionId::fresh());
    nodes.enter(0, before, "alice", stance("busy"));
    nodes.carry_all();
    nodes.leave(0, before);
    nodes.carry_all();
    let unsaid = Stance {
        changed: Timestamp(0),
        ..stance("online")
    };
    assert!(nodes.enter(1, after, "alice", unsaid).is_empty());
    nodes.now += GRACE;
    let mut told = nodes.carry_all();
    told.extend(nodes.expire(0));
    told.extend(nodes.carry_all());
    assert!(told.is_empty(), "{told:?}");
    assert_eq!(
        nodes.rooms[0].page(None, 9).users[0].status.as_ref(),
        "busy"
    );
}

#[test]
fn what_a_user_says_on_one_node_stays_when_its_connection_there_goes() {
    let mut nodes = Nodes::new(2);
    let [phone, laptop] = [0; 2].map(|_| ConnectionId::fresh());
    nodes.enter(0, phone, "alice", stance("online"));
    nodes.carry_all();
    nodes.enter(1, laptop, "alice", stance("online"));
    nodes.carry_all();
    nodes.update(1, "alice", stance("busy"));
    assert_eq!(nodes.carry_all(), ["Update alice busy 1"]);
    nodes.leave(1, laptop);
    nodes.now += GRACE;
    assert!(nodes.expire(1).is_empty());
    assert!(nodes.carry_all().is_empty());
}

#[test]
fn a_user_is_away_only_when_it_is_idle_wherever_it_has_connections() {
    let mut nodes = Nodes::new(2);
    let [phone, laptop] = [0; 2].map(|_| ConnectionId::fresh());
    let unsaid = |idle| Stance {
        changed: Timestamp(0),
        idle,
        ..stance("online")
    };
    nodes.enter(0, phone, "alice", unsaid(false));
    nodes.enter(1, laptop, "alice", unsaid(false));
    nodes.carry_all();
    assert!(nodes.update(0, "alice", unsaid(true)).is_empty());
    assert!(nodes.carry_all().is_empty(), "it is busy with the other");
    assert_eq!(
        nodes.update(1, "alice", unsaid(true)),
        ["Update alice away 1"]
    );
    assert_eq!(nodes.carry_all(), ["Update alice away 1"]);
    assert_eq!(
        nodes.update(1, "alice", unsaid(false)),
        ["Update alice online 1"]
    );
    nodes.carry_all();
    assert_eq!(nodes.leave(1, laptop), ["Update alice away 1"]);
    assert_eq!(nodes.carry_all(), ["Update alice away 1"]);
}

#[test]
fn users_of_a_node_that_has_gone_leave_unless_they_are_here_or_on_another() {
    let mut nodes = Nodes::new(3);
    for (node, id) in [
        (0, "alice"),
        (1, "alice"),
        (1, "bob"),
        (2, "carol"),
        (1, "carol"),
    ] {
        nodes.enter(node, ConnectionId::fresh(), id, stance("online"));
    }
    nodes.carry_all();
    let gone = nodes.ids[1];
    assert_eq!(nodes.on(0, |room| room.gone(gone)), ["Leave bob online 2"]);
    assert!(nodes.on(0, |room| room.gone(gone)).is_empty());
}

#[test]
fn a_new_reading_of_all_entries_tells_only_what_is_different() {
    let mut nodes = Nodes::new(2);
    let other = nodes.ids[1];
    let entry = |status: &str| stance(status).begin(Timestamp(1));
    let read = |entries: &[(&str, PresenceEntry)]| {
        let listed = entries.iter().cloned();
        listed
            .map(|(id, entry)| (other, user(id), entry))
            .collect::<Vec<_>>()
    };
    let [alice, bob] = [entry("online"), entry("online")];
    let first = read(&[("alice", alice.clone()), ("bob", bob)]);
    let told = nodes.on(0, |room| room.all(first));
    assert_eq!(told, ["Join alice online 1", "Join bob online 2"]);
    let again = read(&[("alice", alice), ("carol", entry("busy"))]);
    let told = nodes.on(0, |room| room.all(again));
    assert_eq!(told, ["Join carol busy 3", "Leave bob online 2"]);
    let moved = vec![(NodeId::fresh(), user("alice"), entry("online"))];
    let told = nodes.on(0, |room| room.all(moved));
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

fn take(step: Step, nodes: &mut Nodes, open: &mut BTreeMap<usize, ConnectionId>) {
    let place = |connection: usize| {
        (
            connection % NODES,
            format!("u{}", connection / NODES % USERS),
        )
    };
    let known = |nodes: &Nodes, node: usize, user: &UserId| {
        nodes.rooms[node].users.get(user).and_then(User::merged)
    };
    match step {
        Step::Enter(number) => {
            let (node, id) = place(number);
            let connection = *open.entry(number).or_insert_with(ConnectionId::fresh);
            let unsaid = Stance {
                changed: Timestamp(0),
                ..super::stance("online")
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
            let mut said = said(["online", "busy", "out"][status], None);
            said.changed = Timestamp(last + 1 + later);
            nodes.update(node, &format!("u{number}"), said);
        }
        Step::Idle(node, number, idle) => {
            let entry = nodes.rooms[node].entry(&id(number)).cloned();
            if let Some(entry) = entry {
                let mut same = said(&entry.status, None);
                (same.changed, same.idle) = (entry.changed, idle);
                nodes.update(node, &format!("u{number}"), same);
            }
        }
        Step::Carry(from, to) => {
            nodes.carry(from, to);
        }
        Step::Pass(millis) => nodes.now += Duration::from_millis(millis),
        Step::Expire(node) => {
            nodes.expire(node);
        }
        Step::Die(node) => {
            open.retain(|number, _| place(*number).0 != node);
            nodes.die(node);
        }
    }
}

proptest! {
    #[test]
    fn whatever_reaches_nodes_when_they_agree_in_the_end_and_each_tells_joins_and_leaves_in_turn(
        steps in prop::collection::vec(step(), 0..150),
    ) {
        let mut nodes = Nodes::new(NODES);
        let mut open = BTreeMap::new();
        for step in steps {
            take(step, &mut nodes, &mut open);
        }
        nodes.carry_all();
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
            prop_assert_eq!(room.connections_elsewhere(), elsewhere);
        }
        nodes.now += GRACE;
        for (number, connection) in std::mem::take(&mut open) {
            nodes.leave(number % NODES, connection);
        }
        nodes.now += GRACE;
        for node in 0..NODES {
            nodes.expire(node);
        }
        nodes.carry_all();
        for node in 0..NODES {
            prop_assert_eq!(nodes.rooms[node].count(), 0);
            prop_assert_eq!(nodes.rooms[node].own_count(), 0);
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
