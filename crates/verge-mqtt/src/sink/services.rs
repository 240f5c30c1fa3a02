//! Which services of a link its broker allows, found out by elimination. Pure: no clock but the one passed in.
//!
//! MQTT 3.1.1 has hardly any refusals: a broker that does not allow something closes the connection. Two closes in a
//! row at one service, asked for with nothing else unanswered, end that service for a day; a refused connection is tried
//! without the retained will and without any will, and then with it again before one of them is blamed.

use std::time::{Duration, Instant};

use verge_domain::link::{Degraded, Service};

/// A service that was given up is tried again at the first connection after this time.
const AGAIN_AFTER: Duration = Duration::from_secs(24 * 3600);
/// This number of closes in a row at one service, nothing else unanswered, is no chance.
const STRIKES: u8 = 2;

/// Services of a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Services {
    /// Status and last will are retained.
    pub retain: bool,
    /// A last will is left with the broker.
    pub will: bool,
    /// The status document is published.
    pub status: bool,
    /// Commands are taken.
    pub commands: bool,
    /// Own messages are read back, which proves that they arrive.
    pub echo: bool,
}

impl Default for Services {
    fn default() -> Self {
        Self::ALL
    }
}

impl Services {
    /// All of them.
    pub const ALL: Self = Self { retain: true, will: true, status: true, commands: true, echo: true };

    const fn has(self, service: Service) -> bool {
        match service {
            Service::Retain => self.retain,
            Service::Will => self.will,
            Service::Status => self.status,
            Service::Commands => self.commands,
            Service::Echo => self.echo,
        }
    }
}

/// How a connection ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Close {
    /// The broker refused it, or closed it in place of an answer to CONNECT.
    Refused,
    /// The broker closed it after it had accepted it.
    Closed,
    /// Anything else: the network, a time limit, ourselves.
    Other,
}

/// What is left out of CONNECT to see whether the broker takes it then.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ServiceTrial {
    /// Nothing.
    Full,
    Without(Service),
    /// Nothing again: without this service the broker has accepted.
    Confirm(Service),
}

/// What is known of the services of one link.
#[derive(Debug)]
pub(super) struct Care {
    wanted: Services,
    off: [Option<Off>; Service::ALL.len()],
    strikes: [u8; Service::ALL.len()],
    trial: ServiceTrial,
    careful: bool,
    news: bool,
}

#[derive(Debug)]
struct Off {
    reason: String,
    until: Instant,
}

/// What one connection does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Plan {
    pub(super) services: Services,
    /// Services are asked for one at a time, and before any verdict: the last connection was closed at one of them.
    pub(super) careful: bool,
}

impl Care {
    pub(super) fn new(wanted: Services) -> Self {
        Self {
            wanted,
            off: Default::default(),
            strikes: Default::default(),
            trial: ServiceTrial::Full,
            careful: false,
            news: false,
        }
    }

    /// What the next connection does.
    pub(super) fn plan(&mut self, now: Instant) -> Plan {
        for off in &mut self.off {
            if off.as_ref().is_some_and(|off| off.until <= now) {
                *off = None;
                self.news = true;
            }
        }
        let on = |service: Service| {
            let left_out = self.trial == ServiceTrial::Without(service);
            self.wanted.has(service) && self.off[service.index()].is_none() && !left_out
        };
        let services = Services {
            retain: on(Service::Retain),
            will: on(Service::Will),
            status: on(Service::Status),
            commands: on(Service::Commands),
            echo: on(Service::Echo),
        };
        Plan { services, careful: self.careful }
    }

    /// The broker has accepted the connection. `Some` says that it is to be given up at once, and why: the cause of an
    /// earlier refusal is not certain yet.
    pub(super) fn accepted(&mut self) -> Option<String> {
        match self.trial {
            ServiceTrial::Without(service) => {
                self.trial = ServiceTrial::Confirm(service);
                Some(format!(
                    "upstream accepts the connection {}; trying once more with it",
                    without(service)
                ))
            }
            ServiceTrial::Full | ServiceTrial::Confirm(_) => {
                self.trial = ServiceTrial::Full;
                None
            }
        }
    }

