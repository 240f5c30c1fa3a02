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

/// The objects down to a point: the path of each, and its name.
pub(crate) fn objects_of(point: &PointSelector) -> Vec<(String, String)> {
    let names = [Some(point.device.as_str()), Some(point.judge.as_str())];
    let further = [
        point.signal.as_ref().map(|signal| signal.as_str()),
        point.strand.as_ref().map(|strand| strand.as_str()),
    ];
    let mut objects: Vec<(String, String)> = Vec::new();
    for name in names.into_iter().chain(further).flatten() {
        let path = match objects.last() {
            // Only below the root can it be mistaken.
            None => part(name).into_owned(),
            Some((above, _)) => format!("{above}/{}", below(name)),
        };
        objects.push((path, name.to_owned()));
    }
    objects
}

fn below(name: &str) -> Cow<'_, str> {
    if matches!(name, ROOT | GATEWAY) { name.into() } else { part(name) }
}

/// The node id of a point.
#[must_use]
pub fn node_path(point: &PointSelector) -> String {
    objects_of(point).pop().map_or_else(String::new, |(path, _)| path)
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
}
