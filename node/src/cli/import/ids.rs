//! The id of each operation: the same on every run of the same import, so that a repeat is known as one.
//!
//! It is a UUID of version 7. Its time is when the block of the row was opened, which the progress file keeps; the rest is
//! a hash of the import, the row and its cells. Another import, another row or another cell makes another id.

use super::row::Row;
use earmark_client::{OperationId, TimeMs};
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_128;

/// Names an import: random, made once, kept in its progress file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub(super) struct ImportId(u128);

/// Which operation of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    Stock,
    /// The number counts how often settings were read for the block.
    Settings(u32),
}

impl ImportId {
    pub(super) fn random() -> Self {
        Self(rand::random())
    }

    /// The id of an operation in a block that was opened at that time.
    pub(super) fn operation(self, opened: TimeMs, row: &Row, part: Part) -> OperationId {
        let (tag, round) = match part {
            Part::Stock => (0, 0),
            Part::Settings(round) => (1, round),
        };
        let mut bytes = Vec::with_capacity(64);
        bytes.extend_from_slice(&self.0.to_le_bytes());
        bytes.extend_from_slice(&row.number.to_le_bytes());
        bytes.extend_from_slice(&row.content.to_le_bytes());
        bytes.push(tag);
        bytes.extend_from_slice(&u32::to_le_bytes(round));
        let hash = xxh3_128(&bytes).to_le_bytes();
        let random: [u8; 10] = hash[..10].try_into().expect("16 bytes have 10");
        let uuid = uuid::Builder::from_unix_timestamp_millis(opened.0, &random).into_uuid();
        OperationId::from_slice(uuid.as_bytes()).expect("a UUID of version 7")
    }
}

impl From<ImportId> for String {
    fn from(id: ImportId) -> Self {
        format!("{:032x}", id.0)
    }
}

impl TryFrom<String> for ImportId {
    type Error = std::num::ParseIntError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        u128::from_str_radix(&text, 16).map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    fn row(number: u64, content: u128) -> Row {
        let (sku, location) = (String::new(), String::new());
        Row { number, line: 0, content, action: None, sku, location, task: Err(String::new()) }
    }

    const OPENED: TimeMs = TimeMs(1_795_770_000_000);

    #[test]
    fn the_same_row_of_the_same_import_has_the_same_id() {
        let import = ImportId(7);
        let id = import.operation(OPENED, &row(3, 9), Part::Stock);
        assert_eq!(id, import.operation(OPENED, &row(3, 9), Part::Stock));
        assert_eq!(id.time(), OPENED);
        // Files of an older build are gone on with by a newer one, so this is for ever.
        assert_eq!(id.to_string(), "01a21c3b-a280-7840-8f26-ba16169c57c6");
    }

    #[test]
    fn whatever_differs_makes_another_id() {
        let ids: BTreeSet<_> = [
            (7, 3, 9, Part::Stock),
            (8, 3, 9, Part::Stock),
            (7, 4, 9, Part::Stock),
            (7, 3, 8, Part::Stock),
            (7, 3, 9, Part::Settings(0)),
            (7, 3, 9, Part::Settings(1)),
        ]
        .into_iter()
        .map(|(import, number, content, part)| ImportId(import).operation(OPENED, &row(number, content), part))
        .collect();
        assert_eq!(ids.len(), 6);
    }

    #[test]
    fn many_rows_have_as_many_ids() {
        let import = ImportId(7);
        let ids: BTreeSet<_> = (0..100_000).map(|n| import.operation(OPENED, &row(n, 9), Part::Stock)).collect();
        assert_eq!(ids.len(), 100_000);
    }

    #[test]
    fn an_import_is_kept_as_text() {
        let text = serde_json::to_string(&ImportId(255)).expect("JSON");
        assert_eq!(text, "\"000000000000000000000000000000ff\"");
        assert_eq!(serde_json::from_str::<ImportId>(&text).expect("read back"), ImportId(255));
        assert!(serde_json::from_str::<ImportId>("\"x\"").is_err());
    }
}
