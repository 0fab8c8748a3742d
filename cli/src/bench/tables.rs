//! What people read.

use super::case::CASES;
use super::local::LocalReport;
use super::report::Report;
use super::row::Row;
use comfy_table::{CellAlignment, Table, presets};

/// The table of a sweep, a column for each program, and what there is to know about it.
pub(super) fn sweep(report: &Report) -> String {
    let (ours, peers) = match report.programs.split_first() {
        Some((ours, peers)) => (ours.name, peers),
        None => return String::new(),
    };
    let mut table = framed();
    let mut header = vec!["case".to_owned(), ours.to_owned()];
    for peer in peers {
        header.extend([peer.name.to_owned(), format!("× {}", peer.name)]);
    }
    table.set_header(header);
    for case in report.cases() {
        let what = CASES
            .iter()
            .find(|one| one.name == case)
            .map_or("", |case| case.what);
        let own = report.row(case, ours);
        let mut cells = vec![format!("{case}\n{what}"), own.map_or_else(none, cell)];
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
    let runs = match report.runs {
        1 => "One run.".to_owned(),
        runs => format!("Medians of {runs} runs, in brackets the lowest and the highest."),
    };
    format!(
        "{table}\n{runs} Each broker, publisher and subscriber is a process of its own, on the loopback interface, transport {}.\n\
         Machine: {}. Programs: {}.",
        report.transport,
        report.machine,
        programs.join(", "),
    )
}

/// The table of `bench local`.
pub(super) fn local(report: &LocalReport) -> String {
    let mut table = framed();
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

fn framed() -> Table {
    let mut table = Table::new();
    table.load_style(presets::UTF8_FULL.with_rounded_corners());
    table
}

fn none() -> String {
    "–".into()
}

fn cell(row: &Row) -> String {
    let mut lines = Vec::new();
    match (row.p50, row.p99, row.p999, row.max) {
        (Some(p50), Some(p99), Some(p999), Some(max)) => {
            let range = match (row.p50_min, row.p50_max) {
                (Some(min), Some(max)) if row.runs > 1 => format!(" ({min}–{max})"),
                _ => String::new(),
            };
            lines.push(format!("p50 {p50} µs{range}"));
            lines.push(format!("p99 {p99}, p99.9 {p999}, max {max} µs"));
        }
        _ => {
            let range = match row.runs {
                1 => String::new(),
                _ => format!(" ({}–{})", short(row.rate_min), short(row.rate_max)),
            };
            lines.push(format!("{}/s{range}", short(row.rate)));
        }
    }
    if let (Some(cpu), Some(peak)) = (row.broker_cpu_us, row.broker_peak_bytes) {
        let peak = peak as f64 / f64::from(1 << 20);
        lines.push(format!("broker {cpu:.2} µs each, {peak:.0} MiB"));
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
