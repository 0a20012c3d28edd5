//! Where a variable gets its value. The first source that has a non-empty value wins, and no later source
//! overrides it: process, `~/.genesis/.env`, (working directory's `.env`, if asked for), the file's `env`
//! block, (login shell, if asked for). A command-line flag stands before all of these and is its command's
//! own business.

use std::collections::HashMap;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;
use std::{env, fmt, fs, thread};

use crate::file::{EnvBlock, readable_by_others};
use crate::secret::{ExposeSecret, Secret};

/// Variables and where each came from.
#[derive(Clone, Debug, Default)]
pub struct Environment {
    /// Every value that was found for a name, the one that wins first. Never empty.
    variables: HashMap<String, Vec<(Secret, Source)>>,
}

/// Where a variable was found, in order of precedence.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Source {
    Process,
    DotEnv,
    CwdDotEnv,
    Block,
    LoginShell,
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Process => "process environment",
            Self::DotEnv => ".env in the genesis folder",
            Self::CwdDotEnv => ".env in the working directory",
            Self::Block => "env block of genesis.json",
            Self::LoginShell => "login shell",
        })
    }
}

/// A `${NAME}` no source has a value for.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error(
    "${{{name}}} is not set anywhere; set {name} in the environment, in ~/.genesis/.env or in `env` of genesis.json"
)]
pub struct Unresolved {
    pub name: String,
}

/// What [`Environment::load_in`] looks at besides files in the home folder.
#[derive(Clone, Debug)]
pub struct Surroundings {
    /// Variables of this process.
    pub process: Vec<(String, Secret)>,
    pub working_directory: PathBuf,
    /// The list of shells that may be run, one path a line.
    pub trusted_shells: PathBuf,
}

impl Surroundings {
    /// Those of this process.
    pub fn current() -> Self {
        Self {
            // Variables that are no text cannot be sent in a header or compared with anything.
            process: env::vars_os()
                .filter_map(|(name, value)| {
                    Some((name.into_string().ok()?, Secret::from(value.into_string().ok()?)))
                })
                .collect(),
            working_directory: env::current_dir().unwrap_or_default(),
            trusted_shells: PathBuf::from("/etc/shells"),
        }
    }
}

impl Environment {
    /// Collects all sources around this process. `home` is the folder of [`home_dir`]. Also returns what the
    /// user should know; nothing here is a reason to stop.
    pub fn load(home: &Path, block: &EnvBlock) -> (Self, Vec<String>) {
        Self::load_in(&Surroundings::current(), home, block)
    }

    /// [`Environment::load`] with everything outside the home folder given.
    pub fn load_in(around: &Surroundings, home: &Path, block: &EnvBlock) -> (Self, Vec<String>) {
        let mut environment = Self::default();
        let mut warnings = Vec::new();
        environment.add(Source::Process, around.process.iter().cloned());

        let dot_env = home.join(".env");
        environment.add(Source::DotEnv, read_dot_env(&dot_env, &mut warnings));
        warnings.extend(readable_by_others(&dot_env));
        if block.cwd_dot_env {
            let dot_env = around.working_directory.join(".env");
            environment.add(Source::CwdDotEnv, read_dot_env(&dot_env, &mut warnings));
        }

        for (name, value) in &block.values {
            // A value may refer to variables of the sources before it.
            match environment.substitute(value.expose_secret()) {
                Ok(value) => environment.add(Source::Block, [(name.clone(), value)]),
                Err(unresolved) => {
                    warnings.push(format!("env.{name} of genesis.json is ignored: {unresolved}"))
                }
            }
        }

        if block.shell_env.enabled {
            let shell = login_shell(&environment, &around.trusted_shells);
            match ask_shell(&shell, Duration::from_millis(block.shell_env.timeout_ms)) {
                Ok(variables) => environment.add(Source::LoginShell, variables),
                Err(reason) => warnings.push(format!(
                    "env.shellEnv: {} {reason}; its variables are missing. \
                     Put the keys into ~/.genesis/.env, or switch env.shellEnv.enabled off",
                    shell.display()
                )),
            }
        }
        (environment, warnings)
    }

