//! The rules of a sale: frozen, opening hours, and limits of owners. They are asked in the same step that takes the
//! units, and by reserves alone: what is held may be committed whatever has been set since.

use super::{
    allocate::Open,
    reserve::{Granting, Want},
};
use crate::{
    command::Line,
    limits::COUNTED_MAX,
    outcome::{LimitExceeded, LimitKind, Refusal},
    settings::Settings,
    state::{Ledger, SkuRef, Stock, Used},
    types::{DurationMs, Quantity, TimeMs},
    validate::bad_field,
};

/// What a request asks of one SKU that has rules.
struct Asked<'a> {
    sku: SkuRef,
    /// Index of its first line.
    line: u32,
    units: u64,
    settings: &'a Settings,
}

/// An owner's limit can't be judged for nobody: a request that names no owner is a bad one where a SKU has a limit.
pub(crate) fn owner_is_named<'a>(
    stock: &Stock,
    granting: &Granting<'_>,
    lines: impl Iterator<Item = (u32, &'a Line)>,
) -> Result<(), Refusal> {
    if !granting.owner.is_empty() || stock.limited == 0 {
        return Ok(());
    }
    for (_, line) in lines {
        let sku = stock.find_sku(granting.namespace, &line.sku);
        if sku.is_some_and(|sku| sku.settings().limits_owners()) {
            let problem = format_args!("is required: SKU `{}` limits what an owner may have", line.sku);
            return Err(Refusal::InvalidArgument(vec![bad_field("owner", problem)]));
        }
    }
    Ok(())
}

/// Refuses what the rules of a SKU forbid at `now`.
pub(crate) fn check(
    ledger: &Ledger,
    granting: &Granting<'_>,
    wants: &[Want],
    open: &[Open],
    now: TimeMs,
) -> Result<(), Refusal> {
    let stock = &ledger.stock;
    let gated_wants = wants.iter().filter(|want| stock.settings(stock.pool(want.pool)).gated);
    let of_wants = gated_wants.map(|want| (stock.pool(want.pool).sku, want.line, want.asked));
    let gated_open = open.iter().filter(|open| stock.sku(open.sku).settings().gated);
    let of_open = gated_open.map(|open| (open.sku, open.line, open.asked));
    let mut asked: Vec<Asked<'_>> = Vec::new();
    for (sku, line, units) in of_wants.chain(of_open) {
        let Some(settings) = stock.sku(sku).settings().rest.as_deref() else { continue };
        match asked.iter_mut().find(|asked| asked.sku == sku) {
            Some(asked) => {
                asked.units += u64::from(units);
                asked.line = asked.line.min(line);
            }
            None => asked.push(Asked { sku, line, units: u64::from(units), settings }),
        }
    }
    if asked.is_empty() {
        return Ok(());
    }
    asked.sort_by_key(|asked| asked.line);
    opening(&asked, now)?;
    asked.iter().try_for_each(|asked| limits(ledger, granting, asked, now))
}

fn opening(asked: &[Asked<'_>], now: TimeMs) -> Result<(), Refusal> {
    if let Some(reason) = asked.iter().find_map(|asked| asked.settings.frozen.as_ref()) {
        return Err(Refusal::SkuFrozen { reason: reason.detached() });
    }
    // Of several, the one that opens last: before that the request can't succeed.
    if let Some(opens) = asked.iter().filter_map(|asked| asked.settings.opens).max().filter(|opens| now < *opens) {
        return Err(Refusal::SaleNotOpen { opens });
    }
    if asked.iter().filter_map(|asked| asked.settings.closes).any(|closes| now >= closes) {
        return Err(Refusal::SaleClosed);
    }
    Ok(())
}

/// What is asked is judged, not what best effort would get.
fn limits(ledger: &Ledger, granting: &Granting<'_>, asked: &Asked<'_>, now: TimeMs) -> Result<(), Refusal> {
    if !asked.settings.limits_owners() {
        return Ok(());
    }
    let used = |firm| ledger.used(asked.sku, granting.owner, now, granting.of, firm);
    if exceeded(asked, used(None)).is_none() {
        return Ok(());
    }
    match exceeded(asked, used(Some(granting.loose_by(now)))) {
        Some(exceeded) => Err(Refusal::LimitExceeded(exceeded)),
        // Another shard may give back any moment what stands in the way.
        None => Err(Refusal::Contended),
    }
}

/// The limit that would be exceeded by what is asked on top of what is used, if any.
fn exceeded(asked: &Asked<'_>, used: Used) -> Option<LimitExceeded> {
    let settings = asked.settings;
    let exceeded = |kind, limit: u64, window, used: u64| {
        let (limit, used) = (Quantity::most(limit), Quantity::most(used));
        Some(LimitExceeded { line: asked.line, kind, limit, window, used })
    };
    if let Some(limit) = settings.owner_units
        && used.units.saturating_add(asked.units) > limit.units.units()
    {
        return exceeded(LimitKind::Units, limit.units.units(), limit.window, used.units);
    }
    if let Some(holds) = settings.owner_holds.map(u64::from)
        && used.holds >= holds
    {
        return exceeded(LimitKind::Holds, holds, DurationMs(0), used.holds);
    }
    if used.parts >= COUNTED_MAX {
        return exceeded(LimitKind::Counted, COUNTED_MAX, DurationMs(0), used.parts);
    }
    None
}

impl Ledger {
    /// How long a hold of these SKUs lasts if its request does not say: the shortest of what each of them says, or the
    /// ledger's own default says for it.
    pub fn hold_time<'a>(
        &self,
        namespace: &crate::types::Namespace,
        skus: impl IntoIterator<Item = &'a crate::types::Sku>,
    ) -> DurationMs {
        let of_sku = |sku| {
            let rest = self.stock.find_sku(namespace, sku).and_then(|sku| sku.settings().rest.as_ref());
            rest.and_then(|rest| rest.hold_time).unwrap_or(crate::limits::chosen_ttl())
        };
        skus.into_iter().map(of_sku).min().unwrap_or(crate::limits::chosen_ttl())
    }
}
