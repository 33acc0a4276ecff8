//! `otdel settings`: the table of everything that can be set, made from the command line itself.

use std::fmt::Write as _;

use anyhow::Result;
use clap::{Arg, Command, CommandFactory as _};

use crate::cli::Cli;

/// A setting, with every command that reads it.
#[derive(Debug, PartialEq, Eq)]
struct Setting {
    flag: String,
    variable: String,
    default: String,
    meaning: String,
    commands: Vec<String>,
}

/// The settings as a table in Markdown, those first that have an environment variable, in the order of the commands.
pub fn table() -> Result<String> {
    let mut settings = Vec::new();
    let mut root = Cli::command();
    // Fills in what clap knows by itself.
    root.build();
    for command in root.get_subcommands() {
        collect(command, command.get_name(), &mut settings);
    }
    settings.sort_by_key(|setting| setting.variable.is_empty());
    let mut text = String::from("| flag | variable | default | meaning | commands |\n|---|---|---|---|---|\n");
    for Setting { flag, variable, default, meaning, commands } in &settings {
        writeln!(text, "| `{flag}` | {variable} | {default} | {meaning} | {} |", commands.join(", "))?;
    }
    Ok(text)
}

fn collect(command: &Command, name: &str, settings: &mut Vec<Setting>) {
    if command.is_hide_set() || name == "help" {
        return;
    }
    for arg in command.get_arguments().filter(|arg| is_setting(arg)) {
        let found = setting(arg);
        // The same flag may mean different things to two commands: then it has two rows.
        let same = settings.iter_mut().find(|one| {
            (&one.flag, &one.variable, &one.default, &one.meaning)
                == (&found.flag, &found.variable, &found.default, &found.meaning)
        });
        match same {
            Some(one) => one.commands.push(name.to_owned()),
            None => settings.push(Setting { commands: vec![name.to_owned()], ..found }),
        }
    }
    for inner in command.get_subcommands() {
        collect(inner, &format!("{name} {}", inner.get_name()), settings);
    }
}

/// Not what clap adds by itself, nor what a command is about.
fn is_setting(arg: &Arg) -> bool {
    !arg.is_hide_set() && arg.get_long().is_some_and(|long| !matches!(long, "help" | "version"))
}

fn setting(arg: &Arg) -> Setting {
    let long = arg.get_long().unwrap_or_default();
    let takes_value = arg.get_action().takes_values();
    let value = arg.get_value_names().filter(|_| takes_value).and_then(<[_]>::first);
    let flag = value.map_or_else(|| format!("--{long}"), |value| format!("--{long} {value}")).replace('|', "\\|");
    let code = |text: &str| if text.is_empty() { String::new() } else { format!("`{text}`") };
    let variable = arg.get_env().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let defaults = arg.get_default_values().iter().filter(|_| takes_value);
    let default = defaults.map(|value| value.to_string_lossy().into_owned()).collect::<Vec<_>>().join(",");
    let help = arg.get_long_help().or(arg.get_help()).map(ToString::to_string).unwrap_or_default();
    let meaning = help.split_whitespace().collect::<Vec<_>>().join(" ").replace('|', "\\|");
    Setting { flag, variable: code(&variable), default: code(&default), meaning, commands: Vec::new() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_variable_is_in_the_table_with_the_commands_that_read_it() {
        let table = table().unwrap();
        let row = |start: &str| {
            let found = table.lines().find(|line| line.starts_with(start));
            found.unwrap_or_else(|| panic!("{start} is not in {table}")).to_owned()
        };
        let zone = row("| `--business-zone ZONE` | `OTDEL_BUSINESS_ZONE` | `Europe/Moscow` |");
        assert!(zone.ends_with("| up |"), "what it means to another command is another row: {zone}");
        let url = row("| `--database-url URL` | `OTDEL_ADMIN_DATABASE_URL` |  |");
        assert!(url.ends_with("| init, migrate, verify, restore-finish, new-epoch |"), "{url}");
        assert!(row("| `--address ADDRESS` | `OTDEL_ADDRESS` |").ends_with("| report, import leads |"));
        assert!(row("| `--no-reflection` |").contains("OTDEL_NO_REFLECTION"));
        assert!(!table.contains("postgres-guard") && !table.contains("--help"), "{table}");
    }
}
