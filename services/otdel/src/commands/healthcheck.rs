//! `otdel healthcheck`

use std::time::Duration;

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
    let ask = async {
        let mut stream = TcpStream::connect(args.address).await?;
        let request = format!("GET /readyz HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", args.address);
        stream.write_all(request.as_bytes()).await?;
        let mut answer = String::new();
        stream.take(64 * 1024).read_to_string(&mut answer).await?;
        Ok::<_, std::io::Error>(answer)
    };
    let answer = timeout(PATIENCE, ask).await.with_context(|| format!("{} does not answer", args.address))?;
    let answer = answer.with_context(|| format!("{} cannot be asked", args.address))?;
    let (head, body) = answer.split_once("\r\n\r\n").context("the answer is not HTTP")?;
    if !head.starts_with("HTTP/1.1 200") {
        bail!("{}", body.trim());
    }
    say(body.trim())
}
