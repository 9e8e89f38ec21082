//! Images and the containers that use them.

use engine::{DiskUsageObjects, Filters, Kind};
use libtest_mimic::Trial;

use crate::harness::*;

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("an_image_in_use_is_not_removed", |_, engine| async move {
            run(&engine, "web", &["sleep"]).await;
            let error = engine
                .remove_image("alpine", &[], false, false)
                .await
                .unwrap_err();
            assert_eq!(error.status(), Kind::Conflict);
            assert!(
                error.to_string().starts_with(
                    "conflict: unable to remove repository reference \"alpine\" (must force) - container "
                ),
                "{error}"
            );
            let id = inspect(&engine, "web").await.image.unwrap();
            let error = engine
                .remove_image(&id, &[], true, false)
                .await
                .unwrap_err()
                .to_string();
            assert!(
                error.contains("(cannot be forced) - image is being used by running container"),
                "{error}"
            );
        }),
        trial(
            "removing_an_image_takes_its_layers_off_the_machine",
            |home, engine| async move {
                run(&engine, "web", &["echo"]).await;
                exit_code(&engine, "web").await;
                engine.remove_container("web", false, false).await.unwrap();
                let removed = engine.remove_image("alpine", &[], false, false).await.unwrap();
                assert!(removed.iter().any(|item| item.deleted.is_some()), "{removed:?}");
                // The command is on its way; an inspection comes after it.
                engine.machine_inspect(None).await.unwrap();
                let notes = home.notes();
                assert_eq!(
                    (notes.matches("map ").count(), notes.matches("unmap ").count()),
                    (2, 1),
                    "{notes}"
                );
            },
        ),
        trial(
            "a_layer_is_mapped_once_for_many_containers",
            |home, engine| async move {
                for name in ["one", "two", "three"] {
                    run(&engine, name, &["sleep"]).await;
                }
                assert_eq!(home.notes().matches("map ").count(), 1);
            },
        ),
        trial(
            "pruning_leaves_the_image_of_a_container_that_is_being_created",
            |_, engine| async move {
                let all = Filters::parse(r#"{"dangling":["false"]}"#).unwrap();
                for round in 0..40 {
                    load_image(&engine).await;
                    let name = format!("round-{round}");
                    let create = engine.create_container(Some(&name), None, body(&["echo"]));
                    let (created, pruned) = tokio::join!(create, engine.prune_images(&all));
                    pruned.unwrap();
                    // Either the image was gone first, or it stays.
                    if created.is_ok() {
                        engine.inspect_image("alpine", None).await.unwrap();
                        engine.remove_container(&name, false, false).await.unwrap();
                    }
                }
            },
        ),
        trial("an_image_is_as_large_as_its_files", |_, engine| async move {
            // Its one file; the archive that it came in is longer, and so is the layer on disk.
            let image = engine.inspect_image("alpine", None).await.unwrap();
            assert_eq!(image.size, Some(6));
            let images = DiskUsageObjects {
                images: true,
                ..DiskUsageObjects::default()
            };
            assert_eq!(engine.disk_usage(images).await.unwrap().layers, 6);
        }),
        trial("images_are_listed_and_inspected", |_, engine| async move {
            let images = engine.list_images(false, &Filters::default()).await.unwrap();
            assert_eq!(images[0].repo_tags, [IMAGE]);
            let image = engine.inspect_image("alpine", None).await.unwrap();
            assert_eq!(image.id.unwrap(), images[0].id);
            assert_eq!(image.os.as_deref(), Some("linux"));
            assert_eq!(
                engine.inspect_image("nowhere", None).await.unwrap_err().status(),
                Kind::NotFound
            );
        }),
    ]
}
