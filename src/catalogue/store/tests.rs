use super::*;
use crate::catalogue::ProductId;
use crate::network::Probe;

fn product(id: &str, embedding: &[i32]) -> NewProduct {
    NewProduct {
        id: ProductId::new(id).unwrap(),
        title: format!("product {id}"),
        attributes: serde_json::Map::new(),
        pictures: vec![NewPicture {
            content_type: "image/png".to_owned(),
            width: 2,
            height: 3,
            bytes: vec![1, 2, 3],
            embedding: embedding.to_vec(),
        }],
    }
}

fn all(store: &Store) -> Vec<(PictureKey, Vec<i32>)> {
    let mut found = Vec::new();
    store
        .embeddings(3, |picture, _, values| found.push((picture, values.to_vec())))
        .unwrap();
    found
}

#[test]
fn embeddings_of_every_width_come_back_in_stored_order() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = Store::open(folder.path()).unwrap();
    let rows = [[1, -128, 127], [0, 200, -32768], [i32::MIN, 0, i32::MAX]];
    let products: Vec<NewProduct> = rows
        .iter()
        .enumerate()
        .map(|(index, row)| product(&index.to_string(), row))
        .collect();
    store.put_all(&products).unwrap();
    drop(store);
    let store = Store::open(folder.path()).unwrap();
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
        matches!(refusal, CatalogueError::NewerSchema { found: 99, .. }),
        "{refusal}"
    );
}

#[test]
fn replacing_a_product_leaves_none_of_its_old_embeddings() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = Store::open(folder.path()).unwrap();
    store
        .put_all(&[product("a", &[1, 2, 3]), product("b", &[4, 5, 6])])
        .unwrap();
    store.put_all(&[product("a", &[7, 8, 9])]).unwrap();
    assert_eq!(store.products().unwrap(), 2);
    let found = all(&store);
    let values: Vec<&[i32]> = found.iter().map(|(_, values)| values.as_slice()).collect();
    assert_eq!(values, [[4, 5, 6], [7, 8, 9]]);
    let origin = Origin {
        model_id: "id".to_owned(),
        probe: Probe::Membrane,
        time_steps: TimeSteps::DEFAULT,
    };
    let fresh: Vec<(PictureKey, Vec<i32>)> = found.iter().map(|(key, _)| (*key, vec![0, 0, 1])).collect();
    store.replace_embeddings(&origin, &fresh).unwrap();
    assert_eq!(all(&store), fresh);
    assert_eq!(store.origin().unwrap(), Some(origin));
}
