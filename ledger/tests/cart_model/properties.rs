//! What must hold in every state, and what must be reached in some so that the former says anything.

use super::{
    configurations::{Configuration, Plan},
    model::CartModel,
    state::{Broken, Cart, Phase, SHARDS, State},
};
use stateright::Property;

pub const OVERSELL: &str = "no shard holds and sells more than it has";
pub const WHOLE: &str = "what home tells as held or committed is there, at every participant";
pub const BEYOND: &str = "no participant sells or takes back what home did not decide";
pub const TOTALS: &str = "a committed unit is never given back: no total falls";
pub const UNITS: &str = "no participant is told to hold or sell units that it does not have";
pub const LIVE: &str = "no hold is told as live at or after its deadline";
pub const NUMBERS: &str = "one number, one decision";
pub const FLOORS: &str = "no floor is above an unanswered number";
pub const ONCE: &str = "one id, one effect";
pub const SETTLES: &str = "once rows and answers get through, nothing is in doubt and all say the same";
pub const HEALS: &str = "once deadlines pass too, nothing is held, and late messages change nothing";

/// Properties that hold in every state, in the order in which they are shown.
pub const SAFE: [&str; 11] = [OVERSELL, WHOLE, BEYOND, TOTALS, UNITS, LIVE, NUMBERS, FLOORS, ONCE, SETTLES, HEALS];

/// All properties of a model: the safe ones, and what its configuration must be able to reach.
pub fn all(model: &CartModel) -> Vec<Property<CartModel>> {
    let mut properties = vec![
        Property::always(OVERSELL, |model: &CartModel, state: &State| {
            (0..SHARDS).all(|shard| model.available(state, shard) >= 0)
        }),
        Property::always(WHOLE, whole),
        Property::always(BEYOND, not_beyond),
        Property::always(TOTALS, |_, state: &State| state.broken != Some(Broken::TotalFell)),
        Property::always(UNITS, |_, state: &State| state.broken != Some(Broken::UnitsMissing)),
        Property::always(LIVE, |_, state: &State| state.broken != Some(Broken::LiveAfterDeadline)),
        Property::always(NUMBERS, |_, state: &State| !state.reused),
        Property::always(FLOORS, floors),
        Property::always(ONCE, once),
        Property::always(SETTLES, |model, state: &State| state.broken.is_some() || model.unsettled(state).is_none()),
        Property::always(HEALS, |model, state: &State| state.broken.is_some() || model.unhealed(state).is_none()),
    ];
    // A broken protocol is asked only for its counterexample.
    if model.mutation.is_none() {
        let reached = REACHED.iter().filter(|reached| (reached.applies)(&model.configuration));
        properties.extend(reached.map(|reached| Property::sometimes(reached.name, reached.condition)));
    }
    properties
}

fn whole(model: &CartModel, state: &State) -> bool {
    (0..state.carts.len()).all(|cart| {
        model.participants(cart).all(|participant| {
            let (decided, pool) = (state.decided[cart][participant], state.pools[cart][participant]);
            let to_sell = decided.committed.saturating_sub(pool.committed);
            let units = state.records[cart][participant].map_or(0, |record| record.units());
            // What is overdue at home is not told as held any more.
            let held = if state.overdue(cart) { 0 } else { state.carts[cart].held[participant] };
            units >= held + to_sell
        })
    })
}

fn not_beyond(model: &CartModel, state: &State) -> bool {
    (0..state.carts.len()).all(|cart| {
        model.participants(cart).all(|participant| {
            let (decided, pool) = (state.decided[cart][participant], state.pools[cart][participant]);
            pool.committed <= decided.committed && pool.returned <= decided.returned
        })
    })
}

fn floors(model: &CartModel, state: &State) -> bool {
    (0..state.carts.len()).all(|cart| {
        let home = model.configuration.carts[cart].home;
        model.participants(cart).all(|participant| {
            let Cart { rows, oldest, .. } = &state.carts[cart];
            rows[participant].is_none() || state.floors[participant][home] <= oldest[participant]
        })
    })
}

/// A cart is held once, and no line is sold more often than it was ever held. An id without a time of its own may begin
/// anew once it is forgotten.
fn once(model: &CartModel, state: &State) -> bool {
    (0..state.carts.len()).all(|cart| {
        let plan = &model.configuration.carts[cart];
        let times = 1 + state.callers[cart].anew;
        let most = |shard: usize| times * plan.lines[shard].max(plan.replacement.map_or(0, |new| new[shard]));
        state.callers[cart].held_times <= times
            && (0..SHARDS).all(|shard| state.decided[cart][shard].committed <= most(shard))
    })
}

