//! What commands print: the SDK's answers with stable snake_case keys, and the same as tables.

mod keeping;

pub(super) use keeping::{
    CorrectionView, ExpiringView, ReservationsView, SettingsView, ShortagesView, TransferredView, TransitsView,
    WouldHoldView,
};

use super::output::{View, list, table};
use earmark_client::{
    Change, Extent, Level, LineGot, LineInfo, Pool, PoolKind, Position, Reservation, ReservationInfo, ReservationRead,
    ReservationState, Stock, StockChange, TimeMs, outcomes,
};
use earmark_node::moment::writable;
use serde::Serialize;
use std::time::Duration;

/// A moment as people read it, in UTC.
pub(super) fn time_text(time: TimeMs) -> String {
    match writable(time) {
        Some(moment) => humantime::format_rfc3339_seconds(moment).to_string(),
        None => "never".to_owned(),
    }
}

/// How long until then, to the second.
fn countdown(deadline: TimeMs, now: TimeMs) -> String {
    humantime::format_duration(Duration::from_secs(deadline.since(now).0 / 1_000)).to_string()
}

pub(super) fn state_name(state: ReservationState) -> &'static str {
    match state {
        ReservationState::Open => "open",
        ReservationState::Rejected => "rejected",
        ReservationState::Held => "held",
        ReservationState::PartlyCommitted => "partly_committed",
        ReservationState::Committed => "committed",
        ReservationState::Released => "released",
        ReservationState::Expired => "expired",
    }
}

pub(in crate::cli) fn kind_name(kind: PoolKind) -> &'static str {
    match kind {
        PoolKind::Now => "now",
        PoolKind::Incoming => "incoming",
        PoolKind::Backorder => "backorder",
        PoolKind::Preorder => "preorder",
    }
}

fn level_name(level: Level) -> &'static str {
    match level {
        Level::Linearizable => "linearizable",
        Level::Session => "session",
        Level::Bounded => "bounded",
    }
}

#[derive(Debug, Serialize)]
pub(super) struct PositionView {
    shard: u32,
    epoch: u32,
    index: u64,
    ordinal: u32,
}

impl From<Position> for PositionView {
    fn from(position: Position) -> Self {
        Self { shard: position.shard.0, epoch: position.epoch.0, index: position.index.0, ordinal: position.ordinal }
    }
}

#[derive(Debug, Serialize)]
pub(super) struct PoolView {
    sku: String,
    location: String,
    kind: &'static str,
    lot: String,
    on_hand: u64,
    available: u64,
    held: u64,
    committed: u64,
    unavailable: u64,
    short: u64,
    sellable: u64,
    received_total: u64,
    sold_total: u64,
    in_transit: u64,
    expected: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    expected_date_ms: Option<u64>,
}

impl From<Pool> for PoolView {
    fn from(pool: Pool) -> Self {
        Self {
            sku: pool.sku,
            location: pool.location,
            kind: kind_name(pool.kind),
            lot: pool.lot,
            on_hand: pool.on_hand,
            available: pool.available,
            held: pool.held,
            committed: pool.committed,
            unavailable: pool.unavailable,
            short: pool.short,
            sellable: pool.sellable,
            received_total: pool.received_total,
            sold_total: pool.sold_total,
            in_transit: pool.in_transit,
            expected: pool.expected,
            expected_date_ms: pool.expected_date.map(|date| date.0),
        }
    }
}

/// How fresh an answer is.
#[derive(Debug, Serialize)]
pub(super) struct FreshnessView {
    level: &'static str,
    as_of_ms: u64,
    age_ms: u64,
}

impl FreshnessView {
    fn new(level: Level, as_of: TimeMs, age: Duration) -> Self {
        Self { level: level_name(level), as_of_ms: as_of.0, age_ms: millis(age) }
    }
}

/// What is told of an answer that was given before; empty if it was not.
fn replayed_text(replayed: bool) -> &'static str {
    if replayed { "\n\nreplayed: it was done before, and this is what was answered then" } else { "" }
}

