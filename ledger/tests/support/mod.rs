//! What several tests need: short ways to write commands, and a store of records like a node's.
#![allow(dead_code, reason = "each test uses a part of it")]

use bytes::Bytes;
use earmark_ledger::{
    Applied, Ledger, Loader,
    command::{
        Adjust, Batch, Body, Command, Commit, Configure, Context, Count, Extend, Line, Observed, Part, RULES_NEWEST,
        Receive, Release, Reserve, Stockkeeping,
    },
    digest::Accumulator,
    outcome::Outcome,
    records,
    settings::Settings,
    types::*,
};
use std::{collections::BTreeMap, fs, path::PathBuf};

/// When the tests begin.
pub const BASE: TimeMs = TimeMs(1_700_000_000_000);

pub const SHARD: ShardId = ShardId(3);

pub fn pool(sku: &str, location: &str) -> PoolKey {
    PoolKey {
        namespace: Namespace::default(),
        sku: sku.parse().expect("a sku"),
        location: location.parse().expect("a location"),
        kind: PoolKind::Now,
        lot: Lot::default(),
    }
}

pub fn units(units: u64) -> Quantity {
    Quantity::new(units).expect("at most 2^53")
}

pub fn line(pool: &PoolKey, quantity: u64) -> Line {
    Line {
        sku: pool.sku.clone(),
        location: Some(pool.location.clone()),
        kind: pool.kind,
        lot: pool.lot.clone(),
        quantity: units(quantity),
        minimum: Quantity::ZERO,
    }
}

pub fn part(pool: &PoolKey, quantity: u64) -> Part {
    Part {
        sku: pool.sku.clone(),
        location: pool.location.clone(),
        kind: pool.kind,
        lot: pool.lot.clone(),
        quantity: units(quantity),
    }
}

pub fn reservation_id(time: TimeMs, number: u64) -> ReservationId {
    ReservationId::timed(time, Bucket::new(77).expect("below 16,384"), number)
}

pub fn operation_id(time: TimeMs, number: u64) -> OperationId {
    let mut bytes = (u128::from(time.0) << 80 | u128::from(number)).to_be_bytes();
    bytes[6] = 0x70;
    bytes[8] = 0x80;
    OperationId::from_slice(&bytes).expect("version 7")
}

pub fn reserve(id: ReservationId, lines: Vec<Line>, ttl: DurationMs) -> Reserve {
    let owner = "ann".parse().expect("an owner");
    let namespace = Namespace::default();
    Reserve { id, namespace, lines, owner, ttl, ttl_chosen: false, best_effort: false, zone: 0, shards: Vec::new() }
}

pub fn receive(operation: OperationId, pool: &PoolKey, quantity: u64) -> Body {
    let document = "note".parse().expect("a document");
    Body::Receive(Receive { operation, pool: pool.clone(), quantity: units(quantity), document })
}

pub fn adjust(operation: OperationId, pool: &PoolKey, delta: i64) -> Body {
    let reason = "count".parse().expect("a reason");
    Body::Adjust(Adjust { operation, pool: pool.clone(), delta, reason, expected_on_hand: None })
}

/// A line whose SKU's policy chooses the location.
pub fn open_line(sku: &str, quantity: u64) -> Line {
    Line { location: None, ..line(&pool(sku, "nowhere"), quantity) }
}

pub fn configure(operation: OperationId, sku: &str, version: u64, settings: Settings) -> Body {
    let (namespace, sku) = (Namespace::default(), sku.parse().expect("a sku"));
    let settings = Box::new(settings);
    let configure = Configure { operation, namespace, sku, expected_version: version, settings };
    Body::Stockkeeping(Stockkeeping::Configure(configure))
}

pub fn count(operation: OperationId, pool: &PoolKey, counted: u64, observed: Option<Observed>) -> Body {
    Body::Stockkeeping(Stockkeeping::Count(Count {
        operation,
        pool: pool.clone(),
        counted: units(counted),
        observed,
        document: Document::default(),
        reason: Reason::default(),
    }))
}

pub fn commit(id: ReservationId) -> Body {
    Body::Commit(Commit { id, operation: None, parts: Vec::new(), keep_rest: false, revive: false })
}

pub fn release(id: ReservationId) -> Body {
    Body::Release(Release { id, operation: None, parts: Vec::new() })
}

pub fn extend(id: ReservationId, operation: OperationId, ttl: DurationMs) -> Body {
    Body::Extend(Extend { id, operation, ttl })
}

/// A command that may be applied until the end of time.
pub fn command(body: Body) -> Command {
    Command { context: Context::default(), not_after: TimeMs::MAX, attempt: 1, heard: false, body }
}

pub fn batch(time: TimeMs, commands: Vec<Command>) -> Batch {
    Batch { rules: RULES_NEWEST, time, digest: false, commands }
}

