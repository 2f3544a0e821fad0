//! Duplicates of a catalogue: pictures that are the same file, and pictures of several products that look almost the same.
//!
//! A report: nothing is merged or removed, and nothing is emulated.

use std::collections::HashMap;

use engine::neighbours::{Neighbour, Neighbours};
use engine::parallel::in_parallel;
use serde::Serialize;

use super::error::ServiceError;
use crate::catalogue::{CatalogueError, ComparedPicture, Survey};
use crate::progress::{Progress, Stage};

/// Pictures that are read at a time, and embeddings that are searched for at a time.
const AT_ONCE: usize = 1_000;
/// Neighbours that are asked for at first, and at most. Of a row that has more, all are found at once.
const FEW: usize = 16;
const MANY: usize = 256;

/// Groups of pictures, the largest first; each in stored order.
#[derive(Debug, Serialize)]
pub struct Duplicates {
    pub products: usize,
    pub pictures: usize,
    /// Pictures that are the same file, of one product or of several.
    pub equal: Vec<EqualPictures>,
    /// Files of several products that look almost the same.
    pub alike: Vec<AlikePictures>,
}

/// Pictures that are the same file.
#[derive(Debug, Serialize)]
pub struct EqualPictures {
    pub pictures: Vec<NamedPicture>,
}

/// Files, each of which looks almost the same as another one of them.
#[derive(Debug, Serialize)]
pub struct AlikePictures {
    pub pictures: Vec<AlikePicture>,
}

/// A file among others that look almost the same.
#[derive(Debug, Serialize)]
pub struct AlikePicture {
    /// The first picture that is this file.
    #[serde(flatten)]
    pub picture: NamedPicture,
    /// The cosine similarity to the nearest other file of the group.
    pub score: f64,
    /// How many pictures are this file.
    pub copies: usize,
}

/// A picture, and the product that it is of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct NamedPicture {
    pub product_id: String,
    pub title: String,
    pub picture_id: String,
}

/// A file and the pictures that it is.
struct File {
    /// Their places in stored order.
    pictures: Vec<usize>,
    /// Its embedding; none if it has none, or all zeros.
    row: Option<usize>,
}

/// Finds all duplicates; files are alike from the cosine similarity `min_score` on.
///
/// # Errors
/// If the catalogue cannot be read.
pub fn duplicates(
    survey: &Survey,
    min_score: f64,
    threads: usize,
    progress: &Progress,
) -> Result<Duplicates, ServiceError> {
    let read = survey.at_one_moment(|survey| read(survey, progress))?;
    let Read {
        products,
        pictures,
        files,
        neighbours,
    } = read?;
    let named = |file: &File| file.pictures.iter().map(|at| pictures[*at].clone()).collect();
    let several = files.iter().filter(|file| file.pictures.len() > 1);
    let mut equal: Vec<_> = several
        .map(|file| EqualPictures {
            pictures: named(file),
        })
        .collect();
    equal.sort_by_key(|group| std::cmp::Reverse(group.pictures.len()));
    let alike = match neighbours {
        Some(neighbours) => alike(&files, &pictures, neighbours, min_score, threads, progress),
        None => Vec::new(),
    };
    Ok(Duplicates {
        products,
        pictures: pictures.len(),
        equal,
        alike,
    })
}

/// A catalogue of one moment.
struct Read {
    products: usize,
    pictures: Vec<NamedPicture>,
    files: Vec<File>,
    /// None without an embedding.
    neighbours: Option<Neighbours>,
}

