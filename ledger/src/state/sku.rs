//! SKUs: how each is sold, and its pools.

use super::{Mark, PoolRef, pieces::place, transit::Transit};
use crate::{
    settings::{Deduct, Settings, Terms},
    types::{DurationMs, OperationId, Quantity},
};
use smallvec::SmallVec;
use std::collections::BTreeMap;

place! {
    /// A SKU's place in this process.
    SkuRef
}

/// How a SKU is sold. What every reserve needs stands here; the rest is apart, and there is none for most SKUs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SkuSettings {
    pub(crate) deduct: Deduct,
    /// A reserve has to ask `rest`.
    pub(crate) gated: bool,
    /// Units of each pool that are not sold.
    pub(crate) safety_stock: u64,
    /// Counts changes; 0: nothing was ever set.
    pub(crate) version: u64,
    /// Everything that is set, unless it is nothing but what stands above.
    pub(crate) rest: Option<Box<Settings>>,
}

/// Those of a SKU of which nothing was ever set.
pub(super) static UNSET: SkuSettings =
    SkuSettings { deduct: Deduct::OnCommit, gated: false, safety_stock: 0, version: 0, rest: None };

impl Default for SkuSettings {
    fn default() -> Self {
        UNSET.clone()
    }
}

impl SkuSettings {
    pub(crate) fn new(version: u64, settings: Settings) -> Self {
        let (deduct, safety_stock) = (settings.deduct, settings.safety_stock.units());
        let plain = Settings { deduct, safety_stock: settings.safety_stock, ..Settings::default() } == settings;
        let gated = settings.gates();
        Self { deduct, gated, safety_stock, version, rest: (!plain).then(|| Box::new(settings)) }
    }

    pub(crate) fn limits_owners(&self) -> bool {
        self.rest.as_ref().is_some_and(|rest| rest.limits_owners())
    }

    /// What is promised with units that are held now.
    pub(crate) fn terms(&self) -> Terms {
        let on_ship = self.deduct == Deduct::OnShip;
        let cancel = self.rest.as_ref().and_then(|rest| rest.cancel_window).unwrap_or(DurationMs(0));
        Terms { on_ship, cancel, returns: self.rest.as_ref().and_then(|rest| rest.return_window) }
    }

    /// All of it.
    pub(crate) fn told(&self) -> Settings {
        match &self.rest {
            Some(rest) => (**rest).clone(),
            None => Settings {
                deduct: self.deduct,
                safety_stock: Quantity::new(self.safety_stock).expect("was a quantity when it was kept"),
                ..Settings::default()
            },
        }
    }
}

/// As small as it gets: a large shop has millions, and of most of them nothing but their names and one pool.
pub(crate) struct SkuEntry {
    /// Its record's key, without the kind.
    pub(crate) bytes: Box<[u8]>,
    /// None: nothing was ever set.
    settings: Option<Box<SkuSettings>>,
    /// In the order of their keys.
    pub(crate) pools: SmallVec<[PoolRef; 4]>,
    /// Transfers between its locations that are under way; none for most SKUs.
    transit: Option<Box<Transits>>,
    /// Another SKU whose key has the same hash.
    pub(super) same_hash: Option<SkuRef>,
    pub(crate) mark: Mark,
}

/// Transfers by the operation that began them.
pub(crate) type Transits = BTreeMap<OperationId, Transit>;

static NO_TRANSITS: Transits = Transits::new();

impl SkuEntry {
    pub(super) fn new(bytes: Box<[u8]>, settings: SkuSettings, same_hash: Option<SkuRef>, mark: Mark) -> Self {
        let mut entry = Self { bytes, settings: None, pools: SmallVec::new(), transit: None, same_hash, mark };
        entry.set(settings);
        entry
    }

    pub(crate) fn settings(&self) -> &SkuSettings {
        self.settings.as_deref().unwrap_or(&UNSET)
    }

    pub(super) fn set(&mut self, settings: SkuSettings) {
        self.settings = (settings != UNSET).then(|| Box::new(settings));
    }

    /// Whether nothing was ever set.
    pub(super) fn unset(&self) -> bool {
        self.settings.is_none()
    }

    pub(crate) fn transit(&self) -> &Transits {
        self.transit.as_deref().unwrap_or(&NO_TRANSITS)
    }

    pub(crate) fn transit_mut(&mut self) -> &mut Transits {
        self.transit.get_or_insert_default()
    }

    /// Whether there was one.
    pub(crate) fn end_transit(&mut self, id: OperationId) -> bool {
        let known = self.transit_mut().remove(&id).is_some();
        if self.transit().is_empty() {
            self.transit = None;
        }
        known
    }
}
