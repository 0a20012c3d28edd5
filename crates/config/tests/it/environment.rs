//! Which source of a variable wins.

use std::fs;
use std::path::{Path, PathBuf};

use genesis_config::{EnvBlock, Environment, ExposeSecret, File, Secret, Source, Surroundings};

#[test]
fn the_first_source_with_a_value_wins() {
    let place = Place::new();
    place.write(".env", "A=dotenv\nB=dotenv\nEMPTY=\n");
    let shell = place.shell("printf 'welcome\\n'; export A=shell B=shell C=shell D=shell EMPTY=shell");
    let block = block(
        r#"{ A: "block", B: "block", C: "block", EMPTY: "  ", vars: { V: "block" }, shellEnv: { enabled: true } }"#,
    );
    let (environment, warnings) =
        Environment::load_in(&place.around(&[("A", "process"), ("SHELL", &shell)]), &place.home(), &block);
    assert_eq!(warnings, Vec::<String>::new());
    for (name, value, source) in [
        ("A", "process", Source::Process),
        ("B", "dotenv", Source::DotEnv),
        ("C", "block", Source::Block),
        ("V", "block", Source::Block),
        ("D", "shell", Source::LoginShell),
        ("EMPTY", "shell", Source::LoginShell),
    ] {
        let found =
            environment.lookup(name).map(|(value, source)| (value.expose_secret().to_owned(), source));
        assert_eq!(found, Some((value.to_owned(), source)), "{name}");
    }
    assert!(environment.lookup("NOWHERE").is_none());
}

#[test]
fn the_working_directory_is_read_only_if_asked_for() {
    let place = Place::new();
    place.write(".env", "A=home\n");
    place.write("work/.env", "A=work\nB=work\n");
    let (environment, _) = Environment::load_in(&place.around(&[]), &place.home(), &EnvBlock::default());
    assert!(environment.lookup("B").is_none());

    let (environment, _) =
        Environment::load_in(&place.around(&[]), &place.home(), &block("{ cwdDotEnv: true, B: 'block' }"));
    assert_eq!(environment.lookup("A").map(|(_, source)| source), Some(Source::DotEnv));
    assert_eq!(environment.lookup("B").map(|(_, source)| source), Some(Source::CwdDotEnv));
}

#[test]
fn only_a_listed_shell_is_run() {
    let place = Place::new();
    let shell = place.shell("export FROM_UNLISTED=yes");
    fs::write(place.root().join("shells"), "/bin/sh\n").unwrap();
    let (environment, _) = Environment::load_in(
        &place.around(&[("SHELL", &shell)]),
        &place.home(),
        &block("{ shellEnv: { enabled: true } }"),
    );
    assert!(environment.lookup("FROM_UNLISTED").is_none());
}

#[test]
fn a_shell_that_hangs_is_given_up_with_a_warning() {
    let place = Place::new();
    let shell = place.shell("exec tail -f /dev/null");
    let (environment, warnings) = Environment::load_in(
        &place.around(&[("SHELL", &shell), ("KEPT", "yes")]),
        &place.home(),
        &block("{ shellEnv: { enabled: true, timeoutMs: 100 } }"),
    );
    assert!(environment.lookup("KEPT").is_some());
    assert_eq!(warnings.len(), 1);
    assert!(warnings[0].contains("did not answer within 100 ms"), "{}", warnings[0]);
}

#[test]
fn a_broken_line_is_named_without_its_content() {
    let place = Place::new();
    place.write(".env", "GOOD=1\nsk-secret value here\nLATER=2\nLATER=3\n");
    let (environment, warnings) =
        Environment::load_in(&place.around(&[]), &place.home(), &EnvBlock::default());
    assert!(environment.lookup("GOOD").is_some());
    assert_eq!(environment.lookup("LATER").map(|(value, _)| value.expose_secret()), Some("3"));
    let text = warnings.join("\n");
    assert!(text.contains("is not NAME=value") && !text.contains("sk-secret"), "{text}");
}

