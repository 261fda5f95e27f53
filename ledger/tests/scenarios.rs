//! Runs the stories in `tests/scenarios/`. Each line of a story is a command; the indented lines under it are what the
//! ledger must answer, and the balances after it.
//!
//! `SCENARIOS=write cargo test -p earmark-ledger --test scenarios` writes the answers anew, to be read as text before
//! they are committed.
//!
//! ```text
//! at 90s                                   time of what follows, from the beginning
//! receive 3 shoe@berlin [op=a]             a named operation is the same operation each time
//! adjust -2 shoe@berlin [expect=3]
//! reserve r1 2 shoe@berlin 1 sock@paris [ttl=60s] [owner=ann] [best] [min=1] [chosen]
//! commit r1 [op=c1 1 shoe@berlin] [keep] [late]   no parts: the whole
//! release r1 [op=c1 1 shoe@berlin]
//! extend r1 ttl=60s op=e1
//! replace r1 1 shoe@berlin op=p1 [best] [in=namespace]
//! paying r1 op=y1 [grace=120s]
//! ship r1 [1 shoe@berlin] op=s1
//! cancel r1 [1 shoe@berlin] [op=x1] [why=changed]
//! return r1 [1 shoe@berlin] op=b1 [apart] [why=torn]
//! forget r1 | forget op=a
//! fresh reserve ... now=61s                what the applied state says without a log entry
//! flood 1500 shoe@berlin ttl=10s           so many holds of one unit, each its own id
//! tick | restart | evict                   (the last two must change nothing)
//! show r1 | stock shoe
//! ```
//! set 3 shoe@berlin expect=5 | set 3 shoe@berlin override
//! count 3 shoe@berlin [seen=10s books=5]
//! quarantine | unquarantine | writeoff 1 shoe@berlin [why=damaged]
//! transfer 3 shoe@berlin to=paris op=t1 [now]
//! arrive shoe of=t1 got=2 lost=1 [why=lost]
//! expect 9 shoe@berlin doc=d1 on=90s
//! configure shoe version=0 [safety=1] [units=2 window=60s] [holds=1] [frozen=why] [opens=1s] [policy=list/a,b] ...
//! shortages | in-transit shoe | expected shoe | settings shoe | hold-time shoe | expiring 0s 60s | owned ann
//! dry reserve ...                          what a reserve would be answered
//! Any command takes `try=2` and `until=30s` (its `not_after`).

#[path = "scenario/sale.rs"]
mod sale_words;
#[path = "scenario/stock.rs"]
mod stock_words;
mod support;

use earmark_ledger::{Fresh, Lookup, command::*, outcome::*, types::*};
use std::{collections::BTreeMap, fmt::Write, fs, path::Path};
use support::*;

struct Story {
    shard: Shard,
    store: Store,
    /// The log since the last checkpoint.
    log: Vec<(u64, Batch)>,
    now: TimeMs,
    names: BTreeMap<String, u64>,
    made: BTreeMap<u64, TimeMs>,
}

/// The words of one line: `name=value` apart from the rest.
struct Words<'a> {
    plain: Vec<&'a str>,
    named: BTreeMap<&'a str, &'a str>,
}

impl<'a> Words<'a> {
    fn new(line: &'a str) -> Self {
        let (named, plain): (Vec<_>, Vec<_>) = line.split_whitespace().partition(|word| word.contains('='));
        let named = named.into_iter().map(|word| word.split_once('=').expect("has one")).collect();
        Self { plain, named }
    }

    fn has(&self, word: &str) -> bool {
        self.plain.contains(&word)
    }

    /// Pairs of quantity and pool, wherever they stand.
    fn pairs(&self) -> Vec<(u64, PoolKey)> {
        let pools = self.plain.windows(2).filter(|two| two[1].contains('@'));
        pools.map(|two| (two[0].parse().expect("a quantity"), named_pool(two[1]))).collect()
    }
}

