//! What policy costs per observation: nothing is wrong (the usual case), and an event that is reported again
//! at every observation (the most a policy can do).

use std::hint::black_box;
use std::time::Duration;

use criterion::{Criterion, criterion_group, criterion_main};
use verge_domain::finding::{Condition, Expected, Member, Standing};
use verge_domain::id::{EventId, Lane};
use verge_domain::policy::{EventLife, EventPolicy, Observed};
use verge_domain::time::{Moment, UtcMillis};
use verge_domain::verdict::Severity;

fn policy(c: &mut Criterion) {
    let policy = EventPolicy {
        severity: Severity::Warning,
        critical_when: None,
        lane: Lane::Alarm,
        raise_after: Duration::ZERO,
        clear_after: Duration::ZERO,
        update_every: Some(Duration::ZERO),
    };
    for (name, standing) in [("normal", Standing::Normal), ("updated", Standing::Abnormal)] {
        c.bench_function(&format!("policy/{name}"), |bencher| {
            let condition = Condition::of_rule(Member::High, standing, 1.0, Expected::default());
            let at = UtcMillis(1_700_000_000_000);
            let observed = Observed { at, received: Moment::from_wall(at) };
            let mut life = EventLife::default();
            bencher.iter(|| life.advance(&policy, black_box(&condition), observed, || EventId([1; 16])));
        });
    }
}

criterion_group!(benches, policy);
criterion_main!(benches);