/// Something that a configuration must be able to come to.
struct Reached {
    name: &'static str,
    applies: fn(&Configuration) -> bool,
    condition: fn(&CartModel, &State) -> bool,
}

const REACHED: [Reached; 13] = [
    Reached {
        name: "a cart is held and all know it",
        applies: |_| true,
        condition: |_, state| state.carts.iter().any(|it| it.phase == Phase::Held && it.settled() && !it.preparing()),
    },
    Reached {
        name: "a cart is sold and all know it",
        applies: |of| any(of, |plan| plan.commit),
        condition: |_, state| {
            (0..state.carts.len())
                .any(|cart| state.carts[cart].phase == Phase::Committed && state.carts[cart].settled())
        },
    },
    Reached {
        name: "a cart is refused, tried again and held",
        applies: |of| any(of, |plan| plan.tries > 1),
        condition: |_, state| {
            (0..state.carts.len()).any(|cart| state.callers[cart].tries > 1 && state.carts[cart].phase == Phase::Held)
        },
    },
    Reached {
        name: "one cart keeps the other out",
        applies: |of| of.carts.len() > 1,
        condition: |_, state| {
            let phases = || state.carts.iter().map(|it| it.phase);
            phases().any(|phase| matches!(phase, Phase::Rejected { contended: false }))
                && phases().any(|phase| matches!(phase, Phase::Held | Phase::Committed))
        },
    },
    Reached {
        name: "the last cart is held",
        applies: |of| of.carts.len() > 1,
        condition: |_, state| state.carts.last().is_some_and(|it| it.phase == Phase::Held),
    },
    Reached {
        name: "an extended hold outlives its first deadline",
        applies: |of| any(of, |plan| plan.extends > 0),
        condition: |_, state| {
            let lives = |cart: usize| state.carts[cart].phase == Phase::Held && !state.overdue(cart);
            (0..state.carts.len()).any(|cart| lives(cart) && state.passed[cart] > 0)
        },
    },
    Reached {
        name: "a replacement is sold",
        applies: |of| any(of, |plan| plan.replaces > 0),
        condition: |model, state| {
            let replaced =
                |cart: usize| model.configuration.carts[cart].replacement == Some(state.carts[cart].committed);
            (0..state.carts.len()).any(replaced)
        },
    },
    Reached {
        name: "a replacement is given up and the old lines are sold",
        applies: |of| any(of, |plan| plan.replaces > 0),
        condition: |model, state| {
            let kept = |cart: usize| model.configuration.carts[cart].lines == state.carts[cart].committed;
            (0..state.carts.len()).any(|cart| state.callers[cart].replaces > 0 && kept(cart))
        },
    },
    Reached {
        name: "a late commit goes through",
        applies: |of| any(of, |plan| plan.revives > 0),
        condition: |_, state| {
            (0..state.carts.len())
                .any(|cart| state.callers[cart].revives > 0 && state.carts[cart].phase == Phase::Committed)
        },
    },
    Reached {
        name: "a late commit is refused",
        applies: |of| any(of, |plan| plan.revives > 0),
        condition: |_, state| {
            (0..state.carts.len())
                .any(|cart| state.callers[cart].revives > 0 && state.carts[cart].phase == Phase::Expired)
        },
    },
    Reached {
        name: "a sold unit comes back",
        applies: |of| any(of, |plan| plan.returns > 0),
        condition: |_, state| state.pools.iter().flatten().any(|pool| pool.returned > 0),
    },
    Reached {
        name: "a cart that ended is forgotten everywhere",
        applies: |of| of.forgets,
        condition: |_, state| {
            let nobody_knows = |cart: usize| {
                state.carts[cart].phase == Phase::Unknown && state.records[cart].iter().all(Option::is_none)
            };
            (0..state.carts.len()).any(|cart| state.callers[cart].too_old && nobody_knows(cart))
        },
    },
    Reached {
        name: "an id begins anew, and both its carts are sold",
        applies: |of| any(of, |plan| plan.anew),
        condition: |_, state| {
            let sold = |cart: usize| state.pools[cart].iter().any(|pool| pool.committed > 1);
            (0..state.carts.len()).any(|cart| state.callers[cart].anew > 0 && sold(cart))
        },
    },
];

fn any(configuration: &Configuration, wanted: fn(&Plan) -> bool) -> bool {
    configuration.carts.iter().any(wanted)
}
