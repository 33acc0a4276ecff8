//! What holds for the containers: every line that hardens them, for every service there is and will be.

use std::{collections::BTreeMap, fs};

use serde_json::{Map, Value};

use super::walls::root;

const ROLES: [&str; 5] = ["leads", "contracts", "billing", "reporting", "gateway"];

/// What people's browsers and programs reach. Nothing else has a published port.
const PUBLISHED: [&str; 3] = ["gateway", "grafana", "prometheus"];

fn text(name: &str) -> String {
    fs::read_to_string(root().join("deploy").join(name)).unwrap_or_else(|error| panic!("deploy/{name}: {error}"))
}

/// A compose file with its anchors and merges resolved, and every variable at its default.
fn compose(name: &str) -> Value {
    serde_saphyr::from_str(&defaults(&text(name))).unwrap_or_else(|error| panic!("deploy/{name}: {error}"))
}

/// The text with `${NAME:-default}` replaced by the default.
fn defaults(text: &str) -> String {
    let mut parts = text.split("${");
    let mut resolved = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (variable, rest) = part.split_once('}').unwrap();
        resolved += variable.split_once(":-").map_or("", |(_, default)| default);
        resolved += rest;
    }
    resolved
}

/// Every service as it runs: with what the overlay adds to it.
fn services() -> BTreeMap<String, Map<String, Value>> {
    let mut all = BTreeMap::new();
    for file in ["compose.yaml", "compose.observability.yaml"] {
        for (name, service) in compose(file)["services"].as_object().unwrap() {
            let known: &mut Map<String, Value> = all.entry(name.clone()).or_default();
            known.extend(service.as_object().unwrap().clone());
        }
    }
    assert!(ROLES.iter().chain(&["postgres", "init", "migrate"]).all(|name| all.contains_key(*name)));
    all
}

fn list(service: &Map<String, Value>, key: &str) -> Vec<String> {
    let items = service.get(key).and_then(Value::as_array).cloned().unwrap_or_default();
    items.iter().map(|item| item.as_str().unwrap_or_else(|| panic!("{key}: {item}")).to_owned()).collect()
}

/// A service's networks, which are a list or a map.
fn networks(service: &Map<String, Value>) -> Vec<String> {
    match service.get("networks") {
        Some(Value::Object(map)) => map.keys().cloned().collect(),
        _ => list(service, "networks"),
    }
}

/// What a service is told by its environment.
fn environment(service: &Map<String, Value>) -> Vec<(String, String)> {
    let Some(variables) = service.get("environment") else { return Vec::new() };
    let variables = variables.as_object().expect("an environment is a map");
    variables.iter().map(|(name, value)| (name.clone(), value.as_str().unwrap_or_default().to_owned())).collect()
}

/// A job ends by itself.
fn is_job(service: &Map<String, Value>) -> bool {
    service["restart"] == "no"
}

#[test]
fn every_container_is_hardened_and_bounded() {
    for (name, service) in services() {
        let is = |key: &str| service.get(key).unwrap_or_else(|| panic!("{name} has no {key}"));
        assert_eq!(is("read_only"), true, "{name} can write its file system");
        assert_eq!(list(&service, "cap_drop"), ["ALL"], "{name} keeps capabilities");
        assert_eq!(list(&service, "security_opt"), ["no-new-privileges:true"], "{name}");
        for denied in ["cap_add", "privileged", "devices", "pid", "ipc", "userns_mode", "container_name"] {
            assert!(!service.contains_key(denied), "{name} has {denied}");
        }
        assert_ne!(service.get("network_mode").and_then(Value::as_str), Some("host"), "{name}");
        let user = is("user").as_str().unwrap();
        assert!(!user.is_empty() && user != "root" && !user.starts_with('0'), "{name} runs as {user}");
        assert!(is("pids_limit").as_u64().is_some_and(|limit| limit <= 512), "{name}");
        assert!(is("mem_limit").as_str().is_some_and(|limit| !limit.is_empty()), "{name}");
        assert!(is("ulimits")["nofile"]["hard"].as_u64().is_some_and(|limit| limit <= 65_536), "{name}");
        assert!(is("logging")["options"]["max-size"].is_string(), "{name} logs without an end");
        assert!(is("logging")["options"]["max-file"].is_string(), "{name} logs without an end");
        let volumes = list(&service, "volumes");
        assert!(volumes.iter().all(|volume| !volume.contains("docker.sock")), "{name} rules the engine");
    }
}

