//! A client of the gateway, for the commands that are nothing else.

use std::{env, fmt::Write as _, fs, net::IpAddr, time::Duration};

use anyhow::{Context as _, Result, bail, ensure};
use bytes::{Buf as _, BufMut as _};
use tonic::{
    Code, Request, Status,
    client::Grpc,
    codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder},
    metadata::{Ascii, MetadataValue},
    transport::{Certificate, Channel, ClientTlsConfig, Endpoint},
};
use tonic_types::StatusExt as _;

use crate::{cli::GatewayArgs, data};

/// A connection to the gateway in somebody's name. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Client {
    grpc: Grpc<Channel>,
    bearer: MetadataValue<Ascii>,
    timeout: Duration,
}

impl Client {
    /// Reads the settings. It connects when it calls.
    pub fn new(args: &GatewayArgs) -> Result<Self> {
        let bearer = format!("Bearer {}", token(args)?).parse().context("the token is not one line of ASCII")?;
        let timeout = Duration::from_secs(args.timeout_s);
        // Without a limit of its own the answer would have 4 MiB; what the gateway sends is its own to limit.
        let grpc = Grpc::new(endpoint(args)?.connect_lazy()).max_decoding_message_size(usize::MAX);
        Ok(Self { grpc, bearer, timeout })
    }

    /// Calls a unary RPC, such as `/otdel.reporting.v1.ReportService/GetLeadReport`.
    pub async fn call(&self, rpc: &str, request: Vec<u8>) -> Result<Vec<u8>, Status> {
        let mut grpc = self.grpc.clone();
        grpc.ready().await.map_err(|error| Status::unavailable(error.to_string()))?;
        let mut request = Request::new(request);
        request.set_timeout(self.timeout);
        request.metadata_mut().insert("authorization", self.bearer.clone());
        let path = rpc.parse().map_err(|_| Status::internal("not a path"))?;
        grpc.unary(request, path, Bytes).await.map(tonic::Response::into_inner)
    }
}

/// Says what a refusal means to whoever ran the command: every wrong field, and the reason that programs go by.
pub fn explain(status: &Status) -> String {
    let mut text = match status.code() {
        Code::Unavailable => format!("the gateway or a service behind it cannot be reached: {}", status.message()),
        Code::Unauthenticated => {
            format!("the gateway does not know who asks, see --token-file: {}", status.message())
        }
        _ => status.message().to_owned(),
    };
    let details = status.get_error_details();
    for violation in details.bad_request().map(|wrong| wrong.field_violations.as_slice()).unwrap_or_default() {
        let _ = write!(text, "\n  {}: {}", violation.field, violation.description);
    }
    if let Some(info) = details.error_info() {
        let _ = write!(text, " ({})", info.reason);
    }
    text
}

fn endpoint(args: &GatewayArgs) -> Result<Endpoint> {
    let address = &args.address;
    let url = url(address)?;
    let endpoint = Endpoint::from_shared(url.clone()).with_context(|| format!("{address} is no address"))?;
    let endpoint = endpoint.connect_timeout(Duration::from_secs(10));
    if !url.starts_with("https://") {
        if args.ca.is_some() {
            bail!("--ca is for TLS: name the gateway as https://host:port");
        }
        return Ok(endpoint);
    }
    let path = args.ca.as_ref().context("TLS needs --ca: the certificate of the gateway's authority")?;
    let ca = fs::read(path).with_context(|| format!("{} cannot be read", path.display()))?;
    let mut tls = ClientTlsConfig::new().ca_certificate(Certificate::from_pem(ca));
    if let Some(name) = &args.server_name {
        tls = tls.domain_name(name);
    }
    endpoint.tls_config(tls).context("the certificate in --ca cannot be used")
}

/// The gateway's URL. To another machine a key travels in clear text only for whoever says so.
fn url(address: &str) -> Result<String> {
    if address.contains("://") {
        return Ok(address.to_owned());
    }
    let host = address.rsplit_once(':').map_or(address, |(host, _)| host).trim_matches(['[', ']']);
    let is_here = host == "localhost" || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback());
    ensure!(
        is_here,
        "{address} is on another machine: name it as https://{address}, or as http://{address} where the key may travel in \
         clear text"
    );
    Ok(format!("http://{address}"))
}

/// The file that is named, else the variable, else the key that `otdel up` made for this user.
fn token(args: &GatewayArgs) -> Result<String> {
    if let Some(path) = &args.token_file {
        let text = fs::read_to_string(path).with_context(|| format!("{} cannot be read", path.display()))?;
        return Ok(text.trim().to_owned());
    }
    if let Some(text) = env::var("OTDEL_TOKEN").ok().filter(|text| !text.trim().is_empty()) {
        return Ok(text.trim().to_owned());
    }
    let key = data::default_folder().and_then(|folder| data::read_key(&folder));
    key.context("name a file with an API key with --token-file")
}

/// Messages as the bytes that they are.
#[derive(Clone, Copy, Debug)]
pub struct Bytes;

impl Codec for Bytes {
    type Encode = Vec<u8>;
    type Decode = Vec<u8>;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        *self
    }

    fn decoder(&mut self) -> Self {
        *self
    }
}

impl Encoder for Bytes {
    type Item = Vec<u8>;
    type Error = Status;

    fn encode(&mut self, item: Vec<u8>, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        buffer.put(item.as_slice());
        Ok(())
    }
}

impl Decoder for Bytes {
    type Item = Vec<u8>;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<Vec<u8>>, Status> {
        Ok(Some(buffer.copy_to_bytes(buffer.remaining()).to_vec()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_leaves_the_machine_in_clear_text_only_where_that_is_said() {
        for here in ["127.0.0.1:7400", "127.9.9.9:1", "[::1]:7400", "localhost:7400"] {
            assert_eq!(url(here).unwrap(), format!("http://{here}"));
        }
        for said in ["http://gateway:7400", "https://gateway:7400"] {
            assert_eq!(url(said).unwrap(), said);
        }
        for elsewhere in ["gateway:7400", "10.0.0.1:7400", "[fd00::1]:7400", "127.0.0.1.example.org:7400"] {
            assert!(url(elsewhere).unwrap_err().to_string().contains("https://"), "{elsewhere}");
        }
    }
}
