use proptest::prelude::*;

use super::*;

fn chat() -> Namespace {
    Namespace::parse("/chat").unwrap()
}

fn split(parts: &[&[u8]]) -> Vec<Native> {
    let (mut splitter, mut found) = (Splitter::default(), Vec::new());
    for part in parts {
        splitter.split(part, |native| found.push(native));
    }
    assert_eq!(splitter.partial(), 0);
    found
}

#[test]
fn a_large_frame_leaves_no_memory_behind() {
    let large = framed("x".repeat(1 << 20).as_bytes());
    let (mut splitter, mut found) = (Splitter::default(), Vec::new());
    for part in [&large[..], &large[..5], &large[5..]] {
        splitter.split(part, |native| found.push(native));
    }
    for native in found {
        let alone = matches!(&native, Native::Other(frame) if frame.is_unique());
        assert!(alone, "the splitter holds it, too");
    }
}

#[test]
fn events_and_acks_are_written_as_socketio_has_them() {
    let value = || RawValue::from_string("{\"a\":1.0}".to_owned()).unwrap();
    let event = Frame::event(&Namespace::root(), "a\"b", &[value(), value()]);
    assert_eq!(event.packet(), r#"42["a\"b",{"a":1.0},{"a":1.0}]"#);
    let ack = Frame::ack(&chat(), 7, &*value());
    assert_eq!(ack.packet(), r#"43/chat,7[{"a":1.0}]"#);
}

#[test]
fn what_concerns_us_is_recognised_and_nothing_else() {
    let of = |text: &str| split(&[&framed(text.as_bytes())]).remove(0);
    let bytes = |text: &str| framed(text.as_bytes());
    for mark in [format!("42[\"{MARK}\"]"), format!("42/chat,[\"{MARK}\"]")] {
        assert_eq!(of(&mark), Native::Mark);
    }
    for event in [
        format!("42[\"{MARK}\",1]"),
        format!("42[\"chat\",[\"{MARK}\"]]"),
    ] {
        assert_eq!(of(&event), Native::Event(bytes(&event)), "{event}");
    }
    for other in [
        "40".to_owned(),
        "40/chat,".to_owned(),
        "450-[\"e\"]".to_owned(),
        "2".to_owned(),
        String::new(),
        "é".to_owned(),
    ] {
        assert_eq!(of(&other), Native::Other(bytes(&other)), "{other}");
    }
    let (root, chat) = ("40{\"sid\":\"x\"}", "40/chat,{\"sid\":\"x\"}");
    for reply in [root, chat] {
        assert_eq!(of(reply), Native::Connected(bytes(reply)));
    }
    let refused = "44/chat,{\"message\":\"x\"}";
    assert_eq!(of(refused), Native::Refused(bytes(refused)));
    let binary = "452-/chat,3[\"e\",{}]";
    assert_eq!(of(binary), Native::Binary(bytes(binary), 2));
}

#[test]
fn an_event_is_of_its_namespace() {
    for namespace in [Namespace::root(), chat()] {
        let event = Frame::event(&namespace, "e,e", &[]);
        assert_eq!(event.namespace(), namespace.as_str());
    }
}

proptest! {
    #[test]
    fn frames_come_out_whole_however_they_are_parted(
        sizes in prop::collection::vec(prop_oneof![0usize..300, 65_000usize..66_000], 0..8),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..20),
    ) {
        let frames: Vec<Bytes> = sizes.iter().map(|size| framed(&vec![b'x'; *size])).collect();
        let stream = frames.concat();
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(stream.len() + 1)).collect();
        cuts.extend([0, stream.len()]);
        cuts.sort_unstable();
        let parts: Vec<&[u8]> = cuts.windows(2).map(|ends| &stream[ends[0]..ends[1]]).collect();
        let found = split(&parts);
        prop_assert_eq!(found, frames.into_iter().map(Native::Other).collect::<Vec<_>>());
    }
}
