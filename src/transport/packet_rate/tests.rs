//! Counting of frames, and the pace of reading.

use proptest::prelude::*;
use tokio::io::AsyncReadExt;

use super::*;

fn frame(first: u8, payload: usize) -> Vec<u8> {
    let mut frame = vec![first];
    match payload {
        0..126 => frame.push(0x80 | payload as u8),
        126..0x1_0000 => {
            frame.push(0x80 | 126);
            frame.extend((payload as u16).to_be_bytes());
        }
        _ => {
            frame.push(0x80 | 127);
            frame.extend((payload as u64).to_be_bytes());
        }
    }
    frame.extend([0; 4]);
    frame.resize(frame.len() + payload, 0x89);
    frame
}

const TEXT: u8 = 0x81;
const PING: u8 = 0x89;

proptest! {
    #[test]
    fn frames_are_counted_however_the_stream_is_split(
        frames in prop::collection::vec(
            (prop::sample::select(vec![TEXT, PING, 0x01, 0x80, 0x82]), prop_oneof![0..130usize, 65_500..65_600usize]), 0..20),
        parts in prop::collection::vec(1..5_000usize, 1..50),
    ) {
        let stream: Vec<u8> = frames.iter().flat_map(|(first, payload)| frame(*first, *payload)).collect();
        let (mut counter, mut rest, mut counted) = (FrameCounter::default(), &stream[..], (0, 0));
        for part in parts.iter().cycle() {
            let (now, later) = rest.split_at((*part).min(rest.len()));
            let (all, non_message) = counter.count(now);
            counted = (counted.0 + all, counted.1 + non_message);
            rest = later;
            if rest.is_empty() {
                break;
            }
        }
        let non_message = frames.iter().filter(|(first, payload)| !matches!(first, 0x81 | 0x82) || *payload == 0);
        prop_assert_eq!(counted, (frames.len() as u32, non_message.count() as u32));
    }
}

#[test]
fn a_message_is_unfinished_until_the_last_byte_of_its_last_frame() {
    let mut frames = FrameCounter::default();
    let mut after = |bytes: &[u8]| {
        frames.count(bytes);
        frames.message
    };
    assert_eq!(after(&frame(TEXT, 200)[..100]), 92);
    assert_eq!(after(&frame(TEXT, 200)[100..]), 0);
    assert_eq!(after(&frame(0x01, 50)), 50);
    assert_eq!(after(&frame(PING, 20)), 50);
    assert_eq!(after(&frame(0x00, 10)), 60);
    assert_eq!(after(&frame(0x80, 7)), 0);
    assert_eq!(after(&[frame(TEXT, 0), frame(0x02, 3)].concat()), 3);
    assert_eq!(after(&frame(0x80, 0)), 0);
}

#[tokio::test(start_paused = true)]
async fn pings_are_read_at_the_rate_and_messages_at_once() {
    let metrics: Arc<Metrics> = Arc::default();
    for (first, seconds) in [(PING, 9), (TEXT, 0)] {
        let stream = frame(first, 4).repeat(1_000);
        let rate = PacketRate::new(Rate::new(100, 100), metrics.clone());
        let mut reader = PacedReader::new(&stream[..], rate);
        let begin = Instant::now();
        let mut read = Vec::new();
        let mut part = [0; 64];
        loop {
            match reader.read(&mut part).await.unwrap() {
                0 => break,
                bytes => read.extend_from_slice(&part[..bytes]),
            }
        }
        assert_eq!(read, stream);
        assert_eq!(begin.elapsed().as_secs(), seconds);
    }
}

#[tokio::test]
async fn reading_many_frames_yields_to_other_tasks() {
    let rate = PacketRate::new(Rate::new(0, 0), Arc::default());
    let stream = frame(PING, 0).repeat(100_000);
    let mut reader = PacedReader::new(&stream[..], rate);
    let mut turns = 0;
    let read = async {
        let mut part = [0; 4096];
        while reader.read(&mut part).await.unwrap() > 0 {}
    };
    let mut read = std::pin::pin!(read);
    std::future::poll_fn(|context| {
        turns += 1;
        read.as_mut().poll(context)
    })
    .await;
    assert!(turns > 40, "{turns}");
}
