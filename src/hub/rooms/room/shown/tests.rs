//! What members are told of users that show themselves more often than they may: less, later, and in the end the truth.

use std::{
    collections::BTreeSet,
    sync::{Mutex, atomic::AtomicU64},
};

use proptest::prelude::*;
use serde_json::Value;

use super::*;
use crate::{
    hub::{
        connections::{CloseReason, Drained, EventSink, PendingReply},
        lock,
        rooms::registry::tests::connection_by,
    },
    limits::Rate,
};

/// Keeps what it was given: the event's name and its argument.
#[derive(Default)]
struct Told {
    events: Mutex<Vec<(String, Value)>>,
    count: AtomicU64,
}

impl Told {
    /// What it was told of users, in order.
    fn kinds(&self) -> Vec<String> {
        let events = lock(&self.events);
        let kinds = events.iter().map(|(_, told)| told["event"].as_str());
        kinds.flatten().map(str::to_owned).collect()
    }
}

impl EventSink for Told {
    fn push(&self, event: &Outgoing) {
        let arguments = event.arguments();
        let value = serde_json::from_str(arguments.values[0].get()).unwrap();
        lock(&self.events).push((arguments.name.to_string(), value));
        self.count
            .fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    }

    fn ask(&self, _: &Outgoing, _: Duration) -> Option<PendingReply> {
        None
    }

    fn is_behind(&self) -> bool {
        false
    }

    fn drained(&self) -> Drained {
        Box::pin(std::future::ready(()))
    }

    fn close(&self, _: CloseReason) {}
}

/// A room with members who are told, and a clock.
struct Scene {
    room: Room,
    told: Arc<Told>,
    now: Instant,
}

impl Scene {
    /// `members` members, and budgets of so many deliveries a second, twice as many at once.
    fn new(members: usize, per_second: u32) -> Self {
        let manners = Manners {
            grace: Duration::ZERO,
            room_users: 0,
            typing: Duration::from_secs(3),
            typists: 0,
            fan_out: Arc::new(FanOut::new(Rate::new(per_second, 2 * per_second))),
        };
        let followed = Box::pin(std::future::ready(Ok(())));
        let name = RoomName::parse("lobby").unwrap();
        let told = Arc::<Told>::default();
        let mut room = Room::new(name, manners, followed, false);
        for nth in 0..members {
            room.place(&connection_by(&format!("member-{nth}"), told.clone()));
        }
        Self {
            room,
            told,
            now: Instant::now(),
        }
    }

    fn passes(&mut self, millis: u64) {
        let end = self.now + Duration::from_millis(millis);
        while let Some(deadline) = self.room.next_deadline().filter(|at| *at <= end) {
            self.now = self.now.max(deadline);
            self.room.look_after(self.now, Timestamp(1));
        }
        self.now = end;
    }

    fn comes(&mut self, who: &Connection) {
        self.room.place(who);
        let arrival = Arrival {
            user: who.principal().user.clone(),
            stance: who.stance(),
        };
        self.room.appear(who.id(), arrival, self.now, Timestamp(1));
    }

    fn goes(&mut self, who: &Connection) {
        self.room.remove(who, self.now, Timestamp(1));
        self.passes(0);
    }

    fn says(&mut self, who: &Connection, status: &str) {
        who.standing().say(status.into(), None);
        let (user, now) = (who.principal().user.clone(), self.now);
        self.room.update(
            &user,
            who.stance(),
            Some(who.id()),
            (now, None),
            Timestamp(1),
        );
    }

    fn deliveries(&self) -> u64 {
        self.told.count.load(std::sync::atomic::Ordering::Relaxed)
    }

    /// The last event of a name that a member was given.
    fn last(&self, name: &str) -> Value {
        let events = lock(&self.told.events);
        let last = events.iter().rfind(|(of, _)| of == name);
        last.expect("an event").1.clone()
    }
}

fn connection(user: &str) -> Connection {
    connection_by(user, Arc::<Told>::default())
}

#[test]
fn a_status_that_changes_all_the_time_costs_its_budget_and_the_last_is_told() {
    let mut scene = Scene::new(100, 500);
    let alice = connection("alice");
    scene.comes(&alice);
    for change in 0..500 {
        scene.says(&alice, &format!("status-{change}"));
        scene.passes(20);
    }
    // Fifty changes a second would be 50,000 deliveries; the budget of ten seconds is 5,000, and 1,000 at once.
    let deliveries = scene.deliveries();
    assert!((5_000..=6_200).contains(&deliveries), "{deliveries}");
    scene.passes(1_000);
    assert_eq!(scene.last("presence")["status"], "status-499");
}

#[test]
fn a_user_who_comes_and_goes_all_the_time_costs_its_budget() {
    let mut scene = Scene::new(100, 500);
    let alice = connection("alice");
    for _ in 0..500 {
        scene.comes(&alice);
        scene.passes(10);
        scene.goes(&alice);
        scene.passes(10);
    }
    let deliveries = scene.deliveries();
    assert!((2_000..=6_200).contains(&deliveries), "{deliveries}");
    scene.passes(1_000);
    assert_eq!(scene.last("presence")["event"], "leave");
    let bob = connection("bob");
    scene.comes(&bob);
    assert_eq!(
        scene.last("presence")["user"],
        "bob",
        "at once: budgets are a user's own"
    );
}

