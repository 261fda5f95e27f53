//! How results are printed: a table for people, or JSON for programs.

use super::failure::Failure;
use clap::ValueEnum;
use comfy_table::{Cell, CellAlignment, Table, presets};
use serde::Serialize;
use std::io::{self, Write};
use std::process::ExitCode;

/// How results and errors are printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// For people.
    #[default]
    Table,
    /// One JSON value, for programs.
    Json,
}

/// A result that can be printed both ways.
pub(super) trait View: Serialize {
    /// For people.
    fn table(&self) -> String;
}

impl Output {
    /// Prints a result to standard output.
    pub(super) fn print(self, view: &impl View) -> Result<ExitCode, Failure> {
        let text = match self {
            Self::Table => view.table(),
            Self::Json => serde_json::to_string_pretty(view).expect("texts and numbers can be written as JSON"),
        };
        // Whoever reads may have seen enough: a closed pipe is no failure of the command.
        match writeln!(io::stdout(), "{text}") {
            Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(Failure::untold(&error)),
            _ => Ok(ExitCode::SUCCESS),
        }
    }
}

/// A table without lines. A column whose name begins with `#` holds numbers.
pub(super) fn table(columns: &[&str], rows: impl IntoIterator<Item = Vec<String>>) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header(columns.iter().map(|name| Cell::new(name.trim_start_matches('#').to_uppercase())));
    for row in rows {
        table.add_row(row);
    }
    for (column, name) in table.column_iter_mut().zip(columns) {
        column.set_padding((0, 2));
        if name.starts_with('#') {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table.trim_fmt()
}

/// A list of names and values.
pub(super) fn list<const N: usize>(entries: [(&str, String); N]) -> String {
    let width = entries.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    let lines = entries.iter().filter(|(_, value)| !value.is_empty());
    lines.map(|(name, value)| format!("{name:width$}  {value}")).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_stand_at_the_right() {
        let text =
            table(&["name", "#units"], [vec!["a".to_owned(), "5".to_owned()], vec!["b".to_owned(), "10".to_owned()]]);
        let lines: Vec<&str> = text.lines().map(str::trim_end).collect();
        assert_eq!(lines, ["NAME  UNITS", "a         5", "b        10"]);
    }

    #[test]
    fn a_list_leaves_out_what_is_empty() {
        let text = list([("id", "x".to_owned()), ("owner", String::new()), ("state", "held".to_owned())]);
        assert_eq!(text, "id     x\nstate  held");
    }
}
