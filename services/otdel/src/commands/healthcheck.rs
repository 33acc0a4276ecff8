//! `otdel healthcheck`

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    time::Duration,
};

use anyhow::{Context as _, Result, bail};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};

use crate::{cli::HealthcheckArgs, say};

/// How long an answer may take: a role that needs longer is not well.
const PATIENCE: Duration = Duration::from_secs(3);

/// Asks the probe and says what it answered. One request by hand, because an HTTP client would be most of the binary's
/// dependencies for a line.
pub async fn healthcheck(args: &HealthcheckArgs) -> Result<()> {
    // The role's own setting names every address where it listens at all of them.
    let address: SocketAddr = match args.address.ip() {
        ip if !ip.is_unspecified() => args.address,
        IpAddr::V4(_) => (Ipv4Addr::LOCALHOST, args.address.port()).into(),
        IpAddr::V6(_) => (Ipv6Addr::LOCALHOST, args.address.port()).into(),
    };
    let ask = async {
        let mut stream = TcpStream::connect(address).await?;
        let request = format!("GET /readyz HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await?;
        let mut answer = String::new();
        stream.take(64 * 1024).read_to_string(&mut answer).await?;
        Ok::<_, std::io::Error>(answer)
    };
    let answer = timeout(PATIENCE, ask).await.with_context(|| format!("{address} does not answer"))?;
    let answer = answer.with_context(|| format!("{address} cannot be asked"))?;
    let (head, body) = answer.split_once("\r\n\r\n").context("the answer is not HTTP")?;
    if !head.starts_with("HTTP/1.1 200") {
        bail!("{}", body.trim());
    }
    say(body.trim())
}
