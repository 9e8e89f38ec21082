//! Which containers keep an image from being removed (moby `daemon/images/image_delete.go`).

use crate::error::{EngineError, Result};
use crate::names::SHORT;

/// Docker's refusals (moby `daemon/images/image_delete.go`). `force` overrides a stopped container, not a
/// running one.
pub(super) fn refuse_in_use(
    name: &str,
    id: &str,
    by_id: bool,
    users: &[(String, bool)],
    force: bool,
) -> Result<()> {
    let short = id
        .strip_prefix("sha256:")
        .unwrap_or(id)
        .get(..SHORT)
        .unwrap_or(id);
    let running = users.iter().find(|(_, running)| *running);
    let any = users.first();
    let message = match (by_id, running, any) {
        (true, Some((container, _)), _) => {
            format!(
                "conflict: unable to delete {short} (cannot be forced) - image is being used by running container {container}"
            )
        }
        (false, Some((container, _)), _) if !force => format!(
            "conflict: unable to remove repository reference \"{name}\" (must force) - container {container} is using its \
             referenced image {short}"
        ),
        (false, Some((container, _)), _) => {
            format!(
                "conflict: unable to delete {short} (cannot be forced) - image is being used by running container {container}"
            )
        }
        (true, None, Some((container, _))) if !force => {
            format!(
                "conflict: unable to delete {short} (must be forced) - image is being used by stopped container {container}"
            )
        }
        (false, None, Some((container, _))) if !force => format!(
            "conflict: unable to remove repository reference \"{name}\" (must force) - container {container} is using its \
             referenced image {short}"
        ),
        _ => return Ok(()),
    };
    Err(EngineError::Conflict(message))
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    const ID: &str = "sha256:0123456789abcdef";

    #[rstest]
    #[case(
        true,
        true,
        true,
        Some(
            "unable to delete 0123456789ab (cannot be forced) - image is being used by running container c1"
        )
    )]
    #[case(
        true,
        false,
        false,
        Some("unable to delete 0123456789ab (must be forced) - image is being used by stopped container c1")
    )]
    #[case(true, false, true, None)]
    #[case(
        false,
        false,
        false,
        Some(
            "unable to remove repository reference \"alpine\" (must force) - container c1 is using its referenced image 0123456789ab"
        )
    )]
    #[case(false, true, true, Some("image is being used by running container c1"))]
    fn an_image_in_use_is_refused_in_dockers_words(
        #[case] by_id: bool,
        #[case] running: bool,
        #[case] force: bool,
        #[case] text: Option<&str>,
    ) {
        let result = refuse_in_use("alpine", ID, by_id, &[("c1".to_owned(), running)], force);
        match text {
            Some(text) => assert!(result.unwrap_err().to_string().contains(text)),
            None => result.unwrap(),
        }
    }

    #[test]
    fn an_unused_image_is_refused_never() {
        refuse_in_use("alpine", ID, false, &[], false).unwrap();
    }
}
