"""Lists the photos of clothes that the built-in networks are trained on: the train split of the public subset, and the photos
of the whole data set that are in no split. Photos of its validation and test are listed as such, and never trained on.

usage: python3 scripts/clothing.py OUT PHOTOS
       python3 scripts/clothing.py OUT WHOLE SUBSET

OUT     the folder to write: all.csv, and copies of the photos
PHOTOS  a folder with photos.csv (id, label, sender, split, class) and photos/
WHOLE   a clone of github.com/alexeygrigorev/clothing-dataset
SUBSET  a clone of github.com/alexeygrigorev/clothing-dataset-small
"""

import csv
import glob
import os
import shutil
import sys

UNKNOWN = {"not sure", "other", "skip"}


def joined(whole, subset):
    """The rows of photos.csv, from clones of both data sets."""
    places = {}
    for path in glob.glob(os.path.join(subset, "*", "*", "*.jpg")):
        split, name, file = path.split(os.sep)[-3:]
        places[file[: -len(".jpg")]] = (split, name)
    with open(os.path.join(whole, "images.csv"), newline="") as table:
        for row in csv.DictReader(table):
            photo = os.path.join(whole, "images", row["image"] + ".jpg")
            if os.path.exists(photo):
                split, name = places.get(row["image"], ("", ""))
                yield row["image"], photo, row["label"], row["sender_id"], split, name


def listed(folder):
    with open(os.path.join(folder, "photos.csv"), newline="") as table:
        for row in csv.DictReader(table):
            photo = os.path.join(folder, "photos", row["id"] + ".jpg")
            yield row["id"], photo, row["label"], row["sender"], row["split"], row["class"]


def main(out, sources):
    os.makedirs(os.path.join(out, "photos"), exist_ok=True)
    count = 0
    with open(os.path.join(out, "all.csv"), "w", newline="") as table:
        writer = csv.writer(table)
        writer.writerow(["id", "image", "label", "split", "group"])
        for name, photo, label, sender, split, kind in joined(*sources) if len(sources) == 2 else listed(*sources):
            label = kind or label.lower()
            if label in UNKNOWN:
                continue
            copy = f"photos/{name}.jpg"
            shutil.copyfile(photo, os.path.join(out, copy))
            writer.writerow([name, copy, label, split or "train", sender])
            count += 1
    print(f"{out}/all.csv: {count} photos")


if __name__ == "__main__":
    if len(sys.argv) not in (3, 4):
        sys.exit(__doc__)
    main(sys.argv[1], sys.argv[2:])
