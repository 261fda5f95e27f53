//! The words of stories about keeping stock.

use super::{Story, Words, duration, moment, pool_line, pool_name};
use crate::support::*;
use earmark_ledger::{command::*, outcome::*, settings::*, types::*};

impl Story {
    /// What a keeper of the stock asks, if the line is of that kind.
    pub fn stockkeeping(&mut self, words: &Words<'_>) -> Option<Body> {
        let operation = |story: &mut Self| story.operation(words.named.get("op"));
        let reason: Reason = words.named.get("why").map_or(Reason::default(), |why| why.parse().expect("a reason"));
        let document = words.named.get("doc").map_or(Document::default(), |doc| doc.parse().expect("a document"));
        let number = |name: &str| words.named.get(name).map(|units| units.parse::<u64>().expect("a number"));
        let pair = || words.pairs().remove(0);
        let step = |step| {
            let (quantity, pool) = pair();
            (step, units(quantity), pool)
        };
        let quarantine = |story: &mut Self, (step, quantity, pool)| {
            let operation = story.operation(words.named.get("op"));
            let reason = reason.clone();
            Stockkeeping::Quarantine(Quarantine { operation, pool, step, quantity, reason })
        };
        let asked = match words.plain[0] {
            "set" => {
                let (on_hand, pool) = pair();
                let expected_on_hand = number("expect").map(units);
                let overriding = words.has("override");
                let (operation, on_hand) = (operation(self), units(on_hand));
                Stockkeeping::Set(SetOnHand { operation, pool, on_hand, expected_on_hand, overriding, reason })
            }
            "count" => {
                let (counted, pool) = pair();
                let on_hand = units(number("books").unwrap_or(0));
                let moment = words.named.get("seen").map(|time| BASE.plus(duration(time)));
                // With the number of counts the proposer knew of, as every build of today notes it.
                let counts = number("counts");
                let observed = moment.map(|moment| Observed {
                    at: ObservedAt::Time(moment),
                    on_hand,
                    seen: counts.map(|counts| Seen { moment, counts }),
                });
                let (operation, counted) = (operation(self), units(counted));
                Stockkeeping::Count(Count { operation, pool, counted, observed, document, reason })
            }
            "quarantine" => quarantine(self, step(QuarantineStep::SetApart)),
            "unquarantine" => quarantine(self, step(QuarantineStep::Back)),
            "writeoff" => quarantine(self, step(QuarantineStep::WriteOff)),
            "transfer" => {
                let (quantity, from) = pair();
                let to = words.named["to"].parse().expect("a location");
                let (operation, quantity) = (operation(self), units(quantity));
                let immediate = words.has("now");
                Stockkeeping::Transfer(Transfer { operation, from, to, quantity, immediate, document, reason })
            }
            "arrive" => {
                let (namespace, sku) = (Namespace::default(), words.plain[1].parse().expect("a sku"));
                let transfer = self.operation(words.named.get("of"));
                let (received, lost) = (number("got").unwrap_or(0), number("lost").unwrap_or(0));
                let (operation, received, lost) = (operation(self), units(received), units(lost));
                Stockkeeping::Arrive(Arrive { operation, namespace, sku, transfer, received, lost, document, reason })
            }
            "expect" => {
                let (quantity, pool) = pair();
                let date = BASE.plus(duration(words.named.get("on").unwrap_or(&"0s")));
                let (operation, quantity) = (operation(self), units(quantity));
                Stockkeeping::Expect(Expect { operation, pool, document, date, quantity })
            }
            "configure" => return Some(self.configure(words)),
            _ => return None,
        };
        Some(Body::Stockkeeping(asked))
    }

    fn configure(&mut self, words: &Words<'_>) -> Body {
        let named = |name: &str| words.named.get(name).copied();
        let number = |name: &str| named(name).map(|number| number.parse::<u64>().expect("a number"));
        let time = |name: &str| named(name).map(duration);
        let list = |text: &str| -> Vec<(Location, u32)> {
            let zoned = text.split(',').map(|item| item.split_once(':').unwrap_or((item, "0")));
            zoned.map(|(name, zone)| (name.parse().expect("a name"), zone.parse().expect("a zone"))).collect()
        };
        let strategy = named("policy").map(|policy| match policy.split_once('/') {
            None if policy == "most" => Strategy::MostStock,
            None => Strategy::FewestSplits,
            Some(("list", names)) => Strategy::Priority(list(names).into_iter().map(|(name, _)| name).collect()),
            Some((_, names)) => Strategy::NearestZone(list(names)),
        });
        let places = number("places").map_or(16, |places| u32::try_from(places).expect("small"));
        let settings = Settings {
            deduct: if words.has("on-ship") { Deduct::OnShip } else { Deduct::OnCommit },
            safety_stock: units(number("safety").unwrap_or(0)),
            hold_time: time("hold"),
            owner_units: number("units")
                .map(|most| UnitLimit { units: units(most), window: time("window").unwrap_or(DurationMs::days(1)) }),
            owner_holds: number("holds").map(|holds| u32::try_from(holds).expect("small")),
            frozen: named("frozen").map(|why| why.parse().expect("a reason")),
            opens: time("opens").map(|time| BASE.plus(time)),
            closes: time("closes").map(|time| BASE.plus(time)),
            cancel_window: time("cancel"),
            return_window: time("return"),
            allocation: strategy.map(|strategy| Allocation { strategy, places }),
        };
        configure(self.operation(words.named.get("op")), words.plain[1], number("version").unwrap_or(0), settings)
    }