fn named_pool(name: &str) -> PoolKey {
    let (sku, location) = name.split_once('@').expect("sku@location");
    pool(sku, location)
}

fn pool_name(key: &PoolKey) -> String {
    format!("{}@{}", key.sku, key.location)
}

fn duration(text: &str) -> DurationMs {
    let unit = text.trim_start_matches(|c: char| c.is_ascii_digit());
    let number: u64 = text[..text.len() - unit.len()].parse().expect("a number");
    DurationMs(match unit {
        "ms" => number,
        "s" => number * 1_000,
        "min" => number * 60_000,
        "h" => number * 3_600_000,
        "d" => number * 86_400_000,
        other => panic!("no such unit of time: {other}"),
    })
}

/// A moment, as told in a story: from its beginning.
fn moment(time: TimeMs) -> String {
    let ms = time.since(BASE).0;
    if ms.is_multiple_of(1_000) { format!("{}s", ms / 1_000) } else { format!("{ms}ms") }
}

impl Story {
    fn new() -> Self {
        Self {
            shard: Shard::new(),
            store: Store::default(),
            log: Vec::new(),
            now: BASE,
            names: BTreeMap::new(),
            made: BTreeMap::new(),
        }
    }

    fn number(&mut self, name: &str) -> (u64, TimeMs) {
        let next = u64::try_from(self.names.len()).expect("small") + 1;
        let number = *self.names.entry(name.to_owned()).or_insert(next);
        (number, *self.made.entry(number).or_insert(self.now))
    }

    fn reservation(&mut self, name: &str) -> ReservationId {
        let (number, made) = self.number(name);
        reservation_id(made, number)
    }

    fn operation(&mut self, name: Option<&&str>) -> OperationId {
        let unnamed = format!("operation {}", self.names.len());
        let (number, made) = self.number(name.map_or(&unnamed, |name| name));
        operation_id(made, number)
    }

    fn command(&mut self, words: &Words<'_>) -> Command {
        let parts = || words.pairs().iter().map(|(units, pool)| part(pool, *units)).collect();
        let ttl = words.named.get("ttl").map_or(DurationMs::minutes(15), |ttl| duration(ttl));
        let operation = |story: &mut Self| words.named.get("op").map(|name| story.operation(Some(name)));
        let body = match words.plain[0] {
            "receive" => {
                let (quantity, pool) = words.pairs().remove(0);
                let document = words.named.get("doc").unwrap_or(&"note").parse().expect("a document");
                let operation = self.operation(words.named.get("op"));
                Body::Receive(Receive { operation, pool, quantity: units(quantity), document })
            }
            "adjust" => Body::Adjust(Adjust {
                operation: self.operation(words.named.get("op")),
                pool: named_pool(words.plain[2]),
                delta: words.plain[1].parse().expect("a delta"),
                reason: Reason::default(),
                expected_on_hand: words.named.get("expect").map(|units_| units(units_.parse().expect("units"))),
            }),
            "reserve" => {
                let owner = words.named.get("owner").map_or(Owner::default(), |owner| owner.parse().expect("an owner"));
                let reserve = reserve(self.reservation(words.plain[1]), self.lines(words), ttl);
                let (best_effort, ttl_chosen) = (words.has("best"), words.has("chosen"));
                let zone = words.named.get("zone").map_or(0, |zone| zone.parse().expect("a zone"));
                Body::Reserve(Reserve { owner, best_effort, ttl_chosen, zone, ..reserve })
            }
            "commit" => Body::Commit(Commit {
                id: self.reservation(words.plain[1]),
                operation: match words.has("late") {
                    true => Some(self.operation(words.named.get("op"))),
                    false => operation(self),
                },
                parts: parts(),
                keep_rest: words.has("keep"),
                revive: words.has("late"),
            }),
            "release" => Body::Release(Release {
                id: self.reservation(words.plain[1]),
                operation: operation(self),
                parts: parts(),
            }),
            "extend" => extend(self.reservation(words.plain[1]), self.operation(words.named.get("op")), ttl),
            "forget" => Body::Forget(Forget {
                reservations: words.plain[1..].iter().map(|name| self.reservation(name)).collect(),
                operations: operation(self).into_iter().collect(),
            }),
            other => match self.stockkeeping(words).or_else(|| self.of_sale(words)) {
                Some(body) => body,
                None => panic!("no such command: {other}"),
            },
        };
        let not_after =
            words.named.get("until").map_or(self.now.plus(DurationMs::seconds(10)), |until| BASE.plus(duration(until)));
        let attempt = words.named.get("try").map_or(1, |attempt| attempt.parse().expect("a number"));
        Command { context: Context::default(), not_after, attempt, heard: true, body }
    }

