//! What the commands of those who keep the stock print.

use super::super::output::{View, list, table};
use super::{
    Extent, FreshnessView, Level, LineGotView, PoolView, Position, PositionView, ReservationInfo, TimeMs, countdown,
    got_table, kind_name, millis, pools_table, replayed_text, state_name, time_text,
};
use earmark_client::{
    Deduct, ExpectedReceipt, ExpiringHold, Page, PoolShortage, SettingsChange, SettingsRead, SkuSettings,
    StockCorrection, Strategy, TransferInfo, Transferred, WouldHold,
};
use serde::Serialize;
use std::time::Duration;

/// After set, count and quarantine.
#[derive(Debug, Serialize)]
pub(in super::super) struct CorrectionView {
    pool: PoolView,
    delta: i64,
    beyond: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    shortage: Option<ShortageView>,
    position: PositionView,
    server_time_ms: u64,
    replayed: bool,
}

impl From<StockCorrection> for CorrectionView {
    fn from(change: StockCorrection) -> Self {
        Self {
            pool: change.pool.into(),
            delta: change.delta,
            beyond: change.beyond,
            shortage: change.shortage.map(ShortageView::from),
            position: change.position.into(),
            server_time_ms: change.server_time.0,
            replayed: change.replayed,
        }
    }
}

impl View for CorrectionView {
    fn table(&self) -> String {
        let mut text = pools_table(std::slice::from_ref(&self.pool));
        if self.delta != 0 {
            text.push_str(&format!("\n\non hand changed by {:+}", self.delta));
        }
        if self.beyond > 0 {
            text.push_str(&format!("\n{} more left the books since than were there by the count", self.beyond));
        }
        if let Some(short) = &self.shortage {
            text.push_str(&format!("\n\n{}", short.text()));
        }
        text + replayed_text(self.replayed)
    }
}

#[derive(Debug, Serialize)]
pub(super) struct ShortageView {
    sku: String,
    location: String,
    kind: &'static str,
    lot: String,
    units: u64,
    since_ms: u64,
    since_position: PositionView,
    at_risk: u64,
    newest: Vec<AtRiskView>,
}

#[derive(Debug, Serialize)]
struct AtRiskView {
    reservation_id: String,
    held: u64,
}

impl From<PoolShortage> for ShortageView {
    fn from(short: PoolShortage) -> Self {
        let hold = |hold: earmark_client::HoldAtRisk| AtRiskView {
            reservation_id: hold.reservation.to_string(),
            held: hold.held,
        };
        Self {
            sku: short.sku,
            location: short.location,
            kind: kind_name(short.kind),
            lot: short.lot,
            units: short.units,
            since_ms: short.since.0,
            since_position: short.by.into(),
            at_risk: short.at_risk,
            newest: short.newest.into_iter().map(hold).collect(),
        }
    }
}

impl ShortageView {
    /// For people, with the holds at risk.
    pub(super) fn text(&self) -> String {
        let (sku, location) = (&self.sku, &self.location);
        let since = time_text(TimeMs(self.since_ms));
        let head = format!(
            "SHORTAGE  {sku} at {location}: {} units short since {since}, {} of what is promised at risk",
            self.units, self.at_risk
        );
        if self.newest.is_empty() {
            return head;
        }
        let rows = self.newest.iter().map(|hold| vec![hold.reservation_id.clone(), hold.held.to_string()]);
        format!("{head}\n{}", table(&["newest holds", "#held"], rows))
    }
}

/// Of which state of each shard an answer is.
#[derive(Debug, Serialize)]
struct AsOfView {
    positions: Vec<PositionView>,
    #[serde(flatten)]
    freshness: FreshnessView,
}

impl AsOfView {
    fn new((level, positions, as_of, age): (Level, Vec<Position>, TimeMs, Duration)) -> Self {
        let positions = positions.into_iter().map(PositionView::from).collect();
        Self { positions, freshness: FreshnessView::new(level, as_of, age) }
    }
}