    /// What a question about keeping stock is answered, if the line is one.
    pub fn read_stock(&mut self, words: &Words<'_>) -> Option<String> {
        let ledger = &self.shard.ledger;
        let namespace = Namespace::default();
        let sku = || words.plain[1].parse().expect("a sku");
        Some(match words.plain[0] {
            "shortages" => ledger.shortages(&namespace, None, 100).iter().map(|view| self.shortage(view)).collect(),
            "in-transit" => {
                let transits = ledger.in_transit(&namespace, &sku(), None, 100).expect("is known");
                transits.iter().map(transit).collect()
            }
            "expected" => {
                let expected = ledger.expected(&namespace, &sku()).expect("is known");
                let line = |view: &ExpectedView| {
                    let on = moment(view.date);
                    format!("{} on {on}: {} by {}\n", pool_name(&view.pool), view.quantity, view.document)
                };
                expected.iter().map(line).collect()
            }
            "settings" => settings(&ledger.settings(&namespace, &sku()).expect("is known")),
            "hold-time" => {
                let skus: Vec<Sku> = words.plain[1..].iter().map(|sku| sku.parse().expect("a sku")).collect();
                format!("{}\n", moment(BASE.plus(ledger.hold_time(&namespace, &skus))))
            }
            "expiring" => {
                let (from, to) = (BASE.plus(duration(words.plain[1])), BASE.plus(duration(words.plain[2])));
                let holds = ledger.expiring(from, to, 100);
                holds.iter().map(|(time, id)| format!("{} at {}\n", self.name_of(*id), moment(*time))).collect()
            }
            "owned" => {
                let owner = words.plain[1].parse().expect("an owner");
                let page = ledger.reservations_of(&namespace, &owner, None, 100);
                page.iter().map(|view| format!("{} {:?}\n", self.name_of(view.id), view.state)).collect()
            }
            _ => return None,
        })
    }

    fn name_of(&self, id: ReservationId) -> String {
        let known = self
            .names
            .iter()
            .find(|(_, number)| self.made.get(number).is_some_and(|made| reservation_id(*made, **number) == id));
        known.map_or_else(|| id.to_string(), |(name, _)| name.clone())
    }

    pub fn shortage(&self, view: &ShortageView) -> String {
        let newest = view.newest.iter().map(|hold| format!("{} {}", self.name_of(hold.reservation), hold.held));
        let newest: String = newest.map(|hold| format!(" {hold},")).collect();
        let newest = if newest.is_empty() { newest } else { format!(":{}", newest.trim_end_matches(',')) };
        let (pool, since) = (pool_name(&view.pool), moment(view.since));
        let by = view.by.index;
        let (units, at_risk) = (view.units, view.at_risk);
        format!("SHORTAGE of {units} {pool} since {since} by entry {by}, {at_risk} at risk{newest}\n")
    }

    pub fn change(&self, change: &StockChange) -> String {
        let beyond = if change.beyond.is_zero() { String::new() } else { format!(", beyond {}", change.beyond) };
        let shortage = change.shortage.as_ref().map_or(String::new(), |view| self.shortage(view));
        format!("{} ({:+}{beyond})\n{shortage}", pool_line(&change.pool), change.delta)
    }
}

pub fn transferred(told: &Transferred) -> String {
    format!("{}{}\n{}\n", transit(&told.transfer), pool_line(&told.from), pool_line(&told.to))
}

fn transit(view: &TransferView) -> String {
    let (from, to) = (&view.from.location, pool_name(&view.to));
    let (sent, received, lost, left) = (view.sent, view.received, view.lost, view.in_transit());
    format!("{sent} from {from} to {to} since {}: received {received} lost {lost} left {left}\n", moment(view.since))
}

pub fn settings(view: &SettingsView) -> String {
    if view.settings == Settings::default() {
        return format!("version {}: nothing set\n", view.version);
    }
    let Settings { deduct, safety_stock, hold_time, owner_units, owner_holds, frozen, opens, closes, .. } =
        &view.settings;
    let Settings { cancel_window, return_window, allocation, .. } = &view.settings;
    let time = |length: &DurationMs| moment(BASE.plus(*length));
    let told = [
        (*deduct == Deduct::OnShip).then(|| "on ship".to_owned()),
        (!safety_stock.is_zero()).then(|| format!("safety {safety_stock}")),
        hold_time.as_ref().map(|length| format!("hold {}", time(length))),
        owner_units.as_ref().map(|limit| format!("{} units an owner in {}", limit.units, time(&limit.window))),
        owner_holds.map(|holds| format!("{holds} holds an owner")),
        frozen.as_ref().map(|why| format!("frozen for {why}")),
        opens.map(|time| format!("opens {}", moment(time))),
        closes.map(|time| format!("closes {}", moment(time))),
        cancel_window.as_ref().map(|length| format!("cancel within {}", time(length))),
        return_window.as_ref().map(|length| format!("return within {}", time(length))),
        allocation.as_ref().map(|policy| format!("{:?} in {} places", policy.strategy, policy.places)),
    ];
    let told = told.into_iter().flatten().collect::<Vec<_>>().join(", ");
    format!("version {}: {told}\n", view.version)
}