    fn apply(&mut self, commands: Vec<Command>) -> Vec<Outcome> {
        let batch = batch(self.now, commands);
        self.shard.index += 1;
        let applied = self.store.apply(&mut self.shard.ledger, self.shard.index, &batch);
        self.log.push((self.shard.index, batch));
        assert_eq!(self.shard.ledger.violations(), Vec::new());
        applied.outcomes
    }

    fn checkpoint(&mut self) {
        self.store.checkpoint(&mut self.shard.ledger);
        self.log.clear();
    }

    fn run(&mut self, line: &str) -> String {
        let words = Words::new(line);
        match words.plain[0] {
            "at" => {
                self.now = BASE.plus(duration(words.plain[1]));
                String::new()
            }
            "tick" => {
                self.apply(Vec::new());
                String::new()
            }
            "evict" => {
                self.checkpoint();
                self.shard.ledger.evict();
                String::new()
            }
            "restart" => {
                let digest = self.shard.ledger.digest();
                self.shard.ledger = self.store.load();
                for (index, batch) in self.log.clone() {
                    self.store.apply(&mut self.shard.ledger, index, &batch);
                }
                assert_eq!(self.shard.ledger.digest(), digest, "a restart changes nothing");
                String::new()
            }
            "flood" => self.flood(&words),
            "stock" => self.stock(words.plain[1]),
            "show" => self.show(words.plain[1]),
            "fresh" => {
                let now = words.named.get("now").map_or(self.now, |now| BASE.plus(duration(now)));
                let rest = Words { plain: words.plain[1..].to_vec(), named: words.named };
                let command = self.command(&rest);
                match self.shard.ledger.judge_fresh(&command, now) {
                    Fresh::Propose => "propose\n".into(),
                    Fresh::TickFirst => "tick first\n".into(),
                    Fresh::Refuse(refusal) => format!("refused {}\n", self.refusal(&refusal)),
                }
            }
            "dry" => {
                let rest = Words { plain: words.plain[1..].to_vec(), named: words.named };
                let command = self.command(&rest);
                let digest = self.shard.ledger.digest();
                let verdict = self.shard.ledger.dry_run(&command);
                assert_eq!(self.shard.ledger.digest(), digest, "a dry run changes nothing");
                let position = Position::default();
                self.tell(&Outcome { verdict, replayed: false, position, time: self.now })
            }
            _ => {
                if let Some(told) = self.read_stock(&words) {
                    return told;
                }
                let command = self.command(&words);
                let outcome = self.apply(vec![command]).remove(0);
                self.tell(&outcome)
            }
        }
    }

    fn flood(&mut self, words: &Words<'_>) -> String {
        let (count, pool) = words.pairs().remove(0);
        let ttl = duration(words.named["ttl"]);
        let commands = (0..count).map(|n| {
            let id = reservation_id(self.now, 1_000_000 + n);
            command(Body::Reserve(reserve(id, vec![line(&pool, 1)], ttl)))
        });
        let outcomes = self.apply(commands.collect());
        let held = outcomes.iter().filter(|outcome| matches!(outcome.verdict, Verdict::Done(_))).count();
        format!("{held} held\n")
    }

