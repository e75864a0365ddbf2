//! What socketioxide reads of what a client sends.

use std::collections::HashSet;

use proptest::prelude::*;
use tokio::io::{AsyncWriteExt, DuplexStream, duplex};

use super::*;
use crate::limits::{Account, Holder, Pool, Rate};
use crate::transport::{
    packet_rate::PacketRate,
    socketio::inbound::{InboundConfig, ProtocolError, client_frame::CONTINUATION},
    wire::testing::outbox,
};

const MAX_PACKET: usize = 10_000;

fn filter(protocol: EngineProtocol, served: &[&str]) -> Arc<InboundFilter> {
    let served: HashSet<String> = served.iter().map(ToString::to_string).collect();
    let config = InboundConfig {
        protocol,
        served_namespaces: Arc::new(served),
        identified: true,
        max_packet: MAX_PACKET,
        rate: PacketRate::new(Rate::new(0, 0), Arc::default()),
        account: Account::new(Pool::new(0), Holder::Backend),
    };
    InboundFilter::new(&config, outbox(), Arc::default())
}

/// The reader, and the client's end of its stream.
fn reading(filter: &Arc<InboundFilter>) -> (WebSocketReader, DuplexStream) {
    let (near, client) = duplex(1 << 20);
    (
        WebSocketReader::new(Box::new(near), filter.clone(), 4096),
        client,
    )
}

/// A client's frame.
fn frame(first: u8, payload: &[u8], mask: [u8; 4]) -> Vec<u8> {
    let mut frame = vec![first];
    match payload.len() {
        short @ 0..126 => frame.push(0x80 | short as u8),
        middle @ 126..0x1_0000 => {
            frame.push(0x80 | 126);
            frame.extend((middle as u16).to_be_bytes());
        }
        long => {
            frame.push(0x80 | 127);
            frame.extend((long as u64).to_be_bytes());
        }
    }
    frame.extend(mask);
    let masked = payload.iter().zip(mask.iter().cycle());
    frame.extend(masked.map(|(byte, mask)| byte ^ mask));
    frame
}

fn text(payload: &str) -> Vec<u8> {
    frame(0x81, payload.as_bytes(), [7, 0, 255, 9])
}

/// The messages in passed bytes, with their opcodes.
fn messages(mut bytes: &[u8]) -> Vec<(u8, Vec<u8>)> {
    let mut found = Vec::new();
    while !bytes.is_empty() {
        let head = ClientFrameHeader::parse(bytes, MAX_PACKET)
            .unwrap()
            .expect("whole frames");
        assert!(head.last, "no fragments");
        let mut frame = bytes[..head.frame_len()].to_vec();
        found.push((head.opcode, head.unmask(&mut frame).to_vec()));
        bytes = &bytes[head.frame_len()..];
    }
    found
}

/// The messages that pass of a stream, which then ends.
async fn given(filter: &Arc<InboundFilter>, stream: &[&[u8]]) -> Vec<(u8, Vec<u8>)> {
    let (mut reader, mut client) = reading(filter);
    let mut given = Vec::new();
    for part in stream {
        client.write_all(part).await.unwrap();
        let mut some = [0; 700];
        // Everything that has come is read before the next part.
        while let Ok(read) = tokio::time::timeout(Duration::ZERO, reader.read(&mut some)).await {
            let read = read.unwrap();
            given.extend_from_slice(&some[..read]);
            if read == 0 {
                return messages(&given);
            }
        }
    }
    drop(client);
    reader.read_to_end(&mut given).await.unwrap();
    messages(&given)
}

fn is(opcode: u8, payload: &str) -> (u8, Vec<u8>) {
    (opcode, payload.as_bytes().to_vec())
}

