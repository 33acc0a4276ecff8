//! The load generator works: it measures everything for a moment, and both sides do the same work.

use std::process::Command;

#[test]
fn the_load_generator_measures_both_sides_at_the_same_work() {
    let figures = std::env::temp_dir().join(format!("otdel-load-{}.json", uuid::Uuid::now_v7()));
    let mut command = Command::new(env!("CARGO_BIN_EXE_otdel-load"));
    let output = command.args(["--profile", "smoke", "--json"]).arg(&figures).output().unwrap();
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{said}");
    let text = std::fs::read_to_string(&figures).unwrap();
    std::fs::remove_file(&figures).unwrap();
    let report: serde_json::Value = serde_json::from_str(&text).unwrap();

    if said.contains("pgbench is not installed") {
        eprintln!("skipped: pgbench is not installed beside the server");
        return;
    }
    let names = |of: &str, key: &str| -> Vec<String> {
        report[of].as_array().unwrap().iter().map(|one| one[key].as_str().unwrap().to_owned()).collect()
    };
    let all = ["submit", "contact", "convert", "get", "list", "invoice", "payment"];
    assert_eq!(names("operations", "operation"), all, "{said}");
    for operation in report["operations"].as_array().unwrap() {
        for side in ["otdel", "pgbench"] {
            assert!(operation[side]["per second"].as_f64().unwrap() > 0.0, "{side}: {operation}");
        }
    }
    for written in report["written"].as_array().unwrap() {
        assert_eq!(written["equal"], true, "{written}");
    }
    let figures = names("figures", "what").join("\n");
    for wanted in
        ["gateway: p50 added", "open loop: p99 of get", "feed:", "story:", "report of leads", "start of leads"]
    {
        assert!(figures.contains(wanted), "{wanted} in {figures}");
    }
}
