//! Leads from a file and reports to one, through the gateway.

use std::path::{Path, PathBuf};

use otdel::private;
use otdel_tests::{
    operator::{self, Ran},
    staff::{self, Somebody},
    suite::{Suite, Topology},
};

use crate::feed::{lead_events, numbered};

/// What a system may that imports and reports.
const PERMISSIONS: [&str; 5] = ["leads.submit", "leads.import", "reports.leads", "reports.deals", "reports.finance"];

/// A folder of files, and the flags of a caller.
struct Desk {
    folder: PathBuf,
    address: String,
    token: String,
}

impl Desk {
    fn of(suite: &Suite, somebody: &Somebody) -> Self {
        let folder = std::env::temp_dir().join(format!("otdel-files-{}", staff::id()));
        private::make_folder(&folder).unwrap();
        private::write_file(&folder.join("key"), somebody.key.as_bytes()).unwrap();
        let token = folder.join("key").to_str().unwrap().to_owned();
        Self { folder, address: suite.address.to_string(), token }
    }

    fn file(&self, name: &str) -> String {
        self.folder.join(name).to_str().unwrap().to_owned()
    }

    fn write(&self, name: &str, content: &[u8]) -> String {
        std::fs::write(self.folder.join(name), content).unwrap();
        self.file(name)
    }

    async fn run(&self, args: &[&str]) -> Ran {
        operator::otdel(&[args, &["--address", &self.address, "--token-file", &self.token]].concat()).await
    }
}

