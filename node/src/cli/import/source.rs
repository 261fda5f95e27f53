//! The file, read from top to bottom: rows in blocks, with a hash of everything up to each row.
//!
//! Whatever its size, a block and the reading buffers are all that is in memory. A thread of its own reads ahead by one
//! block, so that a slow disk or pipe keeps nobody else from working; it ends when nobody takes blocks any more. Rows that
//! an earlier run settled are read again, because their hash tells whether it is still the same file.

use super::columns::Columns;
use super::row::{Defaults, Row, is_blank};
use super::text::{Counted, Leash, READ_AHEAD, ROW_BYTES_MAX, delimiter, first_line, unpacked};
use crate::cli::Failure;
use csv::{ByteRecord, Reader, ReaderBuilder, Terminator};
use std::fs::File;
use std::io::{self, Cursor, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::sync::{mpsc, oneshot};
use xxhash_rust::xxh3::xxh3_128;

/// Put behind the file: a row of its own, which no sheet has. Where it is not one, a quote before it was never closed.
const END: &[u8] = b"\n\x1a\n";

/// Bytes of the rows of a block. Beyond, a block has fewer rows.
const BLOCK_BYTES_MAX: u64 = 4 << 20;

/// Up to which row, and a hash of everything until there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Mark {
    pub(super) rows: u64,
    pub(super) digest: u128,
}

/// Rows that are worked on together.
#[derive(Debug)]
pub(super) struct Block {
    pub(super) rows: Vec<Row>,
    /// At its last row.
    pub(super) end: Mark,
}

impl Block {
    /// The row of that number.
    pub(super) fn row(&self, number: u64) -> Option<&Row> {
        let first = self.rows.first()?.number;
        let place = usize::try_from(number.checked_sub(first)?).ok()?;
        self.rows.get(place)
    }
}

/// What to read, and where to begin.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    /// None is standard input.
    pub(super) path: Option<PathBuf>,
    /// As it is shown.
    pub(super) name: String,
    pub(super) defaults: Defaults,
    /// Rows of a block.
    pub(super) block_rows: usize,
    /// What an earlier run settled.
    pub(super) settled: Mark,
    /// The block an earlier run may have sent: it has to be the same again.
    pub(super) open: Option<Mark>,
}

/// Blocks as they are read.
pub(super) struct Source {
    ready: Option<oneshot::Receiver<()>>,
    blocks: mpsc::Receiver<Result<Block, Failure>>,
    read: Arc<AtomicU64>,
    size: Option<u64>,
}

impl Source {
    /// Opens the file and begins to read it.
    ///
    /// # Errors
    /// It can't be opened.
    pub(super) fn open(plan: Plan) -> Result<Self, Failure> {
        let problem = |error: io::Error| Failure::input(plan.name.clone(), format!("can't be read: {error}"));
        let read = Arc::new(AtomicU64::new(0));
        let (raw, size): (Box<dyn Read + Send>, _) = match &plan.path {
            None => (Box::new(io::stdin()), None),
            Some(path) => {
                let file = File::open(path).map_err(problem)?;
                let data = file.metadata().map_err(problem)?;
                if data.is_dir() {
                    return Err(Failure::input(plan.name.clone(), "is a folder"));
                }
                // Of a pipe nobody knows the size.
                (Box::new(file), data.is_file().then_some(data.len()))
            }
        };
        let raw = Counted { inner: raw, read: Arc::clone(&read) };
        let (sender, blocks) = mpsc::channel(1);
        let (checked, ready) = oneshot::channel();
        let spawned = std::thread::Builder::new().name("import-read".to_owned()).spawn(move || {
            if let Err(failure) = deliver(&plan, raw, checked, &sender) {
                // Whoever does not listen any more does not want to know.
                let _ = sender.blocking_send(Err(failure));
            }
        });
        spawned.map_err(|error| Failure::local(format!("no thread to read the file: {error}")))?;
        Ok(Self { ready: Some(ready), blocks, read, size })
    }

