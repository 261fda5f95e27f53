//! `earmark import` against three nodes: verdicts, dry run, going on, and what it refuses to begin.

use crate::support::{formed, ports};
use earmark_client::{Client, Code, SkuSettings};
use std::{
    io::Write,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    time::Duration,
};

struct World {
    client: Client,
    endpoints: String,
    folder: PathBuf,
}

impl World {
    fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.folder.join(name);
        std::fs::write(&path, text).expect("written");
        path
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_earmark"));
        command.current_dir(&self.folder).args(["--endpoints", &self.endpoints, "--output", "json", "import"]);
        command.args(arguments);
        command
    }

    /// Exit code, report, and what was said.
    async fn import(&self, arguments: &[&str]) -> (Option<i32>, serde_json::Value, String) {
        let mut command = self.command(arguments);
        let Output { status, stdout, stderr } =
            tokio::task::spawn_blocking(move || command.output().expect("it runs")).await.expect("ended");
        let report = serde_json::from_slice(&stdout).unwrap_or_default();
        (status.code(), report, String::from_utf8_lossy(&stderr).into_owned())
    }

    async fn on_hand(&self, sku: &str, location: &str) -> u64 {
        let stock = self.client.stock(sku).location(location).send().await.expect("read");
        stock.pools.iter().map(|pool| pool.on_hand).sum()
    }
}

/// Line, verdict, code and replayed of each row.
fn verdicts(path: &Path) -> Vec<(u64, String, String, bool)> {
    let mut rows = csv::Reader::from_path(path).expect("results");
    let read = |row: csv::StringRecord| {
        (row[0].parse().expect("a line"), row[4].to_owned(), row[6].to_owned(), &row[5] == "true")
    };
    rows.records().map(|row| read(row.expect("a row"))).collect()
}

const MIXED: &str = "\
action;sku;location;quantity;expected_on_hand;override;reason;safety stock;deduct
;tea;berlin;100;;;;5;
;tea;hamburg;50;;;;5;on ship
;coffee;;abc;;;;;
set;tea;berlin;90;100;;counted;;
set;tea;berlin;80;100;;counted;;
set;milk;berlin;80;;yes;counted;;
adjust;tea;hamburg;-60;;;broken;;
adjust;tea;hamburg;-6;50;;broken;;
count;tea;berlin;88;;;;;
;sugar;;;;;;3;
configure;salt;;;;;;;
";

async fn a_dry_run_changes_nothing(world: &World) {
    world.file("mixed.csv", MIXED);
    let (exit, report, said) = world.import(&["mixed.csv", "--dry-run"]).await;
    assert_eq!(exit, Some(2), "{said}");
    assert_eq!((&report["dry_run"], &report["rows"], &report["bad_input"]), (&true.into(), &11.into(), &2.into()));
    let told = verdicts(&world.folder.join("mixed.csv.dry-run.csv"));
    assert_eq!(told[0].1, "done");
    assert_eq!((told[3].1.as_str(), told[3].2.as_str()), ("refused", "NOT_FOUND"), "each row is judged for itself");
    let missing = world.client.stock("tea").send().await.expect_err("nothing was done");
    assert_eq!(missing.code(), Code::NotFound);
    assert!(!world.folder.join("mixed.csv.import").exists(), "and nothing begun");
}

async fn each_row_has_its_verdict(world: &World) {
    let (exit, report, said) = world.import(&["mixed.csv"]).await;
    assert_eq!(exit, Some(2), "{said}");
    let told = verdicts(&world.folder.join("mixed.csv.results.csv"));
    let told: Vec<(u64, &str, &str)> = told.iter().map(|row| (row.0, &*row.1, &*row.2)).collect();
    let expected = [
        (2, "done", ""),
        (3, "done", ""),
        (4, "bad_input", "INVALID_ARGUMENT"),
        (5, "done", ""),
        (6, "refused", "VERSION_STALE"),
        (7, "refused", "NOT_FOUND"),
        (8, "refused", "INSUFFICIENT_STOCK"),
        (9, "done", ""),
        (10, "done", ""),
        (11, "done", ""),
        (12, "bad_input", "INVALID_ARGUMENT"),
    ];
    assert_eq!(told, expected);
    assert_eq!((&report["done"], &report["refused"], &report["bad_input"]), (&6.into(), &3.into(), &2.into()));
    assert_eq!((world.on_hand("tea", "berlin").await, world.on_hand("tea", "hamburg").await), (88, 44));
    let settings = world.client.settings("tea").send().await.expect("read");
    assert_eq!((settings.version, settings.settings.safety_stock), (1, 5), "rows of one SKU share one change");
    assert_eq!(settings.settings.deduct, earmark_client::Deduct::OnShip);
    assert_eq!(world.client.settings("sugar").send().await.expect("read").settings.safety_stock, 3);
}

