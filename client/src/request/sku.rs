//! The settings of a SKU: configure and read.

use super::stock::{prepared, sends};
use super::{Checks, Options};
use crate::call::Prepared;
use crate::client::Client;
use crate::error::Error;
use crate::model::{Level, SettingsChange, SkuSettings, Strategy};
use crate::wire::v1::{self, operation::Body};
use bytes::Bytes;
use earmark_ledger::types::{Bucket, Location, OperationId, POOL_QUANTITY_MAX, Reason, Sku};
use std::time::Duration;

/// Replaces the settings of a SKU. Made by [`Client::configure`].
#[derive(Clone, Debug)]
#[must_use = "nothing is sent before `send`"]
pub struct Configure {
    client: Client,
    id: Option<OperationId>,
    sku: String,
    expected_version: u64,
    settings: SkuSettings,
    options: Options,
}

/// Reads the settings of a SKU. Made by [`Client::settings`].
#[derive(Clone, Debug)]
#[must_use = "nothing is sent before `send`"]
pub struct GetSettings {
    pub(super) client: Client,
    sku: String,
    pub(super) level: Level,
    pub(super) timeout: Option<Duration>,
}

impl Client {
    /// Begins to replace the settings of a SKU, all at once. It is refused with
    /// [`Code::VersionStale`](crate::Code::VersionStale) unless they have that version: 0 if nothing was ever set, else
    /// what [`Client::settings`] told.
    pub fn configure(&self, sku: impl Into<String>, expected_version: u64, settings: SkuSettings) -> Configure {
        Configure {
            client: self.clone(),
            id: None,
            sku: sku.into(),
            expected_version,
            settings,
            options: Options::default(),
        }
    }

    /// Begins a read of the settings of a SKU.
    pub fn settings(&self, sku: impl Into<String>) -> GetSettings {
        GetSettings { client: self.clone(), sku: sku.into(), level: Level::default(), timeout: None }
    }
}

sends!(Configure, Configured(told) => told, SettingsChange);

impl Configure {
    fn prepare(self) -> Result<Prepared, Error> {
        let mut checks = Checks::default();
        let sku: Option<Sku> = checks.text(|| "sku".to_owned(), &self.sku);
        checks.settings(&self.settings);
        checks.finish()?;
        let shared = &self.client.shared;
        let id = self.id.unwrap_or_else(|| shared.operation_id());
        let request = v1::ConfigureSkuRequest {
            operation_id: Bytes::copy_from_slice(&id.to_bytes()),
            namespace: shared.namespace.as_str().to_owned(),
            sku: self.sku,
            expected_version: self.expected_version,
            settings: Some(self.settings.to_wire()),
            context: self.options.context(shared),
            delivery: None,
        };
        Ok(prepared(&self.client, sku, id, self.id.is_none(), Body::ConfigureSku(Box::new(request))))
    }
}

impl GetSettings {
    pub(super) fn prepare(self) -> Result<Prepared, Error> {
        let mut checks = Checks::default();
        let sku: Option<Sku> = checks.text(|| "sku".to_owned(), &self.sku);
        checks.finish()?;
        let sku = sku.expect("a bad SKU was refused before");
        let shared = &self.client.shared;
        let request = v1::GetSkuSettingsRequest {
            namespace: shared.namespace.as_str().to_owned(),
            sku: self.sku,
            level: self.level.to_wire(),
            token: self.client.wire_token(self.level),
            direct: false,
        };
        Ok(Prepared {
            body: Body::GetSkuSettings(request),
            bucket: Bucket::of(&shared.namespace, &sku),
            subject: None,
            made_here: false,
            any_replica: self.level != Level::Linearizable,
        })
    }
}

impl Checks {
    /// What a text or a number can't be. Everything else is for the servers to judge.
    fn settings(&mut self, settings: &SkuSettings) {
        if settings.safety_stock > POOL_QUANTITY_MAX {
            self.refuse("settings.safety_stock", format_args!("must be at most {POOL_QUANTITY_MAX}"));
        }
        if settings.owner_units.is_some_and(|limit| limit.units > POOL_QUANTITY_MAX) {
            self.refuse("settings.owner_units.units", format_args!("must be at most {POOL_QUANTITY_MAX}"));
        }
        if let Some(reason) = &settings.frozen {
            self.fits::<Reason>(|| "settings.frozen".to_owned(), reason);
        }
        let named: Vec<&String> = match settings.allocation.as_ref().map(|allocation| &allocation.strategy) {
            Some(Strategy::Priority(list)) => list.iter().collect(),
            Some(Strategy::NearestZone(list)) => list.iter().map(|(location, _)| location).collect(),
            Some(Strategy::MostStock | Strategy::FewestSplits) | None => Vec::new(),
        };
        for (index, location) in named.into_iter().enumerate() {
            let field = || format!("settings.allocation.locations[{index}].location");
            self.fits::<Location>(field, location);
        }
    }
}
