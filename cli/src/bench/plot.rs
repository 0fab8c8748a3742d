//! The rates as bars, drawn from the figures of the sweep alone.

use super::report::Report;
use super::tables::short;
use crate::failure::Failure;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};
use std::path::Path;

const BAR: i32 = 62;
const GAP: i32 = 30;
const HEIGHT: i32 = 420;
/// Left, right, top, bottom of the bars.
const MARGINS: [i32; 4] = [70, 20, 80, 60];
const INK: RGBColor = RGBColor(40, 40, 40);
const LINES: RGBColor = RGBColor(225, 225, 225);
/// One for each program; distinct in grey as well.
const COLORS: [RGBColor; 3] = [
    RGBColor(31, 99, 180),
    RGBColor(160, 175, 190),
    RGBColor(240, 175, 60),
];

/// Writes the picture.
pub(super) fn write(report: &Report, path: &Path) -> Result<(), Failure> {
    let svg = draw(report).map_err(|error| Failure::failed(format!("the plot cannot be drawn: {error}")))?;
    std::fs::write(path, svg)
        .map_err(|error| Failure::failed(format!("{} cannot be written: {error}", path.display())))
}

/// The bars of one case: a program's place among all, and its rate.
struct Group {
    name: &'static str,
    bars: Vec<(usize, u64)>,
}

fn groups(report: &Report) -> Vec<Group> {
    report
        .cases()
        .map(|name| {
            let rows = report.programs.iter().enumerate();
            let bars = rows.filter_map(|(place, program)| {
                let row = report.row(name, program.name)?;
                row.p50.is_none().then_some((place, row.rate))
            });
            Group {
                name,
                bars: bars.collect(),
            }
        })
        .filter(|group| !group.bars.is_empty())
        .collect()
}

fn draw(report: &Report) -> Result<String, Box<dyn std::error::Error>> {
    let groups = groups(report);
    let [left, right, top, bottom] = MARGINS;
    let bars: i32 = groups.iter().map(|group| group.bars.len() as i32).sum();
    let width = (left + right + bars * BAR + (groups.len() as i32 + 1) * GAP).max(480);
    let highest = groups
        .iter()
        .flat_map(|group| &group.bars)
        .map(|(_, rate)| *rate)
        .max();
    let step = step(highest.unwrap_or(1));
    let ceiling = highest.unwrap_or(1).max(1).next_multiple_of(step);
    let (floor, room) = (HEIGHT - bottom, (HEIGHT - bottom - top) as f64);
    let at = |rate: u64| floor - (room * rate as f64 / ceiling as f64) as i32;

    let mut svg = String::new();
    {
        let area = SVGBackend::with_string(&mut svg, (width as u32, HEIGHT as u32)).into_drawing_area();
        area.fill(&WHITE)?;
        let text = |size: i32, across: HPos| {
            // It takes a size for the height of a line, which is that much more than the font's.
            let style = TextStyle::from(("sans-serif", f64::from(size) * 1.24).into_font()).color(&INK);
            style.pos(Pos::new(across, VPos::Center))
        };
        let say = |what: String, place: (i32, i32), size: i32, across: HPos| {
            area.draw(&Text::new(what, place, text(size, across)))
        };
        say("Events per second".into(), (left, 22), 18, HPos::Left)?;
        say(subtitle(report), (left, 44), 12, HPos::Left)?;
        for rate in (0..=ceiling).step_by(step as usize) {
            let line = [(left, at(rate)), (width - right, at(rate))];
            area.draw(&PathElement::new(line, LINES))?;
            say(short(rate), (left - 8, at(rate)), 12, HPos::Right)?;
        }
        let mut x = left + GAP;
        for group in &groups {
            let span = group.bars.len() as i32 * BAR;
            say(group.name.into(), (x + span / 2, floor + 14), 13, HPos::Center)?;
            for (place, rate) in &group.bars {
                let corners = [(x + 2, at(*rate)), (x + BAR - 2, floor)];
                area.draw(&Rectangle::new(corners, COLORS[place % COLORS.len()].filled()))?;
                say(short(*rate), (x + BAR / 2, at(*rate) - 9), 12, HPos::Center)?;
                x += BAR;
            }
            x += GAP;
        }
        let mut x = left;
        for (place, program) in report.programs.iter().enumerate() {
            let y = HEIGHT - 18;
            let square = [(x, y - 6), (x + 12, y + 6)];
            area.draw(&Rectangle::new(square, COLORS[place % COLORS.len()].filled()))?;
            let name = format!("{} {}", program.name, program.version);
            let long = name.len() as i32;
            say(name, (x + 18, y), 12, HPos::Left)?;
            x += 40 + 8 * long;
        }
        area.present()?;
    }
    Ok(svg)
}

fn subtitle(report: &Report) -> String {
    let runs = match report.runs {
        1 => "one run".to_owned(),
        runs => format!("medians of {runs} runs"),
    };
    format!("{runs}; {}", report.machine)
}

/// The distance of the lines: one, two or five and zeros, and five lines or so.
fn step(highest: u64) -> u64 {
    let rough = highest.div_ceil(5).max(1);
    let power = 10_u64.pow(rough.ilog10());
    [1, 2, 5, 10]
        .map(|times| times * power)
        .into_iter()
        .find(|step| *step >= rough)
        .unwrap_or(rough)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_at_round_numbers() {
        let steps = [1, 9, 11, 2_310_000, 700_000].map(step);
        assert_eq!(steps, [1, 2, 5, 500_000, 200_000]);
    }
}
