//! Links lead to everybody, whatever comes and goes.

use super::*;

/// Rows in all directions, reproducible: numbers of a linear congruential generator (Knuth, MMIX).
fn scattered(count: usize, first: u64) -> Vec<Vec<i32>> {
    let row = |number: u64| {
        let mut state = (first + number + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let value = |_| {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            i32::try_from(state >> 57).unwrap() - 40
        };
        (0..16).map(value).collect()
    };
    (0..u64::try_from(count).unwrap()).map(row).collect()
}

fn linked(rows: &[Vec<i32>], threads: usize) -> Neighbours {
    let mut neighbours = Neighbours::new(rows[0].len());
    for row in rows {
        neighbours.push(row);
    }
    neighbours.link(threads, &|_| {});
    neighbours
}

/// How much of the exact answer the links give, over some of the live rows as queries.
fn recall(neighbours: &Neighbours) -> f64 {
    let queries: Vec<usize> = (0..neighbours.rows())
        .step_by(97)
        .filter(|row| neighbours.is_live(*row))
        .collect();
    let hits: usize = queries
        .iter()
        .map(|row| {
            let query = neighbours.vectors().row(*row);
            let found = neighbours.nearest(&query, 10);
            assert!(found.iter().all(|found| neighbours.is_live(found.index)));
            let exact = neighbours.nearest_exact(&query, 10);
            // Equally near ones may stand for one another.
            let least = exact.last().unwrap().similarity;
            found.iter().filter(|found| found.similarity >= least).count()
        })
        .sum();
    hits as f64 / (10 * queries.len()) as f64
}

/// Rows that a walk from the entry does not find by their own embedding, ties aside.
fn lost(neighbours: &Neighbours) -> usize {
    let links = neighbours.links().unwrap();
    let is_lost = |row: &usize| {
        let of = |other: usize| neighbours.vectors().cosine_of_rows(*row, other);
        let found = links.nearest(
            CANDIDATES_AT_SEARCH,
            None,
            of,
            |_| {},
            |other| neighbours.is_live(other),
        );
        found.first().is_none_or(|found| found.similarity() < 1.0 - 1e-6)
    };
    let live = (0..links.rows()).filter(|row| neighbours.is_live(*row));
    live.filter(is_lost).count()
}

#[test]
fn the_links_lead_to_every_row_and_to_what_the_exact_search_finds() {
    let neighbours = linked(&scattered(6000, 0), 2);
    assert_eq!((neighbours.rows(), neighbours.unlinked()), (6000, 0));
    assert_eq!(lost(&neighbours), 0);
    let recall = recall(&neighbours);
    assert!(recall >= 0.98, "{recall}");
}

#[test]
fn equal_embeddings_share_a_row_that_comes_back() {
    let rows = scattered(3000, 0);
    let mut neighbours = linked(&rows, 1);
    assert_eq!(neighbours.push(&rows[7]), 7);
    neighbours.remove(7);
    neighbours.remove(7);
    assert_eq!((neighbours.live(), neighbours.rows()), (2999, 3000));
    assert_ne!(neighbours.nearest(&rows[7], 1)[0].index, 7);
    assert_eq!(neighbours.push(&rows[7]), 7);
    assert_eq!((neighbours.live(), neighbours.rows()), (3000, 3000));
    assert_eq!(neighbours.nearest(&rows[7], 1)[0].index, 7);
}

#[test]
fn links_do_not_depend_on_the_number_of_threads() {
    let rows = scattered(4000, 0);
    let joined = |threads: usize| {
        // One thread builds the core: insertions by several of them come in any order.
        let mut neighbours = linked(&rows[..2500], 1);
        rows[2500..].iter().for_each(|row| {
            neighbours.push(row);
        });
        neighbours.link(threads, &|_| {});
        assert_eq!((neighbours.unlinked(), lost(&neighbours)), (0, 0));
        Arc::clone(neighbours.links().unwrap())
    };
    assert!(joined(1) == joined(2));
}

#[test]
fn rows_that_come_and_go_are_found_and_gone_at_once_and_recall_stays() {
    let mut neighbours = linked(&scattered(4000, 0), 1);
    let fresh = scattered(2000, 4000);
    for (round, values) in fresh.iter().enumerate() {
        neighbours.remove(2 * round);
        let row = neighbours.push(values);
        let nearest = neighbours.nearest(values, 1)[0];
        assert_eq!((nearest.index, nearest.similarity), (row, 1.0));
    }
    assert_eq!(
        (neighbours.live(), neighbours.rows(), neighbours.unlinked()),
        (4000, 6000, 2000)
    );
    assert!(recall(&neighbours) >= 0.98);
    neighbours.link(2, &|_| {});
    assert_eq!((neighbours.unlinked(), lost(&neighbours)), (0, 0));
    assert!(recall(&neighbours) >= 0.98);
    // Every live row being asked for, none that was removed comes back.
    let all = neighbours.nearest(&fresh[0], 6000);
    assert!(all.len() > 3990 && all.iter().all(|found| neighbours.is_live(found.index)));
    assert_eq!(neighbours.nearest_exact(&fresh[0], 6000).len(), 4000);
}

#[test]
fn a_row_is_found_among_any_number_of_removed_ones() {
    let mut neighbours = linked(&scattered(4000, 0), 1);
    let query = neighbours.vectors().row(0);
    let nearest = neighbours.nearest_exact(&query, 1000);
    nearest.iter().for_each(|found| neighbours.remove(found.index));
    let (found, exact) = (
        neighbours.nearest(&query, 10),
        neighbours.nearest_exact(&query, 10),
    );
    let hits = found.iter().filter(|found| exact.contains(found)).count();
    assert!(hits >= 9, "{hits}");
}

#[test]
fn links_are_taken_up_with_their_gaps() {
    let rows = scattered(3000, 0);
    let built = linked(&rows, 1);
    let mut file = Vec::new();
    built.links().unwrap().write(&mut file).unwrap();
    let links = Links::read(&mut file.as_slice(), 3000).unwrap();
    let mut taken = Neighbours::of_links(16, links);
    for (row, values) in rows.iter().enumerate().filter(|(row, _)| row % 5 != 0) {
        taken.restore(row, values);
    }
    taken.mend(1);
    for values in scattered(10, 3000) {
        taken.push(&values);
    }
    assert_eq!((taken.live(), taken.unlinked(), lost(&taken)), (2410, 10, 0));
    assert!(recall(&taken) >= 0.98);
}

#[test]
fn building_anew_is_wanted_when_many_are_gone_and_linking_when_enough_have_come() {
    let mut neighbours = linked(&scattered(2000, 0), 1);
    assert!(neighbours.links().is_none() && neighbours.linking().is_none());
    for row in scattered(100, 2000) {
        neighbours.push(&row);
    }
    neighbours.link(1, &|_| {});
    assert!(neighbours.links().is_some() && neighbours.linking().is_none());
    for row in scattered(1024, 2100) {
        neighbours.push(&row);
    }
    assert_eq!(neighbours.linking().map(|linking| linking.count()), Some(1024));
    assert!(!neighbours.wants_rebuilding());
    (0..2000).for_each(|row| neighbours.remove(row));
    assert!(neighbours.wants_rebuilding());
    // Few live ones are compared one by one, whatever is linked.
    assert_eq!(neighbours.nearest(&scattered(1, 0)[0], 2000).len(), 1124);
}

/// Speed, memory and recall over the rows of a file: `EMBEDDINGS=F cargo test --release --lib figures -- --ignored --nocapture`.
#[test]
#[ignore = "needs a file of embeddings, 128 bytes each"]
fn figures() {
    let file = std::fs::read(std::env::var("EMBEDDINGS").unwrap()).unwrap();
    let limit: usize = std::env::var("ROWS").map_or(usize::MAX, |rows| rows.parse().unwrap());
    let mut neighbours = Neighbours::new(128);
    let mut queries = Vec::new();
    for (number, row) in file.as_chunks::<128>().0.iter().take(limit).enumerate() {
        let row: Vec<i32> = row.iter().map(|&value| i32::from(value.cast_signed())).collect();
        match number % 100 {
            99 => queries.push(row),
            _ => {
                neighbours.push(&row);
            }
        }
    }
    let start = std::time::Instant::now();
    neighbours.link(2, &|_| {});
    println!("{} rows linked in {:?}", neighbours.rows(), start.elapsed());
    println!("{:?}", neighbours.memory());
    println!("lost {}", lost(&neighbours));
    let (mut times, mut hits, mut wanted) = (Vec::new(), 0, 0);
    for query in queries.iter().take(2000) {
        let mut found = Vec::new();
        // The best of five: what others do on the machine aside.
        let best = (0..5).map(|_| {
            let start = std::time::Instant::now();
            found = neighbours.nearest(query, 10);
            start.elapsed()
        });
        times.push(best.min().unwrap_or_default());
        if times.len() <= 500 {
            let exact = neighbours.nearest_exact(query, 10);
            let least = exact[9].similarity;
            hits += found.iter().filter(|found| found.similarity >= least).count();
            wanted += 10;
        }
    }
    times.sort();
    println!(
        "median {:?} p99 {:?} recall {:.4}",
        times[times.len() / 2],
        times[times.len() * 99 / 100],
        f64::from(u32::try_from(hits).unwrap()) / f64::from(wanted)
    );
}
