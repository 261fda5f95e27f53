//! `docs/outcomes.md` says what the table in the code says, row by row.

use earmark_client::outcomes::{Effect, RetryClass, Row, TABLE};

const DOCUMENT: &str = include_str!("../../docs/outcomes.md");

/// The lines of a section, without its heading.
fn section(heading: &str) -> Vec<&'static str> {
    let after = DOCUMENT.lines().skip_while(|line| *line != heading).skip(1);
    after.take_while(|line| !line.starts_with("## ")).collect()
}

/// The wire's name of a status: `FailedPrecondition` is `FAILED_PRECONDITION`.
fn wire_name(name: &str) -> String {
    let mut told = String::new();
    for letter in name.chars() {
        if letter.is_ascii_uppercase() && !told.is_empty() {
            told.push('_');
        }
        told.push(letter.to_ascii_uppercase());
    }
    told
}

/// A row of the code's table as the document writes it, without its text.
fn written(row: &Row) -> Vec<String> {
    let retry = match row.retry {
        RetryClass::Never => "never",
        RetryClass::SameId => "same id",
        RetryClass::NewIntent => "new intent",
    };
    let effect = match row.effect {
        Effect::SurelyNone => "sure",
        Effect::Unknown => "unknown",
    };
    let grpc = wire_name(&format!("{:?}", row.grpc));
    vec![format!("`{}`", row.name), grpc, row.http.to_string(), retry.to_owned(), effect.to_owned()]
}

#[test]
fn every_row_of_the_document_is_a_row_of_the_table() {
    let mut rows = Vec::new();
    for line in section("## Codes").into_iter().filter(|line| line.starts_with("| `")) {
        let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
        assert_eq!(cells.len(), 6, "{line}");
        assert!(!cells[5].is_empty(), "what to do is missing: {line}");
        rows.push(cells[..5].iter().map(|cell| (*cell).to_owned()).collect::<Vec<_>>());
    }
    let expected: Vec<Vec<String>> = TABLE.iter().map(written).collect();
    assert_eq!(rows, expected);
}

#[test]
fn the_order_of_precedence_names_codes_of_the_table() {
    let ledgers = section("## Order of precedence").into_iter().skip_while(|line| !line.contains("`Refusal`"));
    let numbered = ledgers.filter_map(|line| line.split_once(". ").filter(|(number, _)| number.parse::<u32>().is_ok()));
    let names: Vec<&str> = numbered.map(|(_, name)| name).collect();
    assert_eq!(names.len(), 17, "{names:?}");
    for name in names {
        assert!(TABLE.iter().any(|row| row.name == name), "{name}");
    }
}
