//! `genesis completion` and `genesis man`: made from the same description as `--help`.

use std::path::PathBuf;

use clap::{Args, CommandFactory};
use clap_complete::Shell;

use crate::cli::Cli;
use crate::printer::{Failed, Printer};

#[derive(Args, Debug)]
#[command(
    after_help = "Examples:\n  genesis completion bash > ~/.local/share/bash-completion/completions/genesis\n  \
    genesis completion zsh > ~/.zfunc/_genesis\n  genesis completion fish > ~/.config/fish/completions/genesis.fish"
)]
pub(crate) struct Completion {
    /// For which shell
    shell: Shell,
}

#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  genesis man | man -l -\n  genesis man --dir /usr/local/share/man/man1")]
pub(crate) struct Man {
    /// Write genesis.1 and one page per command into this folder
    #[arg(long, value_name = "FOLDER")]
    dir: Option<PathBuf>,
}

pub(crate) fn completion(args: &Completion, printer: &Printer) -> Result<(), Failed> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "genesis", &mut script);
    printer.line(String::from_utf8_lossy(&script).trim_end())
}

pub(crate) fn man(args: &Man, printer: &Printer) -> Result<(), Failed> {
    let command = Cli::command();
    let Some(folder) = &args.dir else {
        let mut page = Vec::new();
        clap_mangen::Man::new(command).render(&mut page)?;
        return printer.line(String::from_utf8_lossy(&page).trim_end());
    };
    std::fs::create_dir_all(folder)?;
    clap_mangen::generate_to(command, folder)?;
    printer.note(format!("manual pages are in {}", folder.display()));
    Ok(())
}
