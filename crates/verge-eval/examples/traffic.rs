//! Prints the marks.
use verge_eval::traffic::{self, detector::Boxes, scenario::{Scenario, TrafficCase}, score::CaseScore};
fn main() {
    let share: f64 = std::env::args().nth(1).map_or(1.0, |text| text.parse().unwrap());
    let only = std::env::args().nth(2);
    for case in TrafficCase::ALL {
        if only.as_ref().is_some_and(|only| only != case.as_str()) { continue; }
        let mut all = Vec::new();
        for scenario in Scenario::of(case, 7, share) {
            all.extend(traffic::count(scenario, &[Boxes::Ideal, Boxes::Detected], &traffic::RATES, 3));
        }
        for boxes in [Boxes::Ideal, Boxes::Detected] {
            for rate in traffic::RATES {
                let part: Vec<_> = all.iter().filter(|one| one.boxes == boxes && one.rate == rate).cloned().collect();
                let s = CaseScore::of(&part);
                let p = |x: Option<f64>| x.map_or("-".into(), |x| format!("{:.1}%", 100.0 * x));
                println!("{:8} {:13} {rate:2}/s n={} wrong {:.1}% ({:.1}%) in time {:.1}% trips {} occ {:?} speed {} queue {} seldom {:.0}% unres {} cls {}",
                    case.as_str(), boxes.as_str(), s.crossings, 100.0 * s.wrong, 100.0 * s.worst, 100.0 * s.in_time, p(s.trips),
                    s.occupancy.map(|x| (x * 1000.0).round() / 1000.0), p(s.speed), p(s.queue), 100.0 * s.seldom,
                    part.iter().map(|x| x.unresolved).sum::<u32>(), part.iter().map(|x| x.wrong_class).sum::<u32>());
                if std::env::args().nth(3).is_some() { for one in &part { println!("   {} {:?} {:?} {:?}", one.name, one.counts, one.trips, one.occupancy); } }
            }
        }
    }
}