    fn tell(&self, outcome: &Outcome) -> String {
        let again = if outcome.replayed { "again: " } else { "" };
        let told = match &outcome.verdict {
            Verdict::Refused(refusal) => format!("refused {}", self.refusal(refusal)),
            Verdict::Done(Done::Noted) => "noted".into(),
            Verdict::Done(Done::Stock(change)) => return format!("{again}{}", self.change(change)),
            Verdict::Done(Done::Transfer(told)) => return format!("{again}{}", stock_words::transferred(told)),
            Verdict::Done(Done::Settings(view)) => return format!("{again}{}", stock_words::settings(view)),
            Verdict::Done(done @ (Done::Pending(_) | Done::Answered(_) | Done::Asked(_))) => format!("{done:?}"),
            Verdict::Done(Done::Pool(view)) => return format!("{again}{}\n", pool_line(view)),
            Verdict::Done(Done::Reservation(view)) => return format!("{again}{}", reservation_lines(view)),
            Verdict::Done(Done::Reserved(reserved)) => {
                let extent = if reserved.all { "all" } else { "some" };
                let got = reserved.lines.iter().map(|got| {
                    let by = got.policy.map_or(String::new(), |version| format!(" by policy {version}"));
                    format!("{} of {} {}{by}", got.got, got.asked, pool_name(&got.pool.key()))
                });
                let got = got.collect::<Vec<_>>().join(", ");
                format!("held {extent} until {}: {got}", moment(reserved.deadline))
            }
        };
        format!("{again}{told}\n")
    }

    fn refusal(&self, refusal: &Refusal) -> String {
        match refusal {
            Refusal::InvalidArgument(fields) => {
                let fields = fields.iter().map(|bad| format!("{} {}", bad.field, bad.problem));
                format!("INVALID_ARGUMENT {}", fields.collect::<Vec<_>>().join("; "))
            }
            Refusal::NotFound(Missing::Sku(sku)) => format!("NOT_FOUND sku {sku}"),
            Refusal::NotFound(Missing::Pool(pool)) => format!("NOT_FOUND pool {}", pool_name(pool)),
            Refusal::NotFound(Missing::Line(pool)) => format!("NOT_FOUND line {}", pool_name(pool)),
            Refusal::NotFound(Missing::Transfer(_)) => "NOT_FOUND transfer".into(),
            Refusal::NotFound(Missing::Reservation(_)) => "NOT_FOUND reservation".into(),
            Refusal::ReservationExpired { since } => format!("RESERVATION_EXPIRED since {}", moment(*since)),
            Refusal::ReservationState { state, since } => {
                format!("RESERVATION_STATE {state:?} since {}", moment(*since))
            }
            Refusal::ExtensionLimit { latest } => format!("EXTENSION_LIMIT latest {}", moment(*latest)),
            Refusal::VersionStale { on_hand } => format!("VERSION_STALE on_hand {on_hand}"),
            Refusal::SettingsStale { version } => format!("VERSION_STALE version {version}"),
            Refusal::SkuFrozen { reason } => format!("SKU_FROZEN {reason}"),
            Refusal::SaleNotOpen { opens } => format!("SALE_NOT_OPEN opens {}", moment(*opens)),
            Refusal::LimitExceeded(exceeded) => {
                let LimitExceeded { line, kind, limit, window, used } = exceeded;
                format!("LIMIT_EXCEEDED line {line} {kind:?} limit {limit} window {}s used {used}", window.0 / 1_000)
            }
            Refusal::InsufficientStock(shortages) => {
                let lines = shortages.iter().map(|short| {
                    let date = short.earliest.map_or(String::new(), |date| format!(" earliest {}", moment(date)));
                    format!("line {} asked {} sellable {}{date}", short.line, short.asked, short.sellable)
                });
                format!("INSUFFICIENT_STOCK {}", lines.collect::<Vec<_>>().join(", "))
            }
            other => format!("{other:?}"),
        }
    }

