//! The table of planted bugs in the docs: a row for each, written anew for those that were looked for.
//!
//! Rows of others stay as they are, so that the table can be made in several goes.

use super::Hunted;
use earmark_ledger::planted::Bug;
use std::collections::BTreeMap;

const BEGIN: &str = "<!-- begin: written by `make mutants` -->\n";
const END: &str = "<!-- end: written by `make mutants` -->\n";
const HEAD: &str = "| bug | what it does | promise | seeds | noticed by |\n|---|---|---|---|---|\n";

/// The text of the docs with the rows of these bugs anew.
///
/// # Errors
/// For people: the text has no place for the table.
pub fn write(text: &str, hunted: &[Hunted]) -> Result<String, String> {
    let (head, rest) = text.split_once(BEGIN).ok_or("the file has no generated part")?;
    let (before, tail) = rest.split_once(END).ok_or("the generated part has no end")?;
    let mut rows: BTreeMap<String, String> = before.lines().filter_map(named).collect();
    rows.extend(hunted.iter().filter_map(|found| named(&row(found)?)));
    let rows: Vec<String> = Bug::ALL.iter().filter_map(|bug| rows.remove(bug.name())).collect();
    Ok(format!("{head}{BEGIN}\n{HEAD}{}\n\n{}\n{END}{tail}", rows.join("\n"), summary(&rows)))
}

/// A row with the name of its bug.
fn named(line: &str) -> Option<(String, String)> {
    let name = line.strip_prefix("| `")?.split('`').next()?;
    Some((name.to_owned(), line.to_owned()))
}

fn row(found: &Hunted) -> Option<String> {
    let bug = super::named(&found.bug).ok()?;
    let by = match &found.caught {
        Some(caught) => caught.by.join(", "),
        None => "**nobody**".to_owned(),
    };
    Some(format!("| `{}` | {} | {} | {} | {by} |", bug.name(), bug.what(), bug.promise(), found.seeds))
}

/// How many there are, how many were noticed, and how soon.
fn summary(rows: &[String]) -> String {
    let cells = |row: &String| row.split(" | ").map(str::to_owned).collect::<Vec<_>>();
    let missed = rows.iter().filter(|row| row.contains("**nobody**")).count();
    let mut seeds: Vec<u64> = rows
        .iter()
        .filter(|row| !row.contains("**nobody**"))
        .filter_map(|row| cells(row).get(3)?.parse().ok())
        .collect();
    seeds.sort_unstable();
    let median = seeds.get(seeds.len() / 2).copied().unwrap_or(0);
    let most = seeds.last().copied().unwrap_or(0);
    let noticed = rows.len() - missed;
    format!(
        "{} bugs, {noticed} of them noticed: the median one after {median} seeds, the last after {most}.\n",
        rows.len()
    )
}

#[cfg(test)]
mod tests {
    use super::{super::Caught, *};

    fn found(bug: Bug, seeds: u64, by: Option<&str>) -> Hunted {
        let caught = by.map(|by| Caught { seed: seeds, by: vec![by.to_owned()], said: String::new() });
        Hunted { bug: bug.name().to_owned(), promise: bug.promise().to_owned(), seeds, caught, unsound: Vec::new() }
    }

    #[test]
    fn rows_of_other_bugs_stay() {
        let text = format!("before\n{BEGIN}{END}after\n");
        let first = write(&text, &[found(Bug::WrongWaiter, 3, Some("one-effect")), found(Bug::NoPreVote, 9, None)]);
        let second = write(&first.expect("written"), &[found(Bug::NoPreVote, 2, Some("calm"))]).expect("written");
        assert!(second.starts_with("before\n") && second.ends_with("after\n"), "{second}");
        assert!(second.contains("| 3 | one-effect |") && second.contains("| 2 | calm |"), "{second}");
        assert!(
            second.contains("2 bugs, 2 of them noticed: the median one after 3 seeds, the last after 3."),
            "{second}"
        );
        assert!(second.find("no-pre-vote") < second.find("wrong-waiter"), "in the order of the list");
        assert!(write("nothing", &[]).is_err());
    }
}
