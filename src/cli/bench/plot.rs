//! The sweep as an SVG of four charts, readable on light and on dark ground: latencies and throughput against load.

use std::fmt::Write;

use super::load::Load;
use super::percentiles::Percentiles;
use super::summary::PointReport;
use super::table::short;

const WIDTH: f64 = 960.0;
const HEIGHT: f64 = 680.0;
/// Where the charts begin below the title.
const TOP: f64 = 64.0;
/// Place of a chart's area inside its quarter, in pixels from left, top, right and bottom.
const MARGIN: [f64; 4] = [64.0, 48.0, 20.0, 48.0];
/// Values further apart than this factor are drawn on a logarithmic axis.
const LOG_FROM: f64 = 20.0;
/// Letters of a line of the title that fit the width.
const TITLE_LETTERS: usize = 125;

/// Colours: plain rules first, for programs that know nothing of dark ground.
const STYLE: &str = "\
.ground{fill:#ffffff}.text{fill:#1f2933;font:12px system-ui,sans-serif}.title{font-size:13px}.name{font-weight:600}\
.grid{stroke:#d9dee4;stroke-width:1}.axis{stroke:#7b8794;stroke-width:1}.line{fill:none;stroke-width:2}\
.s0{stroke:#1f6fb5}.d0{fill:#1f6fb5}.s1{stroke:#c77700}.d1{fill:#c77700}.s2{stroke:#b8323f}.d2{fill:#b8323f}\
@media(prefers-color-scheme:dark){.ground{fill:#12161b}.text{fill:#e4e9ee}.grid{stroke:#2c353f}.axis{stroke:#8795a3}\
.s0{stroke:#63b3f4}.d0{fill:#63b3f4}.s1{stroke:#f2ae49}.d1{fill:#f2ae49}.s2{stroke:#f47a85}.d2{fill:#f47a85}}";

/// One line of a chart: its name and its points, as far as they exist.
struct Series {
    name: &'static str,
    values: Vec<Option<f64>>,
}

struct Chart {
    name: &'static str,
    unit: &'static str,
    /// Whether small values matter as much as large ones, so that the axis may be logarithmic.
    may_be_log: bool,
    series: Vec<Series>,
}

/// An axis from a number to a pixel.
#[derive(Debug, Clone, PartialEq)]
struct Axis {
    is_log: bool,
    low: f64,
    high: f64,
    ticks: Vec<f64>,
}

/// The drawing of a sweep.
pub(super) fn svg(title: &str, points: &[PointReport]) -> String {
    let is_rate = points.first().is_some_and(|point| matches!(point.load, Load::Rate(_)));
    let load_name = if is_rate { "offered load, requests/s" } else { "concurrency, streams" };
    let mut loads: Vec<&PointReport> = points.iter().collect();
    loads.sort_by(|a, b| a.load.value().total_cmp(&b.load.value()));
    let x_values: Vec<f64> = loads.iter().map(|point| point.load.value()).collect();
    let mut drawing = String::new();
    let _ = write!(
        drawing,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" width=\"{WIDTH}\" \
         height=\"{HEIGHT}\" role=\"img\"><title>{}</title><style>{STYLE}</style>\
         <rect class=\"ground\" width=\"{WIDTH}\" height=\"{HEIGHT}\"/>",
        escaped(title)
    );
    let (what, how) = title.split_once(" · ").unwrap_or((title, ""));
    text(&mut drawing, "text title name", 16.0, 26.0, "start", &cut(what));
    text(&mut drawing, "text", 16.0, 46.0, "start", &cut(how));
    for (i, chart) in charts(&loads).iter().enumerate() {
        let (column, row) = ((i % 2) as f64, (i / 2) as f64);
        let (width, height) = (WIDTH / 2.0, (HEIGHT - TOP) / 2.0);
        draw(&mut drawing, chart, &x_values, load_name, [column * width, TOP + row * height, width, height]);
    }
    drawing.push_str("</svg>\n");
    drawing
}

fn charts(loads: &[&PointReport]) -> Vec<Chart> {
    let latency = |name, unit, scale: f64, of: fn(&PointReport) -> Option<Percentiles>| {
        let series = |name, pick: fn(&Percentiles) -> f64| {
            let values = loads.iter().map(|point| of(point).map(|times| pick(&times) * scale)).collect();
            Series { name, values }
        };
        let series = vec![series("p50", |p| p.p50), series("p90", |p| p.p90), series("p99", |p| p.p99)];
        Chart { name, unit, may_be_log: true, series }
    };
    let mut throughput = vec![Series {
        name: "all",
        values: loads.iter().map(|point| Some(point.output_tokens_per_s)).collect(),
    }];
    if loads.iter().any(|point| point.goodput.is_some()) {
        let good = |point: &&PointReport| Some(point.goodput.as_ref()?.output_tokens_per_s);
        throughput.push(Series { name: "within the SLO", values: loads.iter().map(good).collect() });
    }
    vec![
        latency("Time to first token", "ms", 1.0, |point| point.ttft_ms),
        latency("Time between tokens", "ms", 1.0, |point| point.itl_ms),
        latency("End to end", "s", 1e-3, |point| point.e2e_ms),
        Chart { name: "Output", unit: "tokens/s", may_be_log: false, series: throughput },
    ]
}

