//! Which volumes a create request asks for (moby `daemon/volumes_unix.go`, `volume/mounts/linux_parser.go`): those of
//! other containers (`--volumes-from`), then `-v` and `--mount`, then a new one for each path of the image's `VOLUME`
//! that nothing else is mounted on.

use std::collections::{BTreeMap, HashMap};

use bollard_stubs::models::{ContainerCreateBody, HostConfig, Mount, MountPoint, MountType};

use super::validate;
use crate::error::{EngineError, Result};
use crate::record::{Record, VolumeMount};
use crate::volumes;

/// The driver of every volume.
pub(crate) const LOCAL: &str = "local";

/// A volume that is to be mounted. Without a name it is made for this container alone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Wanted {
    pub(crate) name: Option<String>,
    pub(crate) target: String,
    pub(crate) read_only: bool,
    pub(crate) copy_up: bool,
    pub(crate) subpath: Option<String>,
    pub(crate) mode: String,
    pub(crate) labels: HashMap<String, String>,
}

fn refuse<T>(text: impl Into<String>) -> Result<T> {
    Err(EngineError::BadRequest(text.into()))
}

/// The volumes of a request, by mount point. `of` tells the volumes of another container.
pub(crate) fn wanted(
    body: &ContainerCreateBody,
    image: &[String],
    of: impl Fn(&str) -> Result<Vec<VolumeMount>>,
) -> Result<Vec<Wanted>> {
    let none = HostConfig::default();
    let host = body.host_config.as_ref().unwrap_or(&none);
    let mut wanted = BTreeMap::new();
    for entry in host.volumes_from.iter().flatten() {
        for volume in from_container(entry, &of)? {
            wanted.insert(volume.target.clone(), volume);
        }
    }
    let mut own = BTreeMap::new();
    let binds = host.binds.iter().flatten().map(|text| bind(text));
    let mounts = host
        .mounts
        .iter()
        .flatten()
        .filter_map(|asked| mount(asked).transpose());
    for volume in binds.chain(mounts) {
        let volume = volume?;
        if let Some(twice) = own.insert(volume.target.clone(), volume) {
            return refuse(format!("Duplicate mount point: {}", twice.target));
        }
    }
    let mut temporary = Vec::new();
    for target in host
        .tmpfs
        .iter()
        .flatten()
        .map(|(target, _)| target.as_str())
        .chain(
            host.mounts
                .iter()
                .flatten()
                .filter(|mount| mount.typ == Some(MountType::TMPFS))
                .filter_map(|mount| mount.target.as_deref()),
        )
    {
        let target = clean(target)?;
        if own.contains_key(&target) {
            return refuse(format!("Duplicate mount point: {target}"));
        }
        temporary.push(target);
    }
    wanted.append(&mut own);
    for path in body.volumes.iter().flatten().chain(image) {
        let target = clean(path)?;
        if !temporary.contains(&target) {
            wanted.entry(target.clone()).or_insert_with(|| Wanted {
                target,
                copy_up: true,
                ..Wanted::default()
            });
        }
    }
    Ok(wanted.into_values().collect())
}

/// `--volumes-from CONTAINER[:ro|rw]`.
fn from_container(entry: &str, of: impl Fn(&str) -> Result<Vec<VolumeMount>>) -> Result<Vec<Wanted>> {
    let (container, mode) = entry.split_once(':').unwrap_or((entry, ""));
    let read_only = match mode {
        "" | "rw" | "z" | "Z" => false,
        "ro" => true,
        _ => return refuse(format!("invalid volumes-from specification: '{entry}'")),
    };
    Ok(of(container)?
        .into_iter()
        .map(|volume| Wanted {
            name: Some(volume.name),
            target: volume.target,
            read_only: read_only || volume.read_only,
            copy_up: false,
            subpath: volume.subpath,
            mode: volume.mode,
            labels: HashMap::new(),
        })
        .collect())
}

