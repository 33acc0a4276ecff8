//! `otdel verify`

use anyhow::Result;

use crate::{
    checks::{self, State},
    cli::{FindingsFormat, VerifyArgs},
    exit::Exit,
    say,
};

/// Looks at the databases and tells what it finds.
pub async fn verify(args: &VerifyArgs) -> Result<Exit> {
    let mut worst = State::Ok;
    checks::look(&args.database.options()?, &args.services.named(), &mut |finding| {
        worst = worst.max(finding.state);
        match args.format {
            FindingsFormat::Text => say(&finding.to_string()),
            FindingsFormat::Json => say(&serde_json::to_string(finding)?),
        }
    })
    .await?;
    Ok(match worst {
        State::Ok => Exit::Well,
        State::Pending => Exit::Pending,
        State::Wrong => Exit::Wrong,
    })
}
