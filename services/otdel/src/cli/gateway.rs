//! How a command that is a client reaches the gateway.

use std::path::PathBuf;

use clap::Args;

/// Where the gateway is, and who asks.
#[derive(Clone, Debug, Args)]
pub struct GatewayArgs {
    /// The gateway: `host:port` on this machine, `https://host:port` for TLS, `http://host:port` for clear text elsewhere
    #[arg(long, env = "OTDEL_ADDRESS", default_value = "127.0.0.1:7400", value_name = "ADDRESS")]
    pub address: String,
    /// A file with the API key, or with another bearer token [default: the variable `OTDEL_TOKEN`, else the key that `otdel up` made]
    #[arg(long, env = "OTDEL_TOKEN_FILE", value_name = "FILE")]
    pub token_file: Option<PathBuf>,
    /// The certificate of the authority that the gateway's is signed by; TLS needs it
    #[arg(long, env = "OTDEL_CA", value_name = "FILE")]
    pub ca: Option<PathBuf>,
    /// The name in the gateway's certificate, where it is not the address's [default: the address's host]
    #[arg(long, env = "OTDEL_SERVER_NAME", value_name = "NAME")]
    pub server_name: Option<String>,
    /// How long an answer may take, in seconds
    #[arg(long, env = "OTDEL_TIMEOUT_S", default_value_t = 60, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=600))]
    pub timeout_s: u64,
}
