//! `-v` and `--mount` as mounts of the API (docker/cli `opts/mount.go`).

use std::collections::HashMap;
use std::path::Path;

use bollard_stubs::models::{
    Mount, MountBindOptions, MountTmpfsOptions, MountType, MountVolumeOptions, MountVolumeOptionsDriverConfig,
};

use crate::values;

type Result<T> = std::result::Result<T, String>;

/// What the `-v` flags come to: entries of `Binds`, and mount points of volumes without a name.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Volumes {
    pub(crate) binds: Vec<String>,
    pub(crate) anonymous: Vec<String>,
}

/// Reads the `-v` flags. A folder that is given relative to the working directory becomes absolute.
pub(crate) fn volumes(texts: &[String]) -> Result<Volumes> {
    let mut volumes = Volumes::default();
    for text in texts {
        match text.split_once(':') {
            None if text.starts_with('/') => volumes.anonymous.push(text.clone()),
            None => return Err(format!("invalid volume specification: '{text}'")),
            Some((source, rest)) if source.starts_with('.') => {
                let folder = std::path::absolute(Path::new(source))
                    .map_err(|error| format!("invalid volume specification: '{text}': {error}"))?;
                volumes.binds.push(format!("{}:{rest}", folder.display()));
            }
            Some(_) => volumes.binds.push(text.clone()),
        }
    }
    Ok(volumes)
}

/// Reads one `--mount`: comma-separated `key=value`, and switches.
pub(crate) fn mount(text: &str) -> Result<Mount> {
    let invalid = |what: String| format!("invalid argument {text:?} for \"--mount\" flag: {what}");
    let mut mount = Mount {
        typ: Some(MountType::VOLUME),
        ..Mount::default()
    };
    let mut volume = MountVolumeOptions::default();
    let mut driver = MountVolumeOptionsDriverConfig::default();
    let mut tmpfs = MountTmpfsOptions::default();
    let mut bind = MountBindOptions::default();
    let mut prefixes = Vec::new();
    for part in text.split(',') {
        let (key, value) = part
            .split_once('=')
            .map_or((part, None), |(key, value)| (key, Some(value)));
        let key = key.to_ascii_lowercase();
        if let Some((kind, _)) = key.split_once('-') {
            prefixes.push(kind.to_owned());
        }
        let switch = || match value.unwrap_or("true") {
            "true" | "1" => Ok(true),
            "false" | "0" => Ok(false),
            other => Err(invalid(format!("invalid value for {key}: {other}"))),
        };
        let given =
            || value.ok_or_else(|| invalid(format!("invalid field '{part}' must be a key=value pair")));
        match key.as_str() {
            "type" => mount.typ = Some(kind(given()?).map_err(invalid)?),
            "source" | "src" => mount.source = Some(given()?.to_owned()),
            "target" | "dst" | "destination" => mount.target = Some(given()?.to_owned()),
            "readonly" | "ro" => mount.read_only = Some(switch()?),
            "consistency" => mount.consistency = Some(given()?.to_ascii_lowercase()),
            "volume-nocopy" => volume.no_copy = Some(switch()?),
            "volume-subpath" => volume.subpath = Some(given()?.to_owned()),
            "volume-label" => insert(&mut volume.labels, given()?),
            "volume-driver" => driver.name = Some(given()?.to_owned()),
            "volume-opt" => insert(&mut driver.options, given()?),
            "tmpfs-size" => tmpfs.size_bytes = Some(values::bytes(given()?).map_err(invalid)?),
            "tmpfs-mode" => {
                let mode = i64::from_str_radix(given()?, 8).map_err(|_| {
                    invalid(format!("invalid value for {key}: {}", value.unwrap_or_default()))
                })?;
                tmpfs.mode = Some(mode);
            }
            "bind-propagation" => bind.propagation = given()?.parse().ok(),
            "bind-nonrecursive" => bind.non_recursive = Some(switch()?),
            _ => return Err(invalid(format!("unexpected key '{key}' in '{part}'"))),
        }
    }
    let own = match mount.typ {
        Some(MountType::TMPFS) => "tmpfs",
        Some(MountType::BIND) => "bind",
        _ => "volume",
    };
    if let Some(other) = prefixes.iter().find(|kind| *kind != own) {
        return Err(invalid(format!(
            "cannot mix '{other}-*' options with mount type '{own}'"
        )));
    }
    if mount.target.as_deref().is_none_or(str::is_empty) {
        return Err(invalid("target is required".to_owned()));
    }
    match own {
        "tmpfs" if tmpfs != MountTmpfsOptions::default() => mount.tmpfs_options = Some(tmpfs),
        "bind" if bind != MountBindOptions::default() => mount.bind_options = Some(bind),
        "volume" => {
            if driver != MountVolumeOptionsDriverConfig::default() {
                volume.driver_config = Some(driver);
            }
            mount.volume_options = Some(volume).filter(|options| *options != MountVolumeOptions::default());
        }
        _ => {}
    }
    Ok(mount)
}

fn kind(text: &str) -> Result<MountType> {
    match text.to_ascii_lowercase().as_str() {
        "bind" => Ok(MountType::BIND),
        "volume" => Ok(MountType::VOLUME),
        "tmpfs" => Ok(MountType::TMPFS),
        other => Err(format!(
            "mount type '{other}' is unknown: it is volume, tmpfs or bind"
        )),
    }
}

fn insert(map: &mut Option<HashMap<String, String>>, pair: &str) {
    map.get_or_insert_default().extend([values::split(pair, '=')]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_volume_without_a_name_is_not_a_bind() {
        let read = volumes(&["/cache".to_owned(), "data:/data:ro".to_owned()]).unwrap();
        assert_eq!(read.anonymous, ["/cache"]);
        assert_eq!(read.binds, ["data:/data:ro"]);
        assert!(volumes(&["cache".to_owned()]).is_err());
    }

    #[test]
    fn a_relative_folder_becomes_absolute() {
        let read = volumes(&["./here:/there".to_owned()]).unwrap();
        assert!(
            read.binds[0].starts_with('/') && read.binds[0].ends_with("/here:/there"),
            "{read:?}"
        );
    }

    #[test]
    fn a_mount_is_a_volume_unless_it_says_otherwise() {
        let read = mount("src=data,dst=/data,readonly,volume-nocopy,volume-label=a=b").unwrap();
        assert_eq!(read.typ, Some(MountType::VOLUME));
        assert_eq!(
            (read.source.as_deref(), read.read_only),
            (Some("data"), Some(true))
        );
        let options = read.volume_options.unwrap();
        assert_eq!(
            (options.no_copy, &options.labels.unwrap()["a"]),
            (Some(true), &"b".to_owned())
        );
    }

    #[test]
    fn options_of_another_type_are_refused() {
        let error = mount("type=tmpfs,target=/x,volume-nocopy").unwrap_err();
        assert!(
            error.contains("cannot mix 'volume-*' options with mount type 'tmpfs'"),
            "{error}"
        );
    }

    #[test]
    fn a_tmpfs_has_a_size_and_a_mode() {
        let read = mount("type=tmpfs,target=/x,tmpfs-size=1m,tmpfs-mode=1770").unwrap();
        let options = read.tmpfs_options.unwrap();
        assert_eq!((options.size_bytes, options.mode), (Some(1 << 20), Some(0o1770)));
        assert!(mount("type=tmpfs").unwrap_err().contains("target is required"));
    }
}