fn read(survey: &Survey, progress: &Progress) -> Result<Read, ServiceError> {
    progress.enter(Stage::Reading, survey.pictures()?);
    let mut read = Read {
        products: survey.products()?,
        pictures: Vec::new(),
        files: Vec::new(),
        neighbours: None,
    };
    let mut known: HashMap<Vec<u8>, usize> = HashMap::new();
    let mut after = None;
    loop {
        let batch = survey.compared(after, AT_ONCE)?;
        let Some(last) = batch.last() else { return Ok(read) };
        after = Some(last.key);
        progress.advance(batch.len());
        for picture in batch {
            let ComparedPicture {
                key,
                id,
                product,
                title,
                file,
                embedding,
            } = picture;
            let file = *known.entry(file).or_insert_with(|| {
                read.files.push(File {
                    pictures: Vec::new(),
                    row: None,
                });
                read.files.len() - 1
            });
            let file = &mut read.files[file];
            file.pictures.push(read.pictures.len());
            read.pictures.push(NamedPicture {
                product_id: product,
                title,
                picture_id: id,
            });
            let embedding = embedding.filter(|values| values.iter().any(|value| *value != 0));
            if let (None, Some(values)) = (file.row, embedding) {
                let neighbours = read
                    .neighbours
                    .get_or_insert_with(|| Neighbours::new(values.len()));
                let dimensions = neighbours.vectors().dimensions();
                if values.len() != dimensions {
                    let what = format!(
                        "the embedding of picture number {key} has {} values, others have {dimensions}",
                        values.len()
                    );
                    return Err(CatalogueError::Damaged { what }.into());
                }
                file.row = Some(neighbours.push(&values));
            }
        }
    }
}

/// The groups of files that look almost the same, by the index: a pair may be missed as in a search.
fn alike(
    files: &[File],
    pictures: &[NamedPicture],
    mut neighbours: Neighbours,
    min_score: f64,
    threads: usize,
    progress: &Progress,
) -> Vec<AlikePictures> {
    let rows = neighbours.rows();
    progress.enter(Stage::Indexing, rows);
    neighbours.link(threads, &|count| progress.advance(count));
    progress.enter(Stage::Searching, rows);
    let mut groups = Groups::new(rows);
    let mut nearest = vec![f64::NEG_INFINITY; rows];
    let mut join = |row: usize, found: &Neighbour| {
        if found.index != row {
            groups.join(row, found.index);
            for row in [row, found.index] {
                nearest[row] = nearest[row].max(found.similarity);
            }
        }
    };
    let mut crowded = Vec::new();
    for first in (0..rows).step_by(AT_ONCE) {
        let count = AT_ONCE.min(rows - first);
        let found = in_parallel(
            threads,
            count,
            || (),
            |(), at| {
                progress.advance(1);
                near(&neighbours, first + at, min_score)
            },
        );
        for (row, found) in (first..).zip(found) {
            found.iter().for_each(|found| join(row, found));
            if found.len() >= MANY {
                crowded.push(row);
            }
        }
    }
    // The index gives some neighbours of a crowd, which need not lead to all of it.
    let mut is_joined = vec![false; rows];
    for row in crowded {
        if is_joined[row] {
            continue;
        }
        let query = neighbours.vectors().query(&neighbours.vectors().row(row));
        for (index, similarity) in neighbours.vectors().cosines(&query).enumerate() {
            if similarity >= min_score {
                join(row, &Neighbour { index, similarity });
                is_joined[index] = true;
            }
        }
    }
    let mut by_group: HashMap<usize, Vec<(&File, usize)>> = HashMap::new();
    let mut files_of_row = vec![0_usize; rows];
    for file in files {
        if let Some(row) = file.row {
            by_group.entry(groups.of(row)).or_default().push((file, row));
            files_of_row[row] += 1;
        }
    }
    let mut found: Vec<_> = by_group.into_values().collect();
    found.retain(|group| group.len() > 1 && are_of_several_products(group, pictures));
    found.sort_by_key(|group| (std::cmp::Reverse(group.len()), group[0].0.pictures[0]));
    let alike = |(file, row): (&File, usize)| AlikePicture {
        picture: pictures[file.pictures[0]].clone(),
        // Files of one row have equal embeddings.
        score: match files_of_row[row] {
            1 => nearest[row],
            _ => 1.0,
        },
        copies: file.pictures.len(),
    };
    let groups = found.into_iter().map(|group| AlikePictures {
        pictures: group.into_iter().map(alike).collect(),
    });
    groups.collect()
}