/// What a build before wrote, which no build of today writes so: the records whose samples begin with `name`.
#[allow(dead_code, reason = "not every test reads old records")]
pub fn old_records(name: &str) -> Vec<(Bytes, Bytes)> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/formats");
    let mut paths: Vec<PathBuf> =
        fs::read_dir(folder).expect("samples").map(|file| file.expect("one").path()).collect();
    paths.retain(|path| path.file_name().and_then(|found| found.to_str()).is_some_and(|found| found.starts_with(name)));
    let split = |path: &PathBuf| {
        let mut bytes = Bytes::from(fs::read(path).expect("a sample"));
        let len = usize::from(bytes::Buf::get_u16(&mut bytes));
        (bytes.split_to(len), bytes)
    };
    paths.iter().map(split).collect()
}

/// The sample of that name, after making sure that `bytes` are what it holds.
pub fn sample(name: &str, bytes: &[u8]) -> Bytes {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/formats").join(format!("{name}.bin"));
    if !path.exists() && std::env::var_os("FORMATS").is_some_and(|how| how == "write") {
        fs::write(&path, bytes).expect("can be written");
    }
    let saved = fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    assert_eq!(
        saved, bytes,
        "{name} is not written as it was: that needs a new rules version, and a sample of its own"
    );
    Bytes::from(saved)
}

/// The records of one state, as a node's disk has them.
#[derive(Clone, Debug, Default)]
pub struct Store(pub BTreeMap<Vec<u8>, Vec<u8>>);

impl Store {
    /// Writes a checkpoint.
    pub fn checkpoint(&mut self, ledger: &mut Ledger) {
        let changes = ledger.take_changes();
        for (key, value) in changes.puts.iter() {
            self.0.insert(key.to_vec(), value.to_vec());
        }
        for key in &changes.deletes {
            assert!(self.0.remove(key.as_ref()).is_some(), "a record is deleted that was never written: {key:?}");
        }
    }

    /// The digest of all records.
    pub fn digest(&self) -> earmark_ledger::Digest {
        let mut sum = Accumulator::new();
        self.0.iter().for_each(|(key, value)| sum.add(key, value));
        sum.finish()
    }

    /// Restarts from the records: loads only what must be hot.
    pub fn load(&self) -> Ledger {
        self.load_as(SHARD)
    }

    /// The same for another shard.
    pub fn load_as(&self, shard: ShardId) -> Ledger {
        let mut loader = Loader::new(shard);
        if let Some(header) = self.0.get(records::HEADER_KEY) {
            let clock = records::header_clock(header).expect("was written here");
            for (from, to) in records::hot_ranges(clock) {
                for (key, value) in self.0.range(from..to) {
                    loader.record(key, value).expect("was written here");
                }
            }
        }
        loader.finish().expect("was written here")
    }

    /// Applies a batch as a node does: cold records first.
    pub fn apply(&self, ledger: &mut Ledger, index: u64, batch: &Batch) -> Applied {
        self.warm(ledger, batch);
        ledger.apply(LogIndex(index), batch)
    }

    /// The same as a follower.
    pub fn follow(&self, ledger: &mut Ledger, index: u64, batch: &Batch) -> Applied {
        self.warm(ledger, batch);
        ledger.follow(LogIndex(index), batch)
    }

    /// Applies a batch to a second ledger, as a follower at every other entry: what came of it must be what was `applied`.
    pub fn apply_also(&self, ledger: &mut Ledger, index: u64, batch: &Batch, applied: &Applied) {
        if index.is_multiple_of(2) {
            assert_eq!(self.apply(ledger, index, batch), *applied, "what is in memory must not matter");
        } else {
            let applied = Applied { outcomes: Vec::new(), ..applied.clone() };
            let also = self.follow(ledger, index, batch);
            assert_eq!(also, applied, "whether answers are waited for must not matter, nor what is in memory");
        }
    }

    fn warm(&self, ledger: &mut Ledger, batch: &Batch) {
        for key in ledger.cold_keys(batch) {
            let value = self.0.get(key.as_bytes()).map(Vec::as_slice);
            ledger.warm(&key, value).expect("was written here");
        }
    }
}

/// A ledger that counts its entries.
pub struct Shard {
    pub ledger: Ledger,
    pub index: u64,
}

impl Shard {
    pub fn new() -> Self {
        Self { ledger: Ledger::new(SHARD), index: 0 }
    }

    /// Applies one command at `time`.
    pub fn one(&mut self, time: TimeMs, command: Command) -> Outcome {
        let mut applied = self.batch(&batch(time, vec![command]));
        assert_eq!(self.ledger.violations(), Vec::new());
        applied.outcomes.remove(0)
    }

    pub fn batch(&mut self, batch: &Batch) -> Applied {
        self.index += 1;
        self.ledger.apply(LogIndex(self.index), batch)
    }
}
