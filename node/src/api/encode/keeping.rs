//! To the wire: what the keepers of the stock are answered.

use super::{Asked, kind, pool, position};
use crate::{api::error::units, shard::proposer::Answer};
use earmark_client::wire::v1;
use earmark_ledger::{
    command::Stockkeeping,
    outcome::{ExpectedView, ShortageView, StockChange, TransferView, Transferred},
    settings::{Allocation, Deduct, Settings, Strategy},
};

/// Which operation it is.
pub(super) fn asked(asked: &Stockkeeping) -> Asked {
    match asked {
        Stockkeeping::Set(_) => Asked::Set,
        Stockkeeping::Count(_) => Asked::Count,
        Stockkeeping::Quarantine(quarantine) => Asked::Quarantine(quarantine.step),
        Stockkeeping::Transfer(_) => Asked::Transfer,
        Stockkeeping::Arrive(_) => Asked::Arrive,
        Stockkeeping::Expect(_) => Asked::Expect,
        Stockkeeping::Configure(_) => Asked::Configure,
    }
}

/// What an operation on one pool had too little of.
pub(super) fn lacks(asked: Asked) -> Option<&'static str> {
    use earmark_ledger::command::QuarantineStep::{Back, SetApart, WriteOff};
    Some(match asked {
        Asked::Adjust | Asked::Set | Asked::Count => "on hand",
        Asked::Quarantine(SetApart) => "on hand and not set apart",
        Asked::Quarantine(Back | WriteOff) => "set apart",
        Asked::Transfer => "available",
        Asked::Arrive => "under way",
        // Of several lines, or of nothing that can lack.
        _ => return None,
    })
}

pub(super) fn changed(change: &StockChange, answer: &Answer) -> Box<v1::StockChangeResponse> {
    Box::new(v1::StockChangeResponse {
        change: Some(v1::StockChange {
            pool: Some(pool(&change.pool)),
            delta: change.delta,
            beyond: units(change.beyond),
            shortage: change.shortage.as_ref().map(shortage),
        }),
        position: Some(position(answer.outcome.position)),
        server_time_ms: answer.outcome.time.0,
        replayed: answer.outcome.replayed,
    })
}

pub(super) fn transferred(done: &Transferred, answer: &Answer) -> Box<v1::TransferResponse> {
    Box::new(v1::TransferResponse {
        transfer: Some(transfer(&done.transfer)),
        from: Some(pool(&done.from)),
        to: Some(pool(&done.to)),
        position: Some(position(answer.outcome.position)),
        server_time_ms: answer.outcome.time.0,
        replayed: answer.outcome.replayed,
    })
}

/// A shortage on the wire.
pub fn shortage(view: &ShortageView) -> v1::PoolShortage {
    let hold = |at_risk: &earmark_ledger::outcome::AtRisk| v1::HoldAtRisk {
        reservation_id: at_risk.reservation.to_bytes().to_vec().into(),
        held: units(at_risk.held),
    };
    v1::PoolShortage {
        namespace: view.pool.namespace.to_string(),
        sku: view.pool.sku.to_string(),
        location: view.pool.location.to_string(),
        kind: kind(view.pool.kind),
        lot: view.pool.lot.to_string(),
        units: units(view.units),
        since_ms: view.since.0,
        since_position: Some(position(view.by)),
        at_risk: units(view.at_risk),
        newest: view.newest.iter().map(hold).collect(),
    }
}

/// A transfer on the wire.
pub fn transfer(view: &TransferView) -> v1::StockTransfer {
    v1::StockTransfer {
        transfer_id: view.id.to_bytes().to_vec().into(),
        namespace: view.from.namespace.to_string(),
        sku: view.from.sku.to_string(),
        kind: kind(view.from.kind),
        lot: view.from.lot.to_string(),
        from: view.from.location.to_string(),
        to: view.to.location.to_string(),
        sent: units(view.sent),
        received: units(view.received),
        lost: units(view.lost),
        in_transit: units(view.in_transit()),
        since_ms: view.since.0,
        document: view.document.to_string(),
    }
}

/// An announced receipt on the wire.
pub fn expected(view: &ExpectedView) -> v1::ExpectedReceipt {
    v1::ExpectedReceipt {
        namespace: view.pool.namespace.to_string(),
        sku: view.pool.sku.to_string(),
        location: view.pool.location.to_string(),
        kind: kind(view.pool.kind),
        lot: view.pool.lot.to_string(),
        document: view.document.to_string(),
        date_ms: view.date.0,
        quantity: units(view.quantity),
    }
}

/// Settings on the wire.
pub fn settings(settings: &Settings) -> v1::SkuSettings {
    let deduct = match settings.deduct {
        Deduct::OnCommit => v1::Deduct::OnCommit,
        Deduct::OnShip => v1::Deduct::OnShip,
    };
    let limit = |limit: earmark_ledger::settings::UnitLimit| v1::UnitLimit {
        units: units(limit.units),
        window_ms: limit.window.0,
    };
    v1::SkuSettings {
        deduct: deduct.into(),
        safety_stock: units(settings.safety_stock),
        hold_time_ms: settings.hold_time.map(|time| time.0),
        owner_units: settings.owner_units.map(limit),
        owner_holds: settings.owner_holds,
        frozen: settings.frozen.as_ref().map(ToString::to_string),
        opens_ms: settings.opens.map(|time| time.0),
        closes_ms: settings.closes.map(|time| time.0),
        cancel_window_ms: settings.cancel_window.map(|time| time.0),
        return_window_ms: settings.return_window.map(|time| time.0),
        allocation: settings.allocation.as_ref().map(allocation),
    }
}

fn allocation(allocation: &Allocation) -> v1::Allocation {
    let place = |location: &earmark_ledger::types::Location, zone| v1::AllocationLocation {
        location: location.to_string(),
        zone,
    };
    let (strategy, locations) = match &allocation.strategy {
        Strategy::Priority(list) => {
            (v1::AllocationStrategy::Priority, list.iter().map(|location| place(location, 0)).collect())
        }
        Strategy::MostStock => (v1::AllocationStrategy::MostStock, Vec::new()),
        Strategy::FewestSplits => (v1::AllocationStrategy::FewestSplits, Vec::new()),
        Strategy::NearestZone(list) => {
            (v1::AllocationStrategy::NearestZone, list.iter().map(|(location, zone)| place(location, *zone)).collect())
        }
    };
    v1::Allocation { strategy: strategy.into(), places: allocation.places, locations }
}