/// The rows from `min_score` on, with the row itself: at most [`MANY`].
fn near(neighbours: &Neighbours, row: usize, min_score: f64) -> Vec<Neighbour> {
    let values = neighbours.vectors().row(row);
    let mut k = FEW;
    loop {
        let mut found = neighbours.nearest(&values, k);
        let are_all_near = found.len() == k && found.iter().all(|found| found.similarity >= min_score);
        if are_all_near && k < MANY {
            k *= 4;
            continue;
        }
        found.retain(|found| found.similarity >= min_score);
        return found;
    }
}

/// Whether the pictures that are these files belong to more than one product.
fn are_of_several_products(group: &[(&File, usize)], pictures: &[NamedPicture]) -> bool {
    let places = group.iter().flat_map(|(file, _)| &file.pictures);
    let mut products = places.map(|at| &pictures[*at].product_id);
    let first = products.next();
    products.any(|product| Some(product) != first)
}

/// Rows that belong together (union-find).
struct Groups {
    /// `[row]`: a row of the same group; itself for the one that stands for the group.
    towards: Vec<usize>,
}

impl Groups {
    fn new(rows: usize) -> Self {
        Self {
            towards: (0..rows).collect(),
        }
    }

    /// The row that stands for the group of `row`.
    fn of(&mut self, mut row: usize) -> usize {
        while self.towards[row] != row {
            self.towards[row] = self.towards[self.towards[row]];
            row = self.towards[row];
        }
        row
    }

    fn join(&mut self, one: usize, other: usize) {
        let (one, other) = (self.of(one), self.of(other));
        self.towards[one.max(other)] = one.min(other);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn picture(product: usize) -> NamedPicture {
        NamedPicture {
            product_id: format!("p{product}"),
            title: String::new(),
            picture_id: product.to_string(),
        }
    }

    /// Groups of products whose files have these embeddings; each picture is `(product, embedding)`.
    fn groups(given: &[(usize, [i32; 2])], min_score: f64) -> Vec<Vec<(String, f64, usize)>> {
        let mut neighbours = Neighbours::new(2);
        let pictures: Vec<_> = given.iter().map(|(product, _)| picture(*product)).collect();
        let files: Vec<_> = given
            .iter()
            .enumerate()
            .map(|(at, (_, values))| File {
                pictures: vec![at],
                row: Some(neighbours.push(values)),
            })
            .collect();
        let found = alike(&files, &pictures, neighbours, min_score, 2, &Progress::default());
        let rounded = |score: f64| (score * 1e4).round() / 1e4;
        let group = |group: AlikePictures| {
            let pictures = group.pictures.into_iter();
            pictures
                .map(|alike| (alike.picture.product_id, rounded(alike.score), alike.copies))
                .collect()
        };
        found.into_iter().map(group).collect()
    }

    #[test]
    fn files_that_are_alike_through_others_are_one_group() {
        let given = [
            (0, [100, 0]),
            (1, [0, 100]),
            (2, [100, 4]),
            (3, [100, 8]),
            (4, [0, 100]),
            (5, [70, 70]),
        ];
        let name = |product: usize, score| (format!("p{product}"), score, 1);
        assert_eq!(
            groups(&given, 0.999),
            [
                vec![name(0, 0.9992), name(2, 0.9992), name(3, 0.9992)],
                vec![name(1, 1.0), name(4, 1.0)]
            ]
        );
        assert_eq!(groups(&given, 0.9999), [vec![name(1, 1.0), name(4, 1.0)]]);
        assert_eq!(groups(&given, 0.7)[0].len(), 6);
    }

    #[test]
    fn views_of_one_product_are_no_duplicates() {
        assert!(groups(&[(0, [100, 0]), (0, [100, 1]), (1, [0, 100])], 0.99).is_empty());
        assert_eq!(
            groups(&[(0, [100, 0]), (0, [100, 1]), (1, [100, 2])], 0.99)[0].len(),
            3
        );
    }

    #[test]
    fn many_files_that_are_alike_are_one_group_too() {
        // More than an exact search takes, and than are asked for.
        let given: Vec<_> = (0..3_000)
            .map(|number| (number, [100_000, number as i32]))
            .collect();
        let found = groups(&given, 0.9999);
        assert_eq!((found.len(), found[0].len()), (1, 3_000));
    }
}
