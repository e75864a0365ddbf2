//! Which frames socketioxide has written, and what they are.

use proptest::prelude::*;

use super::*;

fn split(parts: &[&[u8]]) -> Vec<EngineFrame> {
    let (mut splitter, mut found) = (FrameSplitter::default(), Vec::new());
    for part in parts {
        splitter.split(part, |frame| found.push(frame));
    }
    assert_eq!(splitter.partial_len(), 0);
    found
}

#[test]
fn a_splitter_keeps_no_memory_of_a_large_frame() {
    let large = framed("x".repeat(1 << 20).as_bytes());
    let (mut splitter, mut found) = (FrameSplitter::default(), Vec::new());
    for part in [&large[..], &large[..5], &large[5..]] {
        splitter.split(part, |frame| found.push(frame));
    }
    for frame in found {
        let alone = matches!(&frame, EngineFrame::Other(bytes) if bytes.is_unique());
        assert!(alone, "the splitter still shares its memory");
    }
}

#[test]
fn frames_are_classified_by_their_packet() {
    let of = |text: &str| split(&[&framed(text.as_bytes())]).remove(0);
    let bytes = |text: &str| framed(text.as_bytes());
    for barrier in [
        format!("42[\"{BARRIER_EVENT}\"]"),
        format!("42/chat,[\"{BARRIER_EVENT}\"]"),
    ] {
        assert_eq!(of(&barrier), EngineFrame::Barrier);
    }
    for event in [
        format!("42[\"{BARRIER_EVENT}\",1]"),
        format!("42[\"chat\",[\"{BARRIER_EVENT}\"]]"),
    ] {
        assert_eq!(of(&event), EngineFrame::Event(bytes(&event)), "{event}");
    }
    for other in [
        "450-[\"e\"]".to_owned(),
        "2".to_owned(),
        String::new(),
        "é".to_owned(),
    ] {
        assert_eq!(of(&other), EngineFrame::Other(bytes(&other)), "{other}");
    }
    let (root, chat) = ("40{\"sid\":\"x\"}", "40/chat,{\"sid\":\"x\"}");
    for reply in [root, chat] {
        assert_eq!(of(reply), EngineFrame::Connected(bytes(reply)));
    }
    for bodiless in ["40", "40/chat,", "41", "41/chat,"] {
        assert_eq!(of(bodiless), EngineFrame::Bodiless(bytes(bodiless)));
    }
    let refused = "44/chat,{\"message\":\"x\"}";
    assert_eq!(of(refused), EngineFrame::Refused(bytes(refused)));
    let binary = "452-/chat,3[\"e\",{}]";
    assert_eq!(of(binary), EngineFrame::Binary(bytes(binary), 2));
}

proptest! {
    #[test]
    fn frames_are_found_however_the_stream_is_cut(
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
        prop_assert_eq!(found, frames.into_iter().map(EngineFrame::Other).collect::<Vec<_>>());
    }
}
