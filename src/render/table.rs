//! Rows under each other without borders, as `docker ps` prints them.

use std::fmt;

use comfy_table::{Attribute, Cell as Plain, CellAlignment, Color, ColumnConstraint, Width};

use super::plain;

/// Columns between two texts.
const GAP: u16 = 2;

pub(crate) struct Table {
    table: comfy_table::Table,
    right: Vec<usize>,
}

/// One field. Its text is made harmless for a terminal; styles are dropped where output is none.
pub(crate) struct Cell(Plain);

impl Cell {
    pub(crate) fn new(text: impl AsRef<str>) -> Self {
        Self(Plain::new(plain(text.as_ref())))
    }

    pub(crate) fn good(text: impl AsRef<str>) -> Self {
        Self(Self::new(text).0.fg(Color::DarkGreen))
    }

    pub(crate) fn bad(text: impl AsRef<str>) -> Self {
        Self(Self::new(text).0.fg(Color::DarkRed))
    }

    pub(crate) fn doubtful(text: impl AsRef<str>) -> Self {
        Self(Self::new(text).0.fg(Color::DarkYellow))
    }

    pub(crate) fn faint(text: impl AsRef<str>) -> Self {
        Self(Self::new(text).0.add_attribute(Attribute::Dim))
    }

    pub(crate) fn bar(text: impl AsRef<str>) -> Self {
        Self(Self::new(text).0.fg(Color::DarkCyan))
    }

    pub(crate) fn strong(text: impl AsRef<str>) -> Self {
        Self(Self::new(text).0.add_attribute(Attribute::Bold))
    }
}

impl<T: AsRef<str>> From<T> for Cell {
    fn from(text: T) -> Self {
        Self::new(text)
    }
}

impl Table {
    /// `columns` are headings; one that starts with `>` is aligned to the right.
    pub(crate) fn new(columns: &[&str]) -> Self {
        let mut table = Self::headless(columns);
        table.table.set_header(
            columns.iter().map(|name| Plain::new(name.trim_start_matches('>')).add_attribute(Attribute::Dim)),
        );
        table
    }

    /// Without the line of headings.
    pub(crate) fn headless(columns: &[&str]) -> Self {
        let mut table = comfy_table::Table::new();
        table.load_style(comfy_table::presets::NOTHING);
        // What cannot show colours gets none: that is decided where it is printed.
        table.enforce_styling().style_text_only();
        let right = columns.iter().enumerate().filter(|(_, name)| name.starts_with('>')).map(|(at, _)| at);
        Self { table, right: right.collect() }
    }

    pub(crate) fn row(&mut self, cells: impl IntoIterator<Item = Cell>) {
        self.table.add_row(cells.into_iter().map(|cell| cell.0));
    }

    /// Makes the columns at least this wide, and returns how wide they are: what is printed later can be aligned
    /// with what was printed before.
    pub(crate) fn align_with(&mut self, widths: &[u16]) -> Vec<u16> {
        let widest = self.table.column_max_content_widths();
        let at_least = |at: usize| widths.get(at).copied().unwrap_or_default();
        let widths: Vec<u16> =
            widest.iter().enumerate().map(|(at, width)| (*width).max(at_least(at))).collect();
        self.table.set_constraints(
            widths.iter().map(|width| ColumnConstraint::LowerBoundary(Width::Fixed(width + GAP))),
        );
        widths
    }

    /// Characters that are left of the terminal's width beside this table; `None` if there is no terminal.
    pub(crate) fn room(&self) -> Option<usize> {
        let used: usize =
            self.table.column_max_content_widths().iter().map(|width| usize::from(width + GAP)).sum();
        Some(usize::from(self.table.width()?).saturating_sub(used))
    }
}

impl fmt::Display for Table {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut table = self.table.clone();
        for column in table.column_iter_mut() {
            column.set_padding((0, GAP));
            if self.right.contains(&column.index) {
                column.set_cell_alignment(CellAlignment::Right);
            }
        }
        formatter.write_str(&table.trim_fmt())
    }
}
