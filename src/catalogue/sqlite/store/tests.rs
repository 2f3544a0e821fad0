use std::sync::Arc;

use sha2::{Digest, Sha256};

use engine::network::{Probe, TimeSteps, hex};
use engine::picture::Mode;

use super::*;
use crate::catalogue::attributes::{AttributeChanges, Attributes};
use crate::catalogue::import::{ImportState, ImportStep, Missing};
use crate::catalogue::origin::Origin;
use crate::catalogue::product::{NewPicture, PictureKey, ProductId};
use crate::catalogue::scope::Scope;
use crate::catalogue::sqlite::change::Change;
use crate::catalogue::sqlite::embeddings::Table;
use crate::catalogue::sqlite::survey::Survey;
use crate::catalogue::title::Title;

const MODEL: &[u8] = b"the file";

fn origin() -> Origin {
    Origin {
        model_id: hex(&Sha256::digest(MODEL)),
        probe: Probe::SpikeCount,
        time_steps: TimeSteps::DEFAULT,
    }
}

/// A catalogue in a folder whose embeddings are of [`origin`].
fn open(folder: &Path) -> Store {
    let mut store = Store::open(folder).unwrap();
    if store.origin().unwrap().is_none() {
        store.set_origin(&origin(), MODEL).unwrap();
    }
    store
}

fn product(id: &str, embedding: &[i32]) -> NewProduct {
    NewProduct {
        id: ProductId::new(id).unwrap(),
        title: Title::new(format!("product {id}")).unwrap(),
        attributes: Attributes::default(),
        pictures: vec![NewPicture {
            content_type: "image/png".to_owned(),
            width: 2,
            height: 3,
            bytes: vec![1, 2, 3],
            prepare: Mode::Auto,
            embedding: embedding.to_vec(),
            origin: Arc::new(origin()),
        }],
    }
}

fn all(store: &Store) -> Vec<(PictureKey, Vec<i32>)> {
    let mut found = Vec::new();
    store
        .embeddings(Table::Present, 3, |picture, _, values| {
            found.push((picture, values.to_vec()))
        })
        .unwrap();
    found
}

#[test]
fn embeddings_of_every_width_come_back_in_stored_order() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = open(folder.path());
    let rows = [[1, -128, 127], [0, 200, -32768], [i32::MIN, 0, i32::MAX]];
    let products: Vec<NewProduct> = rows
        .iter()
        .enumerate()
        .map(|(index, row)| product(&index.to_string(), row))
        .collect();
    store.put_all(&products).unwrap();
    drop(store);
    let store = open(folder.path());
    let found: Vec<Vec<i32>> = all(&store).into_iter().map(|(_, values)| values).collect();
    assert_eq!(found, rows);
}

#[test]
fn a_second_opening_is_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let _store = Store::open(folder.path()).unwrap();
    let refusal = Store::open(folder.path()).unwrap_err().to_string();
    assert!(
        refusal.starts_with(&folder.path().display().to_string()),
        "{refusal}"
    );
    assert!(refusal.contains("in use by another"), "{refusal}");
}

#[test]
fn a_newer_schema_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    drop(Store::open(folder.path()).unwrap());
    let connection = Connection::open(folder.path().join(DATABASE)).unwrap();
    connection.pragma_update(None, "user_version", 99).unwrap();
    drop(connection);
    let refusal = Store::open(folder.path()).unwrap_err();
    assert!(
        matches!(
            refusal,
            CatalogueError::Open {
                reason: OpenError::NewerSchema { found: 99, .. },
                ..
            }
        ),
        "{refusal}"
    );
}

#[test]
fn replacing_a_product_leaves_none_of_its_old_embeddings() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = open(folder.path());
    store
        .put_all(&[product("a", &[1, 2, 3]), product("b", &[4, 5, 6])])
        .unwrap();
    store.put_all(&[product("a", &[7, 8, 9])]).unwrap();
    assert_eq!(store.products().unwrap(), 2);
    let found = all(&store);
    let values: Vec<&[i32]> = found.iter().map(|(_, values)| values.as_slice()).collect();
    assert_eq!(values, [[4, 5, 6], [7, 8, 9]]);
}

