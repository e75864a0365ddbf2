//! The first packet of a stream.

use super::*;

async fn first(bytes: &[u8]) -> Option<Option<String>> {
    let mut reader = bytes;
    let sid = read_first_packet(&mut reader).await.ok()?;
    assert_eq!(reader, b"rest", "nothing behind the packet is read");
    Some(sid.map(|sid| sid.to_string()))
}

fn packet(text: &str) -> Vec<u8> {
    [&[text.len() as u8][..], text.as_bytes(), b"rest"].concat()
}

#[tokio::test]
async fn the_first_packet_opens_a_session_or_names_the_one_that_upgrades() {
    assert_eq!(first(&packet("0")).await, Some(None));
    let sid = "AAAAAAAAAAAAAAHs";
    let named = packet(&format!(r#"0{{"sid":"{sid}"}}"#));
    assert_eq!(first(&named).await, Some(Some(sid.to_owned())));
}

#[tokio::test]
async fn anything_else_is_refused() {
    for text in [
        "",
        "2probe",
        "00",
        "0{}",
        r#"0{"sid":7}"#,
        r#"0{"sid":"../x"}"#,
    ] {
        assert_eq!(first(&packet(text)).await, None, "{text}");
    }
    for bytes in [&b"\xff"[..], b"\x7e\x00\x010", b"\x810", b"\x050"] {
        assert_eq!(read_first_packet(&mut &bytes[..]).await.ok(), None);
    }
}
