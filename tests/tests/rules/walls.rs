//! The walls between the rooms of a service (`domain`, `store`, `rpc`, `workers`).

use std::{
    fs,
    path::{Path, PathBuf},
};

pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// Every Rust file below a folder, with its text.
pub fn sources(folder: &Path) -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    let Ok(entries) = fs::read_dir(folder) else { return found };
    for entry in entries.map(|entry| entry.unwrap().path()) {
        if entry.is_dir() {
            found.extend(sources(&entry));
        } else if entry.extension().is_some_and(|kind| kind == "rs") {
            let text = fs::read_to_string(&entry).unwrap();
            found.push((entry, text));
        }
    }
    found
}

fn services() -> Vec<PathBuf> {
    let all = fs::read_dir(root().join("services")).unwrap();
    all.map(|entry| entry.unwrap().path()).filter(|path| path.is_dir()).collect()
}

/// Lines of code with their numbers, without comments.
fn code(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.lines().enumerate().filter(|(_, line)| !line.trim_start().starts_with("//")).map(|(at, line)| (at + 1, line))
}

#[test]
fn rules_know_no_database_no_transport_and_no_clock() {
    let mut files = 0;
    for (path, text) in services().iter().flat_map(|service| sources(&service.join("src/domain"))) {
        files += 1;
        for (at, line) in code(&text) {
            let derives = line.contains("derive(") || line.trim_start().starts_with("#[sqlx(");
            let foreign = ["sqlx::", "tonic::", "tokio::", ".await", "async fn", "Utc::now", "otdel_api"];
            let found = foreign.iter().find(|word| line.contains(**word));
            assert!(found.is_none() || derives, "{}:{at}: {found:?} in domain/", path.display());
        }
    }
    assert!(files > 8, "the rooms were not found");
}

#[test]
fn statements_stand_in_store_alone_and_never_begin_or_commit() {
    for service in services() {
        for (path, text) in sources(&service.join("src")) {
            let in_store = path.components().any(|part| part.as_os_str() == "store");
            for (at, line) in code(&text) {
                let sql = line.contains("sqlx::query") || line.contains("QueryBuilder");
                assert!(
                    in_store || !sql || path.components().any(|part| part.as_os_str() == "postgres"),
                    "{}:{at}: SQL outside store/",
                    path.display()
                );
                let transaction = line.contains(".begin()") || line.contains(".commit(");
                assert!(!in_store || !transaction, "{}:{at}: a transaction in store/", path.display());
            }
        }
    }
}

#[test]
fn a_statement_names_its_own_schema_and_no_other() {
    let schemas = ["leads", "contracts", "billing", "reporting"];
    for service in schemas {
        for (path, text) in sources(&root().join("services").join(service).join("src/store")) {
            for (at, line) in code(&text) {
                let lower = line.trim_start();
                for keyword in ["from ", "join ", "into ", "update "] {
                    let Some(rest) = lower.split_once(keyword).map(|(_, rest)| rest) else { continue };
                    let table: String =
                        rest.chars().take_while(|c| c.is_ascii_alphanumeric() || "_.".contains(*c)).collect();
                    let Some((schema, _)) = table.split_once('.') else { continue };
                    assert!(schema == service || !schemas.contains(&schema), "{}:{at}: {table}", path.display());
                }
            }
        }
    }
}

#[test]
fn no_service_depends_on_another() {
    let names = ["leads", "contracts", "billing", "reporting", "gateway"];
    for service in names {
        let manifest = fs::read_to_string(root().join("services").join(service).join("Cargo.toml")).unwrap();
        for other in names {
            let depends = manifest.lines().any(|line| {
                line.starts_with(&format!("otdel-{other}.")) || line.starts_with(&format!("otdel-{other} "))
            });
            assert!(!depends, "otdel-{service} depends on otdel-{other}");
        }
    }
}

#[test]
fn files_stay_short_enough_to_read() {
    for folder in ["shared", "services", "tests"] {
        for (path, text) in sources(&root().join(folder)) {
            let lines = text.lines().count();
            assert!(lines <= 500, "{} has {lines} lines: is a room missing?", path.display());
        }
    }
}

#[test]
fn nothing_is_left_unfinished_and_no_test_is_ignored() {
    // Put together here so that this file does not find itself.
    let words =
        [concat!("to", "do!("), concat!("unimple", "mented!("), concat!("#[ign", "ore"), concat!("unsafe", " {")];
    for folder in ["shared", "services", "tests"] {
        for (path, text) in sources(&root().join(folder)) {
            for (at, line) in code(&text) {
                for word in words {
                    assert!(!line.contains(word), "{}:{at}: {word}", path.display());
                }
            }
        }
    }
}