/// Feeds the first row, and kills the import once that is done and told, but not noted as settled.
async fn killed_after_one(world: &World, begun: &str, arguments: &[&str], results: &str) {
    let results = world.folder.join(results);
    let mut command = world.command(arguments);
    let mut first = command.stdin(Stdio::piped()).stdout(Stdio::null()).spawn().expect("started");
    let mut pipe = first.stdin.take().expect("piped");
    pipe.write_all(begun.as_bytes()).expect("it reads");
    while std::fs::read_to_string(&results).unwrap_or_default().lines().count() < 2 {
        assert!(first.try_wait().expect("asked").is_none(), "it waits for the second row");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let (busy, _, said) = world.import(arguments).await;
    assert_eq!(busy, Some(2), "{said}");
    assert!(said.contains("another import"), "{said}");
    first.kill().expect("killed");
    first.wait().expect("ended");
}

/// Others change the same things between two runs.
async fn what_was_done_is_not_done_again_whatever_happened_since(world: &World) {
    let rows = "sku,quantity,safety_stock\nlamp,5,2\nlamp,1,\n";
    let begun = &rows[..rows.find("lamp,1").expect("the second row")];
    let arguments = ["-", "--progress", "p", "--results", "r.csv", "--in-flight", "1"];
    killed_after_one(world, begun, &arguments, "r.csv").await;

    let others = SkuSettings { safety_stock: 9, ..SkuSettings::default() };
    world.client.configure("lamp", 1, others).send().await.expect("set");
    world.client.receive("lamp", "main", 7).send().await.expect("received");
    world.file("lamps.csv", rows);
    let arguments = ["lamps.csv", "--progress", "p", "--results", "r.csv"];
    let (exit, report, said) = world.import(&arguments).await;
    assert_eq!(exit, Some(0), "{said}");
    assert_eq!((&report["done"], &report["replayed"]), (&2.into(), &1.into()), "{said}");
    assert_eq!(world.on_hand("lamp", "main").await, 5 + 7 + 1);
    let settings = world.client.settings("lamp").send().await.expect("read");
    assert_eq!((settings.version, settings.settings.safety_stock), (2, 9), "what others set since stays");

    world.file("lamps.csv", &rows.replace("lamp,5", "lamp,6"));
    let (exit, _, said) = world.import(&arguments).await;
    assert!(exit == Some(2) && said.contains("has changed"), "{said}");
    world.file("lamps.csv", rows);
    let (exit, _, said) =
        world.import(&["lamps.csv", "--progress", "p", "--results", "r.csv", "--location", "b"]).await;
    assert!(exit == Some(2) && said.contains("location"), "{said}");
    world.file("lamps.csv", &(rows.to_owned() + "lamp,2,\n"));
    let (exit, report, said) = world.import(&arguments).await;
    assert_eq!((exit, &report["rows"], &report["skipped"]), (Some(0), &3.into(), &2.into()), "{said}");
    assert_eq!(world.on_hand("lamp", "main").await, 15, "rows that were added are done, and only those");
    let restart = [&arguments[..], &["--restart"]].concat();
    let (exit, report, said) = world.import(&restart).await;
    assert_eq!((exit, &report["replayed"]), (Some(0), &0.into()), "{said}");
    assert_eq!(world.on_hand("lamp", "main").await, 23, "another import does all of it again");
}

/// The settings were as the row asks, so there was nothing to do; others changed them between two runs.
async fn settings_that_were_right_are_not_judged_anew(world: &World) {
    let settings = |units| SkuSettings { safety_stock: units, ..SkuSettings::default() };
    world.client.configure("vase", 0, settings(2)).send().await.expect("set");
    let rows = "sku,quantity,safety_stock\nvase,5,2\n";
    let arguments = ["-", "--progress", "q", "--results", "s.csv", "--in-flight", "1"];
    killed_after_one(world, rows, &arguments, "s.csv").await;
    world.client.configure("vase", 1, settings(9)).send().await.expect("set");
    world.file("vases.csv", rows);
    let (exit, report, said) = world.import(&["vases.csv", "--progress", "q", "--results", "s.csv"]).await;
    assert_eq!((exit, &report["done"], &report["replayed"]), (Some(0), &1.into(), &1.into()), "{said}");
    let read = world.client.settings("vase").send().await.expect("read");
    assert_eq!((read.version, read.settings.safety_stock, world.on_hand("vase", "main").await), (2, 9, 5));
}

async fn what_cannot_be_begun_is_told(world: &World) {
    world.file("odd.csv", "sku,qty\na,1\n");
    let (exit, _, said) = world.import(&["odd.csv"]).await;
    assert!(exit == Some(2) && said.contains("qty") && said.contains("quantity"), "{said}");
    assert!(!world.folder.join("odd.csv.import").exists());
    world.file("lost.csv", "sku,quantity\na,1\n");
    world.file("lost.csv.results.csv", "");
    let (exit, _, said) = world.import(&["lost.csv"]).await;
    assert!(exit == Some(2) && said.contains("no progress"), "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_is_imported() {
    let folder = tempfile::tempdir().expect("a folder");
    let ports = ports(6);
    let (nodes, _) = formed(folder.path(), &ports, 3).await;
    let endpoints = [0, 2, 4].map(|place| format!("127.0.0.1:{}", ports[place]));
    let client = Client::connect(endpoints.clone()).await.expect("connected");
    let world = World { client, endpoints: endpoints.join(","), folder: folder.path().join("files") };
    std::fs::create_dir(&world.folder).expect("made");
    a_dry_run_changes_nothing(&world).await;
    each_row_has_its_verdict(&world).await;
    what_was_done_is_not_done_again_whatever_happened_since(&world).await;
    settings_that_were_right_are_not_judged_anew(&world).await;
    what_cannot_be_begun_is_told(&world).await;
    futures::future::join_all(nodes.into_iter().map(earmark_node::Running::stop)).await;
}