/// The entries of a list, and what is told of it as a whole.
#[derive(Debug, Serialize)]
struct ListEnd {
    /// It goes on.
    more: bool,
    #[serde(flatten)]
    as_of: AsOfView,
}

impl ListEnd {
    fn of<T>(page: Page<T>) -> (Vec<T>, Self) {
        let as_of = AsOfView::new((page.level, page.positions, page.as_of, page.age));
        (page.items, Self { more: page.next.is_some(), as_of })
    }
}

/// Tells of a list that it goes on.
fn more_text(more: bool) -> &'static str {
    if more { "\n... and more; ask with a higher --limit" } else { "" }
}

/// The pools that are short.
#[derive(Debug, Serialize)]
pub(in super::super) struct ShortagesView {
    shortages: Vec<ShortageView>,
    #[serde(flatten)]
    end: ListEnd,
}

impl From<Page<PoolShortage>> for ShortagesView {
    fn from(page: Page<PoolShortage>) -> Self {
        let (mut shortages, end) = ListEnd::of(page);
        // Nodes have them in the order of their keys, where shorter names come first.
        shortages.sort_by(|a, b| (&a.sku, &a.location, a.kind, &a.lot).cmp(&(&b.sku, &b.location, b.kind, &b.lot)));
        Self { shortages: shortages.into_iter().map(ShortageView::from).collect(), end }
    }
}

impl View for ShortagesView {
    fn table(&self) -> String {
        if self.shortages.is_empty() {
            return "nothing is short".to_owned();
        }
        let rows = self.shortages.iter().map(|short| {
            vec![
                short.sku.clone(),
                short.location.clone(),
                short.units.to_string(),
                short.at_risk.to_string(),
                time_text(TimeMs(short.since_ms)),
                short.newest.first().map(|hold| hold.reservation_id.clone()).unwrap_or_default(),
            ]
        });
        let columns = ["sku", "location", "#short", "#at risk", "since", "newest hold"];
        format!("{}{}", table(&columns, rows), more_text(self.end.more))
    }
}

#[derive(Debug, Serialize)]
struct TransferView {
    transfer_id: String,
    sku: String,
    kind: &'static str,
    lot: String,
    from: String,
    to: String,
    sent: u64,
    received: u64,
    lost: u64,
    in_transit: u64,
    since_ms: u64,
    document: String,
}

impl From<TransferInfo> for TransferView {
    fn from(transfer: TransferInfo) -> Self {
        Self {
            transfer_id: transfer.id.to_string(),
            sku: transfer.sku,
            kind: kind_name(transfer.kind),
            lot: transfer.lot,
            from: transfer.from,
            to: transfer.to,
            sent: transfer.sent,
            received: transfer.received,
            lost: transfer.lost,
            in_transit: transfer.in_transit,
            since_ms: transfer.since.0,
            document: transfer.document,
        }
    }
}

fn transfers_table(transfers: &[TransferView]) -> String {
    let rows = transfers.iter().map(|transfer| {
        vec![
            transfer.transfer_id.clone(),
            transfer.from.clone(),
            transfer.to.clone(),
            transfer.sent.to_string(),
            transfer.received.to_string(),
            transfer.lost.to_string(),
            transfer.in_transit.to_string(),
            time_text(TimeMs(transfer.since_ms)),
            transfer.document.clone(),
        ]
    });
    let columns = ["transfer", "from", "to", "#sent", "#received", "#lost", "#in transit", "since", "document"];
    table(&columns, rows)
}

/// After transfer and arrive.
#[derive(Debug, Serialize)]
pub(in super::super) struct TransferredView {
    transfer: TransferView,
    from: PoolView,
    to: PoolView,
    position: PositionView,
    server_time_ms: u64,
    replayed: bool,
}