    /// The broker has answered this service: it allows it, or says openly that it does not.
    pub(super) fn answered(&mut self, service: Service) {
        self.strikes[service.index()] = 0;
    }

    /// Every service of a careful connection is answered.
    pub(super) fn settled(&mut self) {
        self.careful = false;
    }

    /// The broker says openly that it does not allow this service.
    pub(super) fn refused(&mut self, service: Service, reason: String, now: Instant) {
        self.give_up(service, reason, now);
    }

    /// The connection has ended. `unanswered` are services that the broker owed an answer then; `others`: it owed an
    /// acknowledgement of verdicts as well. Says whether the next attempt may come soon, as it will be another one.
    pub(super) fn ended(
        &mut self,
        close: Close,
        unanswered: &[Service],
        others: bool,
        plan: Plan,
        now: Instant,
    ) -> bool {
        match (close, unanswered) {
            (Close::Refused, _) => self.connect_refused(plan, now),
            (Close::Closed, [service]) if !others => {
                let strikes = &mut self.strikes[service.index()];
                *strikes += 1;
                self.careful = true;
                if *strikes >= STRIKES {
                    *strikes = 0;
                    self.give_up(*service, closed_at(*service), now);
                }
                true
            }
            (Close::Closed, [_, ..]) => {
                self.careful = true;
                true
            }
            (Close::Other, _) => {
                // The broker itself was away: what it refused before may have been its end.
                if matches!(self.trial, ServiceTrial::Without(_)) {
                    self.trial = ServiceTrial::Full;
                }
                false
            }
            (Close::Closed, []) => false,
        }
    }

    fn connect_refused(&mut self, plan: Plan, now: Instant) -> bool {
        let will = plan.services.will;
        let next = match self.trial {
            ServiceTrial::Full if will && plan.services.retain => ServiceTrial::Without(Service::Retain),
            ServiceTrial::Full | ServiceTrial::Without(Service::Retain) if will => {
                ServiceTrial::Without(Service::Will)
            }
            ServiceTrial::Confirm(service) => {
                let reason = format!(
                    "upstream refused the connection twice with {}, and accepted it {}",
                    name(service),
                    without(service)
                );
                self.give_up(service, reason, now);
                self.trial = ServiceTrial::Full;
                return true;
            }
            // It is something else: credentials, for one.
            ServiceTrial::Full | ServiceTrial::Without(_) => ServiceTrial::Full,
        };
        let another = next != ServiceTrial::Full;
        self.trial = next;
        another
    }

    fn give_up(&mut self, service: Service, reason: String, now: Instant) {
        self.off[service.index()] = Some(Off { reason, until: now + AGAIN_AFTER });
        self.news = true;
    }

    /// Services that the link goes without although they are wanted.
    pub(super) fn degraded(&self) -> impl Iterator<Item = Degraded> + '_ {
        Service::ALL.into_iter().filter_map(|service| {
            let off = self.off[service.index()].as_ref()?;
            Some(Degraded { service, reason: off.reason.clone() })
        })
    }

    /// Whether [`Care::degraded`] has changed since this was last asked.
    pub(super) fn take_news(&mut self) -> bool {
        std::mem::take(&mut self.news)
    }
}

fn closed_at(service: Service) -> String {
    let at = match service {
        Service::Retain => "a retained status",
        Service::Will => "a last will",
        Service::Status => "the status document",
        Service::Commands => "the subscription to commands",
        Service::Echo => "the subscription to the gateway's own messages",
    };
    format!("upstream closed the connection {STRIKES} times after {at}, with nothing else unanswered")
}

const fn name(service: Service) -> &'static str {
    match service {
        Service::Retain => "a retained last will",
        Service::Will => "a last will",
        Service::Status => "a status",
        Service::Commands => "commands",
        Service::Echo => "an echo",
    }
}