/// Draws a chart into a box of left, top, width and height.
fn draw(
    drawing: &mut String,
    chart: &Chart,
    loads: &[f64],
    load_name: &str,
    [x0, y0, width, height]: [f64; 4],
) {
    let [left, top, right, bottom] = MARGIN;
    let (left, right) = (x0 + left, x0 + width - right);
    let (top, bottom) = (y0 + top, y0 + height - bottom);
    let values: Vec<f64> =
        chart.series.iter().flat_map(|series| series.values.iter().copied().flatten()).collect();
    let y_axis = Axis::of_values(&values, chart.may_be_log);
    let x_axis = Axis::of_loads(loads);
    let x = |value: f64| left + x_axis.place(value) * (right - left);
    let y = |value: f64| bottom - y_axis.place(value) * (bottom - top);
    text(drawing, "text name", x0 + 16.0, y0 + 18.0, "start", &format!("{}, {}", chart.name, chart.unit));
    for &tick in &y_axis.ticks {
        line(drawing, "grid", [left, y(tick), right, y(tick)]);
        text(drawing, "text", left - 8.0, y(tick) + 4.0, "end", &plain(tick));
    }
    for &tick in &x_axis.ticks {
        line(drawing, "axis", [x(tick), bottom, x(tick), bottom + 4.0]);
        text(drawing, "text", x(tick), bottom + 18.0, "middle", &plain(tick));
    }
    line(drawing, "axis", [left, bottom, right, bottom]);
    text(drawing, "text", (left + right) / 2.0, bottom + 36.0, "middle", load_name);
    if values.is_empty() {
        text(drawing, "text", (left + right) / 2.0, (top + bottom) / 2.0, "middle", "no answer");
    }
    let mut legend = left;
    for (i, series) in chart.series.iter().enumerate() {
        line(drawing, &format!("line s{i}"), [legend, y0 + 34.0, legend + 16.0, y0 + 34.0]);
        text(drawing, "text", legend + 21.0, y0 + 38.0, "start", series.name);
        legend += 40.0 + 7.0 * series.name.len() as f64;
        draw_series(drawing, i, loads.iter().map(|load| x(*load)).zip(&series.values), y);
    }
}

/// A line through the points that exist, broken where one does not, and a dot for each.
fn draw_series<'a>(
    drawing: &mut String,
    index: usize,
    points: impl Iterator<Item = (f64, &'a Option<f64>)>,
    y: impl Fn(f64) -> f64,
) {
    let (mut path, mut dots, mut pen) = (String::new(), String::new(), 'M');
    for (x, value) in points {
        let Some(value) = value else {
            pen = 'M';
            continue;
        };
        let place = y(*value);
        let _ = write!(path, "{pen}{x:.1} {place:.1}");
        let _ = write!(
            dots,
            "<circle class=\"d{index}\" cx=\"{x:.1}\" cy=\"{place:.1}\" r=\"3.5\"><title>{}</title></circle>",
            short(*value)
        );
        pen = 'L';
    }
    if !path.is_empty() {
        let _ = write!(drawing, "<path class=\"line s{index}\" d=\"{path}\"/>{dots}");
    }
}

impl Axis {
    /// An axis for values: from 0, or logarithmic if it may be and they lie far apart.
    fn of_values(values: &[f64], may_be_log: bool) -> Self {
        let positive = || values.iter().copied().filter(|value| *value > 0.0);
        let (least, most) = (positive().fold(f64::INFINITY, f64::min), positive().fold(0.0, f64::max));
        if most == 0.0 {
            return Self { is_log: false, low: 0.0, high: 1.0, ticks: vec![0.0, 1.0] };
        }
        if may_be_log && most / least >= LOG_FROM {
            let decades = (least.log10().floor() as i32)..=(most.log10().ceil() as i32);
            let ticks: Vec<f64> = decades.map(|decade| 10_f64.powi(decade)).collect();
            return Self { is_log: true, low: ticks[0], high: ticks[ticks.len() - 1], ticks };
        }
        let step = round_step(most / 4.0);
        let ticks: Vec<f64> = (0..=(most / step).ceil() as i32).map(|i| f64::from(i) * step).collect();
        Self { is_log: false, low: 0.0, high: ticks[ticks.len() - 1], ticks }
    }

