//! `otdel token`

use anyhow::Result;

use crate::{cli::TokenArgs, data, say};

/// Prints the key of the development principal.
pub fn token(args: &TokenArgs) -> Result<()> {
    let folder = data::folder(args.data_dir.as_deref())?;
    say(&data::read_key(&folder)?)
}
