//! `verge broker`: the embedded broker alone.

use std::io::Write;

use clap::Args;
use verge_broker::{ChildError, child};

use verge_gateway::exit::{Exit, ExitWith};

#[derive(Debug, Args)]
#[command(
    after_help = "A gateway with local.mode = \"embedded\" starts this by itself, as a child process, and starts it \
again when it fails.

Standard input: one line \"verge-broker 1 PORT BYTES USER PASSWORD\" says on which port of 127.0.0.1 it serves MQTT \
3.1.1, how large a packet may be, and who may connect. It ends when standard input ends, so it never outlives its \
gateway. Standard output: the line \"ready\", once it serves.

Examples:
  (echo verge-broker 1 18830 65536 somebody something; cat) | verge broker"
)]
pub(super) struct BrokerArgs {}

pub(super) fn broker(_: &BrokerArgs, out: &mut impl Write) -> anyhow::Result<Exit> {
    match child::serve(out) {
        Ok(()) => Ok(Exit::Fine),
        Err(error) => {
            let exit = match &error {
                ChildError::StartMessage(_) => Exit::Usage,
                ChildError::Broker(_) => Exit::Unavailable,
                ChildError::Io(_) => Exit::Failure,
            };
            Err(error).exit_with(exit)
        }
    }
}