fn pools_table(pools: &[PoolView]) -> String {
    let coming = pools.iter().any(|pool| pool.in_transit > 0 || pool.expected > 0);
    let mut columns = vec![
        "sku",
        "location",
        "kind",
        "lot",
        "#on hand",
        "#available",
        "#held",
        "#committed",
        "#unavailable",
        "#short",
        "#sellable",
        "#received",
        "#sold",
    ];
    if coming {
        columns.extend(["#in transit", "#expected"]);
    }
    let rows = pools.iter().map(|pool| {
        let numbers = [
            pool.on_hand,
            pool.available,
            pool.held,
            pool.committed,
            pool.unavailable,
            pool.short,
            pool.sellable,
            pool.received_total,
            pool.sold_total,
        ];
        let mut row = vec![pool.sku.clone(), pool.location.clone(), pool.kind.to_owned(), pool.lot.clone()];
        row.extend(numbers.iter().map(u64::to_string));
        if coming {
            row.extend([pool.in_transit.to_string(), pool.expected.to_string()]);
        }
        row
    });
    table(&columns, rows)
}

/// After receive and adjust.
#[derive(Debug, Serialize)]
pub(super) struct StockChangeView {
    pool: PoolView,
    position: PositionView,
    server_time_ms: u64,
    replayed: bool,
}

impl From<StockChange> for StockChangeView {
    fn from(change: StockChange) -> Self {
        Self {
            pool: change.pool.into(),
            position: change.position.into(),
            server_time_ms: change.server_time.0,
            replayed: change.replayed,
        }
    }
}

impl View for StockChangeView {
    fn table(&self) -> String {
        let pool = &self.pool;
        let mut text = pools_table(std::slice::from_ref(pool));
        if pool.short > 0 {
            let (sku, location, short) = (&pool.sku, &pool.location, pool.short);
            text.push_str(&format!(
                "\n\nSHORTAGE  {sku} at {location}: {short} units short; `earmark stock SKU` tells the holds at risk"
            ));
        }
        text + replayed_text(self.replayed)
    }
}

/// Every pool of a SKU.
#[derive(Debug, Serialize)]
pub(super) struct StockView {
    pools: Vec<PoolView>,
    expected: Vec<keeping::ExpectedView>,
    shortages: Vec<keeping::ShortageView>,
    position: PositionView,
    #[serde(flatten)]
    freshness: FreshnessView,
}

impl From<Stock> for StockView {
    fn from(mut stock: Stock) -> Self {
        // Nodes have them in the order of their keys, where shorter names come first.
        stock.pools.sort_by(|a, b| (&a.location, a.kind, &a.lot).cmp(&(&b.location, b.kind, &b.lot)));
        stock.expected.sort_by(|a, b| (a.date, &a.location, &a.document).cmp(&(b.date, &b.location, &b.document)));
        Self {
            pools: stock.pools.into_iter().map(PoolView::from).collect(),
            expected: stock.expected.into_iter().map(keeping::ExpectedView::from).collect(),
            shortages: stock.shortages.into_iter().map(keeping::ShortageView::from).collect(),
            position: stock.position.into(),
            freshness: FreshnessView::new(stock.level, stock.as_of, stock.age),
        }
    }
}

impl View for StockView {
    fn table(&self) -> String {
        let mut text = pools_table(&self.pools);
        if !self.expected.is_empty() {
            text.push_str(&format!("\n\n{}", keeping::expected_table(&self.expected)));
        }
        for short in &self.shortages {
            text.push_str(&format!("\n\n{}", short.text()));
        }
        text
    }
}

#[derive(Debug, Serialize)]
struct LineGotView {
    sku: String,
    location: String,
    kind: &'static str,
    lot: String,
    asked: u64,
    got: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
    /// Version of the settings whose policy chose the location.
    #[serde(skip_serializing_if = "Option::is_none")]
    policy: Option<u64>,
}