impl From<Transferred> for TransferredView {
    fn from(done: Transferred) -> Self {
        Self {
            transfer: done.transfer.into(),
            from: done.from.into(),
            to: done.to.into(),
            position: done.position.into(),
            server_time_ms: done.server_time.0,
            replayed: done.replayed,
        }
    }
}

impl View for TransferredView {
    fn table(&self) -> String {
        let row = |pool: &PoolView| {
            let numbers = [pool.on_hand, pool.available, pool.in_transit];
            let mut row = vec![pool.location.clone()];
            row.extend(numbers.iter().map(u64::to_string));
            row
        };
        let pools = table(&["location", "#on hand", "#available", "#in transit"], [row(&self.from), row(&self.to)]);
        let transfer = transfers_table(std::slice::from_ref(&self.transfer));
        format!("{transfer}\n\n{pools}{}", replayed_text(self.replayed))
    }
}

/// The transfers of a SKU that are under way.
#[derive(Debug, Serialize)]
pub(in super::super) struct TransitsView {
    transfers: Vec<TransferView>,
    #[serde(flatten)]
    end: ListEnd,
}

impl From<Page<TransferInfo>> for TransitsView {
    fn from(page: Page<TransferInfo>) -> Self {
        let (transfers, end) = ListEnd::of(page);
        Self { transfers: transfers.into_iter().map(TransferView::from).collect(), end }
    }
}

impl View for TransitsView {
    fn table(&self) -> String {
        if self.transfers.is_empty() {
            return "nothing is in transit".to_owned();
        }
        format!("{}{}", transfers_table(&self.transfers), more_text(self.end.more))
    }
}

#[derive(Debug, Serialize)]
pub(super) struct ExpectedView {
    location: String,
    kind: &'static str,
    lot: String,
    document: String,
    date_ms: u64,
    quantity: u64,
}

impl From<ExpectedReceipt> for ExpectedView {
    fn from(receipt: ExpectedReceipt) -> Self {
        Self {
            location: receipt.location,
            kind: kind_name(receipt.kind),
            lot: receipt.lot,
            document: receipt.document,
            date_ms: receipt.date.0,
            quantity: receipt.quantity,
        }
    }
}

pub(super) fn expected_table(expected: &[ExpectedView]) -> String {
    let rows = expected.iter().map(|receipt| {
        let date = time_text(TimeMs(receipt.date_ms));
        vec![receipt.document.clone(), receipt.location.clone(), receipt.quantity.to_string(), date]
    });
    table(&["expected", "location", "#units", "date"], rows)
}

/// Reservations of an owner.
#[derive(Debug, Serialize)]
pub(in super::super) struct ReservationsView {
    reservations: Vec<ListedView>,
    #[serde(flatten)]
    end: ListEnd,
    #[serde(skip)]
    now: TimeMs,
}

#[derive(Debug, Serialize)]
struct ListedView {
    reservation_id: String,
    owner: String,
    state: &'static str,
    lines: usize,
    held: u64,
    created_ms: u64,
    deadline_ms: u64,
}

impl ReservationsView {
    pub(in super::super) fn new(page: Page<ReservationInfo>, now: TimeMs) -> Self {
        let (reservations, end) = ListEnd::of(page);
        let listed = |found: ReservationInfo| ListedView {
            reservation_id: found.id.to_string(),
            owner: found.owner,
            state: state_name(found.state),
            lines: found.lines.len(),
            held: found.lines.iter().map(|line| line.held).sum(),
            created_ms: found.created.0,
            deadline_ms: found.deadline.0,
        };
        Self { reservations: reservations.into_iter().map(listed).collect(), end, now }
    }
}

impl View for ReservationsView {
    fn table(&self) -> String {
        if self.reservations.is_empty() {
            return "nothing is held".to_owned();
        }
        let rows = self.reservations.iter().map(|found| {
            let deadline = TimeMs(found.deadline_ms);
            vec![
                found.reservation_id.clone(),
                found.state.to_owned(),
                found.lines.to_string(),
                found.held.to_string(),
                time_text(deadline),
                countdown(deadline, self.now),
            ]
        });
        let columns = ["reservation", "state", "#lines", "#held", "held until", "left"];
        format!("{}{}", table(&columns, rows), more_text(self.end.more))
    }
}

