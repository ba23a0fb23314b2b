//! Plots: peers beside each other, and cost against size.
//!
//! Colours are those of Okabe and Ito, which colour-blind readers tell apart; what they say stands in words as well.

use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use super::bench::Growth;
use super::number;
use super::stats::Spread;
use super::subjects::Whose;
use crate::Failure;

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

const OURS: RGBColor = RGBColor(0, 114, 178);
const PEER: RGBColor = RGBColor(230, 159, 0);
const BARE: RGBColor = RGBColor(153, 153, 153);
const INK: RGBColor = RGBColor(40, 40, 40);
const RULE: RGBColor = RGBColor(221, 221, 221);
const FONT: &str = "sans-serif";

const WIDTH: i32 = 760;
/// Where bars begin, and where they end at most: names stand before, figures behind.
const BARS: (i32, i32) = (170, 610);
const ROW: i32 = 22;

/// One plot above another, of one subject.
pub struct Panel {
    pub head: String,
    pub bars: Vec<(String, Spread)>,
}

fn text(area: &Area<'_>, words: &str, size: i32, at: (i32, i32), horizontal: HPos) -> Result<(), Failure> {
    let style = (FONT, size).into_font().color(&INK).pos(Pos::new(horizontal, VPos::Center));
    area.draw(&Text::new(words.to_owned(), at, style)).map_err(|error| error.to_string().into())
}

fn line(area: &Area<'_>, from: (i32, i32), to: (i32, i32), colour: RGBColor) -> Result<(), Failure> {
    area.draw(&PathElement::new(vec![from, to], colour.stroke_width(1))).map_err(|error| error.to_string().into())
}

fn block(area: &Area<'_>, from: (i32, i32), to: (i32, i32), colour: RGBColor) -> Result<(), Failure> {
    area.draw(&Rectangle::new([from, to], colour.filled())).map_err(|error| error.to_string().into())
}

/// A step between the marks of an axis: 1, 2 or 5 times a power of ten, at most five of them up to `most`.
fn step(most: f64) -> f64 {
    let power = 10f64.powf((most / 5.0).log10().floor());
    [1.0, 2.0, 5.0, 10.0].map(|times| times * power).into_iter().find(|step| most / step <= 5.0).unwrap_or(most)
}

/// Bars of medians from zero, with the middle half of the rounds as a mark across the end.
pub fn bars(panels: &[Panel]) -> Result<String, Failure> {
    let height = |panel: &Panel| ROW * panel.bars.len() as i32 + 80;
    let all: i32 = panels.iter().map(height).sum::<i32>() + 34;
    let mut svg = String::new();
    {
        let area = SVGBackend::with_string(&mut svg, (WIDTH as u32, all as u32)).into_drawing_area();
        area.fill(&WHITE).map_err(|error| error.to_string())?;
        let legend = [("proact", OURS), ("peers", PEER), ("bare interface", BARE)];
        for (index, (words, colour)) in legend.into_iter().enumerate() {
            let x = BARS.0 + 130 * index as i32;
            block(&area, (x, 11), (x + 12, 23), colour)?;
            text(&area, words, 13, (x + 18, 17), HPos::Left)?;
        }
        let mut top = 34;
        for panel in panels {
            bars_of(&area, panel, top)?;
            top += height(panel);
        }
        area.present().map_err(|error| error.to_string())?;
    }
    Ok(svg)
}

fn bars_of(area: &Area<'_>, panel: &Panel, top: i32) -> Result<(), Failure> {
    // One that is far behind all others is cut off, and says so: the others would be a line each.
    let mut medians: Vec<f64> = panel.bars.iter().map(|(_, spread)| spread.median).collect();
    medians.sort_unstable_by(f64::total_cmp);
    let usual = medians.get(medians.len() / 2).map_or(1.0, |middle| 4.0 * middle);
    let within = panel.bars.iter().map(|(_, spread)| spread.high).filter(|high| *high <= usual);
    let most = within.fold(f64::MIN_POSITIVE, f64::max);
    let x = |value: f64| BARS.0 + (f64::from(BARS.1 - BARS.0) * (value / most).min(1.0)) as i32;
    let (first, bottom) = (top + 14, top + 14 + ROW * panel.bars.len() as i32);
    let step = step(most);
    let mut mark = 0.0;
    while mark <= most {
        line(area, (x(mark), first), (x(mark), bottom + 4), RULE)?;
        text(area, &number(mark), 12, (x(mark), bottom + 14), HPos::Center)?;
        mark += step;
    }
    text(area, &panel.head, 13, ((BARS.0 + BARS.1) / 2, bottom + 34), HPos::Center)?;
    for (index, (name, spread)) in panel.bars.iter().enumerate() {
        let middle = first + ROW * index as i32 + ROW / 2;
        let colour = match Whose::of(name) {
            Whose::Ours => OURS,
            Whose::Peer => PEER,
            Whose::Bare => BARE,
        };
        block(area, (BARS.0, middle - 7), (x(spread.median), middle + 7), colour)?;
        let mut end = x(spread.median);
        if spread.median <= most {
            line(area, (x(spread.low), middle), (x(spread.high), middle), INK)?;
            for edge in [spread.low, spread.high] {
                line(area, (x(edge), middle - 4), (x(edge), middle + 4), INK)?;
            }
            end = end.max(x(spread.high));
        }
        text(area, name, 13, (BARS.0 - 8, middle), HPos::Right)?;
        let cut = if spread.median > most { " (bar cut off)" } else { "" };
        text(area, &format!("{}{cut}", number(spread.median)), 12, (end + 6, middle), HPos::Left)?;
    }
    line(area, (BARS.0, first), (BARS.0, bottom + 4), INK)
}