impl From<&LineGot> for LineGotView {
    fn from(line: &LineGot) -> Self {
        Self {
            sku: line.sku.clone(),
            location: line.location.clone(),
            kind: kind_name(line.kind),
            lot: line.lot.clone(),
            asked: line.asked,
            got: line.got,
            reason: line.reason.map(|code| outcomes::row(code).name),
            policy: line.policy,
        }
    }
}

/// A reservation that was just made.
#[derive(Debug, Serialize)]
pub(super) struct ReservedView {
    reservation_id: String,
    extent: &'static str,
    lines: Vec<LineGotView>,
    deadline_ms: u64,
    server_time_ms: u64,
    position: PositionView,
    replayed: bool,
}

impl From<&Reservation> for ReservedView {
    fn from(reservation: &Reservation) -> Self {
        Self {
            reservation_id: reservation.id().to_string(),
            extent: match reservation.extent() {
                Extent::All => "all",
                Extent::Partial => "partial",
            },
            lines: reservation.lines().iter().map(LineGotView::from).collect(),
            deadline_ms: reservation.deadline().0,
            server_time_ms: reservation.server_time().0,
            position: reservation.position().into(),
            replayed: reservation.replayed(),
        }
    }
}

impl View for ReservedView {
    fn table(&self) -> String {
        let (deadline, now) = (TimeMs(self.deadline_ms), TimeMs(self.server_time_ms));
        let until = if self.replayed {
            // It may have been extended, committed or released since.
            format!("{} at first; `earmark show ID` tells what it is now", time_text(deadline))
        } else {
            format!("{} ({} from now)", time_text(deadline), countdown(deadline, now))
        };
        let head = list([("reservation", self.reservation_id.clone()), ("held until", until)]);
        format!("{head}\n\n{}{}", got_table(&self.lines), replayed_text(self.replayed))
    }
}

fn got_table(lines: &[LineGotView]) -> String {
    let names = PoolNames::of(lines.iter().map(|line| (line.kind, line.lot.as_str())));
    let rows = lines.iter().map(|line| {
        let mut row = names.cells(&line.sku, &line.location, line.kind, &line.lot);
        row.extend([line.asked.to_string(), line.got.to_string()]);
        row
    });
    table(&[names.columns(), vec!["#asked", "#got"]].concat(), rows)
}

/// The columns that name pools. Kind and lot are told where any is not the usual one.
struct PoolNames {
    kinds: bool,
    lots: bool,
}

impl PoolNames {
    fn of<'a>(pools: impl Iterator<Item = (&'static str, &'a str)>) -> Self {
        let usual = Self { kinds: false, lots: false };
        pools.fold(usual, |names, (kind, lot)| Self {
            kinds: names.kinds || kind != kind_name(PoolKind::Now),
            lots: names.lots || !lot.is_empty(),
        })
    }

    fn columns(&self) -> Vec<&'static str> {
        let all = [("sku", true), ("location", true), ("kind", self.kinds), ("lot", self.lots)];
        all.into_iter().filter(|(_, told)| *told).map(|(name, _)| name).collect()
    }

    fn cells(&self, sku: &str, location: &str, kind: &str, lot: &str) -> Vec<String> {
        let all = [(sku, true), (location, true), (kind, self.kinds), (lot, self.lots)];
        all.into_iter().filter(|(_, told)| *told).map(|(text, _)| text.to_owned()).collect()
    }
}

#[derive(Debug, Serialize)]
struct LineView {
    sku: String,
    location: String,
    kind: &'static str,
    lot: String,
    asked: u64,
    held: u64,
    committed: u64,
    released: u64,
    expired: u64,
    shipped: u64,
    cancelled: u64,
    returned: u64,
    returned_unavailable: u64,
}

impl From<LineInfo> for LineView {
    fn from(line: LineInfo) -> Self {
        Self {
            sku: line.sku,
            location: line.location,
            kind: kind_name(line.kind),
            lot: line.lot,
            asked: line.asked,
            held: line.held,
            committed: line.committed,
            released: line.released,
            expired: line.expired,
            shipped: line.shipped,
            cancelled: line.cancelled,
            returned: line.returned,
            returned_unavailable: line.returned_unavailable,
        }
    }
}