    /// Waits until the header, and what an earlier run settled or left open, is read and found to be good.
    ///
    /// # Errors
    /// It is not.
    pub(super) async fn ready(&mut self) -> Result<(), Failure> {
        let Some(ready) = self.ready.take() else { return Ok(()) };
        if ready.await.is_ok() {
            return Ok(());
        }
        match self.blocks.recv().await {
            Some(Err(failure)) => Err(failure),
            Some(Ok(_)) | None => Err(Failure::local("whoever reads the file is gone")),
        }
    }

    /// The next block that is not settled; none at the end of the file.
    ///
    /// # Errors
    /// The file can't be read, or is not the one that was begun.
    pub(super) async fn next(&mut self) -> Result<Option<Block>, Failure> {
        self.blocks.recv().await.transpose()
    }

    /// Bytes of the file read so far.
    pub(super) fn read(&self) -> u64 {
        self.read.load(Ordering::Relaxed)
    }

    /// Bytes of the file, if that can be known.
    pub(super) fn size(&self) -> Option<u64> {
        self.size
    }
}

fn deliver(
    plan: &Plan,
    raw: impl Read + Send + 'static,
    checked: oneshot::Sender<()>,
    to: &mpsc::Sender<Result<Block, Failure>>,
) -> Result<(), Failure> {
    let mut rows = Rows::open(raw, plan)?;
    rows.skip(plan)?;
    let open = plan.open.map(|open| rows.again(plan, open)).transpose()?;
    // Who does not wait for that does not take blocks either.
    let _ = checked.send(());
    if let Some(block) = open
        && to.blocking_send(Ok(block)).is_err()
    {
        return Ok(());
    }
    loop {
        let block = rows.block(u64::try_from(plan.block_rows).unwrap_or(u64::MAX), BLOCK_BYTES_MAX)?;
        if block.rows.is_empty() || to.blocking_send(Ok(block)).is_err() {
            return Ok(());
        }
    }
}

fn changed(plan: &Plan, rows: u64) -> Failure {
    let what = "has changed since its import began";
    let how =
        "put the first file back to go on, or begin anew with --restart, under new ids: what was done is done again";
    Failure::input(plan.name.clone(), format!("{what} (within its first {rows} rows); {how}"))
}

/// The rows of a file, one after the other.
struct Rows {
    name: String,
    records: Reader<Leash<Box<dyn Read + Send>>>,
    leash: Arc<AtomicU64>,
    columns: Columns,
    defaults: Defaults,
    record: ByteRecord,
    at: Mark,
    /// Why there can be no more rows, behind those that were read.
    broken: Option<Failure>,
}

impl Rows {
    fn open(raw: impl Read + Send + 'static, plan: &Plan) -> Result<Self, Failure> {
        let problem = |error: io::Error| Failure::input(plan.name.clone(), format!("can't be read: {error}"));
        let mut text = unpacked(raw).map_err(problem)?;
        let first = first_line(&mut text).map_err(problem)?;
        let delimiter = delimiter(&first);
        // With a line end after the last row, every row has one.
        let text: Box<dyn Read + Send> = Box::new(Cursor::new(first).chain(text).chain(END));
        let limit = Arc::new(AtomicU64::new(ROW_BYTES_MAX));
        let leashed = Leash { inner: text, given: 0, limit: Arc::clone(&limit) };
        let mut records = ReaderBuilder::new()
            .flexible(true)
            .has_headers(false)
            .delimiter(delimiter)
            // Else a row would end before the second half of CR LF, and the next begin there. Cells are trimmed.
            .terminator(Terminator::Any(b'\n'))
            .buffer_capacity(READ_AHEAD)
            .from_reader(leashed);
        let mut record = ByteRecord::new();
        records.read_byte_record(&mut record).map_err(|error| unreadable(&plan.name, &error, 1))?;
        match end_of(&record) {
            End::Here => record.clear(),
            End::Swallowed => return Err(unclosed(&plan.name, 1)),
            End::Ahead => {}
        }
        let columns = Columns::read(&record, &plan.name)?;
        let at = Mark { rows: 0, digest: chained(0, &record) };
        let (name, defaults) = (plan.name.clone(), plan.defaults.clone());
        Ok(Self { name, records, leash: limit, columns, defaults, record, at, broken: None })
    }