#[test]
fn next_embeddings_gather_through_restarts_and_take_their_place_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = open(folder.path());
    let products = ["a", "b", "c"].map(|id| product(id, &[1, 2, 3]));
    store.put_all(&products).unwrap();
    let present = all(&store);
    let next = Origin {
        probe: Probe::Membrane,
        ..origin()
    };
    let made = |key: PictureKey| (key, vec![0, 0, 1]);
    store.begin_next(&next, MODEL).unwrap();
    store.add_next(&[made(present[0].0), made(present[1].0)]).unwrap();
    store.write(vec![Write::Delete { id: "a".to_owned() }]).unwrap();
    drop(store);
    let mut store = open(folder.path());
    store.begin_next(&next, MODEL).unwrap();
    assert_eq!(store.count_next().unwrap(), 1, "deletes reach them");
    assert_eq!(store.last_next().unwrap(), Some(present[1].0));
    assert!(store.adopt_next(&[]).is_err(), "picture 3 has none yet");
    assert_eq!(all(&store), present[1..]);
    assert_eq!(store.origin().unwrap(), Some(origin()));
    assert_eq!(store.adopt_next(&[made(present[2].0)]).unwrap(), next);
    assert_eq!(all(&store), [made(present[1].0), made(present[2].0)]);
    assert_eq!(store.origin().unwrap(), Some(next.clone()));
    assert_eq!(store.next_origin().unwrap(), None);
    // What was embedded before is not mixed in.
    let late = store.write(vec![put("d", &[4, 5, 6])]).unwrap().remove(0);
    assert!(matches!(late, Err(CatalogueError::OtherOrigin)), "{late:?}");

    let third = Origin {
        model_id: "third".to_owned(),
        ..next.clone()
    };
    store.begin_next(&third, b"another file").unwrap();
    store.add_next(&[made(present[1].0)]).unwrap();
    assert!(store.model("third").unwrap().is_some());
    // Another one than was begun: nothing of it is taken over.
    store.begin_next(&origin(), MODEL).unwrap();
    assert_eq!(store.last_next().unwrap(), None);
    assert_eq!(store.model("third").unwrap(), None);
    store.drop_next().unwrap();
    assert_eq!(
        (store.next_origin().unwrap(), store.origin().unwrap()),
        (None, Some(next))
    );
    assert_eq!(store.model(&origin().model_id).unwrap().as_deref(), Some(MODEL));
}

fn put(id: &str, embedding: &[i32]) -> Write {
    Write::Put {
        product: product(id, embedding),
        only_new: false,
    }
}

#[test]
fn a_group_of_writes_is_one_commit_and_a_refusal_in_it_leaves_the_others_be() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = open(folder.path());
    let only_new = Write::Put {
        product: product("a", &[9, 9, 9]),
        only_new: true,
    };
    let group = vec![
        put("a", &[1, 2, 3]),
        Write::Delete { id: "b".to_owned() },
        only_new,
        put("c", &[4, 5, 6]),
    ];
    let results = store.write(group).unwrap();
    assert!(results[0].as_ref().unwrap().created && results[3].as_ref().unwrap().created);
    assert!(matches!(&results[1], Err(CatalogueError::NoProduct { id }) if id == "b"));
    assert!(matches!(&results[2], Err(CatalogueError::Exists { id }) if id == "a"));
    let values: Vec<Vec<i32>> = all(&store).into_iter().map(|(_, values)| values).collect();
    assert_eq!(values, [[1, 2, 3], [4, 5, 6]]);
}

#[test]
fn a_picture_s_number_is_never_given_twice() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = open(folder.path());
    let mut seen = Vec::new();
    let mut ids = |store: &mut Store, write: Write| {
        let written = store.write(vec![write]).unwrap().remove(0).unwrap();
        for picture in written.product.into_iter().flat_map(|product| product.pictures) {
            seen.push(picture.id);
        }
    };
    ids(&mut store, put("a", &[1, 2, 3]));
    ids(&mut store, put("a", &[1, 2, 3]));
    ids(&mut store, Write::Delete { id: "a".to_owned() });
    drop(store);
    let mut store = open(folder.path());
    ids(&mut store, put("a", &[1, 2, 3]));
    assert_eq!(seen, ["1", "2", "3"]);
}

