//! `forecast`: how far ahead judges that count say what is expected.

use std::time::Duration;

use verge_anomaly::ForecastSettings;
use verge_domain::interval::IntervalGrid;

use super::limits::fitting;
use crate::config::{Fault, Span};
use crate::settings::Check;

pub(super) fn check_forecast(
    check: &mut Check<'_>,
    section: &str,
    raw: Option<&Vec<String>>,
    grid: IntervalGrid,
) -> Option<ForecastSettings> {
    let ahead = raw.into_iter().flatten().map(|text| span(check, section, text));
    let ahead: Vec<Option<Duration>> = ahead.collect();
    let ahead: Vec<Duration> = ahead.into_iter().collect::<Option<_>>()?;
    fitting(check, section, ForecastSettings::new(grid, &ahead))
}

fn span(check: &mut Check<'_>, section: &str, text: &str) -> Option<Duration> {
    let span = Span::parse(text).map(|span| span.0);
    if span.is_none() {
        let fault =
            Fault::at_text(format!("{section}.forecast"), text, "durations such as \"5m\" and \"15m\"");
        check.faults.push(fault.remedy("write forecast = [\"5m\", \"15m\"]"));
    }
    span
}
