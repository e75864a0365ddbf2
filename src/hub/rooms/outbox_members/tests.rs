use super::*;
use crate::{
    backend::{OutboxEvent, memory},
    hooks::HooksSettings,
    model::{Namespace, RoomName},
    options::Tables,
    telemetry::Metrics,
};

const GRACE: Duration = Duration::from_secs(5);

/// Members that are told to an outbox in memory.
struct Fixture {
    members: OutboxMembers,
    outbox: Arc<dyn Outbox>,
    began: Instant,
}

impl Fixture {
    fn new(events: &str, rooms: &str) -> Self {
        let table = format!(r#"[{{"url":"http://127.0.0.1:9/","events":{events}{rooms}}}]"#);
        let settings = HooksSettings {
            notify: Tables::from_json(&table).unwrap(),
            ..HooksSettings::default()
        };
        let hooks = Hooks::open(&settings, "node", &Metrics::new()).unwrap();
        let (backend, _deliveries) = memory::open(memory::MemoryConfig::default());
        let outbox = backend.outbox;
        Self {
            members: OutboxMembers::new(outbox.clone(), hooks, GRACE).unwrap(),
            outbox,
            began: Instant::now(),
        }
    }

    fn after(&self, seconds: u64) -> Instant {
        self.began + Duration::from_secs(seconds)
    }

    async fn told(&self) -> Vec<String> {
        let page = self.outbox.read_events(0, 0, 100, 0).await.unwrap();
        let line = |event: &OutboxEvent| {
            let user = event.user.as_ref().map_or("-", |user| user.as_str());
            format!("{} {} {user}", event.kind.as_str(), event.room.room)
        };
        page.events.iter().map(line).collect()
    }
}

fn room(name: &str) -> RoomKey {
    RoomKey {
        namespace: Namespace::root(),
        room: RoomName::parse(name).unwrap(),
    }
}

fn user(name: &str) -> UserId {
    UserId::parse(name).unwrap()
}

#[tokio::test]
async fn a_user_joins_with_its_first_connection_and_leaves_a_grace_time_after_its_last() {
    let fixture = Fixture::new(r#"["member.joined"]"#, "");
    let (members, lobby, alice) = (&fixture.members, room("lobby"), user("alice"));
    members.enter(&lobby, &alice);
    members.enter(&lobby, &alice);
    members.leave(&lobby, &alice, fixture.after(0));
    members.run_due(fixture.after(60));
    let joined = ["room.occupied lobby -", "member.joined lobby alice"];
    assert_eq!(fixture.told().await, joined);
    members.leave(&lobby, &alice, fixture.after(60));
    members.run_due(fixture.after(64));
    assert_eq!(fixture.told().await, joined);
    members.run_due(fixture.after(65));
    let left = ["member.left lobby alice", "room.vacated lobby -"];
    assert_eq!(fixture.told().await, [&joined[..], &left[..]].concat());
}

#[tokio::test]
async fn a_user_that_comes_back_within_the_grace_time_has_not_left() {
    let fixture = Fixture::new(r#"["member.left"]"#, "");
    let (members, lobby, alice) = (&fixture.members, room("lobby"), user("alice"));
    members.enter(&lobby, &alice);
    for round in 0..3 {
        members.leave(&lobby, &alice, fixture.after(round));
        members.enter(&lobby, &alice);
    }
    members.run_due(fixture.after(600));
    assert_eq!(fixture.told().await.len(), 2);
    members.leave(&lobby, &alice, fixture.after(600));
    members.end_grace(&lobby, &alice);
    assert_eq!(fixture.told().await.len(), 4);
    // Nothing is left of it.
    members.run_due(fixture.after(6000));
    members.end_grace(&lobby, &alice);
    members.leave(&lobby, &alice, fixture.after(6000));
    assert_eq!(fixture.told().await.len(), 4);
    assert!(lock(&members.state).members.is_empty());
    assert!(lock(&members.state).expiring.is_empty());
}

#[tokio::test]
async fn only_rooms_and_users_that_a_back_end_is_told_of_are_kept() {
    let fixture = Fixture::new(r#"["room.occupied"]"#, r#","rooms":"team-*""#);
    for name in ["lobby", "team-a", "user:alice"] {
        fixture.members.enter(&room(name), &user("alice"));
    }
    let told = ["room.occupied team-a -", "member.joined team-a alice"];
    assert_eq!(fixture.told().await, told);

    let fixture = Fixture::new(r#"["user.online"]"#, "");
    for name in ["lobby", "user:alice"] {
        fixture.members.enter(&room(name), &user("alice"));
    }
    assert_eq!(fixture.told().await, ["user.online user:alice alice"]);
}

#[tokio::test(start_paused = true)]
async fn grace_times_end_by_themselves() {
    let fixture = Fixture::new(r#"["member.left"]"#, "");
    let (members, lobby) = (&fixture.members, room("lobby"));
    let waiting = async {
        for name in ["alice", "bob"] {
            members.enter(&lobby, &user(name));
            members.leave(&lobby, &user(name), tokio::time::Instant::now().into());
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        while fixture.told().await.len() < 6 {
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    };
    tokio::select! {
        () = members.run(Duration::from_secs(15)) => unreachable!("it runs until dropped"),
        () = waiting => {}
    }
    assert!(lock(&members.state).members.is_empty());
}
