//! `otdel init`

use anyhow::Result;
use otdel_runtime::clock;
use sqlx::PgPool;

use crate::{cli::InitArgs, data, private, say, secrets};

/// Makes the secrets, and the first administrator where one is named.
pub async fn init(args: &InitArgs) -> Result<()> {
    private::make_folder(&args.secrets)?;
    if secrets::init(&args.secrets, args.renew)? {
        say(&format!("the secrets are in {}", args.secrets.display()))?;
    } else {
        say(&format!("the secrets are in {} already: nothing was changed", args.secrets.display()))?;
    }
    if let Some(path) = &args.admin_key {
        let db = database(args).await?;
        // Written before anybody is appointed, so a file that is there may be of a run that was cut off: its key is taken
        // again, or nobody would ever hold the first one.
        let is_new = !path.exists();
        let key = data::key_at(path)?;
        if let Err(error) =
            otdel_leads::appoint_administrator(&db, "init|admin", "admin", Some(key), clock::system_now()).await
        {
            // A key that opens nothing must not lie about.
            if is_new {
                let _ = std::fs::remove_file(path);
            }
            return Err(error.into());
        }
        say(&format!("the first administrator is appointed; the key is in {}", path.display()))?;
    }
    Ok(())
}

async fn database(args: &InitArgs) -> Result<PgPool> {
    Ok(PgPool::connect_with(args.database.options()?.options([("search_path", "leads")])).await?)
}