impl Drop for Desk {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// As a spreadsheet writes it, but for the ends of its lines.
const REQUESTS: &str = "\u{feff}channel;source_ref;display_name;phone;email;origin;receive_time;заметка
site;a-1;Анна Ёлкина;8 (495) 123-45-67;;весна;2025-12-31 23:30;x
site;a-2;\"Пётр \"\"Петя\"\" Иванов\";;petr@example.org;осень;01.12.2025;
fax;a-3;;12;no;x@example.org;soon;
site;a-4;Иван;;ivan@example.org;;2999-01-01;
";

#[tokio::test(flavor = "multi_thread")]
async fn a_file_is_imported_once_however_often_and_what_is_wrong_with_a_line_is_all_told() {
    let suite = Suite::start(Topology::AllInOne).await;
    staff::department(&suite.admin).await;
    let desk = Desk::of(&suite, &staff::system(&suite.admin, "import", &PERMISSIONS).await);
    let file = desk.write("requests.csv", REQUESTS.replace('\n', "\r\n").as_bytes());

    let first = desk.run(&["import", "leads", &file]).await;
    assert_eq!(first.code, 4, "{first:?}");
    assert!(
        first.out.contains("2 lines are taken in, those included that were there already; 2 were refused"),
        "{first:?}"
    );
    assert!(first.out.contains("columns that are not read: заметка"), "{first:?}");
    let rejects = std::fs::read_to_string(format!("{file}.rejects.csv")).unwrap();
    let refused: Vec<&str> = rejects.lines().collect();
    assert_eq!(refused.len(), 3, "{rejects}");
    assert!(refused[0].starts_with("otdel_line;otdel_violations;channel;source_ref;"), "{rejects}");
    assert!(refused[1].starts_with("4;") && refused[2].starts_with("5;"), "{rejects}");
    for field in ["channel", "receive_time", "contact.display_name", "contact.phone", "contact.email", "origin"] {
        assert!(refused[1].contains(&format!("{field}: ")), "{field}: {rejects}");
    }
    assert!(refused[2].contains("receive_time: must not be in the future"), "{rejects}");

    numbered(&suite).await;
    let events = lead_events(&suite.admin).await.len();
    let second = desk.run(&["import", "leads", &file]).await;
    let told = second.out.replace(".rejects.2.csv", ".rejects.csv");
    assert_eq!((second.code, &told), (first.code, &first.out), "{second:?}");
    numbered(&suite).await;
    assert_eq!(lead_events(&suite.admin).await.len(), events, "the same lines were taken in again");

    // Each import has a rejects file of its own, and none takes a file away that is there.
    let rest = desk.run(&["import", "leads", &file, "--from-line", "5"]).await;
    assert_eq!(rest.code, 4, "{rest:?}");
    assert!(
        std::fs::read_to_string(format!("{file}.rejects.3.csv")).unwrap().lines().last().unwrap().starts_with("5;")
    );
    assert_eq!(std::fs::read_to_string(format!("{file}.rejects.csv")).unwrap(), rejects);
    let itself = desk.run(&["import", "leads", &file, "--rejects", &file.replace("/requests", "/./requests")]).await;
    assert!(itself.code == 1 && itself.err.contains("is there already"), "{itself:?}");
    assert!(Path::new(&file).exists(), "the file itself was taken away");

    // What the rejects file says is corrected in it.
    let corrected =
        "otdel_line;otdel_violations;channel;source_ref;display_name;email\n4;;site;a-3;Яна;yana@example.org\n";
    let corrected = desk.write("corrected.csv", corrected.as_bytes());
    let third = desk.run(&["import", "leads", &corrected]).await;
    assert_eq!(third.code, 0, "{third:?}");
    assert!(!Path::new(&format!("{corrected}.rejects.csv")).exists());
    numbered(&suite).await;
    assert!(lead_events(&suite.admin).await.len() > events);

    // Another lead under a reference that is taken, and a file in another encoding.
    let taken = desk.write("taken.csv", "id,name\na-1,Мария\n".as_bytes());
    let set =
        ["--set", "channel=site", "--set", "source_ref={id}", "--set", "display_name={name}", "--set", "phone=12345"];
    let refused = desk.run(&[&["import", "leads", taken.as_str()], set.as_slice()].concat()).await;
    assert_eq!(refused.code, 4, "{refused:?}");
    assert!(std::fs::read_to_string(format!("{taken}.rejects.csv")).unwrap().contains("SOURCE_REF_TAKEN"));
    let old = desk.write("old.csv", b"id,name\n1,\xcc\xe0\xf0\xe8\xff\n");
    let refused = desk.run(&[&["import", "leads", old.as_str()], set.as_slice()].concat()).await;
    assert_eq!(refused.code, 1, "{refused:?}");
    assert!(refused.err.contains("line 2 is not UTF-8") && refused.err.contains("windows-1251"), "{refused:?}");
    suite.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_report_is_written_as_a_table_as_csv_and_as_json() {
    let suite = Suite::start(Topology::AllInOne).await;
    staff::department(&suite.admin).await;
    let desk = Desk::of(&suite, &staff::system(&suite.admin, "reports", &PERMISSIONS).await);
    let file = desk.write("requests.csv", REQUESTS.as_bytes());
    desk.run(&["import", "leads", &file]).await;
    suite.settle().await;

    // Midnight of the first of December in Moscow is November in the suite's zone.
    let csv = desk.run(&["report", "leads", "--by", "month,origin", "--format", "csv"]).await;
    assert_eq!(
        (csv.code, csv.out.as_str()),
        (0, "month,origin,channel,leads\n2025-11,осень,,1\n2025-12,весна,,1\n"),
        "{csv:?}"
    );
    let table = desk.run(&["report", "leads", "--by", "month,origin"]).await;
    let lines =
        ["month    origin  leads", "-------  ------  -----", "2025-11  осень       1", "2025-12  весна       1"];
    assert_eq!(table.lines(), lines, "{table:?}");
    let json = desk.run(&["report", "leads", "--from-month", "2025-12", "--format", "json"]).await;
    let json: serde_json::Value = serde_json::from_str(&json.out).unwrap();
    assert_eq!(json["rows"][0]["leads"], "1", "{json}");
    assert_eq!(json["freshness"][0]["service"], "billing", "{json}");

    let empty = desk.run(&["report", "revenue", "--format", "csv"]).await;
    assert_eq!((empty.code, empty.lines().len()), (0, 1), "{empty:?}");
    assert!(empty.out.starts_with("month,invoices,net,net.currency_code,"), "{empty:?}");
    assert_eq!(desk.run(&["report", "funnel"]).await.lines().last(), Some(&"(no rows)"));

    let refused = desk.run(&["report", "leads", "--from-month", "2025-13", "--owner", "nobody"]).await;
    assert_eq!(refused.code, 1, "{refused:?}");
    for field in ["filter.from_month: ", "filter.owner: "] {
        assert!(refused.err.contains(field), "{refused:?}");
    }
    let unknown = desk.run(&["report", "profit"]).await;
    assert!(unknown.code == 1 && unknown.err.contains("there are leads, conversion, won,"), "{unknown:?}");
    let address = ["--address", &desk.address, "--token-file", &file];
    let stranger = operator::otdel(&[&["report", "leads"], address.as_slice()].concat()).await;
    assert_eq!(stranger.code, 1, "{stranger:?}");
    assert_eq!(operator::otdel(&["report", "leads", "--format", "xml"]).await.code, 2);
    suite.stop().await;
}
