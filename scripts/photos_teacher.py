"""Writes what the three trainings and the two tunings of the network for photos of anything learn from: EfficientNet-Lite0's
embeddings beside colour histograms, which an ImageNet network does not look at.

usage: target/tools/baselines/bin/python scripts/photos_teacher.py FOLDER

FOLDER has train.csv (scripts/general.py), embeddings.npy and histograms.npy (scripts/baselines.sh). Written there:

teacher.npy          for train.csv; the histograms weigh 0.4
often.csv, .npy      train.csv with each photo of clothes four times; the histograms weigh as much as the embeddings
tune.csv, .npy       50 pictures of each kind, and the photos of clothes
again.csv, .npy      30 pictures of each kind, and the photos of clothes twice; the histograms weigh half
"""

import csv
import os
import sys

import numpy as np

PER_KIND = 50
PER_KIND_AGAIN = 30


def directions(rows):
    rows = rows - rows.mean(axis=0)
    return rows / np.maximum(1e-9, np.linalg.norm(rows, axis=1, keepdims=True))


def main(folder):
    with open(os.path.join(folder, "train.csv"), newline="") as table:
        rows = list(csv.DictReader(table))
    embeddings = directions(np.load(os.path.join(folder, "embeddings.npy")))
    histograms = directions(np.sqrt(np.load(os.path.join(folder, "histograms.npy"))))

    def write(name, chosen, weight):
        both = np.hstack([embeddings[chosen], weight * histograms[chosen]])
        np.save(os.path.join(folder, name), both.astype(np.float32))

    def listed(name, chosen):
        with open(os.path.join(folder, name), "w", newline="") as table:
            writer = csv.writer(table)
            writer.writerow(["id", "image", "label", "split"])
            listed = set()
            for place, index in enumerate(chosen):
                row = rows[index]
                again = f"-{place}" if index in listed else ""
                listed.add(index)
                writer.writerow([row["id"] + again, row["image"], row["label"], "train"])

    everything = list(range(len(rows)))
    clothes = [index for index in everything if rows[index]["image"].startswith("clothes/")]
    write("teacher.npy", everything, 0.4)
    often = everything + 3 * clothes
    listed("often.csv", often)
    write("often.npy", often, 1.0)

    def few(per_kind):
        counts = {}
        chosen = []
        for index in everything:
            label = rows[index]["label"]
            counts[label] = counts.get(label, 0) + 1
            if counts[label] <= per_kind or rows[index]["image"].startswith("clothes/"):
                chosen.append(index)
        return chosen

    listed("tune.csv", few(PER_KIND))
    write("tune.npy", few(PER_KIND), 1.0)
    again = few(PER_KIND_AGAIN) + clothes
    listed("again.csv", again)
    write("again.npy", again, 0.5)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(sys.argv[1])
