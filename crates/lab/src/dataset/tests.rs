//! Data sets of a few generated pictures, good and bad.

use std::path::Path;

use engine::picture::{Picture, Recipe, Shape};
use tempfile::TempDir;

use super::*;

const INPUT: Shape = Shape {
    channels: 3,
    height: 8,
    width: 8,
};

/// A folder with files: a path that ends in .png gets a picture of that gray, any other the text.
fn folder(files: &[(&str, &str)]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (index, (path, text)) in files.iter().enumerate() {
        let path = folder.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        if text.is_empty() {
            std::fs::write(path, png(4, 4, index)).unwrap();
        } else {
            std::fs::write(path, text).unwrap();
        }
    }
    folder
}

fn png(height: usize, width: usize, seed: usize) -> Vec<u8> {
    let shape = Shape {
        channels: 3,
        height,
        width,
    };
    let gray = u8::try_from(seed % 200).unwrap();
    let picture = Picture::from_vec(shape, vec![gray; shape.len()]).unwrap();
    picture.to_png().unwrap()
}

fn read_at(path: &Path, labelled: bool) -> anyhow::Result<DataSet> {
    let parts = Part::ALL.map(|part| (part, None));
    let wanted = Wanted {
        input: INPUT,
        recipe: Recipe::Plain,
        parts: &parts,
        labelled,
    };
    read(&Listing::open(path)?, &wanted)
}

fn error(path: &Path) -> String {
    format!("{:#}", read_at(path, true).unwrap_err())
}

fn ids(set: &Set) -> Vec<&str> {
    set.entries.iter().map(|entry| entry.id.as_str()).collect()
}

#[test]
fn class_folders_with_splits_are_read_in_the_order_of_their_paths() {
    let folder = folder(&[
        ("train/shoe/b.png", ""),
        ("train/shoe/a.PNG", ""),
        ("train/bag/c.png", ""),
        ("test/bag/d.png", ""),
        ("test/hat/e.png", ""),
        ("validation/shoe/f.png", ""),
        ("train/shoe/notes.txt", "not a picture"),
        ("train/.hidden/g.png", ""),
    ]);
    let found = read_at(folder.path(), true).unwrap();
    assert_eq!(found.classes, ["bag", "shoe"]);
    assert_eq!(
        ids(&found.train),
        ["train/bag/c.png", "train/shoe/a.PNG", "train/shoe/b.png"]
    );
    assert_eq!(found.train.labels, [Some(0), Some(1), Some(1)]);
    assert_eq!(ids(&found.test), ["test/bag/d.png"]);
    assert_eq!(ids(&found.validation), ["validation/shoe/f.png"]);
    assert_eq!(found.train.pictures[0].shape(), INPUT);
    assert_eq!((found.left_out.unknown_class, found.left_out.skipped), (1, 1));
}

#[test]
fn class_folders_without_splits_are_divided_by_their_ids_alone() {
    let names: Vec<String> = (0..200)
        .map(|index| format!("{}/{index}.png", index % 2))
        .collect();
    let files: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), "")).collect();
    let folder = folder(&files);
    let listing = Listing::open(folder.path()).unwrap();
    // The shares of these ids' SHA-256; a picture's split must never change.
    assert_eq!(Part::ALL.map(|part| listing.count(part)), [141, 19, 40]);
    let part = |id: &str| listing.entries.iter().find(|entry| entry.id == id).unwrap().part;
    assert_eq!(part("0/0.png"), Some(Part::Train));
    assert_eq!(part("1/1.png"), Some(Part::Test));
    let again = Listing::open(folder.path()).unwrap();
    assert_eq!(listing.entries, again.entries);
}

#[test]
fn a_manifest_may_begin_with_a_byte_order_mark_and_is_refused_by_name_in_utf_16() {
    let csv = "\u{feff}image,label\n1.png,shoe\n2.png,bag\n";
    let line = |index| format!("\u{feff}{{\"image\": \"{index}.png\", \"label\": \"shoe\"}}\n");
    let folder = folder(&[
        ("1.png", ""),
        ("2.png", ""),
        ("set.csv", csv),
        ("set.ndjson", &[line(1), line(2)].concat()),
    ]);
    for name in ["set.csv", "set.ndjson"] {
        let listing = Listing::open(&folder.path().join(name)).unwrap();
        let ids: Vec<&str> = listing.entries.iter().map(|entry| entry.id.as_str()).collect();
        assert_eq!(ids, ["1.png", "2.png"], "{name}");
    }
    let utf16: Vec<u8> = csv.encode_utf16().flat_map(u16::to_le_bytes).collect();
    for name in ["wide.csv", "wide.ndjson"] {
        let path = folder.path().join(name);
        std::fs::write(&path, &utf16).unwrap();
        let refusal = error(&path);
        assert!(
            refusal.ends_with("cannot be read: the text is UTF-16; it must be UTF-8"),
            "{refusal}"
        );
    }
}

