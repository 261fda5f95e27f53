//! Configure: the settings of a SKU, all at once, for whoever read those before.

use super::{Effect, Entry};
use crate::{
    command::Configure,
    outcome::{Done, Refusal, SettingsView},
    state::{SkuEntry, SkuSettings},
    validate::bad_field,
};

impl Entry<'_> {
    pub(super) fn configure(&mut self, configure: &Configure) -> Result<Effect, Refusal> {
        let found = self.ledger.stock.find_sku(&configure.namespace, &configure.sku);
        if let Some(sku) = found.filter(|sku| sku.settings().deduct != configure.settings.deduct) {
            self.may_deduct_otherwise(sku)?;
        }
        let version = found.map_or(0, |sku| sku.settings().version);
        if version != configure.expected_version {
            return Err(Refusal::SettingsStale { version });
        }
        // Nothing can fail from here on.
        let sku = self.ledger.stock.find_or_make_sku(&configure.namespace, &configure.sku);
        let mut settings = (*configure.settings).clone();
        detach(&mut settings);
        let settings = SkuSettings::new(version.saturating_add(1), settings);
        let told = SettingsView { version: version.saturating_add(1), settings: settings.told() };
        self.ledger.stock.configure(sku, settings);
        Ok((Done::Settings(Box::new(told)), None))
    }

    /// What a committed unit of a reservation is (sold, or waiting to be shipped) follows from the way its SKU
    /// deducts. So that way stands from the first unit promised on.
    fn may_deduct_otherwise(&self, sku: &SkuEntry) -> Result<(), Refusal> {
        let promised = |at: &crate::state::PoolRef| {
            let pool = self.ledger.stock.pool(*at);
            let held = pool.books.held > pool.overdue(self.clock());
            held || pool.books.committed > 0 || pool.totals.sold > 0 || pool.totals.rare().sold_short > 0
        };
        if sku.pools.iter().any(promised) {
            let problem = "can't change any more: units of this SKU are held, committed or sold";
            return Err(Refusal::InvalidArgument(vec![bad_field("settings.deduct", problem)]));
        }
        Ok(())
    }
}

/// What is kept for long must not keep the message alive it came in.
fn detach(settings: &mut crate::settings::Settings) {
    use crate::settings::Strategy;
    if let Some(reason) = &mut settings.frozen {
        *reason = reason.detached();
    }
    match settings.allocation.as_mut().map(|allocation| &mut allocation.strategy) {
        Some(Strategy::Priority(list)) => list.iter_mut().for_each(|location| *location = location.detached()),
        Some(Strategy::NearestZone(list)) => list.iter_mut().for_each(|(location, _)| *location = location.detached()),
        Some(Strategy::MostStock | Strategy::FewestSplits) | None => {}
    }
}
