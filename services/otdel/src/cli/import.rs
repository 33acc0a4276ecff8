//! What `otdel import` takes.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use otdel_types::Zone;

use super::GatewayArgs;

/// What is imported.
#[derive(Clone, Debug, Args)]
pub struct ImportArgs {
    /// What it is.
    #[command(subcommand)]
    pub what: Import,
}

/// What can be imported.
#[derive(Clone, Debug, Subcommand)]
pub enum Import {
    /// Submits a lead for each line of a file of comma-separated values.
    #[command(after_long_help = LEADS)]
    Leads(ImportLeadsArgs),
}

/// How leads are imported.
#[derive(Clone, Debug, Args)]
pub struct ImportLeadsArgs {
    /// The file, in UTF-8 with or without a byte order mark, its first line naming the columns; `-` is the standard input
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// What a field of the lead is made of: a text in which {column} stands for the line's value there; may be given again
    /// [default: FIELD={FIELD} for each column that is named like a field]
    #[arg(long = "set", value_name = "FIELD=TEXT", value_parser = parse_set)]
    pub set: Vec<(String, String)>,
    /// What separates the columns: `,` `;` or `tab` [default: the one that the first line has most of]
    #[arg(long, value_name = "SEPARATOR", value_parser = parse_separator)]
    pub separator: Option<u8>,
    /// The zone of receive times that name none
    #[arg(long, env = "OTDEL_BUSINESS_ZONE", default_value = "Europe/Moscow", value_name = "ZONE")]
    pub zone: Zone,
    /// Where the lines go that were refused, with every reason: a file that is not there yet [default: FILE.rejects.csv,
    /// FILE.rejects.2.csv and so on]
    #[arg(long, value_name = "FILE")]
    pub rejects: Option<PathBuf>,
    /// How many leads are on their way at once
    #[arg(long, default_value_t = 16, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256))]
    pub at_once: u16,
    /// Begins at this line of the file, as an import that was interrupted says
    #[arg(long, default_value_t = 2, value_name = "LINE", value_parser = clap::value_parser!(u64).range(2..))]
    pub from_line: u64,
    /// Where the gateway is.
    #[command(flatten)]
    pub gateway: GatewayArgs,
}

fn parse_set(text: &str) -> Result<(String, String), String> {
    let (field, template) = text.split_once('=').ok_or("must look like FIELD=TEXT")?;
    Ok((field.to_owned(), template.to_owned()))
}

fn parse_separator(text: &str) -> Result<u8, String> {
    match text {
        "," => Ok(b','),
        ";" => Ok(b';'),
        "tab" | "\t" => Ok(b'\t'),
        _ => Err("must be , or ; or tab".to_owned()),
    }
}

const LEADS: &str = "\
Fields of a lead, each filled from the column of its name unless --set says otherwise:
  channel        phone, email, social, site or walk_in (needed)
  source_ref     the source's own reference, unique in the channel (needed)
  display_name   the requester's name (needed)
  phone, email   how to reach the requester; at least one
  origin         what brought the requester, such as a campaign; no person
  text           what was asked
  receive_time   2026-01-31T12:00:00+03:00, or in --zone: 2026-01-31 12:00[:00], 2026-01-31, 31.01.2026 12:00[:00],
                 31.01.2026; empty is now. An earlier time than now needs the permission leads.import

Other columns are not read. A line that is sent again, unchanged, changes nothing: the same file may be imported twice, and
after an interruption. Lines that were refused are written to the rejects file with the columns otdel_line and
otdel_violations; correct them there and import that file. What earlier imports refused is left as it is: each import has a
rejects file of its own.

Exit codes: 0 every line was taken in, 1 it could not go on, 4 lines were refused.

Examples:
  otdel import leads requests.csv
  otdel import leads site.csv --set channel=site --set source_ref={id} --set display_name='{first name} {last name}'
  otdel import leads old.csv --from-line 12001    goes on where an interrupted import said

A file in windows-1251: iconv -f windows-1251 -t utf-8 old.csv | otdel import leads -
Next: otdel report leads --by month,channel";
