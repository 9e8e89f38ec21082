//! `--user` and `--group-add`: names and numbers looked up in the container's own /etc/passwd and /etc/group
//! (passwd(5), group(5)), with the rules and texts of moby's `user.GetExecUser`.

use std::fs::File;
use std::io::Read;

use protocol::{Failure, FailureKind};
use rustix::fs::{CWD, FileType, Mode, OFlags, fstat, openat};
use rustix::io::Errno;

use crate::failure::{Context, Outcome, failure};

/// The longest user database that is read, in bytes.
const MAX_LENGTH: u64 = 4 << 20;
/// The numbers that Docker accepts.
const MAX_ID: i64 = (1 << 31) - 1;

/// Who a process is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    /// Supplementary groups; the primary one is the first.
    pub(crate) groups: Vec<u32>,
    pub(crate) home: String,
}

/// Looks up who `user` is, in the files under this process's root.
pub(crate) fn resolve(user: &str, additional_groups: &[String]) -> Outcome<Identity> {
    // Numbers need the files too: for the home directory and the supplementary groups.
    identify(
        user,
        additional_groups,
        &read("/etc/passwd")?,
        &read("/etc/group")?,
    )
}

/// The text of a user database; a missing one is empty. A container could have put anything there: a pipe
/// that nobody writes, a device, a file without end.
fn read(path: &str) -> Outcome<String> {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let file = match openat(CWD, path, flags, Mode::empty()) {
        Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => return Ok(String::new()),
        result => result.context(|| format!("open {path}"))?,
    };
    let kind = FileType::from_raw_mode(fstat(&file).context(|| format!("stat {path}"))?.st_mode);
    if kind != FileType::RegularFile {
        return Err(failure(
            FailureKind::UnknownUser,
            format!("{path} of the container is not a file"),
        ));
    }
    let mut bytes = Vec::new();
    File::from(file)
        .take(MAX_LENGTH.saturating_add(1))
        .read_to_end(&mut bytes)
        .context(|| format!("read {path}"))?;
    if u64::try_from(bytes.len()).is_ok_and(|length| length > MAX_LENGTH) {
        let text = format!("{path} of the container is longer than {MAX_LENGTH} bytes");
        return Err(failure(FailureKind::UnknownUser, text));
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// A line of /etc/passwd.
struct User<'a> {
    name: &'a str,
    uid: u32,
    gid: u32,
    home: &'a str,
}

/// A line of /etc/group.
struct Group<'a> {
    name: &'a str,
    gid: u32,
    members: &'a str,
}

fn users(passwd: &str) -> impl Iterator<Item = User<'_>> {
    passwd.lines().filter_map(|line| {
        let mut fields = line.trim().split(':');
        let (name, _) = (fields.next()?, fields.next()?);
        let (uid, gid) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
        let home = fields.nth(1).unwrap_or_default();
        Some(User { name, uid, gid, home })
    })
}

fn groups(group: &str) -> impl Iterator<Item = Group<'_>> {
    group.lines().filter_map(|line| {
        let mut fields = line.trim().split(':');
        let (name, _) = (fields.next()?, fields.next()?);
        let gid = fields.next()?.parse().ok()?;
        Some(Group {
            name,
            gid,
            members: fields.next().unwrap_or_default(),
        })
    })
}

/// A number within Docker's bounds; `Ok(None)` when the text is no number.
fn number(text: &str) -> Outcome<Option<u32>> {
    match text.parse::<i64>() {
        Err(_) => Ok(None),
        Ok(value) if (0..=MAX_ID).contains(&value) => Ok(u32::try_from(value).ok()),
        Ok(_) => Err(unknown(format!("uids and gids must be in range 0-{MAX_ID}"))),
    }
}

fn unknown(message: String) -> Failure {
    failure(FailureKind::UnknownUser, message)
}

