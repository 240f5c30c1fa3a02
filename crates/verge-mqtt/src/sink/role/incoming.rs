//! What comes in on an uplink: commands, echoes, the own status, answers to subscriptions.

use std::time::Instant;

use rumqttc::{Publish, SubAck};
use verge_domain::link::Service;

use super::{ClaimState, UplinkRole, without_echo};
use crate::driver::Flow;
use crate::sink::MAX_COMMAND_BYTES;
use crate::subscriptions::refused;

impl UplinkRole {
    pub(super) fn take(&mut self, message: Publish) {
        if message.topic == self.status_topic {
            if message.retain && self.connection.retained != ClaimState::Known {
                self.unclaimed = 0;
                self.shared.found(message.payload);
                self.retained_is_known();
            } else if !self.shared.echoed(&message.topic, &message.payload) {
                // Our own status; where all goes to one topic it is an echo as well.
                tracing::trace!("the own status came back");
            }
            return;
        }
        let reason = if self.command_topic.as_ref() != Some(&message.topic) {
            if self.shared.echoed(&message.topic, &message.payload) {
                return;
            }
            "it came on a topic that was not subscribed to"
        } else if message.retain {
            "it is retained: it was given before this connection"
        } else if message.payload.len() > MAX_COMMAND_BYTES {
            "it is too long"
        } else {
            match self.shared.command(message.payload) {
                Ok(()) => return,
                Err(reason) => reason,
            }
        };
        self.connection.dropped += 1;
        if self.connection.dropped == 1 {
            tracing::warn!(topic = %message.topic.escape_debug(), reason, "a command from upstream was dropped");
        }
    }

    pub(super) fn answered(&mut self, answer: &SubAck) -> Flow {
        for answer in self.connection.subscriptions.answered(answer) {
            if answer.filter == self.status_topic && self.connection.retained == ClaimState::Asked {
                match answer.granted {
                    Some(_) => self.connection.retained = ClaimState::Awaited(Instant::now()),
                    None => {
                        tracing::info!(
                            "upstream does not let the gateway read its own status: a snapshot that was put back is not recognised by it"
                        );
                        self.connection.retained = ClaimState::Known;
                    }
                }
                continue;
            }
            let service = if self.command_topic.as_ref() == Some(&answer.filter) {
                Service::Commands
            } else {
                Service::Echo
            };
            self.connection.unanswered.retain(|(unanswered, _)| *unanswered != service);
            self.care.answered(service);
            if answer.granted.is_none() {
                self.refuse(service, refused(&answer.filter));
            }
        }
        self.step()
    }

    pub(super) fn refuse(&mut self, service: Service, reason: String) {
        if service == Service::Echo {
            self.shared.without_echo(without_echo(&reason));
        }
        self.care.refused(service, reason, Instant::now());
        self.publish_news();
    }
}
