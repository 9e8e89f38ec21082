//! Packages of a Debian release other than the machine's own, for either architecture, downloaded and never
//! installed: sources of the kernel and of Rust, and the contents of images.
//!
//! apt does the work (mirror, proxy, signatures), under a configuration of its own (apt.conf(5), `APT_CONFIG`)
//! whose lists and caches are in our cache. The mirror is the one that the machine's own sources name.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::rc::Rc;

use anyhow::{Context, Result, bail};

use crate::architecture::Architecture;
use crate::{paths, publish, run};

/// A release.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Release {
    /// What nearly everything comes from.
    Trixie,
    /// The one after it, which is still on the move, for what is too old in it.
    Forky,
}

impl Release {
    const fn name(self) -> &'static str {
        match self {
            Self::Trixie => "trixie",
            Self::Forky => "forky",
        }
    }

    /// As a source of apt names them.
    const fn suites(self) -> &'static str {
        match self {
            Self::Trixie => "trixie trixie-backports",
            Self::Forky => "forky",
        }
    }

    /// In the cache, the folder of lists and packages.
    const fn folder(self) -> &'static str {
        match self {
            Self::Trixie => "apt",
            Self::Forky => "apt-forky",
        }
    }
}

const KEYRINGS: &[&str] = &[
    "/usr/share/keyrings/debian-archive-keyring.gpg",
    "/etc/apt/trusted.gpg.d/debian-archive-trixie-stable.asc",
];

/// Packages by name, with the fields of their records.
pub type Packages = BTreeMap<String, Package>;

/// A record of the release's package lists (deb-control(5)).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Package {
    pub name: String,
    pub version: String,
    /// `all`, or what it was compiled for.
    pub architecture: String,
    /// Each a list of alternatives, the preferred first; versions and architectures left off.
    pub depends: Vec<Vec<String>>,
    pub provides: Vec<String>,
}

impl Package {
    /// This version, as apt takes it. A package for all architectures has no other name than its own.
    pub fn specification(&self) -> String {
        match self.architecture.as_str() {
            "all" => format!("{}={}", self.name, self.version),
            architecture => format!("{}:{architecture}={}", self.name, self.version),
        }
    }
}

/// apt over a release.
pub struct Debian {
    release: Release,
    configuration: PathBuf,
    /// The package lists that were read, by architecture.
    known: RefCell<BTreeMap<&'static str, Rc<Packages>>>,
}

impl Debian {
    /// Opens a release, reading the package lists from the mirror on the first use.
    ///
    /// # Errors
    /// When the machine's sources name no Debian mirror, or it cannot be reached.
    pub fn open(release: Release) -> Result<Self> {
        let folder = paths::cache().join(release.folder());
        let configuration = folder.join("apt.conf");
        let debian = Self {
            release,
            configuration,
            known: RefCell::default(),
        };
        let lists = folder.join("lists");
        let _lock = publish::lock(&folder)?;
        let text = configuration_text(&folder);
        let ready = folder.join("ready");
        if fs::read_to_string(&ready).is_ok_and(|ready| ready == text) {
            return Ok(debian);
        }
        for part in ["lists/partial", "cache/archives/partial", "state"] {
            fs::create_dir_all(folder.join(part))
                .with_context(|| format!("cannot create {}", lists.display()))?;
        }
        fs::write(folder.join("debian.sources"), sources(release)?)?;
        fs::write(&debian.configuration, &text)?;
        debian.update()?;
        fs::write(&ready, &text)?;
        Ok(debian)
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.env("APT_CONFIG", &self.configuration).env("LC_ALL", "C");
        command
    }

    fn update(&self) -> Result<()> {
        run::step(&format!(
            "reading the package lists of Debian {}",
            self.release.name()
        ));
        self.known.borrow_mut().clear();
        // Without the option, lists that cannot be had are a warning.
        run::run(
            self.command("apt-get")
                .args(["-q", "-o", "APT::Update::Error-Mode=any", "update"]),
        )
    }

    /// The newest version of `package` that begins with `prefix`, if there is one.
    ///
    /// # Errors
    /// When `apt-cache` fails.
    pub fn version(&self, package: &str, prefix: &str) -> Result<Option<String>> {
        let table = run::output(self.command("apt-cache").args(["madison", package]))?;
        // One line a version, the newest first: `name | version | source`.
        Ok(table
            .lines()
            .filter_map(|line| line.split('|').nth(1).map(str::trim))
            .find(|version| version.starts_with(prefix))
            .map(str::to_owned))
    }

