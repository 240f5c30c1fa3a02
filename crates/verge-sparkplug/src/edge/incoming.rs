//! What hosts say: commands, and whether the primary one is there.

use verge_domain::time::Moment;

use super::{BIRTH_EVERY, EdgeNode, EdgePhase};
use crate::command::NodeCommand;
use crate::names::host_topics;

impl EdgeNode {
    /// A message has come.
    pub fn message(&mut self, topic: &str, payload: &[u8], is_retained: bool, now: Moment) {
        let [new, old] = self.settings.host.as_deref().map_or_else(Default::default, host_topics);
        if topic == new || topic == old {
            if !self.host.take(topic == new, payload) {
                self.counted.refused += 1;
            }
            return self.look_at_host();
        }
        if !is_retained
            && self.settings.commands.is_some()
            && self.phase == EdgePhase::Born
            && let Some(device) = topic
                .strip_prefix(&self.settings.address.topic("DCMD"))
                .and_then(|rest| rest.strip_prefix('/'))
        {
            return self.device_command(device, payload);
        }
        if is_retained || topic != self.settings.address.topic("NCMD") {
            self.counted.refused += 1;
            return;
        }
        let is_born = self.phase == EdgePhase::Born;
        let command = NodeCommand::read(payload, |metric| is_born && self.limit_command(metric));
        self.counted.refused += command.refused;
        if command.rebirth && self.phase == EdgePhase::Born && self.birth_due.is_none() {
            self.counted.rebirths += 1;
            let earliest = self.last_birth.map_or(now.mono, |last| last.after(BIRTH_EVERY));
            self.birth_due = Some(earliest.max(now.mono));
        }
    }

    pub(super) fn look_at_host(&mut self) {
        match (self.phase, self.host.is_online()) {
            (EdgePhase::WaitHost, true) => self.phase = EdgePhase::Ready,
            (EdgePhase::Ready, false) if self.settings.host.is_some() => self.phase = EdgePhase::WaitHost,
            (EdgePhase::Born, false) if self.settings.host.is_some() => {
                self.phase = EdgePhase::Leaving { by_host: true, said: false };
            }
            _ => {}
        }
    }
}
