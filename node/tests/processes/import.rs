//! An import that is killed, that loses its cluster, and that goes on: every row once, and every balance right.
//!
//! The rows come by a pipe that the test holds open, so an import can't be over before it is killed. What a killed import
//! did last is open in its progress file, because only the next block would note it as settled: so the next run has
//! something to repeat.
//!
//! `EARMARK_TEST_IMPORT_ROWS=100000 EARMARK_TEST_BINARY=target/release/earmark \
//! cargo test --package earmark-node --test processes import -- --nocapture`

use crate::{
    admitted,
    checks::digests_equal,
    cluster::{Cluster, NODES, binary, eventually},
};
use earmark_client::{Answer, Client, Code, wire::v1::NodeHealth};
use std::{
    collections::BTreeMap,
    fs,
    io::Write,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    time::Instant,
};

fn row_count() -> usize {
    std::env::var("EARMARK_TEST_IMPORT_ROWS").map_or(3_000, |text| text.parse().expect("a number"))
}

/// Rows in flight at most: so many that there are some dozens of blocks.
fn in_flight() -> usize {
    (row_count() / 30).clamp(10, 2_000)
}

/// What a file asks for: its rows, and what must come of them.
#[derive(Default)]
struct Feed {
    lines: Vec<String>,
    bad: Vec<u64>,
    /// Units by SKU and location.
    units: BTreeMap<(String, String), u64>,
    safety_stock: BTreeMap<String, u64>,
}

const HEADER: &str = "sku,location,quantity,safety_stock\n";

/// One row in a hundred is bad; one SKU in seven comes twice to the same place; one in ten has a setting.
fn feed(rows: usize) -> Feed {
    let mut feed = Feed::default();
    while feed.lines.len() < rows {
        let n = feed.lines.len();
        let sku = format!("sku-{n:06}");
        let times = if n.is_multiple_of(7) { 2 } else { 1 };
        for time in 0..times {
            // The header is line 1.
            let line = feed.lines.len() as u64 + 2;
            if line % 100 == 38 {
                feed.lines.push(format!("{sku},main,{},\n", ["0", "many", "", "-1", "1.5"][n % 5]));
                feed.bad.push(line);
                continue;
            }
            let units = n as u64 % 97 + 1;
            let setting = if n % 10 == 3 && time == 0 { Some(n as u64 % 9 + 1) } else { None };
            let cell = setting.map(|units| units.to_string()).unwrap_or_default();
            feed.lines.push(format!("{sku},main,{units},{cell}\n"));
            *feed.units.entry((sku.clone(), "main".to_owned())).or_default() += units;
            feed.safety_stock.extend(setting.map(|units| (sku.clone(), units)));
        }
    }
    feed
}

struct Import {
    endpoints: String,
    progress: PathBuf,
    results: PathBuf,
}

impl Import {
    fn command(&self, file: &Path) -> Command {
        let mut command = Command::new(binary());
        command.args(["--endpoints", &self.endpoints, "--output", "json", "import"]).arg(file);
        command.arg("--progress").arg(&self.progress).arg("--results").arg(&self.results);
        command.arg("--in-flight").arg(in_flight().to_string());
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        command
    }

    /// Feeds so many rows, waits until every full block of them is told, and kills it.
    async fn killed_after(&self, feed: &Feed, rows: usize) {
        let mut import: Child = self.command(Path::new("-")).spawn().expect("started");
        let mut pipe = import.stdin.take().expect("piped");
        let text: String = std::iter::once(HEADER).chain(feed.lines[..rows].iter().map(String::as_str)).collect();
        // The pipe stays open: there may be more rows.
        let feeding = std::thread::spawn(move || {
            pipe.write_all(text.as_bytes()).expect("it reads");
            pipe
        });
        let whole = rows / in_flight() * in_flight();
        eventually("verdicts of the rows it was fed", async || {
            assert!(import.try_wait().expect("asked").is_none(), "it waits for more rows");
            let told = self.told().len();
            if told >= whole { Ok(()) } else { Err(format!("{told} of {whole}")) }
        })
        .await;
        import.kill().expect("killed");
        import.wait().expect("ended");
        drop(feeding.join().expect("fed"));
    }

    /// Verdicts so far: line, verdict. The last one may be half written.
    fn told(&self) -> Vec<(u64, String)> {
        let text = fs::read_to_string(&self.results).unwrap_or_default();
        let whole = &text[..text.rfind('\n').map_or(0, |end| end + 1)];
        let mut rows = csv::Reader::from_reader(whole.as_bytes());
        rows.records()
            .map(|row| {
                let row = row.expect("a row");
                (row[0].parse().expect("a line"), row[4].to_owned())
            })
            .collect()
    }