#[test]
fn attributes_are_merged_and_pictures_come_and_go_within_their_bounds() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = open(folder.path());
    let mut write = |write: Write| store.write(vec![write]).unwrap().remove(0);
    write(put("a", &[1, 2, 3])).unwrap();
    let merge = |attributes: serde_json::Value| Write::Merge {
        id: "a".to_owned(),
        title: None,
        attributes: AttributeChanges::new(attributes.as_object().unwrap().clone()).unwrap(),
    };
    write(merge(serde_json::json!({"x": 1, "y": "two"}))).unwrap();
    let merged = write(merge(serde_json::json!({"x": null, "z": ["u"]}))).unwrap();
    let expected = serde_json::json!({"y": "two", "z": ["u"]});
    assert_eq!(serde_json::json!(merged.product.unwrap().attributes), expected);
    assert!(matches!(merged.change, Change::Attributes { attributes, .. } if attributes.as_map().len() == 2));
    let many: serde_json::Map<_, _> = (0..99).map(|n| (n.to_string(), 1.into())).collect();
    let refusal = write(merge(many.into())).unwrap_err();
    assert!(matches!(refusal, CatalogueError::Invalid { field, .. } if field == "attributes"));

    let picture = product("a", &[3, 2, 1]).pictures.remove(0);
    let add = || Write::AddPicture {
        id: "a".to_owned(),
        picture: picture.clone(),
    };
    let delete = |picture: &str| Write::DeletePicture {
        id: "a".to_owned(),
        picture: picture.to_owned(),
    };
    assert!(matches!(
        write(delete("1")),
        Err(CatalogueError::LastPicture { .. })
    ));
    for count in 2..=16 {
        assert_eq!(write(add()).unwrap().product.unwrap().pictures.len(), count);
    }
    assert!(matches!(write(add()), Err(CatalogueError::PicturesFull { .. })));
    assert!(matches!(
        write(delete("99")),
        Err(CatalogueError::NoPicture { .. })
    ));
    let left = write(delete("1")).unwrap().product.unwrap();
    assert_eq!((left.pictures.len(), left.pictures[0].id.as_str()), (15, "2"));
}

#[test]
fn a_full_disk_stores_nothing_of_a_group_and_writing_goes_on_when_there_is_room() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = open(folder.path());
    store.write(vec![put("a", &[1, 2, 3])]).unwrap();
    let pages = |store: &Store, most: i64| {
        let pragma = format!("PRAGMA max_page_count = {most}");
        store.connection().query_row(&pragma, [], |_| Ok(())).unwrap();
    };
    let used: i64 = store
        .connection()
        .pragma_query_value(None, "page_count", |row| row.get(0))
        .unwrap();
    pages(&store, used + 2);
    let mut large = product("b", &[4, 5, 6]);
    large.pictures[0].bytes = vec![7; 1 << 20];
    let large = Write::Put {
        product: large,
        only_new: false,
    };
    let refusal = store.write(vec![put("c", &[7, 8, 9]), large.clone()]);
    assert!(matches!(refusal, Err(CatalogueError::Full { .. })), "{refusal:?}");
    assert_eq!(store.products().unwrap(), 1);
    pages(&store, 1 << 20);
    store.write(vec![put("c", &[7, 8, 9]), large]).unwrap();
    assert_eq!(store.products().unwrap(), 3);
}

#[test]
fn a_catalogue_of_the_first_schema_is_brought_up_and_every_change_behind_its_back_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let connection = Connection::open(folder.path().join(DATABASE)).unwrap();
    connection
        .execute_batch(include_str!("../../../../migrations/sqlite/0001_products.sql"))
        .unwrap();
    let rows = "INSERT INTO products (id, title, attributes) VALUES ('a', 'A', '{}');
        INSERT INTO pictures (product, id, content_type, width, height, bytes)
        VALUES (1, '1', 'image/png', 2, 3, x'010203');
        INSERT INTO embeddings VALUES (1, 1, x'010203');
        PRAGMA user_version = 1;";
    connection.execute_batch(rows).unwrap();
    drop(connection);
    let mut store = open(folder.path());
    store.write(vec![put("b", &[4, 5, 6])]).unwrap();
    let findings = |store: &Store| {
        let mut found = Vec::new();
        let checked = store.check(Some(3), |finding| found.push(finding)).unwrap();
        assert_eq!((checked.products, checked.pictures), (2, 2));
        found
    };
    assert_eq!(findings(&store), Vec::<String>::new());
    for (change, expected) in [
        (
            "UPDATE products SET title = 'B' WHERE id = 'a'",
            "product \"a\": id, title",
        ),
        (
            "UPDATE pictures SET bytes = x'010204' WHERE seq = 2",
            "picture \"2\" of product \"b\": the file",
        ),
        (
            "UPDATE embeddings SET data = x'040507' WHERE picture = 2",
            "picture \"2\" of product \"b\": the embedding",
        ),
        (
            "DELETE FROM embeddings WHERE picture = 1",
            "picture \"1\" of product \"a\": has no embedding",
        ),
        (
            "INSERT INTO next_embeddings VALUES (2, 1, x'010203', x'00')",
            "picture number 2: the next embedding",
        ),
        ("UPDATE models SET data = x'00'", "the file of model"),
    ] {
        store.connection().execute_batch("SAVEPOINT change").unwrap();
        store.connection().execute_batch(change).unwrap();
        store.connection().execute_batch("RELEASE change").unwrap();
        let found = findings(&store);
        assert!(
            found.iter().any(|found| found.starts_with(expected)),
            "{change}: {found:?}"
        );
    }
}

