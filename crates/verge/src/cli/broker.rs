//! `verge broker`: the embedded broker alone, and the logins of devices that have no certificate.

mod logins;

use std::io::Write;

use clap::{Args, Subcommand};
use verge_broker::{ChildError, child};

use verge_gateway::exit::{Exit, ExitWith};

#[derive(Debug, Args)]
#[command(
    after_help = "A gateway with local.mode = \"embedded\" starts this by itself, as a child process, and starts it \
again when it fails.

Standard input: one line \"verge-broker 1 PORT BYTES USER PASSWORD\" says on which port of 127.0.0.1 it serves MQTT \
3.1.1, how large a packet may be, and who may connect. It ends when standard input ends, so it never outlives its \
gateway. Standard output: the line \"ready\", once it serves.

Devices that cannot do certificates log in by a name and a password (local.passwords); a gateway that runs takes a changed file up \
within a minute.

Examples:
  verge broker passwd pump-1 --file broker.passwords
  verge broker import --passwords passwd --acl acl --dir /etc/verge
  (echo verge-broker 1 18830 65536 somebody something; cat) | verge broker"
)]
pub(super) struct BrokerArgs {
    #[command(subcommand)]
    action: Option<BrokerAction>,
}

#[derive(Debug, Subcommand)]
enum BrokerAction {
    /// Give a device a password, or another one, in a file for local.passwords
    Passwd(logins::PasswdArgs),
    /// Take over mosquitto's password and access files
    Import(logins::ImportArgs),
}

pub(super) fn broker(args: &BrokerArgs, json: bool, out: &mut impl Write) -> anyhow::Result<Exit> {
    match &args.action {
        Some(BrokerAction::Passwd(args)) => return logins::passwd(args, json, out),
        Some(BrokerAction::Import(args)) => return logins::import(args, json, out),
        None => {}
    }
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