    /// Downloads packages, each given as apt takes them (`name`, `name:arch`, `name=version`), into `folder`.
    ///
    /// # Errors
    /// When apt fails even after reading the package lists anew (the mirror may have moved on).
    pub fn download(&self, packages: &[String], folder: &Path) -> Result<()> {
        fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))?;
        let attempt = || {
            run::run(
                self.command("apt-get")
                    .args(["-q", "download"])
                    .args(packages)
                    .current_dir(folder),
            )
        };
        attempt().or_else(|_| {
            self.update()?;
            attempt()
        })
    }

    /// The packages `wanted` for an architecture and all that they depend on, but for `without` and what only
    /// that would need.
    ///
    /// # Errors
    /// When a package or one of its dependencies does not exist.
    pub fn closure(&self, wanted: &[String], without: &[String], arch: Architecture) -> Result<Packages> {
        let all = self.packages(arch)?;
        let get = |name: &String| {
            let package = all
                .get(name)
                .with_context(|| format!("Debian {} has no package {name}", self.release.name()))?;
            Ok::<_, anyhow::Error>((name.clone(), package.clone()))
        };
        // What is wanted is in before any dependency is looked at, so that it is preferred among alternatives.
        let mut closure = wanted.iter().map(get).collect::<Result<Packages>>()?;
        let mut open: Vec<String> = wanted.to_vec();
        while let Some(name) = open.pop() {
            for alternatives in closure
                .get(&name)
                .map(|package| package.depends.clone())
                .into_iter()
                .flatten()
            {
                let dependency = choose(&alternatives, &all, &closure, without).with_context(|| {
                    format!(
                        "{name} depends on {}, which does not exist",
                        alternatives.join(" | ")
                    )
                })?;
                if let Choice::Add(dependency) = dependency {
                    closure.extend([get(&dependency)?]);
                    open.push(dependency);
                }
            }
        }
        Ok(closure)
    }

    /// Every package of the release for an architecture, at its newest version.
    fn packages(&self, arch: Architecture) -> Result<Rc<Packages>> {
        if let Some(known) = self.known.borrow().get(arch.docker()) {
            return Ok(Rc::clone(known));
        }
        let option = format!("APT::Architecture={}", arch.docker());
        let records = run::output(self.command("apt-cache").args(["-o", &option, "dumpavail"]))?;
        let mut packages = Packages::new();
        for record in records.split("\n\n") {
            let Some((package, of)) = parse(record) else {
                continue;
            };
            if of == "all" || of == arch.docker() {
                // Newer versions come from backports, which only serve what is asked for by version.
                let newest = packages
                    .entry(package.name.clone())
                    .or_insert_with(|| package.clone());
                if !package.version.contains("~bpo") && newest.version.contains("~bpo") {
                    *newest = package;
                }
            }
        }
        if packages.is_empty() {
            bail!("apt knows no package for {}", arch.docker());
        }
        let packages = Rc::new(packages);
        self.known
            .borrow_mut()
            .insert(arch.docker(), Rc::clone(&packages));
        Ok(packages)
    }
}

/// How a dependency is fulfilled.
#[derive(Debug, PartialEq, Eq)]
enum Choice {
    /// By what is in, or is left out on purpose.
    Settled,
    /// By adding this package.
    Add(String),
}

/// Settles a dependency: by what is in, else by the first of its alternatives that exists, by name or as something
/// that a package provides.
fn choose(alternatives: &[String], all: &Packages, chosen: &Packages, without: &[String]) -> Option<Choice> {
    let provides = |package: &Package, name: &String| package.provides.contains(name);
    let settled = |name: &String| {
        chosen.contains_key(name)
            || without.contains(name)
            || chosen.values().any(|package| provides(package, name))
            || without
                .iter()
                .filter_map(|other| all.get(other))
                .any(|package| provides(package, name))
    };
    if alternatives.iter().any(settled) {
        return Some(Choice::Settled);
    }
    let provider = |name: &String| all.values().find(|package| provides(package, name));
    alternatives
        .iter()
        .find(|name| all.contains_key(*name))
        .or_else(|| {
            alternatives
                .iter()
                .find_map(provider)
                .map(|package| &package.name)
        })
        .map(|name| Choice::Add(name.clone()))
}

/// A record's package and architecture.
fn parse(record: &str) -> Option<(Package, String)> {
    let field = |name: &str| {
        record
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
            .map(str::to_owned)
    };
    let name_only = |text: &str| {
        let end = text.find(|c: char| " (:[<".contains(c)).unwrap_or(text.len());
        text.get(..end).unwrap_or(text).to_owned()
    };
    let list = |text: Option<String>| -> Vec<Vec<String>> {
        text.iter()
            .flat_map(|text| text.split(','))
            .map(|group| group.split('|').map(|one| name_only(one.trim())).collect())
            .collect()
    };
    let mut depends = list(field("Pre-Depends"));
    depends.extend(list(field("Depends")));
    let package = Package {
        name: field("Package")?,
        version: field("Version")?,
        architecture: field("Architecture")?,
        depends,
        provides: list(field("Provides")).into_iter().flatten().collect(),
    };
    Some((package, field("Architecture")?))
}

