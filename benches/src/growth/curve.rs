//! The ratios of growing amounts to the smallest one, as lines and as a plot.

use std::path::Path;
use std::time::Duration;

use plotters::prelude::{
    BLUE, ChartBuilder, Circle, IntoDrawingArea as _, IntoLogRange as _, LineSeries, PathElement,
    SVGBackend, WHITE,
};
use plotters::style::Color as _;

use crate::Error;
use crate::ratios::{Ratios, Summary};

/// The directory of the plots. It is not committed.
const PLOTS_DIR: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/plots");
const PLOT_SIZE: (u32, u32) = (640, 400);

/// One quantity for growing amounts, such as the numbers of migrations.
#[derive(Debug)]
pub(crate) struct Curve {
    /// What is counted.
    unit: &'static str,
    points: Vec<(u32, Ratios)>,
}

impl Curve {
    pub(crate) fn new(unit: &'static str) -> Self {
        Self {
            unit,
            points: Vec::new(),
        }
    }

    /// Adds one round's time of an amount, and the time of the smallest amount.
    pub(crate) fn add(&mut self, amount: u32, time: Duration, reference: Duration) {
        let index = self.points.iter().position(|(known, _)| *known == amount);
        let index = index.unwrap_or_else(|| {
            self.points.push((amount, Ratios::default()));
            self.points.len() - 1
        });
        self.points[index].1.push(time, reference);
    }

    /// Adds one round with the times of all amounts, the smallest amount first.
    pub(crate) fn add_round(&mut self, times: &[(u32, Duration)]) {
        if let Some((_, reference)) = times.first() {
            for (amount, time) in times {
                self.add(*amount, *time, *reference);
            }
        }
    }

    #[expect(clippy::print_stdout, reason = "the program prints its results")]
    pub(crate) fn print(&self, name: &str) {
        let summaries = self.summaries();
        let Some((smallest, _)) = summaries.first() else {
            return;
        };
        for (amount, summary) in &summaries[1..] {
            println!("{name:<22} {summary}  {amount} {} / {smallest}", self.unit);
        }
    }

    /// Writes `NAME.svg`: the medians as a line, with the least and the most of each. Both axes are
    /// logarithmic.
    pub(crate) fn plot(&self, name: &str) -> Result<(), Error> {
        let summaries = self.summaries();
        let [(from, _), .., (to, _)] = summaries.as_slice() else {
            return Ok(());
        };
        let least = summaries.iter().map(|(_, s)| s.least).fold(1.0, f64::min);
        let most = summaries.iter().map(|(_, s)| s.most).fold(1.0, f64::max);
        std::fs::create_dir_all(PLOTS_DIR)?;
        let path = Path::new(PLOTS_DIR).join(format!("{name}.svg"));
        let area = SVGBackend::new(&path, PLOT_SIZE).into_drawing_area();
        area.fill(&WHITE)?;
        let mut chart = ChartBuilder::on(&area)
            .caption(name, ("sans-serif", 20))
            .margin(12)
            .x_label_area_size(40)
            .y_label_area_size(50)
            .build_cartesian_2d(
                (f64::from(*from)..f64::from(*to) * 1.1).log_scale(),
                (least * 0.8..most * 1.25).log_scale(),
            )?;
        chart
            .configure_mesh()
            .x_desc(self.unit)
            .y_desc(format!("ratio to {from}"))
            .draw()?;
        let medians = summaries.iter().map(|(x, s)| (f64::from(*x), s.median));
        chart.draw_series(LineSeries::new(medians.clone(), BLUE))?;
        chart.draw_series(medians.map(|point| Circle::new(point, 3, BLUE.filled())))?;
        chart.draw_series(summaries.iter().map(|(x, s)| {
            let x = f64::from(*x);
            PathElement::new(vec![(x, s.least), (x, s.most)], BLUE.mix(0.4))
        }))?;
        area.present()?;
        Ok(())
    }

    fn summaries(&self) -> Vec<(u32, Summary)> {
        let points = self.points.iter();
        points
            .filter_map(|(amount, ratios)| Some((*amount, ratios.summary()?)))
            .collect()
    }
}
