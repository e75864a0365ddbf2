//! The chart: for each line a panel with a bar for each server, in the line's own unit.

use plotters::{prelude::*, style::FontStyle};

use super::{
    arguments::Arguments,
    lines::{LOADS, Line},
    results::{Results, Spread},
    servers::Server,
    support::process::Result,
    table::short_number,
};

const COLUMN: i32 = 520;
const MARGIN: i32 = 24;
const HEADING: i32 = 64;
/// Above the bars of a panel, and below them.
const PANEL_TITLE: i32 = 48;
const PANEL_END: i32 = 24;
const BAR: i32 = 14;
const ROW: i32 = 20;
/// Where bars begin and where the longest one ends, in a panel.
const BARS: [i32; 2] = [226, 420];

const PAPER: RGBColor = RGBColor(255, 255, 255);
const FRAME: RGBColor = RGBColor(208, 215, 222);
const INK: RGBColor = RGBColor(31, 35, 40);
const FAINT_INK: RGBColor = RGBColor(89, 99, 110);
const OURS: RGBColor = RGBColor(9, 105, 218);
const OTHERS: RGBColor = RGBColor(154, 162, 171);

type Area<'a> = DrawingArea<SVGBackend<'a>, plotters::coord::Shift>;

/// A panel of the chart.
struct Panel {
    line: &'static Line,
    bars: Vec<(Server, Spread)>,
}

impl Panel {
    fn height(&self) -> i32 {
        PANEL_TITLE + ROW * self.bars.len() as i32 + PANEL_END
    }
}

/// Draws all lines that were measured, as SVG.
pub fn draw(results: &Results, arguments: &Arguments) -> Result<String> {
    let lines = LOADS.iter().flat_map(|load| load.lines);
    let panels = lines
        .filter(|line| arguments.selects(line))
        .map(|line| Panel {
            line,
            bars: results.servers(line),
        });
    let panels: Vec<_> = panels.filter(|panel| !panel.bars.is_empty()).collect();
    let rows = panels.chunks(2);
    let heights = rows.map(|row| row.iter().map(Panel::height).max().unwrap_or(0));
    let height = HEADING + heights.sum::<i32>();
    let size = (COLUMN * 2, height);
    let mut svg = String::new();
    {
        let area = SVGBackend::with_string(&mut svg, (size.0 as u32, height as u32));
        let area = area.into_drawing_area();
        area.fill(&PAPER)?;
        let frame = [(0, 0), (size.0 - 1, size.1 - 1)];
        area.draw(&Rectangle::new(frame, FRAME.stroke_width(1)))?;
        write(
            &area,
            "What servers cost for the same load",
            (MARGIN, 20),
            20,
            INK,
        )?;
        let mut top = HEADING;
        for row in panels.chunks(2) {
            for (panel, left) in row.iter().zip([0, COLUMN]) {
                draw_panel(&area, panel, (left + MARGIN, top))?;
            }
            top += row.iter().map(Panel::height).max().unwrap_or(0);
        }
        area.present()?;
    }
    Ok(svg)
}

fn draw_panel(area: &Area<'_>, panel: &Panel, (left, top): (i32, i32)) -> Result<()> {
    let line = panel.line;
    let title = ("sans-serif", 14, FontStyle::Bold).into_font().color(&INK);
    area.draw(&Text::new(line.title, (left, top), title))?;
    let unit = format!("{}, {}", line.unit, line.better.text());
    write(area, &unit, (left, top + 20), 12, FAINT_INK)?;
    let longest = panel.bars.iter().map(|(_, value)| value.median);
    let longest = longest.fold(f64::MIN_POSITIVE, f64::max);
    for (row, (server, value)) in panel.bars.iter().enumerate() {
        let y = top + PANEL_TITLE + ROW * row as i32;
        let name = match line.is_durable && !server.stores() {
            true => format!("{} (not stored)", server.name()),
            false => server.name().to_owned(),
        };
        write(area, &name, (left, y), 12, INK)?;
        let length = value.median / longest * f64::from(BARS[1] - BARS[0]);
        let end = left + BARS[0] + (length.round() as i32).max(1);
        let color = if server.is_switchboard() {
            OURS
        } else {
            OTHERS
        };
        let corners = [(left + BARS[0], y - 3), (end, y - 3 + BAR)];
        area.draw(&Rectangle::new(corners, color.filled()))?;
        write(area, &short_number(value.median), (end + 6, y), 12, INK)?;
    }
    Ok(())
}

fn write(area: &Area<'_>, text: &str, at: (i32, i32), size: i32, color: RGBColor) -> Result<()> {
    let style = ("sans-serif", size).into_font().color(&color);
    Ok(area.draw(&Text::new(text, at, style))?)
}
