//! Joining rows to links that exist, and mending links so that every row can be reached.
//!
//! Rows join in batches. Each row looks for its nearest rows by a search along the links and among its batch, links to a
//! spread-out choice of them (Malkov and Yashunin 2018, algorithm 4), and they link back; a row with too many links keeps a
//! choice. No row loses its last incoming link that way, but a group of rows may still be linked to by one another alone, and
//! greedy searches may miss a row that has links: both are looked for, and linked. Equal vectors and links give equal links,
//! on any number of threads.

use std::collections::HashSet;

use super::exact::Vectors;
use super::links::{Key, Links, WIDTH, number};
use crate::parallel::in_parallel;

/// Rows that join at a time.
const BATCH: usize = 256;
/// Rows that a joining row chooses from.
const CANDIDATES: usize = 96;
/// Links of a row that joins.
const OWN: usize = 20;
/// Links that a row keeps when there were too many: room for those to come.
const KEPT: usize = 24;
/// Candidates of a search that must find a row by its own embedding: a third of those of other searches.
const CANDIDATES_OF_OWN: usize = 32;
/// How often links are mended before what is left is left.
const ROUNDS: usize = 8;

/// Links that are being changed.
pub struct Join<'a> {
    vectors: &'a Vectors,
    links: Links,
    /// `[row]`: how many rows link to it.
    incoming: Vec<u32>,
    /// Links, from and to, that mending added: none is taken away for another.
    added: HashSet<(u32, u32)>,
    threads: usize,
}

impl<'a> Join<'a> {
    /// Prepares links for rows of `vectors` to join.
    pub fn new(vectors: &'a Vectors, mut links: Links, threads: usize) -> Self {
        links.grow(vectors.len());
        let mut incoming = vec![0; vectors.len()];
        for row in 0..number(vectors.len()) {
            for linked in links.linked(row) {
                incoming[*linked as usize] += 1;
            }
        }
        Self {
            vectors,
            links,
            incoming,
            added: HashSet::new(),
            threads: threads.max(1),
        }
    }

    /// The changed links.
    pub fn into_links(self) -> Links {
        self.links
    }

    /// Links rows that have no links yet; calls `progress` with the number of rows linked since the last call.
    pub fn link(&mut self, rows: impl Iterator<Item = u32>, progress: &(dyn Fn(usize) + Sync)) {
        let mut rows = rows.filter(|row| !self.vectors.is_empty_row(*row as usize));
        let mut batch = Vec::with_capacity(BATCH);
        loop {
            batch.clear();
            batch.extend(rows.by_ref().take(BATCH));
            if batch.is_empty() {
                return;
            }
            link_batch(
                self.vectors,
                &mut self.links,
                &mut self.incoming,
                self.threads,
                &batch,
            );
            progress(batch.len());
        }
    }

    /// Makes every row reachable, and those of `rows` findable by their own embedding; returns how many of these are not.
    pub fn mend(&mut self, rows: &[u32]) -> usize {
        let mut lost = rows.to_vec();
        for _ in 0..ROUNDS {
            let cut_off = self.lead_everywhere();
            let misses = self.misses(&lost);
            if cut_off == 0 && misses.is_empty() {
                return 0;
            }
            lost.clear();
            for (row, nearest) in misses {
                // The row that gave up its link is looked for in the next round.
                lost.extend(self.lead_to(row, &nearest));
                lost.push(row);
            }
        }
        self.lead_everywhere();
        self.misses(&lost).len()
    }

    /// Links to the rows that no walk from the entry leads to; returns how many there were.
    fn lead_everywhere(&mut self) -> usize {
        let mut reached = Reached::new(self.vectors.len());
        reached.walk(&self.links, self.vectors, self.links.entry());
        let cut_off: Vec<u32> = (0..number(self.vectors.len()))
            .filter(|row| !reached.has(*row) && !self.vectors.is_empty_row(*row as usize))
            .collect();
        for &row in &cut_off {
            if !reached.has(row) {
                let near = self.walk(row, CANDIDATES);
                let _ = self.lead_to(row, &near);
                reached.walk(&self.links, self.vectors, row);
            }
        }
        cut_off.len()
    }

    /// Those of `rows` that a search for their own embedding does not find, with what it finds.
    fn misses(&self, rows: &[u32]) -> Vec<(u32, Vec<Key>)> {
        let looked = in_parallel(
            self.threads,
            rows.len(),
            || (),
            |(), at| {
                let row = rows[at];
                let found = self.walk(row, CANDIDATES_OF_OWN);
                let first = found.first().map_or(f32::MIN, |first| first.similarity());
                // A row of equal direction may be found in its place.
                (first < 1.0 - 1e-6 && !found.iter().any(|found| found.row() == row)).then_some((row, found))
            },
        );
        looked.into_iter().flatten().collect()
    }

    /// The rows that a search for the embedding of `row` finds.
    fn walk(&self, row: u32, count: usize) -> Vec<Key> {
        walk(self.vectors, &self.links, row, count)
    }

