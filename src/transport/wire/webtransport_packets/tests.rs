//! Packets and frames are the same, however they are cut into pieces.

use std::collections::VecDeque;

use proptest::prelude::*;
use tokio::io::AsyncWriteExt;

use super::*;

/// A packet: whether it is binary, and how long; what is in it does not matter.
type Packet = (bool, usize);

fn packets() -> impl Strategy<Value = Vec<Packet>> {
    let length = prop_oneof![0..4usize, 120..130usize, 65_530..65_540usize];
    prop::collection::vec((any::<bool>(), length), 0..6)
}

fn body(length: usize) -> Vec<u8> {
    (0..length).map(|nth| (nth % 251) as u8).collect()
}

/// The length as both protocols write it: seven bits, and what follows.
fn lengths(length: usize) -> (u8, Vec<u8>) {
    match length {
        0..126 => (length as u8, Vec::new()),
        126..65_536 => (126, (length as u16).to_be_bytes().to_vec()),
        _ => (127, (length as u64).to_be_bytes().to_vec()),
    }
}

fn on_webtransport(packets: &[Packet]) -> Vec<u8> {
    let packets = packets.iter().map(|(binary, length)| {
        let (first, rest) = lengths(*length);
        let kind = if *binary { 0x80 } else { 0 };
        [vec![kind | first], rest, body(*length)].concat()
    });
    packets.collect::<Vec<_>>().concat()
}

fn on_websocket(packets: &[Packet], from_client: bool) -> Vec<u8> {
    let packets = packets.iter().map(|(binary, length)| {
        let (first, rest) = lengths(*length);
        let opcode = if *binary { 0x82 } else { 0x81 };
        let (masked, mask) = match from_client {
            true => (0x80, vec![0; 4]),
            false => (0, Vec::new()),
        };
        [vec![opcode, masked | first], rest, mask, body(*length)].concat()
    });
    packets.collect::<Vec<_>>().concat()
}

/// Takes and gives bytes in pieces of these sizes, and is not ready after each.
#[derive(Default)]
struct Pieces {
    sizes: VecDeque<usize>,
    bytes: Vec<u8>,
    ready: bool,
    closed: Option<(u16, Vec<u8>)>,
}

impl Pieces {
    fn of(sizes: &[usize], bytes: Vec<u8>) -> Self {
        Self {
            sizes: sizes.iter().copied().collect(),
            bytes,
            ..Self::default()
        }
    }

    /// The size of the next piece, every other time.
    fn next(&mut self, context: &Context<'_>) -> Option<usize> {
        self.ready = !self.ready;
        if !self.ready {
            context.waker().wake_by_ref();
            return None;
        }
        self.sizes.rotate_left(1);
        self.sizes.back().copied()
    }
}

impl AsyncRead for Pieces {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let Some(size) = self.next(context) else {
            return Poll::Pending;
        };
        let size = size.min(self.bytes.len()).min(buffer.remaining());
        buffer.put_slice(&self.bytes[..size]);
        self.bytes.drain(..size);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Pieces {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let Some(size) = self.next(context) else {
            return Poll::Pending;
        };
        let size = size.min(bytes.len());
        self.bytes.extend_from_slice(&bytes[..size]);
        Poll::Ready(Ok(size))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

impl PacketStream for Pieces {
    fn close(&mut self, code: u16, reason: &[u8]) {
        self.closed = Some((code, reason.to_vec()));
    }
}

fn run<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    runtime.unwrap().block_on(future)
}

fn read_all(bytes: Vec<u8>, sizes: &[usize]) -> io::Result<Vec<u8>> {
    let mut reader = PacketReader::new(Pieces::of(sizes, bytes));
    let mut read = Vec::new();
    run(reader.read_to_end(&mut read))?;
    Ok(read)
}

fn write_all(frames: &[u8], sizes: &[usize]) -> Pieces {
    let mut writer = PacketWriter::new(Pieces::of(sizes, Vec::new()));
    run(async {
        writer.write_all(frames).await.unwrap();
        writer.flush().await.unwrap();
    });
    writer.stream
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn packets_become_a_clients_frames(packets in packets(), sizes in prop::collection::vec(1..9_000usize, 1..5)) {
        let read = read_all(on_webtransport(&packets), &sizes).unwrap();
        prop_assert!(read == on_websocket(&packets, true));
    }

    #[test]
    fn a_servers_frames_become_packets(packets in packets(), sizes in prop::collection::vec(1..9_000usize, 1..5)) {
        let written = write_all(&on_websocket(&packets, false), &sizes);
        prop_assert!(written.bytes == on_webtransport(&packets));
        prop_assert!(written.closed.is_none());
    }

    #[test]
    fn any_bytes_are_read_to_their_end_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
        if let Ok(read) = read_all(bytes.clone(), &[7]) {
            // Each packet of a byte or more has a head of six bytes at least in place of its own.
            prop_assert!(read.len() <= bytes.len() * 6);
        }
    }
}

#[test]
fn a_close_frame_closes_the_session_and_other_control_frames_are_left_out() {
    let ping = [&[0x89, 2][..], b"hi"].concat();
    let close = [&[0x88, 6][..], &4008_u16.to_be_bytes(), b"slow"].concat();
    let frames = [&ping[..], &on_websocket(&[(false, 3)], false), &close].concat();
    let written = write_all(&frames, &[1]);
    assert_eq!(written.bytes, on_webtransport(&[(false, 3)]));
    assert_eq!(written.closed, Some((4008, b"slow".to_vec())));
}

#[test]
fn a_length_that_no_frame_can_have_is_refused() {
    let packet = [&[0xff][..], &[0xff; 8]].concat();
    assert!(read_all(packet, &[3]).is_err());
}

#[test]
fn a_stream_that_ends_within_a_packet_ends_the_frames_there() {
    let mut bytes = on_webtransport(&[(true, 10)]);
    bytes.truncate(5);
    let mut expected = on_websocket(&[(true, 10)], true);
    expected.truncate(10);
    assert_eq!(read_all(bytes, &[2]).unwrap(), expected);
}