/// Holds that end soon.
#[derive(Debug, Serialize)]
pub(in super::super) struct ExpiringView {
    holds: Vec<EndingView>,
    #[serde(flatten)]
    end: ListEnd,
    #[serde(skip)]
    now: TimeMs,
}

#[derive(Debug, Serialize)]
struct EndingView {
    reservation_id: String,
    owner: String,
    deadline_ms: u64,
}

impl ExpiringView {
    pub(in super::super) fn new(page: Page<ExpiringHold>, now: TimeMs) -> Self {
        let (holds, end) = ListEnd::of(page);
        let ending = |hold: ExpiringHold| EndingView {
            reservation_id: hold.id.to_string(),
            owner: hold.owner,
            deadline_ms: hold.deadline.0,
        };
        Self { holds: holds.into_iter().map(ending).collect(), end, now }
    }
}

impl View for ExpiringView {
    fn table(&self) -> String {
        if self.holds.is_empty() {
            return "no hold ends so soon".to_owned();
        }
        let rows = self.holds.iter().map(|hold| {
            let deadline = TimeMs(hold.deadline_ms);
            vec![hold.reservation_id.clone(), hold.owner.clone(), time_text(deadline), countdown(deadline, self.now)]
        });
        let columns = ["reservation", "owner", "held until", "left"];
        format!("{}{}", table(&columns, rows), more_text(self.end.more))
    }
}

/// What a reserve would hold.
#[derive(Debug, Serialize)]
pub(in super::super) struct WouldHoldView {
    dry_run: bool,
    extent: &'static str,
    lines: Vec<LineGotView>,
    deadline_ms: u64,
    #[serde(flatten)]
    as_of: AsOfView,
}

impl WouldHoldView {
    pub(in super::super) fn new(would: WouldHold, as_of: (Level, Vec<Position>, TimeMs, Duration)) -> Self {
        Self {
            dry_run: true,
            extent: match would.extent {
                Extent::All => "all",
                Extent::Partial => "partial",
            },
            lines: would.lines.iter().map(LineGotView::from).collect(),
            deadline_ms: would.deadline.0,
            as_of: AsOfView::new(as_of),
        }
    }
}

impl View for WouldHoldView {
    fn table(&self) -> String {
        let length = countdown(TimeMs(self.deadline_ms), TimeMs(self.as_of.freshness.as_of_ms));
        format!("nothing is held; a reserve would hold for {length}\n\n{}", got_table(&self.lines))
    }
}

/// The settings of a SKU.
#[derive(Debug, Serialize)]
pub(in super::super) struct SettingsView {
    sku: String,
    version: u64,
    deduct: &'static str,
    safety_stock: u64,
    hold_time_ms: Option<u64>,
    owner_units: Option<u64>,
    owner_units_window_ms: Option<u64>,
    owner_holds: Option<u32>,
    frozen: Option<String>,
    opens_ms: Option<u64>,
    closes_ms: Option<u64>,
    cancel_window_ms: Option<u64>,
    return_window_ms: Option<u64>,
    allocation: Option<AllocationView>,
    position: PositionView,
    /// Only of a read.
    #[serde(flatten)]
    freshness: Option<FreshnessView>,
    /// Only after a change.
    #[serde(flatten)]
    change: Option<ChangeView>,
}

#[derive(Debug, Serialize)]
struct ChangeView {
    server_time_ms: u64,
    replayed: bool,
}

#[derive(Debug, Serialize)]
struct AllocationView {
    strategy: &'static str,
    places: u32,
    locations: Vec<PlaceView>,
}

#[derive(Debug, Serialize)]
struct PlaceView {
    location: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    zone: Option<u32>,
}

