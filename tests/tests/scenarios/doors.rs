//! The first minutes of somebody new: the binary, the address it prints and the call that is pasted.

use std::{path::PathBuf, process::Stdio};

use otdel::{commands::up, data};
use otdel_tests::{cluster::Database, operator, split};
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    process::{Child, Command},
};

struct Up {
    child: Child,
    folder: PathBuf,
    said: String,
}

impl Up {
    /// Starts `otdel up` on a fresh data folder and reads what it says, until it waits.
    async fn start(folder: PathBuf) -> Self {
        let mut command = Command::new(split::binary());
        command.args(["up", "--listen", "127.0.0.1:0", "--log", "warn", "--drain-s", "2", "--data-dir"]).arg(&folder);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut said = String::new();
        while let Some(line) = lines.next_line().await.unwrap() {
            said += &line;
            said.push('\n');
            if line.contains("Ctrl-C") {
                return Self { child, folder, said };
            }
        }
        panic!("it ended and said: {said}");
    }

    /// What is printed as the first call.
    fn first_call(&self) -> String {
        let start = self.said.find("curl").expect("a first call");
        let end = self.said.find("Stop it").expect("an end");
        self.said[start..end].to_owned()
    }

    fn address(&self) -> &str {
        let (_, rest) = self.said.split_once("JSON at ").expect("an address");
        rest.split_whitespace().next().unwrap()
    }