/// A reservation as it stands.
#[derive(Debug, Serialize)]
pub(super) struct ReservationView {
    reservation_id: String,
    namespace: String,
    owner: String,
    state: &'static str,
    lines: Vec<LineView>,
    created_ms: u64,
    deadline_ms: u64,
    state_since_ms: u64,
    revision: u32,
    settled: bool,
    paying: bool,
    position: PositionView,
    /// The servers' clock.
    as_of_ms: u64,
    /// Only of a read.
    #[serde(skip_serializing_if = "Option::is_none")]
    level: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    age_ms: Option<u64>,
    /// Only after a change: it had been done before.
    #[serde(skip_serializing_if = "Option::is_none")]
    replayed: Option<bool>,
}

impl ReservationView {
    fn new(info: ReservationInfo, position: Position, as_of: TimeMs) -> Self {
        Self {
            reservation_id: info.id.to_string(),
            namespace: info.namespace,
            owner: info.owner,
            state: state_name(info.state),
            lines: info.lines.into_iter().map(LineView::from).collect(),
            created_ms: info.created.0,
            deadline_ms: info.deadline.0,
            state_since_ms: info.since.0,
            revision: info.revision,
            settled: info.settled,
            paying: info.paying,
            position: position.into(),
            as_of_ms: as_of.0,
            level: None,
            age_ms: None,
            replayed: None,
        }
    }
}

impl From<Change> for ReservationView {
    fn from(change: Change) -> Self {
        let replayed = Some(change.replayed);
        Self { replayed, ..Self::new(change.reservation, change.position, change.server_time) }
    }
}

impl From<ReservationRead> for ReservationView {
    fn from(read: ReservationRead) -> Self {
        let (level, age_ms) = (Some(level_name(read.level)), Some(millis(read.age)));
        Self { level, age_ms, ..Self::new(read.reservation, read.position, read.as_of) }
    }
}

impl View for ReservationView {
    fn table(&self) -> String {
        let (deadline, now) = (TimeMs(self.deadline_ms), TimeMs(self.as_of_ms));
        let live = matches!(self.state, "held" | "partly_committed");
        let head = list([
            ("reservation", self.reservation_id.clone()),
            ("owner", self.owner.clone()),
            ("state", format!("{} since {}", self.state, time_text(TimeMs(self.state_since_ms)))),
            ("made", time_text(TimeMs(self.created_ms))),
            (
                "held until",
                if live {
                    let paying = if self.paying { ", the shopper is paying" } else { "" };
                    format!("{} ({} from now{paying})", time_text(deadline), countdown(deadline, now))
                } else {
                    String::new()
                },
            ),
        ]);
        // What most reservations never have is told where there is any.
        let after =
            self.lines.iter().any(|line| line.shipped + line.cancelled + line.returned + line.returned_unavailable > 0);
        let names = PoolNames::of(self.lines.iter().map(|line| (line.kind, line.lot.as_str())));
        let rows = self.lines.iter().map(|line| {
            let mut numbers = vec![line.asked, line.held, line.committed, line.released, line.expired];
            if after {
                numbers.extend([line.shipped, line.cancelled, line.returned, line.returned_unavailable]);
            }
            let mut row = names.cells(&line.sku, &line.location, line.kind, &line.lot);
            row.extend(numbers.iter().map(u64::to_string));
            row
        });
        let mut columns = names.columns();
        columns.extend(["#asked", "#held", "#committed", "#released", "#expired"]);
        if after {
            columns.extend(["#shipped", "#cancelled", "#returned", "#returned unavailable"]);
        }
        format!("{head}\n\n{}{}", table(&columns, rows), replayed_text(self.replayed == Some(true)))
    }
}