fn configuration_text(folder: &Path) -> String {
    let folder = folder.display();
    format!(
        r#"Dir::Etc::SourceList "{folder}/debian.sources";
Dir::Etc::SourceParts "/dev/null";
Dir::Etc::Preferences "/dev/null";
Dir::Etc::PreferencesParts "/dev/null";
Dir::State "{folder}/state";
Dir::State::Lists "{folder}/lists";
Dir::State::Status "/dev/null";
Dir::Cache "{folder}/cache";
APT::Architecture "amd64";
APT::Architectures {{ "amd64"; "arm64"; }};
APT::Sandbox::User "";
Acquire::Languages "none";
Acquire::IndexTargets::deb::DEP-11::DefaultEnabled "false";
Acquire::IndexTargets::deb::Contents-deb::DefaultEnabled "false";
Acquire::Retries "3";
"#
    )
}

fn sources(release: Release) -> Result<String> {
    let own = run::output(Command::new("apt-get").args([
        "indextargets",
        "--format",
        "$(REPO_URI) $(RELEASE) $(COMPONENT)",
        "Created-By: Packages",
    ]))
    .context("cannot ask apt for this machine's sources")?;
    let mirror = mirror(&own).context(
        "this machine's apt sources name no Debian mirror (a release with a component `main`): add one",
    )?;
    let keyring = KEYRINGS.iter().find(|path| Path::new(path).exists());
    let signed = keyring
        .map(|path| format!("Signed-By: {path}\n"))
        .unwrap_or_default();
    Ok(format!(
        "Types: deb\nURIs: {mirror}\nSuites: {}\nComponents: main\nArchitectures: amd64 arm64\n{signed}",
        release.suites()
    ))
}

/// The mirror among lines of `URI release component`: the one that carries a release together with its
/// `-updates`, else the first plain Debian release.
fn mirror(targets: &str) -> Option<&str> {
    const RELEASES: [&str; 6] = ["bookworm", "trixie", "forky", "stable", "testing", "sid"];
    let known: BTreeSet<_> = RELEASES.into();
    targets.lines().find_map(|line| {
        let mut words = line.split(' ');
        let (uri, release, component) = (words.next()?, words.next()?, words.next()?);
        (known.contains(release) && component == "main").then_some(uri)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mirror_is_the_one_that_carries_the_release_itself() {
        let targets = "https://node.example/x nodistro main\nhttp://a.example/debian-security bookworm-security main\n\
                       http://a.example/debian bookworm main\n";
        assert_eq!(mirror(targets), Some("http://a.example/debian"));
        assert_eq!(mirror("https://node.example/x nodistro main\n"), None);
    }

    #[test]
    fn versions_and_architectures_are_left_off_dependencies() {
        let record = "Package: a\nArchitecture: arm64\nVersion: 1-2\nPre-Depends: libc6 (>= 2.38)\n\
                      Depends: python3:any, awk | mawk (>= 1) [amd64]\nProvides: x (= 1)";
        let (package, architecture) = parse(record).unwrap();
        assert_eq!(architecture, "arm64");
        assert_eq!(
            package.depends,
            [vec!["libc6"], vec!["python3"], vec!["awk", "mawk"]]
        );
        assert_eq!(package.provides, ["x"]);
    }

    fn package(name: &str, provides: &[&str]) -> (String, Package) {
        let provides = provides.iter().map(|name| (*name).to_owned()).collect();
        let package = Package {
            name: name.into(),
            version: String::new(),
            architecture: "all".into(),
            depends: Vec::new(),
            provides,
        };
        (name.into(), package)
    }

    #[test]
    fn what_is_in_or_left_out_settles_a_dependency_before_a_better_alternative() {
        let alternatives = ["first".to_owned(), "second".to_owned()];
        let all = Packages::from([package("first", &[]), package("second", &[])]);
        let second = Packages::from([package("second", &[])]);
        let none = Packages::new();
        assert_eq!(
            choose(&alternatives, &all, &none, &[]),
            Some(Choice::Add("first".into()))
        );
        assert_eq!(choose(&alternatives, &all, &second, &[]), Some(Choice::Settled));
        assert_eq!(
            choose(&alternatives, &all, &none, &["second".to_owned()]),
            Some(Choice::Settled)
        );
    }

    #[test]
    fn a_name_that_is_only_provided_is_fulfilled_by_a_provider_that_is_in_before_any_other() {
        let awk = ["awk".to_owned()];
        let all = Packages::from([package("gawk", &["awk"]), package("mawk", &["awk"])]);
        let mawk = Packages::from([package("mawk", &["awk"])]);
        assert_eq!(choose(&awk, &all, &mawk, &[]), Some(Choice::Settled));
        assert_eq!(
            choose(&awk, &all, &Packages::new(), &[]),
            Some(Choice::Add("gawk".into()))
        );
        assert_eq!(choose(&awk, &Packages::new(), &Packages::new(), &[]), None);
    }
}