#[test]
fn a_csv_manifest_keeps_its_splits_and_a_group_together() {
    let rows = "image,label,id,split,group,colour\n\
                p/1.png,shoe,one,train,,red\n\
                p/2.png,bag,,train,,\n\
                p/3.png,bag,three,test,,\n\
                p/4.png,bag,four,,,\n\
                p/5.png,,five,train,,\n";
    let folder = folder(&[
        ("p/1.png", ""),
        ("p/2.png", ""),
        ("p/3.png", ""),
        ("p/4.png", ""),
        ("p/5.png", ""),
        ("set.csv", rows),
    ]);
    let path = folder.path().join("set.csv");
    let found = read_at(&path, true).unwrap();
    assert_eq!(ids(&found.train), ["one", "p/2.png"]);
    assert_eq!(ids(&found.test), ["three"]);
    assert_eq!((found.left_out.unused, found.left_out.unlabelled), (1, 1));
    let all = read_at(&path, false).unwrap();
    assert_eq!(all.train.labels, [Some(1), Some(0), None]);

    let grouped: String = (0..60)
        .map(|index| {
            format!(
                "{{\"image\": \"{index}.png\", \"label\": {}, \"group\": {}}}\n",
                index % 2,
                index % 6
            )
        })
        .collect();
    let path = folder.path().join("set.ndjson");
    std::fs::write(&path, grouped).unwrap();
    let listing = Listing::open(&path).unwrap();
    for group in 0..6 {
        let name = Some(group.to_string());
        let parts = listing.entries.iter().filter(|entry| entry.group == name);
        let parts: Vec<_> = parts.map(|entry| entry.part).collect();
        assert!(parts.len() == 10 && parts.iter().all(|part| *part == parts[0]));
    }
}

#[test]
fn photos_csv_is_read_with_its_class_before_its_label() {
    let rows = "id,label,sender,kids,split,class\n\
                a,Shoes,7,False,train,shoes\n\
                b,Hat,7,False,train,\n\
                c,Hat,8,False,,\n\
                d,Hat,9,True,validation,Hat\n";
    let folder = folder(&[("photos.csv", rows), ("photos/x.txt", "x")]);
    for name in ["a", "b", "d"] {
        // The format is told from the bytes.
        std::fs::write(folder.path().join(format!("photos/{name}.jpg")), png(3, 9, 1)).unwrap();
    }
    for path in [folder.path().to_owned(), folder.path().join("photos.csv")] {
        let found = read_at(&path, true).unwrap();
        assert_eq!(found.classes, ["Hat", "shoes"]);
        assert_eq!(ids(&found.train), ["a", "b"]);
        assert_eq!(found.train.entries[0].group.as_deref(), Some("7"));
        assert_eq!(ids(&found.validation), ["d"]);
        assert_eq!(found.left_out.unused, 1);
    }
}

#[test]
fn unreadable_pictures_are_named_and_counted() {
    let mut files = vec![("train/a/1.png", ""), ("train/b/2.png", "")];
    let broken: Vec<String> = (0..30).map(|index| format!("train/b/x{index:02}.png")).collect();
    files.extend(broken.iter().map(|name| (name.as_str(), "not a picture")));
    files.push(("train/b/3.png", ""));
    let folder = folder(&files);
    let found = read_at(folder.path(), true).unwrap();
    assert_eq!(found.train.pictures.len(), 3);
    let LeftOut {
        unreadable, named, ..
    } = &found.left_out;
    assert_eq!((*unreadable, named.len()), (30, 20));
    assert!(
        named[0].starts_with("train/b/x00.png: the 13 bytes begin like no known picture"),
        "{}",
        named[0]
    );
}