    /// Goes to the next record that is a row; false at the end.
    fn advance(&mut self) -> Result<bool, Failure> {
        loop {
            let begin = self.records.position().clone();
            self.leash.store(begin.byte().saturating_add(ROW_BYTES_MAX), Ordering::Relaxed);
            let more = self.records.read_byte_record(&mut self.record);
            if !more.map_err(|error| unreadable(&self.name, &error, begin.line()))? {
                return Ok(false);
            }
            match end_of(&self.record) {
                End::Here => continue,
                End::Swallowed => return Err(unclosed(&self.name, begin.line())),
                End::Ahead => {}
            }
            self.at.digest = chained(self.at.digest, &self.record);
            if !is_blank(&self.record) {
                self.at.rows += 1;
                return Ok(true);
            }
        }
    }

    /// The line the record begins at. Told from its end: empty lines before it would count as a part of it.
    fn line(&self) -> u64 {
        let within = self.record.as_slice().iter().filter(|byte| **byte == b'\n').count() as u64;
        self.records.position().line().saturating_sub(within + 1)
    }

    /// Passes what is settled.
    fn skip(&mut self, plan: &Plan) -> Result<(), Failure> {
        while self.at.rows < plan.settled.rows {
            if !self.advance()? {
                return Err(changed(plan, plan.settled.rows));
            }
        }
        // Before the first row there is nothing that was done.
        if plan.settled.rows > 0 && self.at != plan.settled {
            return Err(changed(plan, plan.settled.rows));
        }
        Ok(())
    }

    /// The block that was open, as it was.
    fn again(&mut self, plan: &Plan, open: Mark) -> Result<Block, Failure> {
        let block = self.block(open.rows.saturating_sub(plan.settled.rows), u64::MAX)?;
        if block.end == open {
            return Ok(block);
        }
        Err(self.broken.take().unwrap_or_else(|| changed(plan, open.rows)))
    }

    /// Rows as far as they can be read: what is wrong behind them stops none of them, and is told instead of the next block.
    fn block(&mut self, rows_max: u64, bytes_max: u64) -> Result<Block, Failure> {
        if let Some(failure) = self.broken.take() {
            return Err(failure);
        }
        let mut rows = Vec::new();
        let mut bytes = 0;
        let mut end = self.at;
        while (rows.len() as u64) < rows_max && bytes < bytes_max {
            match self.advance() {
                Ok(true) => {}
                Ok(false) => break,
                Err(failure) if rows.is_empty() => return Err(failure),
                Err(failure) => {
                    self.broken = Some(failure);
                    break;
                }
            }
            end = self.at;
            bytes += self.record.as_slice().len() as u64;
            let content = chained(0, &self.record);
            let row = Row::read((self.at.rows, self.line()), content, &self.record, &self.columns, &self.defaults);
            rows.push(row);
        }
        Ok(Block { rows, end })
    }
}

/// Where the end of the file is, seen from a record.
enum End {
    Ahead,
    Here,
    Swallowed,
}

fn end_of(record: &ByteRecord) -> End {
    let mark = &END[1..END.len() - 1];
    match record.iter().next_back() {
        Some(last) if last == mark && record.len() == 1 => End::Here,
        Some(last) if last.ends_with(END) => End::Swallowed,
        _ => End::Ahead,
    }
}

fn unclosed(name: &str, line: u64) -> Failure {
    let what = format!("has a quote at line {line} or behind it that is never closed");
    Failure::input(
        name,
        format!("{what}, so nobody can tell the rows from there on; close it, and the same command goes on"),
    )
}

fn unreadable(name: &str, error: &csv::Error, line: u64) -> Failure {
    Failure::input(name, format!("can't be read at line {line} or behind it: {error}"))
}

/// Hash of a hash and the cells that follow.
fn chained(digest: u128, record: &ByteRecord) -> u128 {
    let mut bytes = Vec::with_capacity(16 + record.as_slice().len() + 4 * record.len());
    bytes.extend_from_slice(&digest.to_le_bytes());
    for cell in record {
        bytes.extend_from_slice(&u32::try_from(cell.len()).unwrap_or(u32::MAX).to_le_bytes());
        bytes.extend_from_slice(cell);
    }
    xxh3_128(&bytes)
}

