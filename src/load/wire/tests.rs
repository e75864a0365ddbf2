//! Frames, responses and chunks, whole and in pieces.

use super::{
    http::{chunk, head, response},
    websocket::{Frame, parse, write_pong, write_text},
};

/// A server's frame.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![first];
    match payload.len() {
        short @ 0..126 => frame.push(short as u8),
        medium @ 126..0x1_0000 => {
            frame.push(126);
            frame.extend_from_slice(&(medium as u16).to_be_bytes());
        }
        long => {
            frame.push(127);
            frame.extend_from_slice(&(long as u64).to_be_bytes());
        }
    }
    frame.extend_from_slice(payload);
    frame
}

#[test]
fn a_frame_of_any_length_is_read_once_it_is_complete() {
    for length in [0, 1, 125, 126, 65_535, 65_536] {
        let payload = vec![b'x'; length];
        let bytes = frame(0x81, &payload);
        for cut in [0, 1, 2, 3, 5, bytes.len() - 1] {
            if cut < bytes.len() {
                assert_eq!(parse(&bytes[..cut]).unwrap(), None, "{length} {cut}");
            }
        }
        let two = [&bytes[..], b"\x81\x01y"].concat();
        assert_eq!(
            parse(&two).unwrap(),
            Some((Frame::Text(&payload), bytes.len()))
        );
    }
}

#[test]
fn control_frames_are_told_apart() {
    assert_eq!(
        parse(&frame(0x89, b"hi")).unwrap(),
        Some((Frame::Ping(b"hi"), 4))
    );
    let close = frame(0x88, &[&4029u16.to_be_bytes()[..], b"slow down"].concat());
    assert_eq!(
        parse(&close).unwrap().unwrap().0,
        Frame::Close(4029, b"slow down")
    );
    assert_eq!(
        parse(&frame(0x88, b"")).unwrap().unwrap().0,
        Frame::Close(1005, b"")
    );
    assert_eq!(parse(&frame(0x8a, b"")).unwrap().unwrap().0, Frame::Other);
}

#[test]
fn frames_that_servers_do_not_send_are_errors() {
    assert!(parse(b"\x01\x01a").is_err(), "the first part of a message");
    assert!(parse(b"\x80\x01a").is_err(), "its last one");
    assert!(parse(b"\x81\x81....a").is_err(), "masked");
    assert!(parse(b"\x83\x00").is_err(), "unknown");
}

#[test]
fn written_frames_are_masked_with_zeros() {
    let mut out = Vec::new();
    write_text(&mut out, b"hello");
    assert_eq!(out, b"\x81\x85\0\0\0\0hello");
    out.clear();
    write_pong(&mut out, &[b'a'; 126]);
    assert_eq!(out[..8], [0x8a, 0xfe, 0, 126, 0, 0, 0, 0]);
    out.clear();
    write_text(&mut out, &[b'a'; 70_000]);
    assert_eq!((out[1], out.len()), (0xff, 70_014));
}

#[test]
fn a_response_has_a_status_and_a_body_of_its_length() {
    let text = b"HTTP/1.1 503 Service Unavailable\r\nContent-length: 4\r\nConnection: close\r\n\r\nbusyHTTP/1.1";
    let (head, body, bytes) = response(text).unwrap().unwrap();
    assert_eq!(
        (head.status, &*body, head.closes),
        (503, &b"busy"[..], true)
    );
    assert_eq!(bytes, text.len() - 8);
    for cut in [0, 3, 20, bytes - 1] {
        assert_eq!(response(&text[..cut]).unwrap(), None, "{cut}");
    }
    assert!(head_of(b"+PONG\r\n").is_err());
    assert!(head_of(b"HTTP/1.1 what\r\n\r\n").is_err());
}

fn head_of(data: &[u8]) -> std::io::Result<bool> {
    head(data).map(|head| head.is_some())
}

#[test]
fn a_body_in_chunks_is_put_together() {
    let text = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\nA\r\n0123456789\r\n0\r\n\r\n";
    let (_, body, bytes) = response(text).unwrap().unwrap();
    assert_eq!((&*body, bytes), (&b"abc0123456789"[..], text.len()));
    assert_eq!(response(&text[..text.len() - 1]).unwrap(), None);
    assert_eq!(chunk(b"3;x=y\r\nabc\r\nmore").unwrap(), Some((7..10, 12)));
    assert!(chunk(b"nonsense\r\n").is_err());
}