const PANEL: (i32, i32) = (380, 250);
const COLUMNS: i32 = 2;

/// Cost against size, both by powers: one that is flat stays flat.
pub fn growth(all: &[Growth]) -> Result<String, Failure> {
    let rows = (all.len() as i32 + COLUMNS - 1) / COLUMNS;
    let mut svg = String::new();
    {
        let size = ((COLUMNS * PANEL.0) as u32, (rows * PANEL.1 + 30) as u32);
        let area = SVGBackend::with_string(&mut svg, size).into_drawing_area();
        area.fill(&WHITE).map_err(|error| error.to_string())?;
        let (legend, body) = area.split_vertically(30);
        let backends = [("io_uring", OURS), ("epoll", PEER), ("poll", POLL), ("no backend", INK)];
        for (index, (words, colour)) in backends.into_iter().enumerate() {
            let x = 70 + 130 * index as i32;
            mark(&legend, (x, 15), words, colour)?;
            text(&legend, words, 13, (x + 12, 15), HPos::Left)?;
        }
        let panels = body.split_evenly((rows as usize, COLUMNS as usize));
        for (growth, panel) in all.iter().zip(&panels) {
            growth_of(panel, growth).map_err(|error| error.to_string())?;
        }
        area.present().map_err(|error| error.to_string())?;
    }
    Ok(svg)
}

const POLL: RGBColor = RGBColor(0, 158, 115);

/// A shape for each backend, so that colour alone tells nothing.
fn mark(area: &Area<'_>, at: (i32, i32), backend: &str, colour: RGBColor) -> Result<(), Failure> {
    let drawn = match backend {
        "io_uring" => area.draw(&Circle::new(at, 4, colour.filled())),
        "epoll" => area.draw(&TriangleMarker::new(at, 5, colour.filled())),
        "poll" => area.draw(&Rectangle::new([(at.0 - 3, at.1 - 3), (at.0 + 3, at.1 + 3)], colour.filled())),
        _ => area.draw(&Cross::new(at, 4, colour.stroke_width(2))),
    };
    drawn.map_err(|error| error.to_string().into())
}

/// A mark of an axis by powers.
fn size(value: f64) -> String {
    if value >= 1.0 {
        number(value.round()).trim_end_matches(".00").trim_end_matches(".0").into()
    } else {
        number(value)
    }
}

fn growth_of(area: &Area<'_>, growth: &Growth) -> Result<(), Box<dyn std::error::Error>> {
    let points = || growth.lines.values().flatten();
    let (mut x, mut y) = ((f64::MAX, 0f64), (f64::MAX, 0f64));
    for (size, cost) in points() {
        x = (x.0.min(*size), x.1.max(*size));
        y = (y.0.min(*cost), y.1.max(*cost));
    }
    // From one power of ten to another, so that each end has its mark, and a few percent do not look like a cliff.
    let y = (10f64.powf((y.0 / 1.05).log10().floor()), 10f64.powf((y.1 * 1.05).log10().ceil()));
    let mut chart = ChartBuilder::on(area)
        .caption(&growth.name, (FONT, 14).into_font().color(&INK))
        .margin(8)
        .x_label_area_size(38)
        .y_label_area_size(74)
        .build_cartesian_2d((x.0 / 1.2..x.1 * 1.2).log_scale(), (y.0..y.1).log_scale())
        .map_err(|error| error.to_string())?;
    chart
        .configure_mesh()
        .disable_x_mesh()
        .light_line_style(TRANSPARENT)
        .bold_line_style(RULE)
        .x_desc("size")
        .y_desc(format!("{} each", growth.unit))
        .x_labels(6)
        .y_labels(5)
        .x_label_formatter(&|value| size(*value))
        .y_label_formatter(&|value| size(*value))
        .label_style((FONT, 12).into_font().color(&INK))
        .axis_style(INK)
        .draw()
        .map_err(|error| error.to_string())?;
    for (backend, line) in &growth.lines {
        let colour = match backend.as_str() {
            "io_uring" => OURS,
            "epoll" => PEER,
            "poll" => POLL,
            _ => INK,
        };
        chart
            .draw_series(LineSeries::new(line.iter().copied(), colour.stroke_width(2)))
            .map_err(|error| error.to_string())?;
        for point in line {
            let at = chart.backend_coord(point);
            let (left, top) = area.get_base_pixel();
            mark(area, (at.0 - left, at.1 - top), backend, colour)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_are_round_and_few() {
        assert_eq!([9.0, 52.0, 4100.0, 0.4].map(step), [2.0, 20.0, 1000.0, 0.1]);
    }

    #[test]
    fn one_that_is_far_behind_is_cut_off_and_says_so() {
        let spread = |median| Spread { low: median, median, high: median, rounds: 5 };
        let bars: Vec<_> = [("ring", 10.0), ("tokio", 12.0), ("late", 1000.0)]
            .map(|(name, median)| (String::from(name), spread(median)))
            .into();
        let svg = super::bars(&[Panel { head: "CPU, ns".into(), bars }]).unwrap();
        assert!(svg.contains("1,000 (bar cut off)") && svg.contains("tokio") && svg.contains("CPU, ns"));
    }
}