    /// An environment of these variables alone, as if the process had them.
    pub fn of<N: Into<String>, V: Into<String>>(pairs: impl IntoIterator<Item = (N, V)>) -> Self {
        let mut environment = Self::default();
        let pairs = pairs.into_iter().map(|(name, value)| (name.into(), Secret::from(value.into())));
        environment.add(Source::Process, pairs);
        environment
    }

    /// The value that wins for `name`, and where it came from. Never empty.
    pub fn lookup(&self, name: &str) -> Option<(&Secret, Source)> {
        self.all(name).first().map(|(value, source)| (value, *source))
    }

    /// Every value found for `name`: the one that wins, then those it stands before.
    pub fn all(&self, name: &str) -> &[(Secret, Source)] {
        self.variables.get(name).map_or(&[], Vec::as_slice)
    }

    /// The names of all variables, in no order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.variables.keys().map(String::as_str)
    }

    /// The first of several variables that has a value: its name, value and source.
    pub fn first<'n>(&self, names: &'n [String]) -> Option<(&'n str, &Secret, Source)> {
        names.iter().find_map(|name| self.lookup(name).map(|(value, source)| (name.as_str(), value, source)))
    }

    /// Replaces every `${NAME}` in `text` by its value. `$${` stands for `${` itself. What a value contains is
    /// not looked at again.
    pub fn substitute(&self, text: &str) -> Result<Secret, Unresolved> {
        let mut result = String::with_capacity(text.len());
        let mut rest = text;
        while let Some(at) = rest.find("${") {
            if rest[..at].ends_with('$') {
                result.push_str(&rest[..at - 1]);
                result.push_str("${");
                rest = &rest[at + 2..];
                continue;
            }
            let Some(length) = rest[at + 2..].find('}') else {
                break;
            };
            let name = &rest[at + 2..at + 2 + length];
            result.push_str(&rest[..at]);
            let (value, _) = self.lookup(name).ok_or_else(|| Unresolved { name: name.to_owned() })?;
            result.push_str(value.expose_secret());
            rest = &rest[at + 2 + length + 1..];
        }
        result.push_str(rest);
        Ok(Secret::from(result))
    }

    fn add(&mut self, source: Source, variables: impl IntoIterator<Item = (String, Secret)>) {
        for (name, value) in variables {
            if !value.expose_secret().trim().is_empty() {
                self.variables.entry(name).or_default().push((value, source));
            }
        }
    }
}

/// The names in a text's `${NAME}`s, in order.
pub(crate) fn references(text: &str) -> Vec<&str> {
    let mut names = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find("${") {
        let Some(length) = rest[at + 2..].find('}') else { break };
        if rest[..at].ends_with('$') {
            rest = &rest[at + 2..];
            continue;
        }
        names.push(&rest[at + 2..at + 2 + length]);
        rest = &rest[at + 2 + length + 1..];
    }
    names
}

/// The folder that holds `genesis.json`, `.env`, the database and logs: `GENESIS_HOME`, else `~/.genesis`.
pub fn home_dir() -> Result<PathBuf, NoHome> {
    home_dir_from(|name| env::var_os(name).map(PathBuf::from))
}

fn home_dir_from(variable: impl Fn(&str) -> Option<PathBuf>) -> Result<PathBuf, NoHome> {
    let set = |name: &str| variable(name).filter(|path| !path.as_os_str().is_empty());
    let user = set("HOME").or_else(|| set("USERPROFILE"));
    match (set("GENESIS_HOME"), user) {
        (Some(path), Some(user)) => Ok(match path.strip_prefix("~") {
            Ok(below) => user.join(below),
            Err(_) => path,
        }),
        (Some(path), None) => Ok(path),
        (None, Some(user)) => Ok(user.join(".genesis")),
        (None, None) => Err(NoHome),
    }
}

#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error(
    "neither GENESIS_HOME nor HOME is set, so there is no place for genesis.json; set GENESIS_HOME to a folder"
)]
pub struct NoHome;

