//! What a whole history tells of its reservations, before any part of it is judged.

use crate::history::{Action, End, Held, History, Line, Operation, Told};
use std::collections::{BTreeMap, BTreeSet};

/// By reservation.
pub(super) struct Known<'a> {
    history: &'a History,
    /// Every pool that anyone tried to hold for it.
    pub(super) pools: BTreeMap<&'a str, BTreeSet<&'a str>>,
    /// Somebody tried to move its deadline.
    pub(super) moved: BTreeSet<&'a str>,
    /// Somebody tried to give it other lines.
    pub(super) replaced: BTreeSet<&'a str>,
    /// Operations that somebody was told found no reservation, or one whose time was over.
    pub(super) found_nothing: BTreeSet<&'a str>,
    /// The earliest deadline that anyone was told.
    pub(super) first_told: BTreeMap<&'a str, u64>,
    /// As it was shown at any time.
    shown: BTreeMap<&'a str, &'a Held>,
}

impl<'a> Known<'a> {
    pub(super) fn new(history: &'a History) -> Self {
        let mut known = Self {
            history,
            pools: BTreeMap::new(),
            moved: BTreeSet::new(),
            replaced: BTreeSet::new(),
            found_nothing: BTreeSet::new(),
            first_told: BTreeMap::new(),
            shown: BTreeMap::new(),
        };
        for operation in &history.operations {
            let Some(id) = operation.action.reservation() else { continue };
            match &operation.action {
                Action::Extend { .. } | Action::MarkPaying { .. } => drop(known.moved.insert(id)),
                Action::Replace { .. } => drop(known.replaced.insert(id)),
                _ => {}
            }
            if let Action::Reserve { lines, .. } | Action::Replace { lines, .. } = &operation.action {
                known.pools.entry(id).or_default().extend(lines.iter().map(|line| line.sku.as_str()));
            }
            if let (Some(own), End::Refused { code, .. }) = (operation.action.operation(), &operation.end)
                && matches!(code.as_str(), "NOT_FOUND" | "RESERVATION_EXPIRED")
            {
                known.found_nothing.insert(own);
            }
            if let Some(Told::Reservation(view)) = operation.told()
                && !matches!(view.state.as_str(), "open" | "rejected")
            {
                let first = known.first_told.entry(id).or_insert(view.deadline_ms);
                *first = view.deadline_ms.min(*first);
                known.shown.insert(id, view);
            }
        }
        let after = history.after.iter().flat_map(|after| &after.reservations);
        let held = after.filter_map(|(id, view)| Some((id.as_str(), view.as_ref()?)));
        known.shown.extend(held.filter(|(_, view)| !matches!(view.state.as_str(), "open" | "rejected")));
        known
    }

    /// What was read in the end under this id, if it was: none if nothing was ever held.
    pub(super) fn read_after(&self, id: &str) -> Option<Option<&'a Held>> {
        let read = self.history.after.as_ref()?.reservations.get(id)?;
        Some(read.as_ref().filter(|held| held.state != "rejected"))
    }

    /// What a reserve got, if anyone was told.
    pub(super) fn got(&self, id: &str, operation: &Operation) -> Option<Vec<Line>> {
        match &operation.end {
            End::Done { told: Told::Reserved { lines, .. }, .. } => Some(lines.clone()),
            _ if self.replaced.contains(id) => None,
            _ => {
                let lines = self.shown.get(id)?.lines.iter().map(|line| Line {
                    sku: line.sku.clone(),
                    units: line.held + line.committed + line.released + line.expired,
                });
                Some(lines.collect())
            }
        }
    }
}