#[cfg(unix)]
#[test]
fn a_dot_env_others_can_read_is_named() {
    use std::os::unix::fs::PermissionsExt;
    let place = Place::new();
    place.write(".env", "A=1\n");
    fs::set_permissions(place.home().join(".env"), fs::Permissions::from_mode(0o644)).unwrap();
    let (_, warnings) = Environment::load_in(&place.around(&[]), &place.home(), &EnvBlock::default());
    assert!(warnings[0].contains("chmod 600"), "{warnings:?}");
}

#[test]
fn a_block_value_may_refer_to_earlier_sources() {
    let place = Place::new();
    let (environment, warnings) = Environment::load_in(
        &place.around(&[("BASE", "sk")]),
        &place.home(),
        &block(r#"{ KEY: "${BASE}-1", BAD: "${NOWHERE}" }"#),
    );
    assert_eq!(environment.lookup("KEY").map(|(value, _)| value.expose_secret()), Some("sk-1"));
    assert!(environment.lookup("BAD").is_none());
    assert!(warnings[0].contains("env.BAD") && warnings[0].contains("${NOWHERE}"), "{warnings:?}");
}

#[test]
fn variables_are_replaced_in_text() {
    let environment = Environment::of([("A", "1"), ("B", "${A}"), ("lower_1", "x")]);
    for (text, result) in [
        ("Bearer ${A}", Ok("Bearer 1")),
        ("${A}${A}/${lower_1}", Ok("11/x")),
        ("${B}", Ok("${A}")),
        ("$${A}", Ok("${A}")),
        ("cost: $5, ${", Ok("cost: $5, ${")),
        ("$A {A}", Ok("$A {A}")),
        ("", Ok("")),
        ("a${MISSING}b", Err("MISSING")),
        ("${}", Err("")),
    ] {
        let found = environment.substitute(text);
        let found = found.as_ref().map(|value| value.expose_secret()).map_err(|error| error.name.as_str());
        assert_eq!(found, result, "{text}");
    }
}

#[test]
fn the_first_variable_with_a_value_is_taken() {
    let environment = Environment::of([("EMPTY", ""), ("SECOND", "2"), ("THIRD", "3")]);
    let names = ["MISSING", "EMPTY", "SECOND", "THIRD"].map(str::to_owned);
    let found = environment.first(&names).map(|(name, value, source)| (name, value.expose_secret(), source));
    assert_eq!(found, Some(("SECOND", "2", Source::Process)));
    assert!(environment.first(&names[..2]).is_none());
}

#[test]
fn values_are_not_in_debug_text() {
    let environment = Environment::of([("KEY", "sk-secret")]);
    assert!(!format!("{environment:?}").contains("sk-secret"));
}

/// A home folder, a working directory and shells of the test's own.
struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Self {
        let place = Self(tempfile::tempdir().unwrap());
        fs::create_dir(place.root().join("work")).unwrap();
        fs::write(place.root().join("shells"), "").unwrap();
        place
    }

    fn root(&self) -> &Path {
        self.0.path()
    }

    fn home(&self) -> PathBuf {
        self.root().to_owned()
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.root().join(name);
        fs::write(&path, text).unwrap();
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
        }
    }

    /// A listed login shell whose start-up file does `profile`.
    fn shell(&self, profile: &str) -> String {
        use std::os::unix::fs::PermissionsExt;
        let path = self.root().join("fake-shell");
        fs::write(&path, format!("#!/bin/sh\n{profile}\nshift\nexec /bin/sh \"$@\"\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        fs::write(self.root().join("shells"), format!("# shells\n{}\n", path.display())).unwrap();
        path.display().to_string()
    }

    fn around(&self, process: &[(&str, &str)]) -> Surroundings {
        Surroundings {
            process: process.iter().map(|(name, value)| ((*name).to_owned(), Secret::from(*value))).collect(),
            working_directory: self.root().join("work"),
            trusted_shells: self.root().join("shells"),
        }
    }
}

fn block(text: &str) -> EnvBlock {
    File::parse(&format!("{{ env: {text} }}")).unwrap().env
}