fn read_dot_env(path: &Path, warnings: &mut Vec<String>) -> Vec<(String, Secret)> {
    let Ok(lines) = dotenvy::from_path_iter(path) else {
        if path.exists() {
            warnings.push(format!("cannot read {}; its variables are missing", path.display()));
        }
        return Vec::new();
    };
    let mut variables = Vec::new();
    let mut last: HashMap<String, usize> = HashMap::new();
    for line in lines {
        match line {
            // Within one file the later line wins, as in a shell.
            Ok((name, value)) => match last.get(&name) {
                Some(&at) => variables[at] = (name, Secret::from(value)),
                None => {
                    last.insert(name.clone(), variables.len());
                    variables.push((name, Secret::from(value)));
                }
            },
            // The error would quote the line, which may hold a key.
            Err(dotenvy::Error::LineParse(..)) => {
                warnings.push(format!(
                    "{} has a line that is not NAME=value; it is ignored. Quote values that hold spaces or #",
                    path.display()
                ));
            }
            Err(_) => {
                warnings.push(format!("cannot read {} to its end; variables may be missing", path.display()));
                break;
            }
        }
    }
    variables
}

/// `$SHELL` if the system lists it as a shell: a variable alone must not decide what is run.
fn login_shell(environment: &Environment, trusted_shells: &Path) -> PathBuf {
    let shell = environment.lookup("SHELL").filter(|(_, source)| *source == Source::Process);
    let listed = fs::read_to_string(trusted_shells).unwrap_or_default();
    shell
        .map(|(shell, _)| shell.expose_secret())
        .filter(|shell| listed.lines().any(|line| line.trim() == *shell))
        .map_or_else(|| PathBuf::from("/bin/sh"), PathBuf::from)
}

/// More than any real environment; a shell that prints without end is cut off here.
const MOST_SHELL_OUTPUT: u64 = 4 * 1024 * 1024;

/// What start-up files print comes before this mark and is dropped.
const MARK: &[u8] = b"\0genesis environment follows\0";

fn ask_shell(shell: &Path, limit: Duration) -> Result<Vec<(String, Secret)>, String> {
    let script = r"printf '\0genesis environment follows\0'; exec env -0";
    let mut child = Command::new(shell)
        .args(["-l", "-c", script])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .map_err(|error| format!("cannot be started ({error})"))?;
    let stdout = child.stdout.take().ok_or("gave no output")?;
    let (sender, receiver) = mpsc::sync_channel(1);
    // Reading blocks until the shell and all it started close the pipe, so it must not be done here.
    thread::spawn(move || {
        let mut output = Vec::new();
        let read = stdout.take(MOST_SHELL_OUTPUT).read_to_end(&mut output);
        // Nobody listens any more if the time limit has passed.
        let _ = sender.send(read.map(|_| output));
    });
    let answer = receiver.recv_timeout(limit);
    // An ended child cannot be killed, and one that cannot be waited for is gone.
    let _ = child.kill();
    let _ = child.wait();
    let output = answer
        .map_err(|_| format!("did not answer within {} ms", limit.as_millis()))?
        .map_err(|error| format!("could not be read ({error})"))?;
    let start = output.windows(MARK.len()).rposition(|window| window == MARK);
    let start = start.ok_or("did not print its environment")? + MARK.len();
    Ok(output[start..]
        .split(|byte| *byte == 0)
        .filter_map(|pair| std::str::from_utf8(pair).ok()?.split_once('='))
        .map(|(name, value)| (name.to_owned(), Secret::from(value)))
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_home_folder_can_be_moved() {
        let home = |set: &[(&str, &str)]| {
            let set: HashMap<String, PathBuf> =
                set.iter().map(|(name, path)| ((*name).to_owned(), PathBuf::from(path))).collect();
            home_dir_from(|name| set.get(name).cloned())
        };
        assert_eq!(home(&[("HOME", "/home/a")]), Ok(PathBuf::from("/home/a/.genesis")));
        assert_eq!(home(&[("HOME", "/home/a"), ("GENESIS_HOME", "/srv/g")]), Ok(PathBuf::from("/srv/g")));
        assert_eq!(home(&[("HOME", "/home/a"), ("GENESIS_HOME", "~/g")]), Ok(PathBuf::from("/home/a/g")));
        assert_eq!(home(&[("HOME", "/home/a"), ("GENESIS_HOME", "")]), Ok(PathBuf::from("/home/a/.genesis")));
        assert_eq!(home(&[]), Err(NoHome));
    }
}
