//! The words of stories about what becomes of a reservation beside commit, release and extend.

use super::{Story, Words, duration};
use crate::support::*;
use earmark_ledger::{command::*, limits::PAYING_GRACE, types::*};

impl Story {
    /// What is asked of a reservation, if the line is of that kind.
    pub fn of_sale(&mut self, words: &Words<'_>) -> Option<Body> {
        let named = |story: &mut Self| story.operation(words.named.get("op"));
        let parts = || words.pairs().iter().map(|(units, pool)| part(pool, *units)).collect();
        let reason: Reason = words.named.get("why").map_or(Reason::default(), |why| why.parse().expect("a reason"));
        Some(match words.plain[0] {
            "replace" => Body::Replace(Replace {
                id: self.reservation(words.plain[1]),
                operation: named(self),
                namespace: words.named.get("in").unwrap_or(&"default").parse().expect("a namespace"),
                lines: self.lines(words),
                best_effort: words.has("best"),
                zone: 0,
                shards: Vec::new(),
            }),
            "paying" => Body::MarkPaying(MarkPaying {
                id: self.reservation(words.plain[1]),
                operation: named(self),
                grace: words.named.get("grace").map_or(PAYING_GRACE, |grace| duration(grace)),
            }),
            "ship" => Body::Ship(Ship { id: self.reservation(words.plain[1]), operation: named(self), parts: parts() }),
            "cancel" => Body::Cancel(Cancel {
                id: self.reservation(words.plain[1]),
                operation: named(self),
                parts: parts(),
                reason,
            }),
            "return" => Body::Return(Return {
                id: self.reservation(words.plain[1]),
                operation: named(self),
                parts: parts(),
                disposition: match words.has("apart") {
                    true => Disposition::Unavailable,
                    false => Disposition::Sellable,
                },
                reason,
            }),
            _ => return None,
        })
    }

    /// The lines of a reserve or replace. `shoe@ANY` lets the policy choose.
    pub fn lines(&self, words: &Words<'_>) -> Vec<Line> {
        let minimum = words.named.get("min").map_or(0, |units| units.parse().expect("units"));
        let line = |(quantity, pool): (u64, PoolKey)| {
            let line = Line { minimum: units(minimum), ..line(&pool, quantity) };
            match line.location.as_ref().is_some_and(|location| location.as_str() == "ANY") {
                true => Line { location: None, ..line },
                false => line,
            }
        };
        words.pairs().into_iter().map(line).collect()
    }
}