#[test]
fn paths_that_lead_outside_are_named_and_left_out() {
    let rows = "image,label,split\na.png,x,train\nb.png,y,train\n../secret.png,x,train\n/etc/passwd,x,train\n\
                link.png,x,train\nno.png,y,train\nfolder,y,train\nd.png,y,train\n";
    let folder = folder(&[
        ("in/set.csv", rows),
        ("in/a.png", ""),
        ("in/b.png", ""),
        ("in/d.png", ""),
        ("secret.png", ""),
        ("in/folder/x.txt", "x"),
    ]);
    std::os::unix::fs::symlink("../secret.png", folder.path().join("in/link.png")).unwrap();
    let found = read_at(&folder.path().join("in/set.csv"), true).unwrap();
    assert_eq!(ids(&found.train), ["a.png", "b.png", "d.png"]);
    let expected = [
        "../secret.png: leads out of",
        "/etc/passwd: leads out of",
        "link.png: is a link that leads out of",
        "no.png: cannot be read",
        "folder: is not a file",
    ];
    assert_eq!(found.left_out.named.len(), expected.len());
    for (named, expected) in found.left_out.named.iter().zip(expected) {
        assert!(named.starts_with(expected), "{named}");
    }
}

#[test]
fn a_class_folder_that_is_a_link_outside_is_refused() {
    let folder = folder(&[("set/a/1.png", ""), ("set/b/2.png", ""), ("else/3.png", "")]);
    std::os::unix::fs::symlink("../else", folder.path().join("set/c")).unwrap();
    let error = error(&folder.path().join("set"));
    assert!(error.contains("set/c is a link that leads out"), "{error}");
}

#[test]
fn a_very_narrow_picture_is_fitted() {
    let folder = folder(&[
        ("train/a/1.png", ""),
        ("train/a/2.png", ""),
        ("train/b/3.png", ""),
    ]);
    std::fs::write(folder.path().join("train/b/tall.png"), png(5000, 1, 0)).unwrap();
    std::fs::write(folder.path().join("train/b/wide.png"), png(1, 5000, 0)).unwrap();
    let found = read_at(folder.path(), true).unwrap();
    assert_eq!(found.train.pictures.len(), 5);
    // One column of the picture on white.
    let tall = &found.train.pictures[3];
    let dark = tall.as_slice().iter().filter(|&&pixel| pixel == 0).count();
    assert_eq!(dark, 3 * 8);
}

#[test]
fn fewer_pictures_are_spread_evenly() {
    let names: Vec<String> = (0..40)
        .map(|index| format!("train/{}/{index:02}.png", index / 10))
        .collect();
    let files: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), "")).collect();
    let folder = folder(&files);
    let found = calibration(folder.path(), INPUT, Recipe::Plain, 4).unwrap();
    // Each picture is as gray as its number.
    let grays: Vec<u8> = found.iter().map(|picture| picture.pixels()[[0, 4, 4]]).collect();
    assert_eq!(grays, [0, 10, 20, 30]);
    assert_eq!(
        calibration(folder.path(), INPUT, Recipe::Plain, 100)
            .unwrap()
            .len(),
        40
    );
}

#[test]
fn what_is_not_a_data_set_is_refused_with_what_would_be_right() {
    let empty = folder(&[]);
    assert!(error(empty.path()).contains("has no pictures in class folders; expected FOLDER/CLASS/PICTURE"));
    assert!(error(&empty.path().join("nothing")).contains("does not exist; expected a Fashion-MNIST folder"));
    for (files, path, expected) in [
        (
            &[("a.png", ""), ("b.png", "")][..],
            "",
            "(2 pictures lie beside them, without a class)",
        ),
        (
            &[("train/a/1.png", ""), ("train/a/2.png", "")],
            "",
            "all training pictures are of the class \"a\"; at least two classes are needed",
        ),
        (
            &[("train/a/1.png", ""), ("train/b/2.png", ""), ("test/c/3.png", "")],
            "",
            "each of the 3 classes has one picture",
        ),
        (
            &[("test/a/1.png", "")],
            "",
            "has the folder test but no folder train",
        ),
        (
            &[
                ("train/a/1.png", "x"),
                ("train/a/2.png", "x"),
                ("train/b/3.png", "x"),
            ],
            "",
            "none of the 3 pictures can be read; the first: train/a/1.png: ",
        ),
        (
            &[("s.csv", "file,class\n1.png,a\n")],
            "s.csv",
            "the first line names the columns file, class; a manifest needs image and label",
        ),
        (&[("s.csv", "\n")], "s.csv", "names the columns none"),
        (&[("s.csv", "image,label\n")], "s.csv", "names no pictures"),
        (
            &[("s.csv", "image,label\n1.png\n")],
            "s.csv",
            "line 2: the row has 1 cells",
        ),
        (
            &[("s.csv", "image,label,label\n")],
            "s.csv",
            "names the column \"label\" twice",
        ),
        (
            &[("s.csv", "image,label,split\n1.png,a,dev\n")],
            "s.csv",
            "line 2: the split \"dev\" is unknown; it must be train, validation, test or empty",
        ),
        (
            &[("s.csv", "image,label,split\n1.png,a,\n2.png,b,\n")],
            "s.csv",
            "the split of all 2 pictures is empty",
        ),
        (
            &[("s.csv", "image,label\n,a\n")],
            "s.csv",
            "line 2: image is empty",
        ),
        (
            &[("s.csv", "image,label,split\n1.png,,train\n")],
            "s.csv",
            "none of the 1 pictures has a label",
        ),
        (
            &[("s.csv", "image,label,split\n1.png,a,test\n2.png,a,test\n")],
            "s.csv",
            "has no training pictures among its 2",
        ),
        (
            &[("s.ndjson", "{\"image\": \"1.png\", \"tag\": \"a\"}\n")],
            "s.ndjson",
            "line 1: image and label are needed (optionally id, split and group); there are image, tag",
        ),
        (
            &[("s.ndjson", "{\"image\": \"1.png\"")],
            "s.ndjson",
            "line 1: EOF",
        ),
        (
            &[("s.ndjson", "[1]")],
            "s.ndjson",
            "line 1: it must be a JSON object",
        ),
        (&[("s.txt", "x")], "s.txt", "is not a data set"),
    ] {
        let folder = folder(files);
        let error = error(&folder.path().join(path));
        assert!(error.contains(expected), "{expected}: {error}");
    }
}

