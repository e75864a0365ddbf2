//! `switchboard health`: checks whether the server on this machine is ready, for containers and scripts.

use std::{
    io::{self, Read, Write},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream},
    process::ExitCode,
    time::Duration,
};

use serde::Deserialize;

use crate::config::{Config, RouteGroup};

/// The options that say where to ask.
pub(super) const OPTIONS: [&str; 4] = [
    "listen",
    "http.prefix",
    "http.routes",
    "http.internal_listen",
];

/// The timeout for connecting, and for each read and write.
const TIMEOUT: Duration = Duration::from_secs(5);

/// The maximum size of the response that is read; that of `/readyz` is short.
const MAX_RESPONSE_BYTES: u64 = 64 << 10;

/// Requests `/readyz` from the server that has this configuration, and prints the result.
pub(super) fn run(config: &Config) -> ExitCode {
    let Some((listen, prefix)) = health_address(config) else {
        return super::fail(
            &"the server has no health routes: add health to http.routes, or set http.internal_listen",
        );
    };
    let address = connect_address(listen);
    match get_readyz(address, prefix) {
        Ok(HttpResponse { status: 200, .. }) => {
            println!("ready");
            ExitCode::SUCCESS
        }
        Ok(HttpResponse { status, body }) => {
            let why = match serde_json::from_str::<ErrorBody>(&body) {
                Ok(error) => error.message,
                Err(_) => format!("status {status}"),
            };
            super::fail(&format_args!("not ready: {why}"))
        }
        Err(error) => super::fail(&format_args!("no response from {address}: {error}")),
    }
}

#[derive(Deserialize)]
struct ErrorBody {
    message: String,
}

struct HttpResponse {
    status: u16,
    body: String,
}

/// Where the health routes are, and below which prefix; `None` if the server has none.
fn health_address(config: &Config) -> Option<(SocketAddr, &str)> {
    let http = &config.http;
    match http.routes.contains(&RouteGroup::Health) {
        true => Some((config.listen, &http.prefix)),
        false => http.internal_listen.map(|listen| (listen, "")),
    }
}

/// The address to connect to: loopback if the server listens on every address.
fn connect_address(listen: SocketAddr) -> SocketAddr {
    let ip = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, listen.port())
}

/// Sends an HTTP/1.0 request, so that the response ends when the connection does.
fn get_readyz(address: SocketAddr, prefix: &str) -> io::Result<HttpResponse> {
    let mut stream = TcpStream::connect_timeout(&address, TIMEOUT)?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    stream.set_write_timeout(Some(TIMEOUT))?;
    write!(
        stream,
        "GET {prefix}/readyz HTTP/1.0\r\nHost: {address}\r\n\r\n"
    )?;
    let mut text = String::new();
    stream.take(MAX_RESPONSE_BYTES).read_to_string(&mut text)?;
    parse_response(&text).ok_or_else(|| io::Error::other("the response is not HTTP"))
}

fn parse_response(text: &str) -> Option<HttpResponse> {
    let (head, body) = text.split_once("\r\n\r\n")?;
    let status = head.strip_prefix("HTTP/1.")?.split(' ').nth(1)?;
    Some(HttpResponse {
        status: status.parse().ok()?,
        body: body.to_owned(),
    })
}

#[cfg(test)]
mod tests;
