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

    let has_pgbench = !said.contains("pgbench is not installed");
    if !has_pgbench {
        println!("skipped in part: pgbench is not installed beside the server");
    }
    let names = |of: &str, key: &str| -> Vec<String> {
        report[of].as_array().unwrap().iter().map(|one| one[key].as_str().unwrap().to_owned()).collect()
    };
    let all = ["submit", "contact", "convert", "get", "list", "invoice", "payment"];
    assert_eq!(names("operations", "operation"), all, "{said}");
    let sides = if has_pgbench { &["otdel", "pgbench"][..] } else { &["otdel"] };
    for operation in report["operations"].as_array().unwrap() {
        for side in sides {
            assert!(operation[side]["per second"].as_f64().unwrap() > 0.0, "{side}: {operation}");
            assert_eq!(operation[side]["refused"], 0, "{side}: {operation}");
        }
    }
    let written = report["written"].as_array().unwrap();
    for of in written {
        assert_eq!(of["equal"], true, "{of}");
        let reads = ["get", "list"].contains(&of["operation"].as_str().unwrap());
        assert_eq!(of["each"].as_array().unwrap().is_empty(), reads || !has_pgbench, "{of}");
    }
    assert_eq!(written.len(), all.len());
    let missing = report["figures"].as_array().unwrap().iter().filter(|figure| figure["value"].is_null());
    let missing: Vec<_> = missing.map(|figure| figure["what"].as_str().unwrap()).collect();
    for named in ["submit, 128 clients", "against Tryton", "import of leads", "named report over 1,000,000"] {
        assert!(
            missing.iter().any(|what| what.starts_with(named)),
            "nothing says that {named} is not measured: {missing:?}"
        );
    }
    let figures = names("figures", "what").join("\n");
    for wanted in [
        "gateway: p50 added",
        "open loop: p99 of an order's confirmation",
        "feed:",
        "reassignment of 100 ",
        "story:",
        "report of leads",
        "start of leads",
    ] {
        assert!(figures.contains(wanted), "{wanted} in {figures}");
    }
}
