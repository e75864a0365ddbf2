//! The floor: a server that does no more than a delivery needs, one write each.
//!
//! It speaks as much of Engine.IO 4 and Socket.IO 5 as `switchboard load` does, on one thread: no polling, no heartbeat, no checks, and no
//! queue: a client that cannot take a delivery at once is disconnected. What a real server costs beyond this is what it does
//! beyond this.

use std::{cell::RefCell, collections::HashMap, io, rc::Rc};

use tokio::{
    net::{TcpListener, TcpStream},
    runtime::{Builder, LocalOptions},
};
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use super::support::process::Result;

/// No pings: a load is over before the first one would be due.
const OPEN: &str = r#"0{"sid":"floor","upgrades":[],"pingInterval":600000,"pingTimeout":600000,"maxPayload":1000000}"#;

/// Bytes that are read at a time.
const CHUNK: usize = 1024;

/// The members of each room.
#[derive(Default)]
struct Rooms {
    members: RefCell<HashMap<String, Vec<Rc<TcpStream>>>>,
}

/// Serves on a free port, which is printed.
pub fn serve() -> Result<()> {
    let runtime = Builder::new_current_thread()
        .enable_all()
        .build_local(LocalOptions::default())?;
    runtime.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        println!("floor: http://{}", listener.local_addr()?);
        let rooms = Rc::new(Rooms::default());
        loop {
            let (stream, _) = listener.accept().await?;
            stream.set_nodelay(true)?;
            tokio::task::spawn_local(serve_client(Rc::new(stream), rooms.clone()));
        }
    })
}

/// Answers a client until it is gone.
async fn serve_client(stream: Rc<TcpStream>, rooms: Rc<Rooms>) {
    let mut joined = None;
    // How it ended is of no interest.
    let _ = converse(&stream, &rooms, &mut joined).await;
    if let Some(room) = joined {
        rooms.leave(&room, &stream);
    }
}

async fn converse(
    stream: &Rc<TcpStream>,
    rooms: &Rooms,
    joined: &mut Option<String>,
) -> io::Result<()> {
    let mut data = Vec::with_capacity(CHUNK);
    while read(stream, &mut data).await? {
        if let Some(end) = data.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
            write(stream, upgrade(&data).as_bytes())?;
            data.drain(..end + 4);
            break;
        }
    }
    write(stream, &frame(OPEN))?;
    loop {
        let mut at = 0;
        while let Some((text, bytes)) = unmask(&data[at..]) {
            at += bytes;
            answer(&text, stream, rooms, joined)?;
        }
        data.drain(..at);
        if !read(stream, &mut data).await? {
            return Ok(());
        }
    }
}

/// Answers a packet.
fn answer(
    packet: &str,
    stream: &Rc<TcpStream>,
    rooms: &Rooms,
    joined: &mut Option<String>,
) -> io::Result<()> {
    if packet.starts_with("40") {
        return write(stream, &frame(r#"40{"sid":"floor"}"#));
    }
    let Some((ack, event)) = packet.strip_prefix("42").and_then(|rest| {
        let digits = rest.find('[')?;
        Some(rest.split_at(digits))
    }) else {
        return Ok(());
    };
    if let Some(rest) = event.strip_prefix(r#"["join",""#) {
        let room = rest.trim_end_matches("\"]");
        rooms.join(room, stream);
        *joined = Some(room.to_owned());
    } else {
        rooms.deliver(string(event, "room"), string(event, "data"), ack);
    }
    write(stream, &frame(&format!(r#"43{ack}[{{"ok":true}}]"#)))
}

impl Rooms {
    fn join(&self, room: &str, stream: &Rc<TcpStream>) {
        let mut rooms = self.members.borrow_mut();
        let members = rooms.entry(room.to_owned()).or_default();
        members.push(stream.clone());
    }

    fn leave(&self, room: &str, stream: &Rc<TcpStream>) {
        let mut rooms = self.members.borrow_mut();
        if let Some(members) = rooms.get_mut(room) {
            members.retain(|member| !Rc::ptr_eq(member, stream));
        }
    }

    /// Writes a message of the form and size of Switchboard's to every member.
    fn deliver(&self, room: &str, data: &str, number: &str) {
        let message = frame(&format!(
            r#"42["message",{{"room":"{room}","id":"01a1fe43-56cd-7457-a913-1ccf91cbce8f","seq":{number},"event":"message","from":{{"user":"sender"}},"data":"{data}","ts":1795267188429}},"{number}~"]"#
        ));
        if let Some(members) = self.members.borrow().get(room) {
            for member in members {
                // A member that has gone is taken out by its own task.
                let _ = write(member, &message);
            }
        }
    }
}

/// The value of a string in an object, without escapes.
fn string<'a>(text: &'a str, name: &str) -> &'a str {
    let rest = text.split_once(&format!(r#""{name}":""#));
    let value = rest.and_then(|(_, rest)| rest.split_once('"'));
    value.map_or("", |(value, _)| value)
}

async fn read(stream: &TcpStream, data: &mut Vec<u8>) -> io::Result<bool> {
    loop {
        stream.readable().await?;
        data.reserve(CHUNK / 2);
        match stream.try_read_buf(data) {
            Ok(bytes) => return Ok(bytes > 0),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
}

/// All at once, or not at all.
fn write(stream: &TcpStream, bytes: &[u8]) -> io::Result<()> {
    match stream.try_write(bytes)? {
        written if written == bytes.len() => Ok(()),
        _ => Err(io::ErrorKind::WriteZero.into()),
    }
}

/// The response to a request for a WebSocket.
fn upgrade(request: &[u8]) -> String {
    let request = String::from_utf8_lossy(request);
    let mut headers = request.lines().filter_map(|line| line.split_once(':'));
    let key = headers.find(|(name, _)| name.eq_ignore_ascii_case("sec-websocket-key"));
    let accept = derive_accept_key(key.map_or("", |(_, key)| key.trim()).as_bytes());
    format!(
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: {accept}\r\n\r\n"
    )
}

/// A server's frame with a text.
fn frame(text: &str) -> Vec<u8> {
    let mut frame = vec![0x81];
    match text.len() {
        short @ 0..126 => frame.push(short as u8),
        long => {
            frame.push(126);
            frame.extend_from_slice(&(long as u16).to_be_bytes());
        }
    }
    frame.extend_from_slice(text.as_bytes());
    frame
}

/// The text of the client's frame that `data` begins with, and the frame's bytes; `None` if it is not complete.
fn unmask(data: &[u8]) -> Option<(String, usize)> {
    let short = usize::from(data.get(1)? & 0x7f);
    let (header, length) = match short {
        126 => (
            4,
            usize::from(u16::from_be_bytes([*data.get(2)?, *data.get(3)?])),
        ),
        short => (2, short),
    };
    let mask = data.get(header..header + 4)?;
    let end = header + 4 + length;
    let payload = data.get(header + 4..end)?.iter().zip(mask.iter().cycle());
    let text = payload.map(|(byte, mask)| byte ^ mask).collect();
    Some((String::from_utf8(text).unwrap_or_default(), end))
}
