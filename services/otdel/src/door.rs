//! Whom the gateway lets in, and how much it takes from each: its part of the command line.

use std::{num::NonZeroU32, path::PathBuf, str::FromStr};

use anyhow::{Context as _, Result, bail};
use clap::Args;
use otdel_gateway::{Issuer, KeySource, Quota, Settings};

/// Whom the gateway lets in beside those with API keys, and how much it takes from each.
#[derive(Clone, Debug, Args)]
pub struct DoorArgs {
    /// The OpenID Connect issuer whose login tokens (JWT) let in, as it stands in their `iss`. The gateway's; with it go
    /// --oidc-audience and one of --oidc-jwks-url and --oidc-jwks-file [default: API keys alone]
    #[arg(long, env = "OTDEL_OIDC_ISSUER", value_name = "URL")]
    pub oidc_issuer: Option<String>,
    /// What the issuer calls Otdel, as it stands in `aud` of its tokens
    #[arg(long, env = "OTDEL_OIDC_AUDIENCE", value_name = "NAME")]
    pub oidc_audience: Option<String>,
    /// Where the issuer's keys are (JWKS): https, or http on this machine. Fetched every 5 minutes, and when a token names
    /// a new key
    #[arg(long, env = "OTDEL_OIDC_JWKS_URL", value_name = "URL")]
    pub oidc_jwks_url: Option<String>,
    /// A file with the issuer's keys instead, read again as often
    #[arg(long, env = "OTDEL_OIDC_JWKS_FILE", value_name = "FILE")]
    pub oidc_jwks_file: Option<PathBuf>,
    /// The authorities (PEM) that sign the certificate of --oidc-jwks-url [default: those that browsers believe]
    #[arg(long, env = "OTDEL_OIDC_CA", value_name = "FILE")]
    pub oidc_ca: Option<PathBuf>,
    /// How many calls each gateway takes from one principal, such as `200/s`; 0: as many as come. A principal's own
    /// `calls_per_second` counts before it
    #[arg(long, env = "OTDEL_RATE_LIMIT", default_value = "200/s", value_name = "N/s")]
    pub rate_limit: Rate,
    /// How many of them at once [default: twice the calls of a second]
    #[arg(long, env = "OTDEL_RATE_LIMIT_BURST", value_name = "N")]
    pub rate_limit_burst: Option<NonZeroU32>,
}

/// Calls a second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate(u32);

impl FromStr for Rate {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let number = text.trim().strip_suffix("/s").unwrap_or(text.trim());
        let bounded = number.parse().ok().filter(|calls| *calls <= 1_000_000);
        bounded.map(Self).ok_or("must be a number of calls a second from 0 to 1,000,000, such as 200/s")
    }
}

impl DoorArgs {
    /// What the gateway is made with. Half of what an issuer needs is an error that names the other half.
    pub fn settings(&self) -> Result<Settings> {
        Ok(Settings { issuer: self.issuer()?, quota: self.quota() })
    }

    fn quota(&self) -> Option<Quota> {
        let quota = Quota::of(self.rate_limit.0)?;
        Some(self.rate_limit_burst.map_or(quota, |burst| Quota { burst, ..quota }))
    }