    async fn whole(&self, file: &Path, patience: &str) -> (i32, serde_json::Value) {
        let mut command = self.command(file);
        command.args(["--patience", patience]);
        let ended: Output =
            tokio::task::spawn_blocking(move || command.output().expect("it runs")).await.expect("ended");
        let said = String::from_utf8_lossy(&ended.stderr).into_owned();
        let report = serde_json::from_slice(&ended.stdout).unwrap_or_else(|error| panic!("{error}: {said}"));
        eprintln!("{report}");
        (ended.status.code().expect("an exit code"), report)
    }
}

/// On hand, and what ever was received: equal if every receipt was done once.
async fn books_agree(client: &Client, feed: &Feed) {
    let mut left: Vec<_> = feed.units.iter().collect();
    while !left.is_empty() {
        let some = left.split_off(left.len().saturating_sub(2_000));
        let reads = some.iter().map(|((sku, location), _)| {
            client.stock(sku.as_str()).location(location.as_str()).operation().expect("a good read")
        });
        for (((sku, _), units), answer) in some.iter().zip(client.batch(reads).await) {
            let Ok(Answer::Stock(stock)) = answer else { panic!("{sku}: {answer:?}") };
            let [pool] = stock.pools.as_slice() else { panic!("{sku} has {} pools", stock.pools.len()) };
            assert_eq!((pool.on_hand, pool.received_total), (**units, **units), "{sku}");
        }
    }
    let reads = feed.safety_stock.keys().map(|sku| client.settings(sku.as_str()).operation().expect("a good read"));
    for ((sku, units), answer) in feed.safety_stock.iter().zip(client.batch(reads).await) {
        let Ok(Answer::Settings(read)) = answer else { panic!("{sku}: {answer:?}") };
        assert_eq!((read.settings.safety_stock, read.version), (*units, 1), "{sku}");
    }
    let unknown = client.stock("sku-999999").send().await.expect_err("nobody asked for it");
    assert_eq!(unknown.code(), Code::NotFound);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_interrupted_import_does_every_row_once() {
    let _admitted = admitted().await;
    let mut cluster = Cluster::formed(4, "").await;
    let feed = feed(row_count());
    let rows = feed.lines.len();
    let file = cluster.scratch("stock.csv");
    fs::write(&file, HEADER.to_owned() + &feed.lines.concat()).expect("written");
    let import = Import {
        endpoints: NODES.map(|node| cluster.endpoint(node)).join(","),
        progress: cluster.scratch("progress"),
        results: cluster.scratch("results.csv"),
    };
    let begun = Instant::now();
    import.killed_after(&feed, rows / 3).await;
    eprintln!("{:.1?}: SIGKILL after {} rows", begun.elapsed(), import.told().len());
    import.killed_after(&feed, rows / 2).await;
    eprintln!("{:.1?}: SIGKILL after {} rows", begun.elapsed(), import.told().len());

    // Without a majority nothing can be done, and what was asked for is in doubt.
    cluster.kill(2);
    cluster.kill(3);
    let (exit, report) = import.whole(&file, "1s").await;
    assert_eq!((exit, &report["finished"]), (4, &false.into()));
    assert!(report["unknown"].as_u64() > Some(0), "{report}");
    assert_eq!(report["unavailable"], 0, "what a killed run may have done is not called undone: {report}");
    cluster.start(2);
    cluster.start(3);
    for node in NODES {
        cluster.health(node, NodeHealth::Serving).await;
    }

    let (exit, report) = import.whole(&file, "60s").await;
    eprintln!("{:.1?}: the end", begun.elapsed());
    let bad = feed.bad.len();
    assert_eq!(exit, 2, "some rows are bad, all others done");
    for (key, value) in
        [("rows", rows), ("done", rows - bad), ("bad_input", bad), ("refused", 0), ("unavailable", 0), ("unknown", 0)]
    {
        assert_eq!(report[key], value, "{key}");
    }
    assert_eq!(report["finished"], true);
    let replayed = report["replayed"].as_u64().expect("a number");
    assert!(replayed >= in_flight() as u64 / 2, "what was done and not noted is told again: {replayed}");
    let told = import.told();
    let expected: Vec<(u64, String)> = (2..rows as u64 + 2)
        .map(|line| (line, if feed.bad.contains(&line) { "bad_input" } else { "done" }.to_owned()))
        .collect();
    assert_eq!(told, expected, "a verdict per row, each once");
    let client = cluster.client().await;
    books_agree(&client, &feed).await;

    // All of it again is nothing at all.
    let (exit, again) = import.whole(&file, "60s").await;
    assert_eq!((exit, &again["skipped"], &again["replayed"]), (2, &rows.into(), &replayed.into()));
    books_agree(&client, &feed).await;
    digests_equal(&cluster, 1).await;
}