fn identify(user: &str, additional_groups: &[String], passwd: &str, group: &str) -> Outcome<Identity> {
    let (name, group_name) = user.split_once(':').unwrap_or((user, ""));
    let found = if name.is_empty() {
        users(passwd).find(|user| user.uid == 0)
    } else {
        let id = name.parse::<u32>().ok();
        users(passwd).find(|user| user.name == name || Some(user.uid) == id)
    };
    let mut identity = match &found {
        Some(user) => Identity {
            uid: user.uid,
            gid: user.gid,
            groups: Vec::new(),
            home: user.home.to_owned(),
        },
        None => {
            let uid = if name.is_empty() { Some(0) } else { number(name)? };
            let uid = uid.ok_or_else(|| {
                unknown(format!(
                    "unable to find user {name}: no matching entries in passwd file"
                ))
            })?;
            Identity {
                uid,
                gid: 0,
                groups: Vec::new(),
                home: String::new(),
            }
        }
    };
    let mut listed = Vec::new();
    if !group_name.is_empty() {
        identity.gid = group_number(group_name, group)?.ok_or_else(|| {
            unknown(format!(
                "unable to find group {group_name}: no matching entries in group file"
            ))
        })?;
    } else if let Some(user) = &found {
        let is_member = |entry: &Group<'_>| entry.members.split(',').any(|member| member == user.name);
        listed.extend(groups(group).filter(is_member).map(|entry| entry.gid));
    }
    identity.groups.push(identity.gid);
    for name in additional_groups {
        let gid = group_number(name, group)?;
        listed.push(gid.ok_or_else(|| unknown(format!("Unable to find group {name}")))?);
    }
    for gid in listed {
        if !identity.groups.contains(&gid) {
            identity.groups.push(gid);
        }
    }
    if identity.home.is_empty() {
        identity.home.push('/');
    }
    Ok(identity)
}

/// The number of a group given by name or number.
fn group_number(name: &str, group: &str) -> Outcome<Option<u32>> {
    let id = name.parse::<u32>().ok();
    match groups(group).find(|entry| entry.name == name || Some(entry.gid) == id) {
        Some(entry) => Ok(Some(entry.gid)),
        None => number(name),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const PASSWD: &str =
        "root:x:0:0:root:/root:/bin/sh\nredis:x:101:102::/var/lib/redis:/bin/false\nbad line\n";
    const GROUP: &str = "root:x:0:root\nwheel:x:10:root,redis\nredis:x:102:\naudio:x:29:\n";

    fn identity(user: &str, more: &[&str]) -> Outcome<Identity> {
        let more: Vec<String> = more.iter().map(|name| (*name).to_owned()).collect();
        identify(user, &more, PASSWD, GROUP)
    }

    #[test]
    fn no_user_is_root_with_its_groups_and_home() {
        let root = Identity {
            uid: 0,
            gid: 0,
            groups: vec![0, 10],
            home: "/root".to_owned(),
        };
        assert_eq!(identity("", &[]).unwrap(), root);
    }

    #[test]
    fn a_name_gives_number_groups_and_home() {
        let redis = Identity {
            uid: 101,
            gid: 102,
            groups: vec![102, 10],
            home: "/var/lib/redis".to_owned(),
        };
        assert_eq!(identity("redis", &[]).unwrap(), redis);
        assert_eq!(identity("101", &[]).unwrap(), redis);
    }

    #[test]
    fn a_number_that_nobody_has_is_taken_as_it_is() {
        let nobody = Identity {
            uid: 1234,
            gid: 0,
            groups: vec![0],
            home: "/".to_owned(),
        };
        assert_eq!(identity("1234", &[]).unwrap(), nobody);
    }

    #[test]
    fn a_named_group_replaces_the_users_own_and_its_supplementary_ones() {
        let redis = identity("redis:audio", &[]).unwrap();
        assert_eq!((redis.gid, redis.groups), (29, vec![29]));
        assert_eq!(identity("redis:77", &[]).unwrap().gid, 77);
    }

    #[test]
    fn additional_groups_come_behind_the_others_once() {
        assert_eq!(
            identity("redis", &["audio", "10", "4242"]).unwrap().groups,
            [102, 10, 29, 4242]
        );
    }

    #[test]
    fn what_does_not_exist_is_named_in_dockers_words() {
        let message = |user, more: &[&str]| identity(user, more).unwrap_err().message;
        assert_eq!(
            message("x", &[]),
            "unable to find user x: no matching entries in passwd file"
        );
        assert_eq!(
            message("root:x", &[]),
            "unable to find group x: no matching entries in group file"
        );
        assert_eq!(message("", &["x"]), "Unable to find group x");
        assert_eq!(
            message("4294967296", &[]),
            "uids and gids must be in range 0-2147483647"
        );
        assert_eq!(message("-1", &[]), "uids and gids must be in range 0-2147483647");
    }

    proptest! {
        #[test]
        fn any_database_is_read_without_a_panic(user in ".{0,20}", passwd in ".{0,200}", group in ".{0,200}") {
            let _ = identify(&user, std::slice::from_ref(&user), &passwd, &group);
        }
    }
}
