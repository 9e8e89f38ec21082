//! The containers in memory, and how Docker finds them: by ID, by name, by the start of an ID.

use std::collections::{BTreeMap, HashMap};
use std::ops::Bound;
use std::sync::{Arc, Mutex};

use crate::container::Container;
use crate::error::{EngineError, Result};
use crate::lock::LockExt;
use crate::names;
use crate::record::Record;

/// Every container, and which one has which name.
#[derive(Debug, Default)]
pub(crate) struct Registry {
    tables: Mutex<Tables>,
}

#[derive(Debug, Default)]
struct Tables {
    containers: BTreeMap<String, Arc<Container>>,
    names: HashMap<String, String>,
}

impl Registry {
    /// The container that the user means.
    pub(crate) fn find(&self, name_or_id: &str) -> Result<Arc<Container>> {
        let tables = self.tables.locked();
        let bare = name_or_id.strip_prefix('/').unwrap_or(name_or_id);
        let id = find_id(&tables.containers, &tables.names, bare)?;
        tables
            .containers
            .get(id)
            .cloned()
            .ok_or_else(|| EngineError::NoSuchContainer(name_or_id.to_owned()))
    }

    /// The container of exactly this ID.
    pub(crate) fn get(&self, id: &str) -> Option<Arc<Container>> {
        self.tables.locked().containers.get(id).cloned()
    }

    /// Every container, in the order of their IDs.
    pub(crate) fn all(&self) -> Vec<Arc<Container>> {
        self.tables.locked().containers.values().cloned().collect()
    }

    /// Whether a container mounts a volume.
    pub(crate) fn uses_volume(&self, name: &str) -> bool {
        let uses = |record: &Record| record.volumes.iter().any(|volume| volume.name == name);
        self.all().iter().any(|container| container.with_record(uses))
    }

    /// Sets a name aside for an ID: the wanted one, or a new one.
    pub(crate) fn reserve(&self, wanted: Option<&str>, id: &str) -> Result<String> {
        let mut tables = self.tables.locked();
        let name = match wanted {
            Some(name) => {
                if let Some(holder) = tables.names.get(name) {
                    return Err(EngineError::NameInUse {
                        name: name.to_owned(),
                        id: holder.clone(),
                    });
                }
                name.to_owned()
            }
            None => names::new_name(|name| tables.names.contains_key(name))?,
        };
        tables.names.insert(name.clone(), id.to_owned());
        Ok(name)
    }

    /// Gives a name free, if this ID has it.
    pub(crate) fn release(&self, name: &str, id: &str) {
        let mut tables = self.tables.locked();
        if tables.names.get(name).is_some_and(|holder| holder == id) {
            tables.names.remove(name);
        }
    }

    /// Adds a container whose name was reserved.
    pub(crate) fn insert(&self, container: Arc<Container>) {
        self.tables
            .locked()
            .containers
            .insert(container.id.clone(), container);
    }

    /// Forgets a container; its name stays reserved until it is released.
    pub(crate) fn remove(&self, id: &str) {
        self.tables.locked().containers.remove(id);
    }
}

fn find_id<'a, C>(
    containers: &'a BTreeMap<String, C>,
    names: &'a HashMap<String, String>,
    wanted: &str,
) -> Result<&'a str> {
    let missing = || EngineError::NoSuchContainer(wanted.to_owned());
    if let Some((id, _)) = containers.get_key_value(wanted) {
        return Ok(id);
    }
    if let Some(id) = names.get(wanted) {
        return Ok(id);
    }
    if wanted.is_empty() {
        return Err(EngineError::BadRequest(
            "invalid name or ID supplied: \"\"".to_owned(),
        ));
    }
    let mut matching = containers
        .range::<str, _>((Bound::Included(wanted), Bound::Unbounded))
        .map(|(id, _)| id)
        .take_while(|id| id.starts_with(wanted));
    match (matching.next(), matching.next()) {
        (Some(id), None) => Ok(id),
        (Some(_), Some(_)) => Err(EngineError::AmbiguousPrefix(wanted.to_owned())),
        (None, _) => Err(missing()),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn tables(ids: &[&str], names: &[(&str, &str)]) -> (BTreeMap<String, ()>, HashMap<String, String>) {
        (
            ids.iter().map(|id| ((*id).to_owned(), ())).collect(),
            names
                .iter()
                .map(|(name, id)| ((*name).to_owned(), (*id).to_owned()))
                .collect(),
        )
    }

    #[test]
    fn a_name_wins_over_the_start_of_an_id() {
        let (containers, names) = tables(&["abc1", "def2"], &[("abc", "def2")]);
        assert_eq!(find_id(&containers, &names, "abc").unwrap(), "def2");
    }

    #[test]
    fn a_prefix_of_two_ids_is_ambiguous() {
        let (containers, names) = tables(&["abc1", "abc2"], &[]);
        assert_eq!(
            find_id(&containers, &names, "abc").unwrap_err().to_string(),
            "multiple IDs found with provided prefix: abc"
        );
        assert_eq!(find_id(&containers, &names, "abc2").unwrap(), "abc2");
    }

    #[test]
    fn what_is_not_there_is_named() {
        let (containers, names) = tables(&["abc1"], &[]);
        assert_eq!(
            find_id(&containers, &names, "xyz").unwrap_err().to_string(),
            "No such container: xyz"
        );
        assert!(find_id(&containers, &names, "").is_err());
    }

    #[test]
    fn a_name_can_be_reserved_once_until_it_is_released() {
        let registry = Registry::default();
        registry.reserve(Some("web"), "id1").unwrap();
        let error = registry.reserve(Some("web"), "id2").unwrap_err().to_string();
        assert_eq!(
            error,
            "Conflict. The container name \"/web\" is already in use by container \"id1\". You have to remove (or \
             rename) that container to be able to reuse that name."
        );
        registry.release("web", "id2");
        assert!(registry.reserve(Some("web"), "id2").is_err());
        registry.release("web", "id1");
        registry.reserve(Some("web"), "id2").unwrap();
    }

    proptest! {
        #[test]
        fn a_prefix_finds_exactly_the_ids_that_begin_with_it(
            ids in proptest::collection::btree_set("[ab]{4}", 1..8),
            prefix in "[ab]{1,4}",
        ) {
            let containers: BTreeMap<String, ()> = ids.iter().cloned().map(|id| (id, ())).collect();
            let names = HashMap::new();
            let matching: Vec<&String> = ids.iter().filter(|id| id.starts_with(&prefix)).collect();
            match find_id(&containers, &names, &prefix) {
                Ok(id) => prop_assert_eq!(vec![id], matching),
                Err(EngineError::AmbiguousPrefix(_)) => prop_assert!(matching.len() > 1),
                Err(_) => prop_assert!(matching.is_empty()),
            }
        }
    }
}
