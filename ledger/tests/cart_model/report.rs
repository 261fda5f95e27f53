//! What was found, as text: for the terminal, and for the part of `docs/carts.md` that nobody writes by hand.

use super::{
    check::{self, Checked},
    configurations::{Configuration, Plan},
    messages::cart_name,
    model::CartModel,
    mutations::Entry,
    properties,
};
use std::fmt::Write;

/// The head of the table of worlds.
pub const WORLDS_HEAD: &str = "\
| world | what happens in it | bounds | states | steps | |
|---|---|---|---|---|---|
";

/// The numbered properties.
pub fn properties() -> String {
    let numbered = (1..).zip(properties::SAFE);
    numbered.map(|(number, property)| format!("{number}. {property}\n")).collect()
}

/// One row of the table of worlds.
pub fn world(configuration: &Configuration, checked: &Checked) -> String {
    let Configuration { name, about, .. } = configuration;
    let plans: Vec<String> = (0..).zip(&configuration.carts).map(|(cart, plan)| bounds(cart, plan)).collect();
    let bounds = plans.join("; ");
    let Checked { states, depth, always, sometimes, failed, unreached } = checked;
    let holds = if failed.is_empty() { format!("{} properties hold", always.len()) } else { "FAILS".to_owned() };
    let reached = format!("{} of {} ends reached", sometimes.len() - unreached.len(), sometimes.len());
    format!("| {name} | {about} | {bounds} | {states} | {depth} | {holds}, {reached} |\n")
}

/// What went wrong in a world, if anything did.
pub fn failures(checked: &Checked) -> String {
    let mut text = String::new();
    for (property, steps) in &checked.failed {
        let _ = writeln!(text, "\n**Does not hold: {property}**\n\n{}", numbered(steps));
    }
    for name in &checked.unreached {
        let _ = writeln!(text, "\n**Not reached: {name}**");
    }
    text
}

/// One mutation with the shortest way to its harm, or with what was explored in vain.
pub fn mutation(entry: &Entry) -> String {
    let model = CartModel::mutated(entry.mutation);
    let world = model.configuration.name;
    let mut text = format!("### Rule {}: {}\n\n", entry.rule, entry.about);
    if let Some(property) = entry.breaks {
        let _ = writeln!(text, "World \"{world}\". Broken: {property}.\n");
        match check::counterexample(&model, property) {
            Some(steps) => text.push_str(&numbered(&steps)),
            None => text.push_str("NO COUNTEREXAMPLE.\n"),
        }
    } else {
        let checked = check::everything(model);
        let holds = if checked.failed.is_empty() { "All properties hold" } else { "FAILS" };
        let _ = writeln!(text, "World \"{world}\". {holds}, in {} states.", checked.states);
        text.push_str(&failures(&checked));
    }
    text
}

fn numbered(steps: &[String]) -> String {
    (1..).zip(steps).map(|(number, step)| format!("{number}. {step}\n")).collect()
}

fn bounds(cart: usize, plan: &Plan) -> String {
    let lines: Vec<String> = plan.lines.iter().map(ToString::to_string).collect();
    let mut text = format!("{} at home {} wants {}", cart_name(cart), plan.home, lines.join("+"));
    let counted = [
        (plan.tries - 1, "more try", "more tries"),
        (plan.replaces, "replace", "replaces"),
        (plan.extends, "extend", "extends"),
        (plan.revives, "late commit", "late commits"),
        (plan.returns, "return", "returns"),
    ];
    for (count, one, several) in counted {
        if count > 0 {
            let _ = write!(text, ", {count} {}", if count == 1 { one } else { several });
        }
    }
    text
}