const fn without(service: Service) -> &'static str {
    match service {
        Service::Retain => "with a last will that is not retained",
        _ => "without a last will",
    }
}

/// What a link does without a service, and what to do about it.
pub(crate) const fn consequence(service: Service) -> &'static str {
    match service {
        Service::Retain => {
            "status and last will are published without the retain flag: a receiver that connects later waits for the \
             next status; allow retained messages in the broker's policy, or set retain = false"
        }
        Service::Will => {
            "no receiver learns when this gateway vanishes; allow the last will on the status topic in the broker's \
             policy, or set will = false"
        }
        Service::Status => {
            "no status is published on this link; allow publishing on the status topic in the broker's policy, or set \
             status = false"
        }
        Service::Commands => {
            "no commands are taken on this link; allow the subscription to the command topic in the broker's policy, \
             or set commands = false"
        }
        Service::Echo => {
            "arrival cannot be proved on this link, acknowledgements are believed; allow the gateway to read its own \
             topics in the broker's policy, or set echo = false"
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAN: Plan = Plan { services: Services::ALL, careful: false };

    fn degraded(care: &Care) -> Vec<Service> {
        care.degraded().map(|degraded| degraded.service).collect()
    }

    #[test]
    fn a_service_is_given_up_after_two_closes_at_it_alone_and_tried_again_after_a_day() {
        let (mut care, now) = (Care::new(Services::ALL), Instant::now());
        let both = [Service::Commands, Service::Status];
        assert!(care.ended(Close::Closed, &both, true, PLAN, now), "careful from now on");
        let plan = care.plan(now);
        assert!(plan.careful && plan.services == Services::ALL);
        assert!(care.ended(Close::Closed, &[Service::Commands], false, plan, now));
        assert_eq!(degraded(&care), []);
        assert!(care.ended(Close::Closed, &[Service::Commands], false, plan, now));
        assert_eq!(degraded(&care), [Service::Commands]);
        let plan = care.plan(now + Duration::from_secs(3600));
        assert_eq!(plan.services, Services { commands: false, ..Services::ALL });
        care.settled();
        assert!(!care.plan(now).careful);
        assert_eq!(care.plan(now + AGAIN_AFTER).services, Services::ALL);
    }

    #[test]
    fn an_answer_or_another_end_blames_nothing() {
        let (mut care, now) = (Care::new(Services::ALL), Instant::now());
        for _ in 0..5 {
            care.ended(Close::Closed, &[Service::Commands], false, PLAN, now);
            care.answered(Service::Commands);
            assert!(!care.ended(Close::Other, &[Service::Commands], false, PLAN, now));
            assert!(!care.ended(Close::Closed, &[], true, PLAN, now));
            care.ended(Close::Closed, &[Service::Commands], true, PLAN, now);
        }
        assert_eq!(degraded(&care), []);
    }

    /// Refusals and acceptances of CONNECT, by what it holds.
    #[test]
    fn a_refused_will_is_found_and_a_refusal_for_another_reason_is_not_blamed_on_it() {
        let check = |allowed: fn(usize, Services) -> bool, expected: &[Service]| {
            let (mut care, now) = (Care::new(Services::ALL), Instant::now());
            for attempt in 0..12 {
                let plan = care.plan(now);
                if !allowed(attempt, plan.services) {
                    care.ended(Close::Refused, &[], false, plan, now);
                } else if care.accepted().is_none() {
                    break;
                }
            }
            assert_eq!(degraded(&care), expected);
        };
        check(|_, _| true, &[]);
        check(|_, services| !services.retain, &[Service::Retain]);
        check(|_, services| !services.will, &[Service::Will]);
        check(|_, _| false, &[]);
        // A broker that starts meanwhile: it refuses the first attempts, whatever they hold.
        check(|attempt, _| attempt >= 1, &[]);
        check(|attempt, _| attempt >= 2, &[]);
        check(|attempt, _| attempt >= 3, &[]);
    }
}