/// `-v NAME:/path[:options]`; an absolute source is a folder of the host.
fn bind(text: &str) -> Result<Wanted> {
    let invalid = || EngineError::BadRequest(format!("invalid volume specification: '{text}'"));
    let parts: Vec<&str> = text.split(':').collect();
    let (source, target, mode) = match parts.as_slice() {
        [target] => (None, *target, ""),
        [source, target] => (Some(*source), *target, ""),
        [source, target, mode] => (Some(*source), *target, *mode),
        _ => return Err(invalid()),
    };
    if source.is_some_and(|source| source.starts_with(['/', '~', '.'])) {
        return Err(EngineError::Unsupported(
            "bind mounts of the laptop's folders (a named volume, -v NAME:/path, is there)".to_owned(),
        ));
    }
    let mut wanted = Wanted {
        name: source.map(str::to_owned),
        target: clean(target)?,
        copy_up: true,
        mode: if mode.is_empty() { "z" } else { mode }.to_owned(),
        ..Wanted::default()
    };
    for option in mode.split(',').filter(|option| !option.is_empty()) {
        match option {
            "ro" => wanted.read_only = true,
            "nocopy" => wanted.copy_up = false,
            "rw" | "z" | "Z" => {}
            _ => return refuse(format!("invalid mode: {mode}")),
        }
    }
    check(wanted)
}

/// `--mount type=volume,…`; `None` for a tmpfs, which is no volume.
fn mount(mount: &Mount) -> Result<Option<Wanted>> {
    match mount.typ {
        Some(MountType::VOLUME) => {}
        Some(MountType::TMPFS) => {
            validate::tmpfs_mount(mount)?;
            return Ok(None);
        }
        Some(MountType::BIND) => {
            return Err(EngineError::Unsupported(
                "bind mounts of the laptop's folders (--mount type=bind)".to_owned(),
            ));
        }
        _ => {
            let kind = mount.typ.map(|kind| kind.to_string()).unwrap_or_default();
            return refuse(format!(
                "invalid mount config for type \"{kind}\": mount type unknown"
            ));
        }
    }
    let invalid =
        |what: &str| EngineError::BadRequest(format!("invalid mount config for type \"volume\": {what}"));
    let target = mount.target.as_deref().unwrap_or_default();
    if target.is_empty() {
        return Err(invalid("field Target must not be empty"));
    }
    let options = mount.volume_options.clone().unwrap_or_default();
    if let Some(driver) = &options.driver_config {
        volumes::check_driver(driver.name.as_deref(), driver.options.as_ref())?;
    }
    let subpath = options.subpath.filter(|subpath| !subpath.is_empty());
    if subpath
        .as_deref()
        .is_some_and(|subpath| subpath.starts_with('/') || subpath.split('/').any(|part| part == ".."))
    {
        return Err(invalid("subpath must be a relative path within the volume"));
    }
    let wanted = Wanted {
        name: mount.source.clone().filter(|source| !source.is_empty()),
        target: clean(target)?,
        read_only: mount.read_only.unwrap_or(false),
        copy_up: !options.no_copy.unwrap_or(false),
        subpath,
        mode: "z".to_owned(),
        labels: options.labels.unwrap_or_default(),
    };
    check(wanted).map(Some)
}

fn check(wanted: Wanted) -> Result<Wanted> {
    if let Some(name) = &wanted.name {
        volumes::check_name(name)?;
    }
    Ok(wanted)
}

/// A mount point without `.`, `..` and double slashes. The root itself cannot be one.
fn clean(target: &str) -> Result<String> {
    if !target.starts_with('/') {
        return refuse(format!(
            "invalid mount path: '{target}' mount path must be absolute"
        ));
    }
    let mut parts = Vec::new();
    for part in target.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    if parts.is_empty() {
        return refuse("invalid specification: destination can't be '/'");
    }
    Ok(format!("/{}", parts.join("/")))
}

/// What `inspect` and `ps` show of a container's mounts. `place` tells where a volume lies.
pub(crate) fn points(record: &Record, place: impl Fn(&str) -> String) -> Vec<MountPoint> {
    let volumes = record.volumes.iter().map(|volume| MountPoint {
        typ: Some("volume".to_owned()),
        name: Some(volume.name.clone()),
        source: Some(place(&volume.name)),
        destination: Some(volume.target.clone()),
        driver: Some(LOCAL.to_owned()),
        mode: Some(volume.mode.clone()),
        rw: Some(!volume.read_only),
        propagation: Some(String::new()),
    });
    // Docker lists `--mount type=tmpfs` here and not `--tmpfs`.
    let temporary = record
        .host_config
        .mounts
        .iter()
        .flatten()
        .filter(|mount| mount.typ == Some(MountType::TMPFS))
        .map(|mount| MountPoint {
            typ: Some("tmpfs".to_owned()),
            name: None,
            source: Some(String::new()),
            destination: mount.target.clone(),
            driver: None,
            mode: Some(String::new()),
            rw: Some(!mount.read_only.unwrap_or(false)),
            propagation: Some(String::new()),
        });
    volumes.chain(temporary).collect()
}