#[test]
fn markers_that_move_all_the_time_cost_their_budget_and_the_furthest_is_told() {
    let mut scene = Scene::new(100, 500);
    let alice = connection("alice");
    scene.room.place(&alice);
    let user = alice.principal().user.clone();
    for seq in 1..=500 {
        scene
            .room
            .has_read(&user, Seq(seq), Some(alice.id()), scene.now);
        scene.passes(20);
    }
    let deliveries = scene.deliveries();
    assert!((5_000..=6_200).contains(&deliveries), "{deliveries}");
    scene.passes(1_000);
    assert_eq!(scene.last("read")["seq"], 500);
}

#[test]
fn typing_that_begins_and_ends_all_the_time_costs_its_budget_and_ends() {
    let mut scene = Scene::new(100, 500);
    let alice = connection("alice");
    scene.room.place(&alice);
    let user = alice.principal().user.clone();
    for step in 0..500 {
        let typing = step % 2 == 0;
        scene.room.types(alice.id(), &user, None, typing, scene.now);
        scene.passes(20);
    }
    let deliveries = scene.deliveries();
    assert!((2_000..=6_200).contains(&deliveries), "{deliveries}");
    scene.passes(5_000);
    assert_eq!(scene.last("typing")["typing"], false);
}

#[test]
fn a_kick_is_told_at_once_whatever_the_budget() {
    let mut scene = Scene::new(10, 10);
    scene.room.presence = Presence::new(Duration::from_secs(5), 0);
    let alice = connection("alice");
    scene.comes(&alice);
    scene.says(&alice, "busy");
    scene.says(&alice, "away");
    scene.says(&alice, "busier");
    scene.goes(&alice);
    scene.room.dismiss(&alice.principal().user, Timestamp(1));
    assert_eq!(scene.last("presence")["event"], "leave");
    let told = scene.deliveries();
    scene.passes(60_000);
    assert_eq!(scene.deliveries(), told, "and nothing more of it");
}

#[test]
fn whoever_was_given_a_list_is_not_told_of_the_join_of_those_on_it() {
    let mut scene = Scene::new(1, 1);
    let own = Arc::<Told>::default();
    let (alice, bob) = (connection("alice"), connection_by("bob", own.clone()));
    let budget = scene.room.fan_out.clone();
    budget.charge(&alice.principal().user, 100, scene.now);
    scene.comes(&alice);
    scene.room.place(&bob);
    scene.room.lists_for(bob.id(), scene.now);
    scene.passes(600_000);
    assert_eq!(scene.last("presence")["event"], "join");
    assert!(lock(&own.events).is_empty(), "{:?}", lock(&own.events));
}

#[test]
fn a_member_that_was_given_a_list_is_told_when_somebody_on_it_has_left() {
    let mut scene = Scene::new(1, 1);
    let own = Arc::<Told>::default();
    let (alice, bob) = (connection("alice"), connection_by("bob", own.clone()));
    let budget = scene.room.fan_out.clone();
    budget.charge(&alice.principal().user, 100, scene.now);
    scene.comes(&alice);
    scene.room.place(&bob);
    scene.room.lists_for(bob.id(), scene.now);
    scene.goes(&alice);
    scene.passes(600_000);
    assert_eq!(own.kinds(), ["leave"]);
    assert_eq!(scene.deliveries(), 0, "others have never heard of it");
}

#[test]
fn a_member_that_was_given_a_list_is_told_when_somebody_comes_who_is_not_on_it() {
    let mut scene = Scene::new(1, 1);
    let own = Arc::<Told>::default();
    let (alice, bob) = (connection("alice"), connection_by("bob", own.clone()));
    scene.comes(&alice);
    let budget = scene.room.fan_out.clone();
    budget.charge(&alice.principal().user, 100, scene.now);
    scene.goes(&alice);
    scene.room.place(&bob);
    scene.room.lists_for(bob.id(), scene.now);
    scene.comes(&alice);
    scene.passes(600_000);
    assert_eq!(own.kinds(), ["join"]);
    assert_eq!(scene.last("presence")["event"], "update");
}

proptest! {
    #[test]
    fn whatever_is_put_off_members_know_the_truth_in_the_end(
        steps in proptest::collection::vec((0usize..3, 0u8..4, 0u64..400), 1..80),
    ) {
        let mut scene = Scene::new(3, 4);
        let users: Vec<_> = (0..3).map(|nth| connection(&format!("user-{nth}"))).collect();
        for (nth, what, pause) in steps {
            match what {
                0 => scene.comes(&users[nth]),
                1 => scene.goes(&users[nth]),
                _ => scene.says(&users[nth], &format!("status-{pause}")),
            }
            scene.passes(pause);
        }
        scene.passes(600_000);
        let (mut known, mut statuses) = (BTreeSet::new(), std::collections::BTreeMap::new());
        let events = lock(&scene.told.events);
        // Each of the three members is given all of them.
        for (_, told) in events.iter() {
            let user = told["user"].as_str().unwrap().to_owned();
            match told["event"].as_str().unwrap() {
                "leave" => drop(known.remove(&user)),
                _ => drop(known.insert(user.clone())),
            }
            statuses.insert(user, told["status"].as_str().unwrap().to_owned());
        }
        let page = scene.room.page(None, 10).users;
        let here: BTreeSet<_> = page.iter().map(|one| one.user.to_string()).collect();
        prop_assert_eq!(known, here);
        for one in page {
            prop_assert_eq!(statuses[one.user.as_str()].as_str(), &*one.status);
        }
    }
}