    /// An axis whose ticks are the loads themselves, with a little room at both ends.
    fn of_loads(loads: &[f64]) -> Self {
        let (Some(first), Some(last)) = (loads.first().copied(), loads.last().copied()) else {
            return Self { is_log: false, low: 0.0, high: 1.0, ticks: Vec::new() };
        };
        let is_log = last / first >= 8.0;
        let mut ticks = loads.to_vec();
        ticks.dedup();
        if first == last {
            return Self { is_log, low: first - 1.0, high: first + 1.0, ticks };
        }
        if is_log {
            let room = (last / first).powf(0.05);
            return Self { is_log, low: first / room, high: last * room, ticks };
        }
        let room = (last - first) * 0.05;
        Self { is_log, low: first - room, high: last + room, ticks }
    }

    /// Where a value lies between the axis's ends, 0 to 1. On a logarithmic axis, zero lies at its beginning.
    fn place(&self, value: f64) -> f64 {
        let (value, low, high) = match self.is_log {
            true => (value.max(self.low).ln(), self.low.ln(), self.high.ln()),
            false => (value, self.low, self.high),
        };
        (value - low) / (high - low)
    }
}

/// The next of 1, 2 and 5 times a power of ten.
fn round_step(least: f64) -> f64 {
    let power = 10_f64.powf(least.log10().floor());
    let step = [1.0, 2.0, 5.0].into_iter().find(|step| step * power >= least).unwrap_or(10.0);
    step * power
}

/// A tick's number without the noise of binary fractions.
fn plain(value: f64) -> String {
    let text = format!("{value:.4}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

fn line(drawing: &mut String, class: &str, [x1, y1, x2, y2]: [f64; 4]) {
    let _ = write!(
        drawing,
        "<line class=\"{class}\" x1=\"{x1:.1}\" y1=\"{y1:.1}\" x2=\"{x2:.1}\" y2=\"{y2:.1}\"/>"
    );
}

fn text(drawing: &mut String, class: &str, x: f64, y: f64, anchor: &str, text: &str) {
    let text = escaped(text);
    let _ = write!(
        drawing,
        "<text class=\"{class}\" x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\">{text}</text>"
    );
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

fn cut(text: &str) -> String {
    if text.chars().count() <= TITLE_LETTERS {
        return text.to_owned();
    }
    text.chars().take(TITLE_LETTERS).chain("...".chars()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_near_each_other_start_at_zero_with_round_ticks() {
        let axis = Axis::of_values(&[130.0, 300.0, 870.0], true);
        assert_eq!((axis.is_log, axis.low, axis.high), (false, 0.0, 1000.0));
        assert_eq!(axis.ticks, [0.0, 500.0, 1000.0]);
        assert_eq!(axis.place(250.0), 0.25);
    }

    #[test]
    fn values_far_apart_are_drawn_by_decades() {
        let axis = Axis::of_values(&[3.0, 700.0], true);
        assert_eq!((axis.is_log, axis.ticks.clone()), (true, vec![1.0, 10.0, 100.0, 1000.0]));
        assert!((axis.place(10.0) - 1.0 / 3.0).abs() < 1e-12);
        assert_eq!(axis.place(0.0), 0.0);
        assert!(!Axis::of_values(&[3.0, 700.0], false).is_log);
    }

    #[test]
    fn no_value_and_one_load_still_have_axes() {
        assert_eq!(Axis::of_values(&[], true).ticks, [0.0, 1.0]);
        assert_eq!(Axis::of_values(&[0.0], true).ticks, [0.0, 1.0]);
        assert_eq!(Axis::of_loads(&[4.0]).place(4.0), 0.5);
        assert_eq!(Axis::of_loads(&[]).ticks, [0.0; 0]);
    }

    #[test]
    fn a_sweep_over_many_loads_has_a_logarithmic_axis() {
        let axis = Axis::of_loads(&[1.0, 4.0, 16.0]);
        assert!(axis.is_log);
        assert!((axis.place(4.0) - 0.5).abs() < 1e-12, "even steps of a factor are even steps on paper");
        assert!(axis.place(1.0) > 0.0 && axis.place(16.0) < 1.0);
        assert!(!Axis::of_loads(&[1.0, 2.0, 4.0]).is_log);
    }

    #[test]
    fn numbers_on_axes_are_short() {
        assert_eq!([plain(0.1 + 0.2), plain(1000.0), plain(0.0)], ["0.3", "1000", "0"]);
    }

    #[test]
    fn titles_are_escaped_and_cut() {
        let drawing = svg(&format!("<&{}", "x".repeat(500)), &[]);
        assert!(drawing.contains("<title>&lt;&amp;xxx") && drawing.contains("xxx...</text>"));
        assert!(drawing.starts_with("<svg ") && drawing.ends_with("</svg>\n"));
    }
}