#[test]
fn what_runs_on_comes_back_by_itself_and_says_whether_it_is_well() {
    for (name, service) in services().iter().filter(|(_, service)| !is_job(service)) {
        assert_eq!(service["restart"], "unless-stopped", "{name}");
        let check = &service.get("healthcheck").unwrap_or_else(|| panic!("{name} has no health check"))["test"];
        assert_eq!(check[0], "CMD", "{name}: a shell is one thing more that can fail");
        if ROLES.contains(&name.as_str()) {
            assert_eq!((&check[1], &check[2]), (&"otdel".into(), &"healthcheck".into()), "{name}");
            let grace: u64 = service["stop_grace_period"].as_str().unwrap().trim_end_matches('s').parse().unwrap();
            assert!(grace >= 15, "{name} is killed after {grace} s, and its drain may take 10 s and its end some more");
            assert_eq!(service["init"], true, "{name}");
        }
    }
}

#[test]
fn images_have_tags() {
    for (name, service) in services() {
        let image = service["image"].as_str().unwrap();
        let tag = image.rsplit_once(':').map(|(_, tag)| tag).unwrap_or_default();
        assert!(!tag.is_empty() && !tag.contains('/') && tag != "latest", "{name}: {image}");
        assert_eq!(image.starts_with("otdel:"), ROLES.contains(&name.as_str()) || is_job(&service), "{name}: {image}");
        assert!(!image.starts_with("otdel:") || service["user"] == "65532:65532", "{name}");
    }
}

#[test]
fn only_the_door_is_published_and_only_to_this_machine() {
    for (name, service) in services() {
        let ports = list(&service, "ports");
        assert!(ports.is_empty() || PUBLISHED.contains(&name.as_str()), "{name} has a published port");
        assert!(ports.iter().all(|port| port.starts_with("127.0.0.1:")), "{name}: {ports:?}");
    }
}

#[test]
fn no_address_has_every_connection_of_the_gateway() {
    let all = otdel_runtime::server::Limits::default().connections;
    let readme = text("README.md");
    let (_, overlay) = readme.split_once("OTDEL_CONNECTIONS_PER_ADDRESS: \"").unwrap();
    let (told, _) = overlay.split_once('"').unwrap();
    let stack = services()["gateway"]["environment"]["OTDEL_CONNECTIONS_PER_ADDRESS"].to_string();
    for (place, most) in [("compose.yaml, for a proxy", stack.as_str()), ("README.md, for strangers", told)] {
        let most: usize = most.parse().unwrap();
        assert!(most <= all / 2, "{place}: {most} of {all}");
    }
}

#[test]
fn a_client_of_the_gateway_holds_nothing_and_reaches_nothing_else() {
    let desk = &services()["desk"];
    assert_eq!(networks(desk), ["edge"]);
    assert!(!desk.contains_key("volumes"), "{desk:?}");
    assert!(environment(desk).contains(&("OTDEL_ADDRESS".into(), "gateway:7400".into())));
}

#[test]
fn how_many_replicas_there_are_stands_in_the_settings_or_the_next_start_would_undo_it() {
    let text = text("compose.yaml");
    for role in ROLES {
        let line = format!("scale: ${{OTDEL_{}_REPLICAS:-1}}", role.to_uppercase());
        let (_, service) = text.split_once(&format!("\n  {role}:\n")).unwrap();
        let (service, _) = service.split_once("\n\n").unwrap();
        assert!(service.contains(&line), "{role} has no {line}");
    }
}

#[test]
fn the_gateway_has_no_way_to_the_database_and_the_database_none_out() {
    let networks_of = compose("compose.yaml")["networks"].clone();
    for inside in ["mesh", "database"] {
        assert_eq!(networks_of[inside]["internal"], true, "{inside}");
    }
    for (name, service) in services() {
        let on = networks(&service);
        let reaches = |network: &str| on.iter().any(|one| one == network);
        let may = ["postgres", "migrate", "operator", "leads", "contracts", "billing", "reporting"];
        assert!(!reaches("database") || may.contains(&name.as_str()), "{name} reaches the database");
        assert!(!on.is_empty() || service["network_mode"] == "none", "{name} is on the default network");
    }
    assert_eq!(networks(&services()["postgres"]), ["database"]);
}