    /// Makes one of the `near` rows link to `row`: the first that has room, or a link that is not another row's last. Returns
    /// the row that it links to no longer.
    fn lead_to(&mut self, row: u32, near: &[Key]) -> Option<u32> {
        for from in near.iter().map(|near| near.row()).filter(|from| *from != row) {
            let (mut linked, mut given_up) = (self.links.linked(from).to_vec(), None);
            if linked.contains(&row) {
                continue;
            }
            if linked.len() == WIDTH {
                let spare = linked.iter().enumerate().filter(|(_, to)| {
                    self.incoming[**to as usize] > 1 && !self.added.contains(&(from, **to))
                });
                let similarity = |to: u32| self.vectors.cosine_of_rows(from as usize, to as usize);
                let farthest = spare.min_by(|(_, a), (_, b)| similarity(**a).total_cmp(&similarity(**b)));
                let Some((place, _)) = farthest else { continue };
                self.incoming[linked[place] as usize] -= 1;
                given_up = Some(linked.remove(place));
            }
            linked.push(row);
            self.incoming[row as usize] += 1;
            self.added.insert((from, row));
            self.links.set(from, &linked);
            return given_up;
        }
        None
    }
}

/// The rows nearest to `row` that a search finds, `row` among them if it is linked to.
fn walk(vectors: &Vectors, links: &Links, row: u32, count: usize) -> Vec<Key> {
    let similarity = |other: usize| vectors.cosine_of_rows(row as usize, other);
    let there = |other: usize| !vectors.is_empty_row(other);
    links.nearest(count, None, similarity, |other| vectors.prefetch(other), there)
}

fn link_batch(vectors: &Vectors, links: &mut Links, incoming: &mut [u32], threads: usize, batch: &[u32]) {
    let similarity = |a: u32, b: u32| Key::new(vectors.cosine_of_rows(a as usize, b as usize), b);
    let own = in_parallel(
        threads,
        batch.len(),
        || (),
        |(), at| {
            let row = batch[at];
            let mut near = walk(vectors, links, row, CANDIDATES);
            let others = batch.iter().filter(|other| **other != row);
            near.extend(others.map(|&other| similarity(row, other)));
            near.sort_unstable_by(|a, b| b.cmp(a));
            near.truncate(CANDIDATES);
            chosen(vectors, &near, OWN)
        },
    );
    let mut back = Vec::with_capacity(batch.len() * OWN);
    for (row, linked) in batch.iter().zip(&own) {
        back.extend(linked.iter().map(|to| (*to, *row)));
        links.set(*row, linked);
        linked.iter().for_each(|to| incoming[*to as usize] += 1);
    }
    back.sort_unstable();
    let groups: Vec<&[(u32, u32)]> = back.chunk_by(|a, b| a.0 == b.0).collect();
    let changed = in_parallel(
        threads,
        groups.len(),
        || (),
        |(), at| {
            let group = groups[at];
            let to = group[0].0;
            let before = links.linked(to);
            let fresh = group.iter().map(|(_, row)| *row);
            let mut linked = before.to_vec();
            linked.extend(fresh.filter(|row| !before.contains(row)));
            if linked.len() <= WIDTH {
                return linked;
            }
            let mut near: Vec<Key> = linked.iter().map(|&row| similarity(to, row)).collect();
            near.sort_unstable_by(|a, b| b.cmp(a));
            let mut kept = chosen(vectors, &near, KEPT);
            let last = before.iter().filter(|row| incoming[**row as usize] == 1);
            let last = last
                .filter(|row| !kept.contains(row))
                .copied()
                .collect::<Vec<_>>();
            kept.extend(last.into_iter().take(WIDTH - KEPT));
            kept
        },
    );
    for (group, linked) in groups.iter().zip(&changed) {
        let to = group[0].0;
        for row in links.linked(to) {
            incoming[*row as usize] -= 1;
        }
        linked.iter().for_each(|row| incoming[*row as usize] += 1);
        links.set(to, linked);
    }
}

/// Up to `count` of `near`, which is sorted: first those that are nearer to the row itself than to one that was chosen, so
/// that links lead in all directions, then the nearest others.
fn chosen(vectors: &Vectors, near: &[Key], count: usize) -> Vec<u32> {
    let mut chosen: Vec<u32> = Vec::with_capacity(WIDTH);
    let mut others = Vec::with_capacity(near.len());
    for key in near {
        if chosen.len() == count {
            return chosen;
        }
        let row = key.row();
        let between = |to: &u32| vectors.cosine_of_rows(row as usize, *to as usize);
        match chosen.iter().all(|to| between(to) < key.similarity()) {
            true => chosen.push(row),
            false => others.push(row),
        }
    }
    chosen.extend(others.into_iter().take(count - chosen.len()));
    chosen
}

/// The rows that a walk has led to.
struct Reached(Vec<u64>);

impl Reached {
    fn new(rows: usize) -> Self {
        Self(vec![0; rows.div_ceil(64)])
    }

    fn has(&self, row: u32) -> bool {
        self.0[row as usize / 64] >> (row % 64) & 1 == 1
    }

    /// Follows all links from `start`, except those of rows without an embedding.
    fn walk(&mut self, links: &Links, vectors: &Vectors, start: u32) {
        let mut open = vec![start];
        while let Some(row) = open.pop() {
            if !self.has(row) {
                self.0[row as usize / 64] |= 1 << (row % 64);
                let leads_on = row == start || !vectors.is_empty_row(row as usize);
                open.extend(links.linked(row).iter().filter(|to| leads_on && !self.has(**to)));
            }
        }
    }
}
