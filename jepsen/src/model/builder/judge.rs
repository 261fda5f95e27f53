//! What the end of an operation says of the pools of a case.

use super::{
    super::{
        act::{Judged, Rule, Seen},
        shelf::Units,
    },
    Builder,
};
use crate::history::{Balance, End, Held, Line, LineState, Operation, Told, Tried};

impl Builder<'_> {
    /// Of what was done to pools, the first of which is named here.
    pub(super) fn kept(&self, pools: &[u16], end: &End) -> Option<Judged> {
        let exact = |told: &Balance| {
            let sku = self.sku(&told.sku)?;
            self.exact.contains(&sku).then(|| (sku, seen(told)))
        };
        match end {
            End::Unknown { .. } => Some(Judged::Unknown),
            End::Refused { code, logged, .. } => {
                let logged = *logged;
                match code.as_str() {
                    "NOT_FOUND" => Some(Judged::NotHeld),
                    "INSUFFICIENT_STOCK" if pools.iter().all(|sku| self.exact.contains(sku)) => {
                        Some(Judged::Short { skus: pools.to_vec(), logged })
                    }
                    "VERSION_STALE" => self.stale(pools, logged),
                    _ => None,
                }
            }
            End::Done { told, replayed, .. } => Some(match told {
                // By how much a count changed what is there is said by a repeat as well.
                Told::Corrected { balance, delta, .. } => {
                    let seen = if *replayed { None } else { exact(balance) };
                    Judged::Corrected { seen, delta: *delta }
                }
                Told::Settings { version, settings } if !replayed => Judged::Settings(*version, settings.clone()),
                // The answer to an earlier sending shows an earlier moment.
                _ if *replayed => Judged::Done,
                Told::Seen { .. } => return None,
                told => {
                    let seen: Vec<_> = told.balances().into_iter().filter_map(exact).collect();
                    if seen.is_empty() { Judged::Done } else { Judged::Balances(seen) }
                }
            }),
        }
    }

    /// On hand of carts' pools is not that of one moment.
    fn stale(&self, pools: &[u16], logged: bool) -> Option<Judged> {
        let known = pools.iter().all(|sku| self.exact.contains(sku));
        known.then_some(Judged::Ruled { by: Rule::Stale, logged })
    }

    pub(super) fn reserved(&self, id: &str, lines: &[Line], end: &End) -> Option<Judged> {
        match end {
            End::Unknown { .. } => match self.known.read_after(id) {
                Some(None) => None,
                // It happened, and nobody moved its deadline.
                Some(Some(held)) if !self.known.moved.contains(id) => Some(Judged::Until(held.deadline_ms)),
                Some(Some(_)) => {
                    let told = self.known.first_told.get(id);
                    Some(told.map_or(Judged::Unknown, |told| Judged::Before(*told)))
                }
                None => Some(Judged::Unknown),
            },
            End::Done { told: Told::Reserved { deadline_ms, .. }, .. } => Some(Judged::Until(*deadline_ms)),
            End::Done { .. } => None,
            End::Refused { .. } => self.refused(lines, end),
        }
    }

    /// Why lines can't be held.
    fn refused(&self, lines: &[Line], end: &End) -> Option<Judged> {
        let End::Refused { code, short, logged, .. } = end else { return None };
        let asked = self.parts(lines);
        let ruled = |by| {
            // In a cart every shard judges its own lines, at a moment of its own.
            let one = asked.len() == lines.len() && self.are_exact(&asked);
            one.then_some(Judged::Ruled { by, logged: *logged })
        };
        match code.as_str() {
            "INSUFFICIENT_STOCK" => {
                let all = short.iter().all(|line| self.sku(&line.sku).is_some());
                let told: Vec<u16> = self.parts(short).into_iter().map(|(sku, _)| sku).collect();
                // With lines of other SKUs short too, these may have been enough.
                let sure = all && !told.is_empty() && !asked.is_empty();
                sure.then_some(Judged::Short { skus: told, logged: *logged })
            }
            "SKU_FROZEN" => ruled(Rule::Frozen),
            "LIMIT_EXCEEDED" => ruled(Rule::Limit),
            _ => None,
        }
    }

    pub(super) fn tried(&self, tried: &Tried) -> Option<Judged> {
        match tried {
            Tried::Held(_) => Some(Judged::WouldHold),
            Tried::Refused { code, short } => match code.as_str() {
                "INSUFFICIENT_STOCK" => {
                    let skus = self.parts(short).into_iter().map(|(sku, _)| sku).collect();
                    Some(Judged::Short { skus, logged: false })
                }
                "SKU_FROZEN" => Some(Judged::Ruled { by: Rule::Frozen, logged: false }),
                "LIMIT_EXCEEDED" => Some(Judged::Ruled { by: Rule::Limit, logged: false }),
                _ => None,
            },
        }
    }

    pub(super) fn replaced(&self, id: &str, lines: &[Line], end: &End) -> Option<Judged> {
        match end {
            End::Refused { code, .. } if code != "NOT_FOUND" && code != "RESERVATION_EXPIRED" => {
                self.refused(lines, end)
            }
            _ => self.changed(id, end, |_| 1),
        }
    }

    /// A repeat is told the answer of its first sending, so either shows the new deadline.
    pub(super) fn extended(&self, id: &str, operation: &Operation) -> Option<Judged> {
        match operation.told() {
            Some(Told::Reservation(held)) => Some(self.view(held)),
            _ => self.changed(id, &operation.end, |_| 1),
        }
    }

    /// Of what was done to a reservation; `did` says how many units show it afterwards.
    pub(super) fn changed(&self, id: &str, end: &End, did: impl Fn(&LineState) -> u64) -> Option<Judged> {
        match end {
            // What never shows did not happen.
            End::Unknown { .. } => match self.known.read_after(id) {
                Some(None) => None,
                Some(Some(held)) => held.lines.iter().any(|line| did(line) > 0).then_some(Judged::Unknown),
                None => Some(Judged::Unknown),
            },
            End::Done { told: Told::Reservation(held), replayed, .. } => {
                if held.state == "rejected" || held.state == "open" {
                    return (held.state == "rejected").then_some(Judged::NotHeld);
                }
                Some(if *replayed { Judged::Done } else { self.view(held) })
            }
            End::Done { .. } => None,
            End::Refused { code, .. } => {
                let (_, whole) = self.reservations.get(id).copied()?;
                match code.as_str() {
                    "NOT_FOUND" => Some(Judged::NotHeld),
                    "RESERVATION_EXPIRED" if whole => Some(Judged::Over),
                    _ => None,
                }
            }
        }
    }

    fn view(&self, held: &Held) -> Judged {
        let lines = held.lines.iter().filter_map(|line| {
            Some(Units {
                sku: self.sku(&line.sku)?,
                held: line.held,
                committed: line.committed,
                released: line.released,
                expired: line.expired,
                shipped: line.shipped,
                cancelled: line.cancelled,
                returned: line.returned,
                apart: line.apart,
                on_ship: false,
                cancel: false,
            })
        });
        let mut lines: Vec<Units> = lines.collect();
        lines.sort_by_key(|line| line.sku);
        Judged::Reservation { deadline_ms: held.deadline_ms, lines }
    }
}

fn seen(told: &Balance) -> Seen {
    Seen {
        on_hand: told.on_hand,
        held: told.held,
        committed: told.committed,
        unavailable: told.unavailable,
        in_transit: told.in_transit,
        expected: told.expected,
    }
}
