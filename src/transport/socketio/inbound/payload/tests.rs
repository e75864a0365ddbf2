//! Bodies of POSTs in every encoding.

use proptest::prelude::*;

use super::*;

fn texts(packets: PostedPackets<'_>) -> Vec<String> {
    packets
        .map(|packet| match packet {
            Ok(Incoming::Text(text)) => text.to_owned(),
            Ok(Incoming::Binary(bytes)) => format!("{bytes:?}"),
            Err(error) => error.message.to_owned(),
        })
        .collect()
}

#[test]
fn every_encoding_is_decoded() {
    let separated = PostedPackets::text("4a\u{1e}bAAE=\u{1e}3", false);
    assert_eq!(texts(separated), ["4a", "bAAE=", "3"]);
    let counted = PostedPackets::text("3:4äß3:4😀0:4:b4AA", true);
    assert_eq!(texts(counted), ["4äß", "4😀", "b4AA"]);
    let binary = PostedPackets::binary(&[0, 3, 255, b'4', 0xc3, 0xa4, 1, 0, 2, 255, 4, 7]);
    assert_eq!(texts(binary), ["4ä", "[4, 7]"]);
    assert_eq!(texts(PostedPackets::text("", false)), Vec::<String>::new());
}

#[test]
fn a_malformed_payload_is_an_error_after_the_packets_before_it() {
    for body in [
        "2:4a3:4",
        "2:4ax",
        "2:4ax:1",
        "2:4a-1:4",
        "2:4a99999999999:4",
        "2:4a2:a😀",
    ] {
        assert_eq!(
            texts(PostedPackets::text(body, true)),
            ["4a", "malformed payload"],
            "{body}"
        );
    }
    for body in [
        &[0, 5, 255, b'4'][..],
        &[0, 1],
        &[0, 255],
        &[0, 10, 255],
        &[0, 1, 255, 0xff],
    ] {
        assert_eq!(
            texts(PostedPackets::binary(body)),
            ["malformed payload"],
            "{body:?}"
        );
    }
    let many = "\u{1e}".repeat(MAX_PACKETS + 5);
    let packets = texts(PostedPackets::text(&many, false));
    assert_eq!(packets.len(), MAX_PACKETS + 1);
    assert_eq!(packets.last().unwrap(), "too many packets in one payload");
}

#[test]
fn decoding_time_is_proportional_to_the_size_of_a_body() {
    let packet = format!("{}:{}", 1 << 20, "é".repeat(1 << 20));
    let begin = std::time::Instant::now();
    assert_eq!(PostedPackets::text(&packet, true).count(), 1);
    let small = format!("{}:{}", 8, "é".repeat(8)).repeat(1 << 15);
    assert_eq!(PostedPackets::text(&small, true).count(), 1 << 15);
    assert!(begin.elapsed() < std::time::Duration::from_secs(5));
}

proptest! {
    #[test]
    fn encoded_packets_are_decoded_again(packets in prop::collection::vec("[^\u{1e}]{1,20}", 1..20)) {
        let separated = packets.join("\u{1e}");
        prop_assert_eq!(&texts(PostedPackets::text(&separated, false)), &packets);
        let counted: String = packets
            .iter()
            .map(|packet| format!("{}:{packet}", packet.encode_utf16().count()))
            .collect();
        prop_assert_eq!(&texts(PostedPackets::text(&counted, true)), &packets);
        let binary: Vec<u8> = packets
            .iter()
            .flat_map(|packet| {
                let digits = packet.len().to_string().into_bytes().into_iter().map(|digit| digit - b'0');
                std::iter::once(0).chain(digits).chain([255]).chain(packet.bytes())
            })
            .collect();
        prop_assert_eq!(&texts(PostedPackets::binary(&binary)), &packets);
        let mut payload = PayloadBuilder::new(1 << 20);
        let full: Vec<String> = packets.iter().filter_map(|packet| payload.push(packet)).collect();
        prop_assert!(full.is_empty());
        prop_assert_eq!(payload.take(), Some(separated));
    }

    #[test]
    fn no_request_exceeds_its_limit(sizes in prop::collection::vec(0..90usize, 1..30)) {
        let mut payload = PayloadBuilder::new(100);
        let mut requests: Vec<String> = Vec::new();
        for size in &sizes {
            requests.extend(payload.push(&"x".repeat(1 + size)));
        }
        requests.extend(payload.take());
        prop_assert!(requests.iter().all(|request| request.len() <= 100));
        let whole: usize = requests.iter().map(|request| request.split(SEPARATOR).count()).sum();
        prop_assert_eq!(whole, sizes.len());
        let attachments: Vec<Vec<u8>> = sizes.iter().map(|size| vec![7; *size]).collect();
        let binary_bodies = binary_bodies(&attachments, 100);
        prop_assert!(binary_bodies.iter().all(|body| body.len() <= 100));
        let found: Vec<Vec<u8>> = binary_bodies
            .iter()
            .flat_map(|body| PostedPackets::binary(body))
            .map(|packet| match packet {
                Ok(Incoming::Binary([4, bytes @ ..])) => bytes.to_vec(),
                other => panic!("{other:?}"),
            })
            .collect();
        prop_assert_eq!(found, attachments);
    }

    #[test]
    fn no_body_is_read_beyond_its_end(body in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = PostedPackets::binary(&body).count();
        let text = String::from_utf8_lossy(&body);
        let _ = PostedPackets::text(&text, true).count() + PostedPackets::text(&text, false).count();
    }
}
