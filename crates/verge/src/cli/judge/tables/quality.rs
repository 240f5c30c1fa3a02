//! Columns that say how good the values beside them are, as historians write them.

use verge_codec::QualityFormat;

use crate::cli::table::Table;

/// Names of such columns; others end with one of them.
const NAMES: [&str; 5] = ["quality", "statuscode", "validity", "qualität", "status"];
const SHORT_NAMES: [&str; 2] = ["q", "good"];

/// How the cells of such a column are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum QualityCells {
    /// `Good`, `Bad`, `Uncertain`, and codes of OPC.
    Opc(QualityFormat),
    /// 1 is good, as WinCC writes it.
    Flag,
}

impl QualityCells {
    /// How this column is read; `None` if its cells do not decide it.
    pub(super) fn of(table: &Table, column: usize) -> Option<Self> {
        let cells = || table.texts(column).filter(|text| !text.is_empty());
        let codes = || cells().filter_map(|text| text.parse::<u32>().ok());
        if codes().next().is_none() {
            // A word that neither format knows is a bad quality in both: then it is another kind of column.
            let known = |text: &str| {
                let starts =
                    |word: &str| text.get(..word.len()).is_some_and(|start| start.eq_ignore_ascii_case(word));
                ["good", "bad", "uncertain", "true", "false"].into_iter().any(starts)
            };
            return (cells().next().is_some() && cells().all(known))
                .then_some(Self::Opc(QualityFormat::Auto));
        }
        match () {
            () if table.name(column).eq_ignore_ascii_case("validity") => Some(Self::Flag),
            () if codes().any(|code| (192..=255).contains(&code)) => Some(Self::Opc(QualityFormat::OpcDa)),
            () if codes().any(|code| code >= 0x4000_0000) => Some(Self::Opc(QualityFormat::OpcUa)),
            // Good in OPC UA; a table of nothing but bad values in OPC DA would be none.
            () if codes().all(|code| code == 0) => Some(Self::Opc(QualityFormat::OpcUa)),
            () => None,
        }
    }

    /// Whether a value with this quality is judged. An empty cell says nothing against it.
    pub(super) fn takes(self, text: &str) -> bool {
        match self {
            _ if text.is_empty() => true,
            Self::Opc(format) => verge_codec::is_usable(text, format),
            Self::Flag => text == "1",
        }
    }
}

/// Columns that are called as such, from left to right.
pub(super) fn columns(table: &Table) -> Vec<usize> {
    let is_called_so = |name: &str| {
        let name = name.to_lowercase();
        SHORT_NAMES.contains(&name.as_str()) || NAMES.iter().any(|end| name.ends_with(end))
    };
    table.header().enumerate().filter(|(_, name)| is_called_so(name)).map(|(column, _)| column).collect()
}

/// Of several such columns the first behind a column of values is its own; a single one is that of all.
pub(super) fn column_of(columns: &[usize], value: usize) -> Option<usize> {
    match columns {
        [one] => Some(*one),
        several => several.iter().copied().find(|column| *column > value),
    }
}