#[test]
fn a_backup_is_taken_beside_a_writer_and_gives_no_number_twice() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = open(&folder.path().join("data"));
    store.write(vec![put("a", &[1, 2, 3])]).unwrap();
    let backup = folder.path().join("backup");
    Survey::open(&folder.path().join("data"))
        .unwrap()
        .back_up(&backup)
        .unwrap();
    store.write(vec![put("b", &[4, 5, 6])]).unwrap();
    let fresh = folder.path().join("fresh");
    let mut restored = Store::restore(&fresh, &backup, 1000).unwrap();
    assert_eq!(restored.products().unwrap(), 1);
    let written = restored
        .write(vec![put("c", &[4, 5, 6])])
        .unwrap()
        .remove(0)
        .unwrap();
    assert_eq!(written.product.unwrap().pictures[0].id, "1001");
    drop(restored);
    assert!(
        Store::restore(&fresh, &backup, 2000).is_err(),
        "nothing is overwritten"
    );
}

#[test]
fn an_import_that_was_cut_off_is_ended_with_the_first_write_where_the_start_could_not() {
    let folder = tempfile::tempdir().unwrap();
    let step = |id: &str, step| Write::Import {
        id: id.to_owned(),
        step,
    };
    let mut store = open(folder.path());
    let lines = vec![(1, vec![7; 5000]), (2, vec![8; 5000])];
    let begun = vec![
        step(
            "cut off",
            ImportStep::Begun {
                missing: Missing::Keep,
                scope: Scope::ALL,
            },
        ),
        step("cut off", ImportStep::Received(lines)),
    ];
    store.write(begun).unwrap();
    drop(store);
    let other = Connection::open(folder.path().join(DATABASE)).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let mut store = Store::open(folder.path()).unwrap();
    let state = |store: &Store, id: &str| store.import(id).unwrap().unwrap().state;
    assert_eq!(state(&store, "cut off"), ImportState::Receiving);
    let refused = store.write(vec![step(
        "new",
        ImportStep::Begun {
            missing: Missing::Keep,
            scope: Scope::ALL,
        },
    )]);
    assert!(matches!(refused, Err(CatalogueError::Locked)));
    other.execute_batch("ROLLBACK").unwrap();
    store
        .write(vec![step(
            "new",
            ImportStep::Begun {
                missing: Missing::Keep,
                scope: Scope::ALL,
            },
        )])
        .unwrap();
    assert_eq!(state(&store, "cut off"), ImportState::Failed);
    assert_eq!(state(&store, "new"), ImportState::Receiving, "it has its client");
    let lines = "SELECT count(*) FROM import_lines";
    let lines: i64 = store.connection().query_row(lines, [], |row| row.get(0)).unwrap();
    assert_eq!(lines, 0);
}

#[test]
fn a_database_that_is_held_to_its_size_takes_what_fits_into_freed_pages_and_grows_once_it_may() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = open(folder.path());
    let large = |id: &str| {
        let mut product = product(id, &[1, 2, 3]);
        product.pictures[0].bytes = vec![5; 200_000];
        Write::Put {
            product,
            only_new: false,
        }
    };
    store.write(vec![large("a")]).unwrap();
    // As on a full disk: the reserve cannot be made again while something is in its way.
    assert!(store.lend());
    let reserve = folder.path().join("reserve");
    std::fs::create_dir(&reserve).unwrap();
    let full = store.write(vec![large("b")]);
    assert!(matches!(full, Err(CatalogueError::Full { .. })), "{full:?}");
    // Of a group, what removes is done and what adds is refused.
    let delete = Write::Delete { id: "a".to_owned() };
    let mut group = store.write(vec![large("b"), delete, large("c")]).unwrap();
    assert!(matches!(group.pop().unwrap(), Err(CatalogueError::Full { .. })));
    assert!(group.pop().unwrap().is_ok());
    assert!(matches!(group.pop().unwrap(), Err(CatalogueError::Full { .. })));
    assert!(store.write(vec![large("b")]).unwrap()[0].is_ok());
    assert!(matches!(
        store.write(vec![large("c")]),
        Err(CatalogueError::Full { .. })
    ));
    std::fs::remove_dir(&reserve).unwrap();
    assert!(store.write(vec![large("c")]).unwrap()[0].is_ok());
    assert!(reserve.is_file());
}

#[test]
fn nothing_is_written_into_a_database_that_was_removed() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = open(folder.path());
    std::fs::remove_file(folder.path().join(JOURNAL)).unwrap();
    let lost = store.put_all(&[product("a", &[1, 2, 3])]).unwrap_err();
    assert!(matches!(lost, CatalogueError::Lost { .. }), "{lost}");
    assert!(lost.to_string().contains(JOURNAL), "{lost}");
}
