//! `switchboard health`: checks whether the server on this machine is ready, for containers and scripts.

mod tls;

use std::{
    io::{self, Read, Write},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream},
    process::ExitCode,
    time::Duration,
};

use ipnet::IpNet;
use serde::Deserialize;

use crate::config::{Config, RouteGroup};
use crate::http::proxy_protocol;

/// The options that say where to ask.
pub(super) const OPTIONS: [&str; 9] = [
    "listen",
    "tls.cert",
    "tls.key",
    "tls.self_signed",
    "http.prefix",
    "http.routes",
    "http.internal_listen",
    "http.trusted_proxies",
    "http.proxy_protocol",
];

/// The timeout for connecting, and for each read and write.
const TIMEOUT: Duration = Duration::from_secs(5);

/// The maximum size of the response that is read; that of `/readyz` is short.
const MAX_RESPONSE_BYTES: u64 = 64 << 10;

/// Requests `/readyz` from the server that has this configuration, and prints the result.
pub(super) fn run(config: &Config) -> ExitCode {
    let Some(routes) = HealthRoutes::of(config) else {
        return super::fail(
            &"the server has no health routes: add health to http.routes, or set http.internal_listen",
        );
    };
    let address = connect_address(routes.listen);
    match get_readyz(address, &routes) {
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

/// Where the health routes are.
#[derive(Debug, PartialEq, Eq)]
struct HealthRoutes<'a> {
    listen: SocketAddr,
    prefix: &'a str,
    tls: bool,
    /// Whose connections begin with a header of the PROXY protocol.
    proxies: &'a [IpNet],
}

impl<'a> HealthRoutes<'a> {
    /// `None` if the server has none.
    fn of(config: &'a Config) -> Option<Self> {
        let http = &config.http;
        if http.routes.contains(&RouteGroup::Health) {
            return Some(Self {
                listen: config.listen,
                prefix: &http.prefix,
                tls: config.tls.is_on(),
                proxies: match http.proxy_protocol {
                    true => &http.trusted_proxies,
                    false => &[],
                },
            });
        }
        let listen = http.internal_listen?;
        Some(Self {
            listen,
            prefix: "",
            tls: false,
            proxies: &[],
        })
    }
}

/// The address to connect to: loopback if the server listens on every address.
pub(super) fn connect_address(listen: SocketAddr) -> SocketAddr {
    let ip = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, listen.port())
}

/// Sends an HTTP/1.0 request, so that the response ends when the connection does.
fn get_readyz(address: SocketAddr, routes: &HealthRoutes<'_>) -> io::Result<HttpResponse> {
    let mut stream = TcpStream::connect_timeout(&address, TIMEOUT)?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    stream.set_write_timeout(Some(TIMEOUT))?;
    let own = stream.local_addr()?.ip();
    if routes.proxies.iter().any(|proxy| proxy.contains(&own)) {
        stream.write_all(&proxy_protocol::LOCAL)?;
    }
    let prefix = routes.prefix;
    let request = format!("GET {prefix}/readyz HTTP/1.0\r\nHost: {address}\r\n\r\n");
    let text = match routes.tls {
        true => exchange(tls::connect(stream, address.ip())?, &request)?,
        false => exchange(stream, &request)?,
    };
    parse_response(&text).ok_or_else(|| io::Error::other("the response is not HTTP"))
}

/// Sends a request, and reads until the connection ends.
fn exchange(mut stream: impl Read + Write, request: &str) -> io::Result<String> {
    stream.write_all(request.as_bytes())?;
    let mut text = String::new();
    stream.take(MAX_RESPONSE_BYTES).read_to_string(&mut text)?;
    Ok(text)
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
