//! What people read.

use super::case::CASES;
use super::local::LocalReport;
use super::report::Report;
use super::row::Row;
use comfy_table::{CellAlignment, Table, TableStyle, presets};

/// The table of a sweep, a column for each program, and what there is to know about it.
pub(super) fn sweep(report: &Report) -> String {
    let (ours, peers) = match report.programs.split_first() {
        Some((ours, peers)) => (ours.name, peers),
        None => return String::new(),
    };
    let mut table = framed(presets::UTF8_FULL);
    let mut header = vec!["case".to_owned(), ours.to_owned()];
    for peer in peers {
        header.extend([peer.name.to_owned(), "×".to_owned()]);
    }
    table.set_header(header);
    for case in report.cases() {
        let what = CASES
            .iter()
            .find(|one| one.name == case)
            .map_or("", |case| case.what);
        let own = report.row(case, ours);
        let mut cells = vec![
            format!("{case}\n{}", what.replace(", ", ",\n")),
            own.map_or_else(none, cell),
        ];
        for peer in peers {
            let theirs = report.row(case, peer.name);
            let times = own.zip(theirs).and_then(|(own, theirs)| own.times(theirs));
            cells.push(theirs.map_or_else(none, cell));
            cells.push(times.map_or_else(none, |times| format!("{times:.*}", usize::from(times < 10.0))));
        }
        table.add_row(cells);
    }
    let programs: Vec<_> = report
        .programs
        .iter()
        .map(|program| format!("{} {}", program.name, program.version))
        .collect();
    let mut notes = vec![match report.runs {
        1 => "One run.".to_owned(),
        runs => format!("The medians of {runs} runs, and below them the lowest and the highest."),
    }];
    if report.rows.iter().any(|row| row.broker_cpu_us.is_some()) {
        notes.push("cpu: the broker's, for each event; with it the most memory it had.".into());
    }
    if !peers.is_empty() {
        notes.push(format!("×: how many times as fast {ours} is, by rate or by p50."));
    }
    notes.push(format!(
        "All on this machine: {}; each broker, publisher and subscriber a process of its own; transport {}; {}.",
        report.machine,
        report.transport,
        programs.join(", ")
    ));
    format!("{table}\n{}", notes.join("\n"))
}

/// The table of `bench local`.
pub(super) fn local(report: &LocalReport) -> String {
    let mut table = framed(presets::UTF8_FULL_CONDENSED);
    table.set_header(["in process", "ns per event", "lowest–highest"]);
    for row in &report.rows {
        let range = format!("{:.1}–{:.1}", row.ns_min, row.ns_max);
        table.add_row([row.case.to_owned(), format!("{:.1}", row.ns), range]);
    }
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    format!(
        "{table}\nMedians of {} runs of {} events. Machine: {}.",
        report.runs, report.events, report.machine
    )
}

fn framed(style: TableStyle) -> Table {
    let mut table = Table::new();
    table.load_style(style.with_rounded_corners());
    table
}

fn none() -> String {
    "–".into()
}

fn cell(row: &Row) -> String {
    let range = |lowest: String, highest: String| match row.runs {
        1 => None,
        _ => Some(format!("{lowest}–{highest}")),
    };
    let mut lines = Vec::new();
    match (row.p50, row.p99, row.p999, row.max) {
        (Some(p50), Some(p99), Some(p999), Some(max)) => {
            lines.push(format!("p50 {p50} µs"));
            if let (Some(min), Some(max)) = (row.p50_min, row.p50_max) {
                lines.extend(range(min.to_string(), max.to_string()));
            }
            lines.push(format!("p99 {p99}, p99.9 {p999},"));
            lines.push(format!("max {max} µs"));
        }
        _ => {
            lines.push(format!("{}/s", short(row.rate)));
            lines.extend(range(short(row.rate_min), short(row.rate_max)));
        }
    }
    if let (Some(cpu), Some(peak)) = (row.broker_cpu_us, row.broker_peak_bytes) {
        let peak = peak as f64 / f64::from(1 << 20);
        lines.push(format!("cpu {cpu:.2} µs, {peak:.0} MiB"));
    }
    if row.lost > 0 {
        lines.push(format!("LOST {} of {}", row.lost, row.lost + row.delivered));
    }
    lines.join("\n")
}

/// `2.31 M`, `599 k`, `42`
pub(super) fn short(rate: u64) -> String {
    let three = |number: f64| match number {
        ..10.0 => format!("{number:.2}"),
        ..100.0 => format!("{number:.1}"),
        _ => format!("{number:.0}"),
    };
    match rate {
        0..1_000 => rate.to_string(),
        1_000..1_000_000 => format!("{} k", three(rate as f64 / 1e3)),
        _ => format!("{} M", three(rate as f64 / 1e6)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_have_three_digits() {
        let all = [0, 999, 3402, 69_960, 599_000, 2_310_000].map(short);
        assert_eq!(all, ["0", "999", "3.40 k", "70.0 k", "599 k", "2.31 M"]);
    }
}