    fn stock(&self, sku: &str) -> String {
        match self.shard.ledger.stock(&Namespace::default(), &sku.parse().expect("a sku"), None) {
            Ok(views) => views.iter().map(|view| format!("{}\n", pool_line(view))).collect(),
            Err(missing) => format!("missing {missing:?}\n"),
        }
    }

    fn show(&mut self, name: &str) -> String {
        let id = self.reservation(name);
        match self.shard.ledger.reservation(id) {
            Lookup::Found(view) => reservation_lines(&view),
            Lookup::Absent => "none\n".into(),
            Lookup::Cold(key) => match self.store.0.get(key.as_bytes()) {
                Some(value) => {
                    let view = self.shard.ledger.cold_reservation(value).expect("was written here");
                    format!("cold: {}", reservation_lines(&view))
                }
                None => "none\n".into(),
            },
        }
    }
}

fn pool_line(view: &PoolView) -> String {
    let mut told =
        format!("{}: on_hand {} available {} held {}", pool_name(&view.key), view.on_hand, view.available, view.held);
    let more = [
        ("short", view.short),
        ("committed", view.committed),
        ("unavailable", view.unavailable),
        ("sold", view.sold_total),
        ("returned", view.returned_total),
        ("in transit", view.in_transit),
        ("expected", view.expected),
    ];
    for (name, units) in more {
        if !units.is_zero() {
            write!(told, " {name} {units}").expect("a string takes all");
        }
    }
    if view.sellable != view.available {
        write!(told, " sellable {}", view.sellable).expect("a string takes all");
    }
    told
}

fn reservation_lines(view: &ReservationView) -> String {
    let mut told = format!("{:?} since {}, deadline {}", view.state, moment(view.since), moment(view.deadline));
    if view.paying {
        told.push_str(", paying");
    }
    if view.revision > 1 {
        write!(told, ", revision {}", view.revision).expect("a string takes all");
    }
    told.push('\n');
    for line in &view.lines {
        write!(told, "  {}: asked {}", pool_name(&line.pool), line.asked).expect("a string takes all");
        let counts = [
            ("held", line.held),
            ("committed", line.committed),
            ("released", line.released),
            ("expired", line.expired),
            ("shipped", line.shipped),
            ("cancelled", line.cancelled),
            ("returned", line.returned),
            ("returned unavailable", line.returned_unavailable),
        ];
        for (name, units) in counts {
            if !units.is_zero() {
                write!(told, " {name} {units}").expect("a string takes all");
            }
        }
        told.push('\n');
    }
    told
}

/// The story with the answers as they are.
fn retold(text: &str) -> String {
    let mut story = Story::new();
    let mut out = String::new();
    for line in text.lines().filter(|line| !line.starts_with("  ")) {
        writeln!(out, "{line}").expect("a string takes all");
        if !line.is_empty() && !line.starts_with('#') {
            for told in story.run(line).lines() {
                writeln!(out, "  {told}").expect("a string takes all");
            }
        }
    }
    out
}

#[test]
fn every_story_is_told_as_written() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scenarios");
    let mut stories = 0;
    for entry in fs::read_dir(folder).expect("the folder is there") {
        let path = entry.expect("can be listed").path();
        let text = fs::read_to_string(&path).expect("can be read");
        stories += 1;
        let told = retold(&text);
        if std::env::var_os("SCENARIOS").is_some_and(|how| how == "write") {
            fs::write(&path, &told).expect("can be written");
            continue;
        }
        for (number, (told, written)) in told.lines().zip(text.lines()).enumerate() {
            assert_eq!(told, written, "{}:{}", path.display(), number + 1);
        }
        assert_eq!(told.lines().count(), text.lines().count(), "{}", path.display());
    }
    assert!(stories >= 10, "only {stories} stories were found");
}
