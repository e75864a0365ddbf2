//! `switchboard health`: asks the server on this machine whether it is ready, for containers and scripts.

use std::{
    io::{self, Read, Write},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream},
    process::ExitCode,
    time::Duration,
};

use serde::Deserialize;

/// How long connecting and the answer may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// An answer of `/readyz` is short; of more than this the rest is not read.
const MOST: u64 = 64 << 10;

/// Asks the server that listens on `listen`, and says what it answers.
pub(super) fn run(listen: SocketAddr) -> ExitCode {
    let address = reachable(listen);
    match ask(address) {
        Ok(Answer { status: 200, .. }) => {
            println!("ready");
            ExitCode::SUCCESS
        }
        Ok(Answer { status, body }) => {
            let why = match serde_json::from_str::<Refused>(&body) {
                Ok(refused) => refused.message,
                Err(_) => format!("it answers {status}"),
            };
            super::fail(&format_args!("not ready: {why}"))
        }
        Err(error) => super::fail(&format_args!("{address} does not answer: {error}")),
    }
}

#[derive(Deserialize)]
struct Refused {
    message: String,
}

struct Answer {
    status: u16,
    body: String,
}

/// Where a server that listens on every address is asked.
fn reachable(listen: SocketAddr) -> SocketAddr {
    let ip = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, listen.port())
}

/// One request of HTTP/1.0, so that the answer is whatever comes until the end.
fn ask(address: SocketAddr) -> io::Result<Answer> {
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    write!(stream, "GET /readyz HTTP/1.0\r\nHost: {address}\r\n\r\n")?;
    let mut text = String::new();
    stream.take(MOST).read_to_string(&mut text)?;
    read(&text).ok_or_else(|| io::Error::other("it does not speak HTTP"))
}

fn read(text: &str) -> Option<Answer> {
    let (head, body) = text.split_once("\r\n\r\n")?;
    let status = head.strip_prefix("HTTP/1.")?.split(' ').nth(1)?;
    Some(Answer {
        status: status.parse().ok()?,
        body: body.to_owned(),
    })
}

#[cfg(test)]
mod tests;