#[test]
fn a_role_holds_its_own_secrets_alone_and_cannot_change_them() {
    let all = services();
    for role in ROLES {
        let secrets: Vec<_> =
            list(&all[role], "volumes").into_iter().filter(|volume| volume.contains("/secrets")).collect();
        assert_eq!(secrets, [format!("secrets-{role}:/secrets/{role}:ro")], "{role}");
    }
    let postgres: Vec<_> =
        list(&all["postgres"], "volumes").into_iter().filter(|volume| volume.contains("/secrets")).collect();
    assert_eq!(postgres, ["secrets-postgres:/secrets/postgres:ro"]);
    let holders = all
        .iter()
        .filter(|(_, service)| list(service, "volumes").iter().any(|volume| volume.starts_with("secrets-authority")));
    let holders: Vec<_> = holders.map(|(name, _)| name.as_str()).collect();
    assert_eq!(holders, ["init", "operator"], "who may sign certificates");
}

#[test]
fn no_secret_stands_in_a_file_of_the_deployment() {
    for (name, service) in services() {
        for (variable, value) in environment(&service) {
            let secret = ["PASSWORD", "SECRET", "TOKEN", "KEY"].iter().any(|word| variable.contains(word));
            let is_a_path = value.starts_with('/') && (variable.ends_with("_FILE") || variable.ends_with("_SECRETS"));
            assert!(!secret || is_a_path || value == "true" || value.is_empty(), "{name}: {variable}={value}");
            let authority = value.split_once("://").map(|(_, rest)| rest.split('/').next().unwrap_or_default());
            let user = authority.and_then(|authority| authority.split_once('@')).map(|(user, _)| user);
            assert!(user.is_none_or(|user| !user.contains(':')), "{name}: {variable} has a password");
        }
    }
}

#[test]
fn every_setting_of_the_deployment_is_in_the_example() {
    let example = text(".env.example");
    let compose_text = text("compose.yaml") + &text("compose.observability.yaml");
    let variables = compose_text.split("${").skip(1).map(|part| part.split([':', '}']).next().unwrap().to_owned());
    let mut names: Vec<String> = variables.collect();
    for service in services().values() {
        let passed = environment(service).into_iter().filter(|(_, value)| value.is_empty());
        names.extend(passed.map(|(name, _)| name));
    }
    assert!(names.len() > 8);
    for name in names {
        assert!(example.contains(&format!("{name}=")), "{name} is not in .env.example");
    }
}

#[test]
fn the_image_is_slim_unprivileged_and_built_from_every_crate_by_any_builder() {
    let dockerfile = text("Dockerfile");
    let of = |word: &str| dockerfile.lines().filter(|line| line.starts_with(word)).collect::<Vec<_>>();
    assert!(of("FROM").iter().all(|line| line.contains(':')), "{:?}", of("FROM"));
    assert_eq!(of("FROM").last(), Some(&"FROM debian:bookworm-slim"));
    assert_eq!(of("USER").last(), Some(&"USER 65532:65532"));
    assert_eq!(of("ENTRYPOINT"), [r#"ENTRYPOINT ["otdel"]"#]);
    for needs_buildkit in ["--mount", "<<EOF", "COPY --chmod", "# syntax"] {
        assert!(!dockerfile.contains(needs_buildkit), "{needs_buildkit} needs BuildKit");
    }
    for folder in ["shared", "services"] {
        for entry in fs::read_dir(root().join(folder)).unwrap() {
            let crate_name = entry.unwrap().file_name().into_string().unwrap();
            let line = format!("COPY {folder}/{crate_name}/Cargo.toml {folder}/{crate_name}/");
            assert!(dockerfile.contains(&line), "{line}");
        }
    }
}

#[test]
fn the_table_of_settings_is_what_the_command_line_says() {
    let readme = text("README.md");
    let (_, rest) = readme.split_once("<!-- settings: made by `otdel settings`; a test compares -->\n").unwrap();
    let (table, _) = rest.split_once("<!-- /settings -->").unwrap();
    let wanted = otdel::settings::table().unwrap();
    assert!(table.trim() == wanted.trim(), "put this into deploy/README.md:\n{wanted}");
}