#[tokio::test]
async fn packets_are_passed_rewritten_and_dropped_in_order() {
    let stream = [
        text("2"),
        text(r#"42/x,["a",1]"#),
        text("6"),
        text(r#"42/x,["\u0061",2]"#),
        frame(0x89, b"ping", [1, 2, 3, 4]),
        text("42/x,[3]"),
        text("3"),
    ]
    .concat();
    for protocol in [EngineProtocol::V4, EngineProtocol::V3] {
        assert_eq!(
            given(&filter(protocol, &[]), &[&stream]).await,
            [
                is(TEXT, "2"),
                is(TEXT, r#"42/x,["a",1]"#),
                is(TEXT, r#"42/x,["a",2]"#),
                is(9, "ping"),
                is(TEXT, r#"42/x,["3"]"#),
                is(TEXT, "3"),
            ]
        );
    }
}

#[tokio::test]
async fn a_binary_event_passes_once_it_has_its_attachments() {
    for (protocol, first, second, prefix) in [
        (EngineProtocol::V4, &b"\x01\x02"[..], "bAwQ=", &[][..]),
        (EngineProtocol::V3, &b"\x04\x01\x02"[..], "b4AwQ=", &[4][..]),
    ] {
        let stream = [
            text(r#"452-/x,["e",{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}]"#),
            frame(0x82, first, [9, 9, 9, 9]),
            text("3"),
            text(second),
        ]
        .concat();
        assert_eq!(
            given(&filter(protocol, &[]), &[&stream]).await,
            [
                is(TEXT, "3"),
                is(
                    TEXT,
                    r#"452-/x,["e",{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}]"#
                ),
                (BINARY, [prefix, &[1, 2]].concat()),
                (BINARY, [prefix, &[3, 4]].concat()),
            ]
        );
    }
}

#[tokio::test]
async fn an_event_with_too_many_or_too_large_attachments_is_dropped_with_them() {
    let heavy = vec![0; MAX_PACKET / 2 + 1];
    let mut stream = vec![text(r#"4565-/x,["e"]"#)];
    stream.extend((0..65).map(|_| frame(0x82, b"x", [0; 4])));
    stream.push(text(r#"453-/x,["e"]"#));
    stream.extend((0..3).map(|_| frame(0x82, &heavy, [0; 4])));
    stream.push(text("3"));
    assert_eq!(
        given(&filter(EngineProtocol::V4, &[]), &[&stream.concat()]).await,
        [is(TEXT, "3")]
    );
}

#[tokio::test]
async fn an_event_that_becomes_too_long_is_dropped() {
    let array = format!(r#"["a\"b","{}"]"#, "x".repeat(MAX_PACKET - 30));
    let long = text(&format!("42/x,{array}"));
    let short = text(&format!("42/x,{}", array.replace(&"x".repeat(30), "")));
    let given = given(&filter(EngineProtocol::V4, &[]), &[&long, &short]).await;
    assert_eq!(given.len(), 1);
    assert!(given[0].1.len() < MAX_PACKET);
}

#[tokio::test]
async fn a_protocol_error_ends_the_stream_after_the_packets_before_it() {
    let large = frame(0x81, &vec![b'4'; MAX_PACKET + 1], [0; 4]);
    for (what, wrong) in [
        ("an unmasked frame", b"\x81\x01\x33".to_vec()),
        ("a reserved bit", frame(0xc1, b"3", [0; 4])),
        ("an unknown opcode", frame(0x83, b"3", [0; 4])),
        ("a fragment of nothing", frame(0x80, b"3", [0; 4])),
        ("a ping in fragments", frame(0x09, b"3", [0; 4])),
        ("a ping that is too long", frame(0x89, &[0; 126], [0; 4])),
        (
            "two messages in one another",
            [frame(1, b"3", [0; 4]), text("3")].concat(),
        ),
        ("bytes that are no UTF-8", frame(0x81, b"4\xff", [0; 4])),
        ("a large frame", large[..20].to_vec()),
        (
            "a large message",
            [
                frame(1, &vec![b'4'; MAX_PACKET], [0; 4]),
                frame(0x80, b"4", [0; 4]),
            ]
            .concat(),
        ),
        ("no packet", text("abc")),
        ("no event", text("42{}")),
        ("an attachment of nothing", frame(0x82, b"x", [0; 4])),
        (
            "a missing attachment",
            [text(r#"451-/x,["e"]"#), text(r#"42/x,["e"]"#)].concat(),
        ),
    ] {
        let stream = [text("3"), wrong, text("2")].concat();
        let given = given(&filter(EngineProtocol::V4, &[]), &[&stream]).await;
        assert_eq!(given, [is(TEXT, "3")], "{what}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_connect_is_passed_again_until_it_is_taken_up_and_nothing_behind_it_passes_before() {
    let filter = filter(EngineProtocol::V4, &["/", "/chat"]);
    let (mut reader, mut client) = reading(&filter);
    let stream = [text("40/chat,{\"user\":\"a\"}"), text("3")].concat();
    client.write_all(&stream).await.unwrap();
    let connect = is(TEXT, "40/chat,{\"user\":\"a\"}");
    let mut some = [0; 700];
    for _ in 0..5 {
        let read = reader.read(&mut some).await.unwrap();
        assert_eq!(messages(&some[..read]), std::slice::from_ref(&connect));
    }
    let taking = async {
        tokio::task::yield_now().await;
        assert_eq!(
            filter.namespaces().take_request("/chat").as_deref(),
            Some("{\"user\":\"a\"}")
        );
        // The one that was passed twice is not taken again.
        assert_eq!(filter.namespaces().take_request("/chat"), None);
    };
    let (read, ()) = tokio::join!(reader.read(&mut some), taking);
    assert_eq!(messages(&some[..read.unwrap()]), [is(TEXT, "3")]);
}

#[tokio::test(start_paused = true)]
async fn events_wait_until_their_connect_is_decided() {
    let filter = filter(EngineProtocol::V4, &["/"]);
    let (mut reader, mut client) = reading(&filter);
    let stream = [text("40"), text(r#"42["early",1]"#), text("3")].concat();
    client.write_all(&stream).await.unwrap();
    let mut some = [0; 700];
    let read = reader.read(&mut some).await.unwrap();
    assert_eq!(messages(&some[..read]), [is(TEXT, "40")]);
    assert!(filter.namespaces().take_request("/").is_some());
    let slow = tokio::time::timeout(Duration::from_secs(3), reader.read(&mut some));
    assert!(slow.await.is_err(), "it waits");
    // Refused, it is not in the namespace.
    assert!(matches!(
        filter.namespaces().finish_connect("/", None),
        crate::transport::socketio::inbound::ConnectDecision::Final
    ));
    let read = reader.read(&mut some).await.unwrap();
    assert_eq!(messages(&some[..read]), [is(TEXT, "3")]);
}

#[tokio::test(start_paused = true)]
async fn a_connect_that_is_never_taken_up_closes_its_client() {
    let filter = filter(EngineProtocol::V4, &["/"]);
    let (mut reader, mut client) = reading(&filter);
    client
        .write_all(&[text("40"), text("3")].concat())
        .await
        .unwrap();
    let mut given = Vec::new();
    reader.read_to_end(&mut given).await.unwrap();
    assert!(
        messages(&given)
            .iter()
            .all(|message| *message == is(TEXT, "40"))
    );
    assert_eq!(filter.namespaces().take_request("/"), None);
}

#[tokio::test]
async fn packets_for_a_namespace_that_is_not_connected_are_dropped() {
    let stream = [
        text("41/chat,"),
        text(r#"42/chat,["e"]"#),
        text(r#"451-/chat,["e"]"#),
        frame(0x82, b"x", [0; 4]),
        text(r#"43/chat,1["e"]"#),
        text(r#"42/other,["e"]"#),
    ]
    .concat();
    let given = given(&filter(EngineProtocol::V4, &["/", "/chat"]), &[&stream]).await;
    assert_eq!(given, [is(TEXT, r#"42/other,["e"]"#)]);
}

#[test]
fn protocol_errors_have_close_codes() {
    assert_eq!(ProtocolError::TOO_LARGE.code, 1009);
    assert_eq!(ProtocolError::NOT_UTF8.code, 1007);
    assert_eq!(ProtocolError::new("").code, 1002);
}

proptest! {
    #[test]
    fn the_same_packets_pass_however_a_stream_is_cut_and_fragmented(
        packets in prop::collection::vec((0..6usize, 0..400usize, any::<[u8; 4]>(), prop::collection::vec(0..40usize, 0..3)), 1..12),
        cuts in prop::collection::vec(1..900usize, 1..40),
    ) {
        let (mut stream, mut expected) = (Vec::new(), Vec::new());
        for (kind, padding, mask, fragments) in packets {
            let padding = "é".repeat(padding);
            let (sent, passed) = match kind {
                0 => (format!(r#"42/x,["e","{padding}"]"#), Some(format!(r#"42/x,["e","{padding}"]"#))),
                1 => (format!(r#"42/x,["\u0065","{padding}"]"#), Some(format!(r#"42/x,["e","{padding}"]"#))),
                2 => (format!(r#"42/x,["a\"b","{padding}"]"#), Some(format!(r#"42/x,["switchboard:raw"]["a\"b","{padding}"]"#))),
                3 => ("5".to_owned(), None),
                4 => ("3".to_owned(), Some("3".to_owned())),
                _ => (String::new(), None),
            };
            if sent.is_empty() {
                stream.extend(frame(0x89, b"ping", mask));
                expected.push(is(9, "ping"));
                continue;
            }
            let mut rest = sent.as_bytes();
            let mut opcode = TEXT;
            for length in fragments {
                let (now, later) = rest.split_at(length.min(rest.len()));
                stream.extend(frame(opcode, now, mask));
                (opcode, rest) = (CONTINUATION, later);
            }
            stream.extend(frame(0x80 | opcode, rest, mask));
            expected.extend(passed.map(|passed| is(TEXT, &passed)));
        }
        let mut parts = Vec::new();
        let (mut rest, mut cuts) = (&stream[..], cuts.iter().cycle());
        while !rest.is_empty() {
            let (now, later) = rest.split_at((*cuts.next().unwrap()).min(rest.len()));
            parts.push(now);
            rest = later;
        }
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let given = runtime.block_on(given(&filter(EngineProtocol::V4, &[]), &parts));
        prop_assert_eq!(given, expected);
    }
}

#[tokio::test]
async fn after_backpressure_one_pong_is_inserted_between_frames() {
    let filter = filter(EngineProtocol::V4, &[]);
    let (mut reader, mut client) = reading(&filter);
    let packet = text(&format!("42[\"{}\"]", "x".repeat(200)));
    client.write_all(&packet).await.unwrap();
    let mut given = vec![0; 300];
    // Only a part of it, from the output: it came with bytes that had to be reassembled.
    let mut read = reader.read(&mut given[..5]).await.unwrap();
    for _ in 0..2 {
        filter.outbox.pause_reads();
        filter.outbox.resume_reads();
    }
    while messages_of(&given[..read]).len() < 2 {
        read += reader.read(&mut given[read..]).await.unwrap();
    }
    let messages = messages_of(&given[..read]);
    assert!(messages[0].1.starts_with(b"42["));
    assert_eq!(messages[1], (TEXT, b"3".to_vec()));
    client.write_all(&text("2")).await.unwrap();
    let read = reader.read(&mut given).await.unwrap();
    assert_eq!(messages_of(&given[..read]), [(TEXT, b"2".to_vec())]);
}

/// The complete messages at the start of what has passed so far.
fn messages_of(bytes: &[u8]) -> Vec<(u8, Vec<u8>)> {
    let mut whole = 0;
    while let Ok(Some(head)) = ClientFrameHeader::parse(&bytes[whole..], MAX_PACKET)
        && whole + head.frame_len() <= bytes.len()
    {
        whole += head.frame_len();
    }
    messages(&bytes[..whole])
}
