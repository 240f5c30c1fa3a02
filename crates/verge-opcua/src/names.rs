//! Node ids: the path of a point, as text.

use std::borrow::Cow;

use verge_domain::image::PointSelector;

/// The object that all others stand below.
pub(crate) const ROOT: &str = "Verge";
/// The object that says how the gateway is.
pub(crate) const GATEWAY: &str = "gateway";

/// A name as a part of a path. No two names share one: what separates parts is escaped, and so is the name of the object
/// that says how the gateway is, where a device has it.
fn part(name: &str) -> Cow<'_, str> {
    match name {
        ROOT => "%56erge".into(),
        GATEWAY => "%67ateway".into(),
        name if name.contains(['/', '%']) => name.replace('%', "%25").replace('/', "%2F").into(),
        name => name.into(),
    }
}

/// The parts of the path down to a point.
pub(crate) fn parts_of(point: &PointSelector) -> impl Iterator<Item = Cow<'_, str>> {
    let further = [
        Some(point.judge.as_str()),
        point.signal.as_ref().map(|signal| signal.as_str()),
        point.strand.as_ref().map(|strand| strand.as_str()),
    ];
    // Only below the root can a name be mistaken.
    std::iter::once(part(point.device.as_str())).chain(further.into_iter().flatten().map(below))
}

fn below(name: &str) -> Cow<'_, str> {
    if matches!(name, ROOT | GATEWAY) { name.into() } else { part(name) }
}

/// The name that a part of a path stands for.
pub(crate) fn name_of(part: &str) -> Cow<'_, str> {
    match part {
        "%56erge" => ROOT.into(),
        "%67ateway" => GATEWAY.into(),
        part if part.contains('%') => part.replace("%2F", "/").replace("%25", "%").into(),
        part => part.into(),
    }
}

/// The node id of a point.
#[must_use]
pub fn node_path(point: &PointSelector) -> String {
    parts_of(point).fold(String::new(), |mut path, part| {
        if !path.is_empty() {
            path.push('/');
        }
        path.push_str(&part);
        path
    })
}

#[cfg(test)]
mod tests {
    use verge_domain::finding::Member;
    use verge_domain::id::{DeviceId, JudgeId, SignalId};
    use verge_domain::image::PointContent;

    use super::*;

    #[test]
    fn no_two_points_share_a_node() {
        let path = |device: &str, judge: &str, signal: Option<&str>| {
            node_path(&PointSelector {
                judge: JudgeId::new(judge).unwrap(),
                device: DeviceId::new(device).unwrap(),
                signal: signal.map(|signal| SignalId::new(signal).unwrap()),
                strand: Some(Member::High),
                content: PointContent::Events,
            })
        };
        assert_eq!(path("pump-1", "limit", Some("pressure")), "pump-1/limit/pressure/high");
        assert_eq!(path("pump-1", "limit", None), "pump-1/limit/high");
        assert_eq!(path("a/b", "limit", Some("100%")), "a%2Fb/limit/100%25/high");
        assert_eq!(path("gateway", "gateway", None), "%67ateway/gateway/high");
        assert_ne!(path("%67ateway", "gateway", None), path("gateway", "gateway", None));
    }

    #[test]
    fn a_part_stands_for_one_name() {
        for name in ["pump-1", "a/b", "100%", "%2F", "a%252Fb", "gateway", "Verge", "%67ateway", "%"] {
            assert_eq!(name_of(&part(name)), name, "{name}");
        }
    }
}
