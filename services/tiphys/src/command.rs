//! The commands, one file per group.

mod crds;
mod cron;
mod dead;
mod events;
mod explain;
mod get;
mod latest;
mod lint;
mod logs;
mod manifests;
mod status;
mod submit;
mod trace;
mod verbs;
mod watch;

use clap::CommandFactory as _;

use crate::cli::{BusArgs, BusCommand, Cli, Command, RoleArgs, TriggerArgs};
use crate::client::Client;
use crate::exit::Failure;
use crate::role::Role;

/// Runs a command.
pub(crate) fn run(cli: Cli) -> Result<(), Failure> {
    let command = match role_of(cli.command) {
        Ok((role, args)) => return crate::role::run(role, &args, &cli.connection),
        Err(command) => *command,
    };
    if !matches!(command, Command::Dev(_)) {
        crate::exit::end_with_the_reader();
    }
    match command {
        Command::Dev(args) => crate::dev::run(&args, &cli.connection),
        Command::Runner { dir } => std::process::exit(tiphys_runner::main(&dir)),
        Command::Bus(BusArgs { command: Some(BusCommand::Permissions { prefix }), .. }) => {
            print!("{}", crate::role::users(prefix, cli.connection.namespace.clone()));
            Ok(())
        }
        Command::Lint(args) => lint::run(&args, &cli.connection),
        Command::Explain { code } => explain::run(&code),
        Command::Crds { plural } => crds::run(plural.as_deref()),
        Command::Completion { shell } => {
            clap_complete::generate(shell, &mut Cli::command(), "tiphys", &mut std::io::stdout());
            Ok(())
        }
        command => {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(async {
                match command {
                    Command::Tool(tool) => crate::toolbox::run(tool).await,
                    command => remote(command, &Client::find(&cli.connection)?, &cli.connection).await,
                }
            })
        }
    }
}

/// The service that a command runs, or the command.
fn role_of(command: Command) -> Result<(Role, RoleArgs), Box<Command>> {
    match command {
        Command::Bus(BusArgs { command: None, role }) => Ok((Role::Bus, role)),
        Command::Eventsource(args) => Ok((Role::Eventsource, args)),
        Command::Sensor(args) => Ok((Role::Sensor, args)),
        Command::Trigger(TriggerArgs { command: None, role }) => Ok((Role::Trigger, role)),
        Command::Executor(args) => Ok((Role::Executor, args)),
        Command::Server(args) => Ok((Role::Server, args)),
        other => Err(Box::new(other)),
    }
}

/// Commands that speak to a server.
async fn remote(
    command: Command,
    client: &Client,
    connection: &crate::cli::Connection,
) -> Result<(), Failure> {
    match command {
        Command::Apply(args) => manifests::apply(&args, client, connection).await,
        Command::Delete(args) => manifests::delete(&args, client).await,
        Command::Get(args) => get::get(&args, client, connection).await,
        Command::List(args) => get::list(&args, client, connection).await,
        Command::Submit(args) => submit::submit(&args, client, connection).await,
        Command::Resubmit(args) => submit::resubmit(&args, client, connection).await,
        Command::Logs(args) => logs::run(&args, client, connection).await,
        Command::Watch(args) => watch::watch(&args.name, client, connection).await,
        Command::Wait(args) => watch::wait(&args, client).await,
        Command::Suspend(args) => verbs::suspend(&args, client).await,
        Command::Resume(args) => verbs::resume(&args, client).await,
        Command::Stop(args) => verbs::stop(&args, client).await,
        Command::Terminate(args) => verbs::terminate(&args, client).await,
        Command::Retry(args) => verbs::retry(&args, client).await,
        Command::Events(args) => events::run(&args, client, connection).await,
        Command::Replay { id } => events::replay(&id, client).await,
        Command::Cron(args) => cron::run(&args, client, connection).await,
        Command::Dlq(args) => dead::run(&args, client, connection).await,
        Command::Trigger(TriggerArgs { command: Some(args), .. }) => verbs::trigger(&args, client).await,
        Command::Status => status::run(client, connection).await,
        _ => Ok(()),
    }
}
