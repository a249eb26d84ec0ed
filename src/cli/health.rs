//! `maru health`: asks a running server how it is, for containers that have no curl.

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, ToSocketAddrs};
use std::time::Duration;

use anyhow::{Context, ensure};

use crate::api::ServerConfig;

/// Longest wait for the connection and for the answer.
const TIMEOUT: Duration = Duration::from_secs(2);

/// Fails unless the server that `config` describes says that it is healthy.
pub(super) fn check(config: &ServerConfig) -> anyhow::Result<()> {
    let ServerConfig { host, port, .. } = config;
    let listens_at = (host.as_str(), *port).to_socket_addrs().with_context(|| host.clone())?.next();
    let address = reachable(listens_at.with_context(|| format!("{host} has no address"))?);
    let status = ask(address).with_context(|| format!("http://{address}/health"))?;
    ensure!(status.contains(" 200 "), "http://{address}/health: {status}");
    Ok(())
}

/// The address at which a client on this machine reaches a server that listens at `address`.
pub(super) fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}

/// The first line of the answer.
fn ask(address: SocketAddr) -> anyhow::Result<String> {
    let mut stream = TcpStream::connect_timeout(&address, TIMEOUT)?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    stream.write_all(b"GET /health HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")?;
    let mut answer = Vec::new();
    stream.take(64 << 10).read_to_end(&mut answer)?;
    let line = answer.split(|byte| *byte == b'\r').next().unwrap_or_default();
    Ok(String::from_utf8_lossy(line).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_that_listens_everywhere_is_reached_here() {
        let reach = |address: &str| reachable(address.parse().expect("an address")).to_string();
        assert_eq!(reach("0.0.0.0:8000"), "127.0.0.1:8000");
        assert_eq!(reach("[::]:8000"), "[::1]:8000");
        assert_eq!(reach("10.0.0.7:8000"), "10.0.0.7:8000");
    }
}
