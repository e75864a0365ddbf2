use super::*;

fn namespaces() -> Namespaces {
    let served = ["/", "/chat"].map(ToOwned::to_owned);
    Namespaces::new(Arc::new(served.into()), Protocol::V4)
}

#[test]
fn a_client_that_asks_again_while_it_is_decided_about_is_decided_about_again() {
    let namespaces = namespaces();
    assert_eq!(namespaces.connect("/chat", "first"), Step::PassAndWait);
    assert_eq!(namespaces.taken("/chat").as_deref(), Some("first"));
    assert_eq!(namespaces.connect("/chat", "second"), Step::Noted);
    assert_eq!(namespaces.connect("/chat", "third"), Step::Noted);
    let Decided::Again(says) = namespaces.decided("/chat", Some(Weak::new())) else {
        panic!("it has asked again");
    };
    assert_eq!(says, "third");
    assert!(matches!(namespaces.decided("/chat", None), Decided::Over));
    assert_eq!(namespaces.connect("/chat", "fourth"), Step::PassAndWait);
}

#[test]
fn what_comes_while_a_client_is_decided_about_waits() {
    let namespaces = namespaces();
    namespaces.connect("/chat", "first");
    assert_eq!(namespaces.place("/chat"), Place::NotYet);
    namespaces.taken("/chat");
    assert_eq!(namespaces.place("/chat"), Place::NotYet);
    // One that is refused is nowhere.
    assert!(matches!(namespaces.decided("/chat", None), Decided::Over));
    assert_eq!(namespaces.place("/chat"), Place::Elsewhere);
    assert_eq!(namespaces.disconnect("/chat"), Place::Elsewhere);
}

#[test]
fn a_client_that_leaves_while_it_is_decided_about_is_not_waited_for() {
    let namespaces = namespaces();
    namespaces.connect("/chat", "first");
    namespaces.taken("/chat");
    assert_eq!(namespaces.disconnect("/chat"), Place::Left);
    assert_eq!(namespaces.place("/chat"), Place::Left);
    assert!(namespaces.is_outdated("/chat"));
    let decided = namespaces.decided("/chat", Some(Weak::new()));
    assert!(matches!(decided, Decided::Left));
    assert_eq!(namespaces.place("/chat"), Place::Elsewhere);
    // One that has asked again meanwhile is decided about again.
    namespaces.connect("/chat", "second");
    namespaces.taken("/chat");
    namespaces.disconnect("/chat");
    assert_eq!(namespaces.connect("/chat", "third"), Step::Noted);
    assert_eq!(namespaces.place("/chat"), Place::NotYet);
    let decided = namespaces.decided("/chat", None);
    assert!(matches!(decided, Decided::Again(says) if says == "third"));
}

#[test]
fn a_client_that_was_answered_is_there_once_socketioxide_is_done_with_it() {
    let namespaces = namespaces();
    namespaces.connect("/", "");
    namespaces.taken("/");
    assert!(matches!(
        namespaces.decided("/", Some(Weak::new())),
        Decided::Over
    ));
    assert_eq!(namespaces.place("/"), Place::NotYet);
    assert_eq!(namespaces.connect("/", ""), Step::Wait);
    assert_eq!(namespaces.place("/chat"), Place::Elsewhere);
}

#[test]
fn of_namespaces_that_are_not_ours_everything_passes() {
    let namespaces = namespaces();
    assert_eq!(namespaces.connect("/theirs", ""), Step::Pass);
    assert_eq!(namespaces.place("/theirs"), Place::Here);
    assert_eq!(namespaces.disconnect("/theirs"), Place::Here);
}

#[test]
fn a_client_of_engine_io_3_is_connected_to_the_root_without_asking() {
    let served = Arc::new(HashSet::from(["/".to_owned()]));
    let namespaces = Namespaces::new(served, Protocol::V3);
    assert_eq!(namespaces.taken("/").as_deref(), Some(""));
    assert_eq!(namespaces.taken("/"), None);
}
