//! What holds for the alerts and the dashboard: each says what to do, and Prometheus's own tool takes them.

use std::{collections::BTreeSet, fs, process::Command};

use serde_json::Value;

use super::walls::root;

fn text(name: &str) -> String {
    fs::read_to_string(root().join("deploy").join(name)).unwrap_or_else(|error| panic!("deploy/{name}: {error}"))
}

fn alerts() -> Vec<Value> {
    let rules: Value = serde_saphyr::from_str(&text("alerts.yaml")).unwrap();
    let groups = rules["groups"].as_array().unwrap().clone();
    let rules = groups.into_iter().flat_map(|group| group["rules"].as_array().unwrap().clone());
    rules.filter(|rule| rule.get("alert").is_some()).collect()
}

#[test]
fn every_alert_says_how_bad_it_is_what_it_is_and_what_to_do() {
    let readme = text("README.md");
    let advice: BTreeSet<&str> = readme.lines().filter_map(|line| line.strip_prefix("### Otdel")).collect();
    let mut named = BTreeSet::new();
    let alerts = alerts();
    for alert in &alerts {
        let name = alert["alert"].as_str().unwrap();
        let severity = alert["labels"]["severity"].as_str().unwrap_or_default();
        assert!(["critical", "warning"].contains(&severity), "{name}: severity {severity:?}");
        let (summary, runbook) = (&alert["annotations"]["summary"], &alert["annotations"]["runbook"]);
        assert!(summary.as_str().is_some_and(|summary| !summary.is_empty()), "{name} has no summary");
        assert_eq!(runbook, &format!("deploy/README.md#{}", name.to_lowercase()), "{name}");
        named.insert(name.strip_prefix("Otdel").unwrap());
    }
    assert_eq!(named.len(), alerts.len(), "two alerts of one name");
    assert_eq!(named, advice, "alerts and the headings of deploy/README.md");
}

#[test]
fn every_panel_says_what_it_shows() {
    let dashboard: Value = serde_json::from_str(&text("dashboards/otdel.json")).unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    let shown = panels.iter().filter(|panel| panel["type"] != "row");
    let mut titles = BTreeSet::new();
    for panel in shown {
        let title = panel["title"].as_str().unwrap();
        assert!(titles.insert(title), "two panels are called {title}");
        assert!(
            panel["description"].as_str().is_some_and(|text| text.ends_with('.')),
            "{title} says nothing of itself"
        );
        assert!(!panel["targets"].as_array().unwrap().is_empty(), "{title} shows nothing");
    }
    assert!(titles.len() > 20);
}

#[test]
fn prometheus_takes_the_rules_and_they_do_what_they_promise() {
    if Command::new("promtool").arg("--version").output().is_err() {
        println!("skipped: promtool is not installed");
        return;
    }
    for arguments in [["check", "config", "prometheus.yaml"], ["test", "rules", "alerts_test.yaml"]] {
        let output = Command::new("promtool").args(arguments).current_dir(root().join("deploy")).output().unwrap();
        let told = [output.stdout, output.stderr].map(|told| String::from_utf8_lossy(&told).into_owned()).concat();
        assert!(output.status.success(), "{arguments:?}: {told}");
    }
}