#[cfg(test)]
mod tests {
    use bollard_stubs::models::MountVolumeOptions;

    use super::*;

    fn nobody(_: &str) -> Result<Vec<VolumeMount>> {
        Ok(Vec::new())
    }

    fn body(host: HostConfig) -> ContainerCreateBody {
        ContainerCreateBody {
            host_config: Some(host),
            ..ContainerCreateBody::default()
        }
    }

    fn bound(texts: &[&str]) -> Result<Vec<Wanted>> {
        let binds = Some(texts.iter().map(|text| (*text).to_owned()).collect());
        wanted(
            &body(HostConfig {
                binds,
                ..HostConfig::default()
            }),
            &[],
            nobody,
        )
    }

    #[test]
    fn a_volume_is_named_before_its_mount_point_and_its_options_come_last() {
        let volumes = bound(&["data:/var//lib/./data:ro,nocopy"]).unwrap();
        let [volume] = volumes.as_slice() else {
            panic!("{volumes:?}")
        };
        assert_eq!(
            (
                volume.name.as_deref(),
                volume.target.as_str(),
                volume.read_only,
                volume.copy_up
            ),
            (Some("data"), "/var/lib/data", true, false)
        );
    }

    #[test]
    fn a_folder_of_the_laptop_names_what_is_missing() {
        let error = bound(&["/home/me:/data"]).unwrap_err().to_string();
        assert!(error.contains("bind mounts"), "{error}");
    }

    #[test]
    fn bad_specifications_are_refused_in_dockers_words() {
        for (text, said) in [
            ("a:b:c:d", "invalid volume specification: 'a:b:c:d'"),
            (
                "data:relative",
                "invalid mount path: 'relative' mount path must be absolute",
            ),
            ("data:/", "invalid specification: destination can't be '/'"),
            ("data:/x:odd", "invalid mode: odd"),
        ] {
            assert_eq!(bound(&[text]).unwrap_err().to_string(), said);
        }
        assert_eq!(
            bound(&["aa:/x", "bb:/x"]).unwrap_err().to_string(),
            "Duplicate mount point: /x"
        );
    }

    #[test]
    fn an_images_volume_gives_way_to_what_the_user_mounts_there() {
        let host = HostConfig {
            binds: Some(vec!["mine:/data".to_owned()]),
            tmpfs: Some(HashMap::from([("/cache".to_owned(), String::new())])),
            ..HostConfig::default()
        };
        let image = ["/data/", "/cache", "/log"].map(str::to_owned);
        let found = wanted(&body(host), &image, nobody).unwrap();
        let found: Vec<_> = found
            .iter()
            .map(|volume| (volume.name.as_deref(), volume.target.as_str()))
            .collect();
        assert_eq!(found, [(Some("mine"), "/data"), (None, "/log")]);
    }

    #[test]
    fn the_volumes_of_another_container_can_be_taken_read_only() {
        let of = |name: &str| {
            assert_eq!(name, "db");
            Ok(vec![VolumeMount {
                name: "data".to_owned(),
                target: "/data".to_owned(),
                read_only: false,
                copy_up: true,
                subpath: None,
                mode: "z".to_owned(),
            }])
        };
        let volumes_from = Some(vec!["db:ro".to_owned()]);
        let host = HostConfig {
            volumes_from,
            ..HostConfig::default()
        };
        let found = wanted(&body(host), &[], of).unwrap();
        assert!(found[0].read_only && !found[0].copy_up);
    }

    #[test]
    fn a_subpath_cannot_leave_its_volume() {
        let options = MountVolumeOptions {
            subpath: Some("a/../../b".to_owned()),
            ..MountVolumeOptions::default()
        };
        let asked = Mount {
            typ: Some(MountType::VOLUME),
            source: Some("data".to_owned()),
            target: Some("/x".to_owned()),
            volume_options: Some(options),
            ..Mount::default()
        };
        assert!(mount(&asked).unwrap_err().to_string().contains("subpath"));
    }
}
