//! `otdel init`

use std::path::Path;

use anyhow::{Result, bail};
use otdel_leads::{Refusal, appoint_administrator};
use otdel_runtime::clock;
use sqlx::PgPool;

use crate::{
    cli::InitArgs,
    data, private, say,
    secrets::{self, Made},
};

/// How the first administrator is named where nobody logs in. No issuer is called so: those are URLs.
const WITHOUT_LOGIN: &str = "init|admin";

/// Makes the secrets, and the first administrator where one is named.
pub async fn init(args: &InitArgs) -> Result<()> {
    let subject = args.admin.as_deref().map(login).transpose()?;
    private::make_folder(&args.secrets)?;
    let place = args.secrets.display();
    match secrets::init(&args.secrets, args.renew)? {
        Made::Secrets => say(&format!("the secrets are in {place}"))?,
        Made::Certificates => say(&format!("the certificates in {place} are new: restart the roles one by one"))?,
        Made::Nothing => say(&format!("the secrets are in {place} already: nothing was changed"))?,
    }
    match (subject, &args.admin_key) {
        (None, None) => Ok(()),
        (Some(subject), None) => {
            appoint_administrator(&database(args).await?, subject, "admin", None, clock::system_now()).await?;
            say(&format!("the first administrator is appointed and logs in as {subject}"))
        }
        (subject, Some(path)) => {
            appoint_with_key(args, subject.unwrap_or(WITHOUT_LOGIN), path).await?;
            say(&format!("the first administrator is appointed; the key is in {}", path.display()))
        }
    }
}

/// Whose login token it is, as the gateway will read it: the token's issuer, which is a URL, and its subject.
fn login(text: &str) -> Result<&str> {
    let parts = text.split_once('|').filter(|(issuer, subject)| issuer.contains("://") && !subject.is_empty());
    match parts {
        Some(_) if text.chars().count() <= 500 && !text.chars().any(char::is_control) => Ok(text),
        _ => bail!("--admin must be an issuer and a subject of its tokens, such as `https://id.example|248289761001`"),
    }
}

async fn appoint_with_key(args: &InitArgs, subject: &str, path: &Path) -> Result<()> {
    let db = database(args).await?;
    // Written before anybody is appointed, so a file that is there may be of a run that was cut off: its key is taken
    // again, or nobody would ever hold the first one.
    let is_new = !path.exists();
    let key = data::key_at(path)?;
    let appointed = appoint_administrator(&db, subject, "admin", Some(key), clock::system_now()).await;
    // A key that opens nothing must not lie about. What the database did before it failed nobody knows: it may have
    // appointed whoever holds this one, and the next run tells.
    if is_new && !matches!(appointed, Ok(_) | Err(Refusal::Database(_))) {
        let _ = std::fs::remove_file(path);
    }
    appointed?;
    Ok(())
}

async fn database(args: &InitArgs) -> Result<PgPool> {
    Ok(PgPool::connect_with(args.database.options()?.options([("search_path", "leads")])).await?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_login_is_an_issuer_and_a_subject() {
        for good in ["https://id.example|248289761001", "https://id.example/realms/x|auth0|a@b.example"] {
            assert!(login(good).is_ok(), "{good}");
        }
        for bad in ["", "anna", "https://id.example", "https://id.example|", "|anna", "init|admin", "https://x|a\nb"] {
            assert!(login(bad).is_err(), "{bad:?}");
        }
    }
}