#[cfg(feature = "train")]
#[test]
fn lessons_hold_out_the_validation_pictures_or_whole_groups() {
    let request = Request {
        input: Some((INPUT, Recipe::Plain)),
        limit: None,
        validation: 6000,
        tests: true,
        unlabelled: false,
        taught: false,
    };
    let with = folder(&[
        ("train/a/1.png", ""),
        ("train/b/2.png", ""),
        ("train/b/3.png", ""),
        ("validation/b/4.png", ""),
    ]);
    let mut found = lessons(with.path(), &request).unwrap();
    assert_eq!((found.pictures.len(), found.validation), (4, 1));
    assert_eq!(found.labels, [0, 1, 1, 1].map(Some));
    assert!(found.tests.is_empty());
    let other = ["b", "c", "a"].map(str::to_owned);
    found.of_network(&other).unwrap();
    assert_eq!(found.labels, [2, 0, 0, 0].map(Some));
    let error = found.of_network(&other[..1]).unwrap_err().to_string();
    assert!(error.contains("has the class \"c\""), "{error}");

    let rows: String = (0..60)
        .map(|index| format!("{index}.png,{},train,{}\n", index % 2, index / 5))
        .collect();
    let without = tempfile::tempdir().unwrap();
    let path = without.path().join("s.csv");
    std::fs::write(&path, format!("image,label,split,group\n{rows}")).unwrap();
    for index in 0..60 {
        std::fs::write(without.path().join(format!("{index}.png")), png(4, 4, index)).unwrap();
    }
    let found = lessons(&path, &request).unwrap();
    assert_eq!((found.pictures.len(), found.validation), (60, 10));
    let group = |picture: &Picture| picture.pixels()[[0, 4, 4]] / 5;
    let [trained, held_out] = [&found.pictures[..50], &found.pictures[50..]];
    assert!(
        trained
            .iter()
            .all(|one| held_out.iter().all(|other| group(one) != group(other)))
    );

    let number = |index: usize| found.groups[index];
    for one in 0..60 {
        for other in 0..60 {
            let same = group(&found.pictures[one]) == group(&found.pictures[other]);
            assert_eq!(number(one) == number(other), same);
        }
    }

    // A teacher has a row for each training picture: in the data set's order, with a label or without.
    let text =
        "image,label,split\n9.png,a,train\n3.png,,train\n5.png,b,train\n1.png,b,validation\n7.png,,test\n";
    std::fs::write(&path, text).unwrap();
    let taught = Request {
        taught: true,
        ..request
    };
    let found = lessons(&path, &taught).unwrap();
    let first = |picture: &Picture| picture.pixels()[[0, 4, 4]];
    assert_eq!(found.pictures.iter().map(first).collect::<Vec<_>>(), [9, 3, 5]);
    assert_eq!(found.labels, [Some(0), None, Some(1)]);
    assert_eq!(found.groups, [0, 1, 2]);
    assert_eq!((found.validation, found.tests.len()), (0, 0));
    let unlabelled = Request {
        unlabelled: true,
        ..request
    };
    let found = lessons(&path, &unlabelled).unwrap();
    assert_eq!(found.labels, [Some(0), None, Some(1), Some(1)]);
    assert_eq!(found.validation, 1);
}