impl SettingsView {
    pub(in super::super) fn read(sku: String, read: SettingsRead) -> Self {
        let freshness = Some(FreshnessView::new(read.level, read.as_of, read.age));
        Self { freshness, ..Self::new(sku, read.version, read.settings, read.position) }
    }

    pub(in super::super) fn changed(sku: String, done: SettingsChange) -> Self {
        let change = Some(ChangeView { server_time_ms: done.server_time.0, replayed: done.replayed });
        Self { change, ..Self::new(sku, done.version, done.settings, done.position) }
    }

    fn new(sku: String, version: u64, settings: SkuSettings, position: Position) -> Self {
        Self {
            sku,
            version,
            deduct: match settings.deduct {
                Deduct::OnCommit => "on_commit",
                Deduct::OnShip => "on_ship",
            },
            safety_stock: settings.safety_stock,
            hold_time_ms: settings.hold_time.map(millis),
            owner_units: settings.owner_units.map(|limit| limit.units),
            owner_units_window_ms: settings.owner_units.map(|limit| millis(limit.window)),
            owner_holds: settings.owner_holds,
            frozen: settings.frozen,
            opens_ms: settings.opens.map(|time| time.0),
            closes_ms: settings.closes.map(|time| time.0),
            cancel_window_ms: settings.cancel_window.map(millis),
            return_window_ms: settings.return_window.map(millis),
            allocation: settings.allocation.map(AllocationView::from),
            position: position.into(),
            freshness: None,
            change: None,
        }
    }
}

impl From<earmark_client::Allocation> for AllocationView {
    fn from(allocation: earmark_client::Allocation) -> Self {
        let (strategy, locations) = match allocation.strategy {
            Strategy::Priority(list) => {
                let place = |location| PlaceView { location, zone: None };
                ("priority", list.into_iter().map(place).collect())
            }
            Strategy::MostStock => ("most_stock", Vec::new()),
            Strategy::FewestSplits => ("fewest_splits", Vec::new()),
            Strategy::NearestZone(list) => {
                let place = |(location, zone)| PlaceView { location, zone: Some(zone) };
                ("nearest_zone", list.into_iter().map(place).collect())
            }
        };
        Self { strategy, places: allocation.places, locations }
    }
}

impl AllocationView {
    fn text(&self) -> String {
        let place = |place: &PlaceView| match place.zone {
            Some(zone) => format!("{}={zone}", place.location),
            None => place.location.clone(),
        };
        let places: Vec<String> = self.locations.iter().map(place).collect();
        let named = if places.is_empty() { String::new() } else { format!(": {}", places.join(", ")) };
        format!("{}{named}; over at most {} places", self.strategy.replace('_', " "), self.places)
    }
}

impl View for SettingsView {
    fn table(&self) -> String {
        let length = |ms: Option<u64>| {
            ms.map(|ms| humantime::format_duration(Duration::from_millis(ms)).to_string()).unwrap_or_default()
        };
        let time = |ms: Option<u64>| ms.map(|ms| time_text(TimeMs(ms))).unwrap_or_default();
        let limit = match (self.owner_units, self.owner_units_window_ms) {
            (Some(units), window) => format!("{units} in {}", length(window)),
            (None, _) => String::new(),
        };
        list([
            ("sku", self.sku.clone()),
            ("version", self.version.to_string()),
            ("deducts", self.deduct.replace('_', " ")),
            ("safety stock", self.safety_stock.to_string()),
            ("hold time", length(self.hold_time_ms)),
            ("units per owner", limit),
            ("holds per owner", self.owner_holds.map(|holds| holds.to_string()).unwrap_or_default()),
            ("frozen", self.frozen.clone().unwrap_or_default()),
            ("opens", time(self.opens_ms)),
            ("closes", time(self.closes_ms)),
            ("cancel window", length(self.cancel_window_ms)),
            ("return window", length(self.return_window_ms)),
            ("allocation", self.allocation.as_ref().map(AllocationView::text).unwrap_or_default()),
        ])
    }
}