/// The name a file is shown by.
pub(super) fn shown(path: Option<&Path>) -> String {
    path.map_or_else(|| "standard input".to_owned(), |path| path.display().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn plan() -> Plan {
        let defaults = Defaults {
            action: None,
            location: "main".to_owned(),
            document: String::new(),
            reason: String::new(),
            overriding: false,
        };
        Plan { path: None, name: "stock.csv".to_owned(), defaults, block_rows: 2, settled: Mark::default(), open: None }
    }

    fn read(text: impl Into<Vec<u8>>, plan: &Plan) -> Result<Vec<Block>, String> {
        let (blocks, failure) = read_until(text, plan);
        failure.map_or(Ok(blocks), Err)
    }

    /// As far as it can be read, and why no further.
    fn read_until(text: impl Into<Vec<u8>>, plan: &Plan) -> (Vec<Block>, Option<String>) {
        let (sender, mut blocks) = mpsc::channel(1_000);
        let (checked, mut ready) = oneshot::channel();
        let ended = deliver(plan, Cursor::new(text.into()), checked, &sender);
        drop(sender);
        let mut all = Vec::new();
        while let Ok(block) = blocks.try_recv() {
            all.push(block.expect("blocks before a failure"));
        }
        assert_eq!(ready.try_recv().is_ok(), ended.is_ok() || !all.is_empty(), "nothing comes before it is checked");
        match ended {
            Ok(()) => (all, None),
            Err(failure @ Failure::Input(_)) => (all, Some(failure.message())),
            Err(other) => panic!("{other:?}"),
        }
    }

    fn names(blocks: &[Block]) -> Vec<Vec<(u64, u64, String)>> {
        let row = |row: &Row| (row.number, row.line, row.sku.clone());
        blocks.iter().map(|block| block.rows.iter().map(row).collect()).collect()
    }

    fn row(number: u64, line: u64, sku: &str) -> (u64, u64, String) {
        (number, line, sku.to_owned())
    }

    const FIVE: &str = "sku,quantity\na,1\nb,2\nc,3\nd,4\ne,5\n";

    #[test]
    fn rows_come_in_blocks_with_their_lines() {
        let blocks = read(FIVE, &plan()).expect("good");
        let expected =
            [vec![row(1, 2, "a"), row(2, 3, "b")], vec![row(3, 4, "c"), row(4, 5, "d")], vec![row(5, 6, "e")]];
        assert_eq!(names(&blocks), expected);
    }

    #[test]
    fn spreadsheets_write_what_they_like() {
        let text = "\u{feff}SKU;Quantity\r\n\"a;b\";1\r\n;\r\n\"two\nlines\";2\r\n\r\n\r\nc;3\r\n;;\r\n";
        let blocks = read(text, &plan()).expect("good");
        let rows = blocks.iter().flat_map(|block| &block.rows).collect::<Vec<_>>();
        let told: Vec<(u64, &str, bool)> = rows.iter().map(|row| (row.line, &*row.sku, row.task.is_ok())).collect();
        assert_eq!(told, [(2, "a;b", true), (4, "two\nlines", false), (8, "c", true)]);
        let blocks = read("sku\tquantity\n\n\na\t1", &plan()).expect("good");
        assert_eq!(names(&blocks), [vec![row(1, 4, "a")]]);
    }

    #[test]
    fn a_gzipped_file_is_the_same_file() {
        let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        packed.write_all(FIVE.as_bytes()).expect("written");
        let packed = packed.finish().expect("written");
        let (plain, unpacked) = (read(FIVE, &plan()).expect("good"), read(packed.clone(), &plan()).expect("good"));
        assert_eq!(names(&plain), names(&unpacked));
        assert_eq!(plain[2].end, unpacked[2].end);
        assert!(read(&packed[..packed.len() - 9], &plan()).expect_err("torn").contains("can't be read"));
    }

    #[test]
    fn what_is_settled_is_passed_and_the_open_block_is_the_same_again() {
        let blocks = read(FIVE, &plan()).expect("good");
        let settled = blocks[0].end;
        let rest = read(FIVE, &Plan { settled, ..plan() }).expect("good");
        assert_eq!(names(&rest), names(&blocks[1..]));
        assert_eq!(rest[0].rows[0].content, blocks[1].rows[0].content);
        assert_eq!(rest[0].row(4).map(|row| row.line), Some(5));
        assert!(rest[0].row(2).is_none() && rest[0].row(5).is_none());
        // Whatever a block may have now, the open one has the rows it had.
        let open = Some(blocks[1].end);
        let rest = read(FIVE, &Plan { settled, open, block_rows: 50, ..plan() }).expect("good");
        assert_eq!(names(&rest), names(&blocks[1..]));
        let all = read(FIVE, &Plan { settled: blocks[2].end, ..plan() }).expect("good");
        assert!(all.is_empty());
    }

    #[test]
    fn another_file_is_noticed_as_far_as_it_was_read() {
        let blocks = read(FIVE, &plan()).expect("good");
        let (settled, open) = (blocks[0].end, Some(blocks[1].end));
        let plan = Plan { settled, open, ..plan() };
        for (other, within) in [
            ("sku,quantity\na,1\nb,9\nc,3\nd,4\ne,5\n", "first 2 rows"),
            ("sku,safety_stock\na,1\nb,2\nc,3\nd,4\ne,5\n", "first 2 rows"),
            ("sku,quantity\na,1\n,\nb,2\nc,3\nd,4\ne,5\n", "first 2 rows"),
            ("sku,quantity\na,1\n", "first 2 rows"),
            ("sku,quantity\na,1\nb,2\nc,3\nd,5\ne,5\n", "first 4 rows"),
            ("sku,quantity\na,1\nb,2\nc,3\n", "first 4 rows"),
        ] {
            let told = read(other, &plan).expect_err(other);
            assert!(told.contains("has changed") && told.contains(within), "{other}: {told}");
        }
        // What nobody read may change.
        read("sku,quantity\na,1\nb,2\nc,3\nd,4\ne,6\nf,7\n", &plan).expect("the same so far");
    }

    #[test]
    fn a_quote_that_is_not_closed_does_not_eat_the_machine() {
        let mut text = b"sku,quantity\na,1\n\"b,2\n".to_vec();
        text.extend(std::iter::repeat_n(b"c,3\n", 1_000_000).flatten());
        let told = read(text, &Plan { block_rows: 1, ..plan() }).expect_err("no row is so long");
        assert!(told.contains("line 3") && told.contains("longer than 64 KiB"), "{told}");
        let header = format!("sku,{}\na,1\n", "x".repeat(200_000));
        assert!(read(header, &plan()).is_err());
    }

    #[test]
    fn a_quote_that_is_never_closed_makes_no_row() {
        for (text, line) in [("sku,quantity\na,1\nb,\"2", 3), ("sku,quantity\na,1\nb,\"2\nc,3\nd,4\n", 3)] {
            for block_rows in [1, 50] {
                let (blocks, told) = read_until(text, &Plan { block_rows, ..plan() });
                let told = told.expect("nobody knows where the row ends");
                assert!(told.contains(&format!("line {line}")) && told.contains("never closed"), "{told}");
                assert_eq!(names(&blocks), [vec![row(1, 2, "a")]], "the row before it is good");
            }
        }
        let told = read("sku,\"quantity\na,1\n", &plan()).expect_err("no header");
        assert!(told.contains("line 1") && told.contains("never closed"), "{told}");
        // What is closed may end as it likes.
        let blocks = read("sku,quantity\n\"a\n\",1\nb,\"2\"", &plan()).expect("good");
        assert_eq!(names(&blocks), [vec![row(1, 2, "a"), row(2, 4, "b")]]);
    }

    #[test]
    fn no_header_is_no_file() {
        assert!(read("", &plan()).expect_err("empty").contains("no column sku"));
        assert!(read("sku,quantity\n", &plan()).expect("no rows").is_empty());
    }
}