    async fn shell(&self, script: &str) -> String {
        let output = Command::new("bash").arg("-c").arg(script).output().await.unwrap();
        assert!(output.status.success(), "{script}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    async fn kill(mut self) -> PathBuf {
        self.child.kill().await.unwrap();
        self.folder
    }
}

fn fresh() -> PathBuf {
    std::env::temp_dir().join(format!("otdel-up-{}", uuid::Uuid::now_v7()))
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_printed_works_when_pasted_and_again_after_a_kill() {
    let up = Up::start(fresh()).await;
    let answer: serde_json::Value = serde_json::from_str(&up.shell(&up.first_call()).await).unwrap();
    let lead = answer["lead"]["name"].as_str().unwrap_or_else(|| panic!("{answer}")).to_owned();
    assert!(lead.starts_with("leads/"));
    assert_eq!(answer["lead"]["contact"]["phone"], "+74951234567");

    let up = Up::start(up.kill().await).await;
    let again: serde_json::Value = serde_json::from_str(&up.shell(&up.first_call()).await).unwrap();
    assert_eq!(again["lead"]["name"].as_str(), Some(lead.as_str()), "the lead of before is still there: {again}");
    let folder = up.kill().await;
    let _ = std::fs::remove_dir_all(folder);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_json_call_without_a_key_is_refused_and_a_bad_one_names_its_fields() {
    let up = Up::start(fresh()).await;
    let anonymous =
        format!("curl -sS -o /dev/null -w '%{{http_code}}' http://{}/v1/leads:submit -d '{{}}'", up.address());
    assert_eq!(up.shell(&anonymous).await, "401");
    let token = format!("$({} token --data-dir {})", split::binary().display(), up.folder.display());
    let bad =
        format!("curl -sS http://{}/v1/leads:submit -H \"Authorization: Bearer {token}\" -d '{{}}'", up.address());
    let answer = up.shell(&bad).await;
    for field in ["request_id", "channel", "source_ref", "contact"] {
        assert!(answer.contains(field), "{field} is not named: {answer}");
    }
    let folder = up.kill().await;
    let _ = std::fs::remove_dir_all(folder);
}

#[tokio::test]
async fn a_variable_that_is_set_to_nothing_is_not_set() {
    let table = otdel::settings::table().unwrap();
    let variables = table.lines().skip(2).filter_map(|row| row.split(" | ").nth(1)?.trim().strip_prefix('`'));
    let mut command = Command::new(split::binary());
    command.args(["serve", "gateway", "--secrets", "/no/such/folder"]);
    command.envs(variables.map(|variable| (variable.trim_end_matches('`'), "")));
    let ran = operator::run(command).await;
    assert!(ran.code == 1 && ran.err.contains("/no/such/folder"), "{ran:?}");
}

#[tokio::test]
async fn a_variable_is_read_by_the_command_that_is_said() {
    let mut command = Command::new(split::binary());
    command.args(["serve", "leads", "billing", "--secrets", "/no/such/folder", "--database-url", "postgres://x/y"]);
    command.env("OTDEL_LISTEN", "127.0.0.1:7401,127.0.0.1:7403");
    let ran = operator::run(command).await;
    assert!(ran.code == 1 && ran.err.contains("/no/such/folder"), "several addresses: {ran:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_migrates_twice_and_appoints_the_first_administrator_once() {
    let (database, folder) = (Database::empty().await, fresh());
    let (secrets, key) = (folder.join("secrets"), folder.join("admin.key"));
    split::make_secrets(&secrets);
    let otdel = async |args: &[&str]| {
        let mut command = Command::new(split::binary());
        command.args(args).arg("--secrets").arg(&secrets).env("OTDEL_ADMIN_DATABASE_URL", &database.url);
        command.output().await.unwrap()
    };
    let early = otdel(&["init", "--admin-key", key.to_str().unwrap()]).await;
    assert!(!early.status.success());
    let text = std::fs::read_to_string(&key).expect("after a database's error the key may be somebody's");
    for _ in 0..2 {
        let done = otdel(&["migrate", "--business-zone", "UTC"]).await;
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    }
    let other = otdel(&["migrate", "--business-zone", "Europe/Moscow"]).await;
    assert!(
        String::from_utf8_lossy(&other.stderr).contains("cannot become"),
        "the zone is fixed at the first migration"
    );

    let first = otdel(&["init", "--admin-key", key.to_str().unwrap()]).await;
    assert!(first.status.success(), "{}", String::from_utf8_lossy(&first.stderr));
    assert!(text.contains('.'));
    let same = otdel(&["init", "--admin-key", key.to_str().unwrap()]).await;
    assert!(same.status.success(), "{}", String::from_utf8_lossy(&same.stderr));
    assert_eq!(std::fs::read_to_string(&key).unwrap(), text, "the key of the first time is not lost");
    let again = folder.join("again.key");
    let second = otdel(&["init", "--admin-key", again.to_str().unwrap()]).await;
    assert!(!second.status.success() && !again.exists(), "{}", String::from_utf8_lossy(&second.stdout));
    assert!(String::from_utf8_lossy(&second.stderr).contains("administrator already"));
    let _ = std::fs::remove_dir_all(folder);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_administrator_is_appointed_anew_where_nobody_is_left_who_can_get_in() {
    let (database, folder) = (Database::empty().await, fresh());
    let (secrets, key) = (folder.join("secrets"), folder.join("admin.key"));
    split::make_secrets(&secrets);
    let run = async |args: &[&str]| {
        operator::on(&database, &[args, &["--secrets", secrets.to_str().unwrap()]].concat()).await
    };
    assert_eq!(run(&["migrate"]).await.code, 0);
    let with = |key: &PathBuf| ["init".to_owned(), "--admin-key".to_owned(), key.to_str().unwrap().to_owned()];
    let init = async |key: &PathBuf| run(&with(key).each_ref().map(String::as_str)).await;
    assert_eq!(init(&key).await.code, 0);

    let leads = database.pool("leads").await;
    let set = async |what: &'static str| sqlx::query(what).execute(&leads).await.unwrap();
    let is_whole = "select count(*) = 1 from leads.api_key where revoke_time is null and expire_time is null
                    and not read_only and permissions = '{}'";
    for lost in [
        "update leads.api_key set read_only = true",
        "update leads.api_key set permissions = '{staff.read}'",
        "update leads.api_key set expire_time = now() - interval '1 second'",
    ] {
        set(lost).await;
        let again = init(&key).await;
        assert_eq!(again.code, 0, "{lost}: {again:?}");
        assert!(sqlx::query_scalar::<_, bool>(is_whole).fetch_one(&leads).await.unwrap(), "{lost}");
    }
    set("update leads.api_key set revoke_time = now()").await;
    let revoked = init(&key).await;
    assert!(revoked.code == 1 && revoked.err.contains("was revoked: delete its file"), "{revoked:?}");
    let new = folder.join("new.key");
    assert_eq!(init(&new).await.code, 0);
    assert!(init(&folder.join("third.key")).await.err.contains("administrator already"));

    // Whoever logs in is appointed as often as it is said, too.
    set("update leads.api_key set revoke_time = now()").await;
    for _ in 0..2 {
        let login = run(&["init", "--admin", "https://id.example|7"]).await;
        assert_eq!(login.code, 0, "{login:?}");
    }
    let another = run(&["init", "--admin", "https://id.example|8"]).await;
    assert!(another.err.contains("administrator already"), "{another:?}");
    leads.close().await;
    let _ = std::fs::remove_dir_all(folder);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_development_key_does_everything_again_at_the_next_start() {
    let (database, folder) = (Database::standing().await, fresh());
    std::fs::create_dir_all(&folder).unwrap();
    let leads = database.pool("leads").await;
    let key = data::development_key(&folder).unwrap();
    up::admit_developer(&leads, key).await.unwrap();
    let narrowed = "update leads.api_key set read_only = true, permissions = '{staff.read}', expire_time = now()";
    sqlx::query(narrowed).execute(&leads).await.unwrap();
    up::admit_developer(&leads, key).await.unwrap();
    let whole = "select expire_time is null and not read_only and permissions = '{}' from leads.api_key";
    assert!(sqlx::query_scalar::<_, bool>(whole).fetch_one(&leads).await.unwrap());
    let events = "select count(*) from leads.outbox";
    let before: i64 = sqlx::query_scalar(events).fetch_one(&leads).await.unwrap();
    up::admit_developer(&leads, key).await.unwrap();
    assert_eq!(sqlx::query_scalar::<_, i64>(events).fetch_one(&leads).await.unwrap(), before, "nothing was to be done");

    sqlx::query("update leads.api_key set revoke_time = now()").execute(&leads).await.unwrap();
    let refused = up::admit_developer(&leads, key).await.unwrap_err();
    assert!(refused.to_string().contains("was revoked: delete its file"), "{refused}");
    leads.close().await;
    let _ = std::fs::remove_dir_all(folder);
}
