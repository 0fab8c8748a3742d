use super::case::CASES;
use super::contestant::Contestant;
use super::machine::Machine;
use super::row::Row;
use super::tables;
use crate::failure::Failure;
use clap::ValueEnum;
use serde::Serialize;
use std::io::Write;

/// How figures are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Layout {
    /// A table to read
    Text,
    /// One JSON document, with the machine and the versions
    Json,
    /// A line for each case and program, under a header
    Csv,
}

/// All that a sweep has found.
#[derive(Serialize)]
pub(super) struct Report {
    pub(super) machine: Machine,
    pub(super) transport: &'static str,
    pub(super) runs: usize,
    pub(super) programs: Vec<Contestant>,
    /// Who was asked for and is not there, and why.
    pub(super) left_out: Vec<String>,
    pub(super) rows: Vec<Row>,
}

impl Report {
    pub(super) fn row(&self, case: &str, program: &str) -> Option<&Row> {
        self.rows
            .iter()
            .find(|row| row.case == case && row.program == program)
    }

    /// The names of the cases that were measured, in their order.
    pub(super) fn cases(&self) -> impl Iterator<Item = &'static str> {
        let measured = |name: &str| self.rows.iter().any(|row| row.case == name);
        CASES
            .map(|case| case.name)
            .into_iter()
            .filter(move |name| measured(name))
    }

    pub(super) fn print(&self, layout: Layout) -> Result<(), Failure> {
        match layout {
            Layout::Text => print(&format!("{}\n", tables::sweep(self))),
            Layout::Json => print_json(self),
            Layout::Csv => print_csv(&self.rows),
        }
    }

    /// Loss on our side is a failure; on a peer's it is in the table.
    pub(super) fn verdict(&self) -> Result<(), Failure> {
        let lossy: Vec<_> = self
            .rows
            .iter()
            .filter(|row| row.program == self.programs[0].name && row.lost > 0)
            .map(|row| format!("{} of {}", row.lost, row.case))
            .collect();
        if lossy.is_empty() {
            Ok(())
        } else {
            Err(Failure::failed(format!("events were lost: {}", lossy.join(", "))))
        }
    }
}

pub(super) fn print_json(report: &impl Serialize) -> Result<(), Failure> {
    let text = serde_json::to_string_pretty(report).map_err(|error| Failure::failed(error.to_string()))?;
    print(&format!("{text}\n"))
}

pub(super) fn print_csv(rows: &[impl Serialize]) -> Result<(), Failure> {
    let failed = |error: &dyn std::fmt::Display| Failure::failed(error.to_string());
    let mut writer = csv::Writer::from_writer(Vec::new());
    for row in rows {
        writer.serialize(row).map_err(|error| failed(&error))?;
    }
    let bytes = writer.into_inner().map_err(|error| failed(&error))?;
    print(&String::from_utf8_lossy(&bytes))
}

pub(super) fn print(text: &str) -> Result<(), Failure> {
    let mut out = std::io::stdout();
    out.write_all(text.as_bytes())
        .and_then(|()| out.flush())
        .map_err(|error| Failure::failed(format!("stdout does not take the figures: {error}")))
}