    fn issuer(&self) -> Result<Option<Issuer>> {
        let issuer = given(self.oidc_issuer.as_ref());
        let audience = given(self.oidc_audience.as_ref());
        let url = given(self.oidc_jwks_url.as_ref());
        let (file, authorities) = (self.oidc_jwks_file.as_ref(), self.oidc_ca.as_ref());
        if issuer.is_none() && audience.is_none() && url.is_none() && file.is_none() && authorities.is_none() {
            return Ok(None);
        }
        let (Some(issuer), Some(audience), true) = (issuer, audience, url.is_some() || file.is_some()) else {
            let needed = [
                (issuer.is_none(), "--oidc-issuer"),
                (audience.is_none(), "--oidc-audience"),
                (url.is_none() && file.is_none(), "--oidc-jwks-url or --oidc-jwks-file"),
            ];
            let missing: Vec<_> = needed.iter().filter(|(missing, _)| *missing).map(|(_, flag)| *flag).collect();
            bail!("login tokens are configured by half: {} is missing", missing.join(" and "));
        };
        let keys = match (url, file) {
            (Some(url), None) => KeySource::web(url, authorities.map(PathBuf::as_path)),
            (None, Some(_)) if authorities.is_some() => bail!("--oidc-ca is for --oidc-jwks-url alone"),
            (None, Some(file)) => KeySource::file(file),
            _ => bail!("the issuer's keys have two places: name --oidc-jwks-url or --oidc-jwks-file"),
        };
        let issuer = keys.and_then(|keys| Issuer::new(issuer, audience, keys));
        issuer.context("login tokens cannot be judged").map(Some)
    }
}

/// What is set to white space is not set either.
fn given(text: Option<&String>) -> Option<&str> {
    text.map(|text| text.trim()).filter(|text| !text.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        door: DoorArgs,
    }

    fn settings(flags: &[&str]) -> Result<Settings, String> {
        let line = Line::try_parse_from(["otdel"].iter().chain(flags)).map_err(|error| error.to_string())?;
        line.door.settings().map_err(|error| format!("{error:#}"))
    }

    const WHOLE: [&str; 6] = [
        "--oidc-issuer",
        "https://id.example",
        "--oidc-audience",
        "otdel",
        "--oidc-jwks-url",
        "https://id.example/keys",
    ];

    #[test]
    fn nothing_said_is_keys_alone_and_a_limit_that_people_do_not_meet() {
        let settings = settings(&[]).unwrap();
        assert!(settings.issuer.is_none());
        assert_eq!(settings.quota, Quota::of(200));
    }

    #[test]
    fn half_an_issuer_is_an_error_that_names_the_other_half() {
        assert!(settings(&WHOLE).unwrap().issuer.is_some());
        assert!(settings(&["--oidc-issuer", "", "--oidc-audience", " "]).unwrap().issuer.is_none());
        for (flags, named) in [
            (&WHOLE[..2], "--oidc-audience and --oidc-jwks-url or --oidc-jwks-file is missing"),
            (&WHOLE[..4], "--oidc-jwks-url or --oidc-jwks-file is missing"),
            (&WHOLE[2..], "--oidc-issuer is missing"),
            (&["--oidc-ca", "/ca.pem"][..], "--oidc-issuer and --oidc-audience and --oidc-jwks-url"),
        ] {
            let error = settings(flags).unwrap_err();
            assert!(error.contains(named), "{flags:?}: {error}");
        }
        let both = [&WHOLE[..], &["--oidc-jwks-file", "/keys.json"]].concat();
        assert!(settings(&both).unwrap_err().contains("two places"));
        let clear = [&WHOLE[..4], &["--oidc-jwks-url", "http://id.example/keys"]].concat();
        assert!(settings(&clear).unwrap_err().contains("must be https"));
        let absent = [&WHOLE[..4], &["--oidc-jwks-file", "/no/such"]].concat();
        assert!(settings(&absent).unwrap_err().contains("/no/such cannot be read"));
    }

    #[test]
    fn a_rate_is_calls_a_second_and_none_is_no_limit() {
        let quota = |flags: &[&str]| settings(flags).map(|settings| settings.quota);
        let five = NonZeroU32::new(5).unwrap();
        assert_eq!(quota(&["--rate-limit", "50/s"]).unwrap(), Quota::of(50));
        assert_eq!(quota(&["--rate-limit", "50", "--rate-limit-burst", "5"]).unwrap().unwrap().burst, five);
        assert_eq!(quota(&["--rate-limit", "0"]).unwrap(), None);
        for bad in ["-1", "50/m", "", "2000000/s", "1.5/s"] {
            assert!(quota(&["--rate-limit", bad]).is_err(), "{bad}");
        }
        assert!(quota(&["--rate-limit-burst", "0"]).is_err());
    }
}