pub(super) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_written_in_utc_as_far_as_there_are_years() {
        assert_eq!(time_text(TimeMs(1_486_166_401_000)), "2017-02-04T00:00:01Z");
        assert_eq!(time_text(TimeMs::MAX), "never");
    }

    fn pool(location: &str, kind: PoolKind, lot: &str) -> Pool {
        Pool {
            namespace: "default".to_owned(),
            sku: "tea".to_owned(),
            location: location.to_owned(),
            kind,
            lot: lot.to_owned(),
            on_hand: 12,
            available: 0,
            held: 15,
            committed: 0,
            unavailable: 0,
            short: 3,
            sellable: 0,
            received_total: 20,
            sold_total: 0,
            in_transit: 0,
            expected: 0,
            expected_date: None,
        }
    }

    fn position() -> Position {
        use earmark_client::{Epoch, LogIndex, ShardId};
        Position { shard: ShardId(1), epoch: Epoch(1), index: LogIndex(7), ordinal: 0 }
    }

    #[test]
    fn pools_stand_by_name_and_receipts_by_date() {
        use earmark_client::ExpectedReceipt;
        let receipt = |document: &str, date| ExpectedReceipt {
            namespace: "default".to_owned(),
            sku: "tea".to_owned(),
            location: "aaa".to_owned(),
            kind: PoolKind::Now,
            lot: String::new(),
            document: document.to_owned(),
            date: TimeMs(date),
            quantity: 1,
        };
        let places = [("b", PoolKind::Preorder), ("b", PoolKind::Now), ("cc", PoolKind::Now), ("aaa", PoolKind::Now)];
        let view = StockView::from(Stock {
            pools: places.map(|(location, kind)| pool(location, kind, "")).into(),
            expected: vec![receipt("a", 9), receipt("z", 8)],
            shortages: Vec::new(),
            level: Level::Bounded,
            position: position(),
            as_of: TimeMs(5),
            age: Duration::from_millis(2),
        });
        let told: Vec<_> = view.pools.iter().map(|pool| (pool.location.as_str(), pool.kind)).collect();
        assert_eq!(told, [("aaa", "now"), ("b", "now"), ("b", "preorder"), ("cc", "now")]);
        let json = serde_json::to_value(&view).expect("JSON");
        assert_eq!((&json["expected"][0]["document"], &json["expected"][1]["document"]), (&"z".into(), &"a".into()));
        assert_eq!((&json["level"], &json["as_of_ms"], &json["age_ms"]), (&"bounded".into(), &5.into(), &2.into()));
    }

    #[test]
    fn a_pool_that_is_short_and_an_answer_that_is_a_repeat_are_told_as_such() {
        let change = |short, replayed| {
            let pool = Pool { short, ..pool("main", PoolKind::Now, "") };
            let view =
                StockChangeView::from(StockChange { pool, position: position(), server_time: TimeMs(5), replayed });
            view.table()
        };
        assert!(change(3, false).contains("SHORTAGE  tea at main: 3 units short"));
        assert!(!change(0, false).contains("SHORTAGE") && !change(0, false).contains("replayed"));
        assert!(change(0, true).contains("replayed: it was done before"));
    }

    #[test]
    fn kind_and_lot_are_told_where_they_are_not_the_usual_ones() {
        let columns = |pools: &[(&'static str, &str)]| PoolNames::of(pools.iter().copied()).columns().join(" ");
        assert_eq!(columns(&[("now", "")]), "sku location");
        assert_eq!(columns(&[("now", ""), ("preorder", "")]), "sku location kind");
        assert_eq!(columns(&[("now", "l-1"), ("preorder", "")]), "sku location kind lot");
        assert_eq!(
            PoolNames::of([("now", "l-1")].into_iter()).cells("tea", "main", "now", "l-1"),
            ["tea", "main", "l-1"]
        );
    }

    #[test]
    fn a_countdown_never_goes_below_zero() {
        assert_eq!(countdown(TimeMs(900_999), TimeMs(0)), "15m");
        assert_eq!(countdown(TimeMs(5), TimeMs(9)), "0s");
    }
}
