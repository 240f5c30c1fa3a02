//! Commands about a route that come by none of its links: from people on this machine and in its network.

use tokio::sync::mpsc;
use verge_domain::id::RouteId;

use super::{CommandAnswer, CommandError, RemoteCommand};

/// Commands that wait for a route at most.
const WAITING: usize = 16;

/// Where an answer goes.
pub(crate) type RouteReply = Box<dyn FnOnce(Result<CommandAnswer, CommandError>) + Send>;

/// A command for a route, and where its answer goes.
pub(crate) struct RouteCommand {
    pub(crate) command: RemoteCommand,
    pub(crate) reply: RouteReply,
}

/// Where they are handed in.
#[derive(Clone)]
pub struct RouteDesk {
    route: RouteId,
    commands: mpsc::Sender<RouteCommand>,
}

/// Where a route takes them.
pub struct RouteCommands(mpsc::Receiver<RouteCommand>);

impl RouteDesk {
    /// That of a route, and its other side.
    #[must_use]
    pub fn of(route: RouteId) -> (Self, RouteCommands) {
        let (commands, taken) = mpsc::channel(WAITING);
        (Self { route, commands }, RouteCommands(taken))
    }

    /// The route.
    pub(super) const fn route(&self) -> &RouteId {
        &self.route
    }

    /// Hands one in; gives its reply back where too many wait, or the route has ended.
    pub(super) fn submit(&self, command: RemoteCommand, reply: RouteReply) -> Result<(), RouteReply> {
        self.commands.try_send(RouteCommand { command, reply }).map_err(|refused| refused.into_inner().reply)
    }
}

impl RouteCommands {
    /// The next one; `None` once nobody can hand one in.
    pub(crate) async fn next(&mut self) -> Option<RouteCommand> {
        self.0.recv().await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn few_wait_and_the_others_are_given_back() {
        let (desk, mut commands) = RouteDesk::of(RouteId::new("up").unwrap());
        let is_taken = || desk.submit(RemoteCommand::Ledger, Box::new(|_| ())).is_ok();
        let taken = (0..WAITING + 3).filter(|_| is_taken()).count();
        assert_eq!(taken, WAITING);
        assert!(commands.next().await.is_some() && is_taken());
        drop(commands);
        assert!(!is_taken(), "the route has ended");
    }
}
