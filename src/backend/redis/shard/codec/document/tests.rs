//! Notices come back as they were.

use super::*;

fn round_trip(notice: &DocumentNotice) -> Option<(RoomName, DocumentNotice, NodeId)> {
    let (document, node) = (RoomName::parse("team:7").unwrap(), NodeId::generate());
    let mut encoded = Vec::new();
    encode(notice, node, &mut encoded);
    let (event, from) = decode(&RoomKey::of_document(&document), &encoded)?;
    assert_eq!(from, node);
    match event {
        BusEvent::Document(name, notice, said) if said == Some(from) => Some((name, notice, from)),
        _ => None,
    }
}

#[test]
fn a_notice_comes_back_as_it_was() {
    let bytes = Bytes::from_static(b"\0\n\xff 1");
    for notice in [
        DocumentNotice::Update(1_711_000_000_000_001, bytes.clone()),
        DocumentNotice::Awareness(bytes),
        DocumentNotice::QueryAwareness,
    ] {
        let (document, decoded, _) = round_trip(&notice).unwrap();
        assert_eq!((document.as_str(), decoded), ("team:7", notice));
    }
}

#[test]
fn what_is_no_notice_is_ignored() {
    let channel = RoomKey::of_document(&RoomName::parse("d").unwrap());
    for malformed in [
        "",
        "\n",
        "node update 1\n",
        "0 update\n",
        "0 update x\nb",
        "0 new 1\nb",
    ] {
        assert!(
            decode(&channel, malformed.as_bytes()).is_none(),
            "{malformed:?}"
        );
    }
}
