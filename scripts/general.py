"""Writes the pictures that the network for photos of anything is trained on: 220 of each kind of Tiny ImageNet (public on
GitHub, 64 x 64), except food, which stays unseen, and the photos of clothes that train.csv names.

usage: python3 scripts/general.py CLOTHING OUT [REPOSITORY]

CLOTHING  the folder of all.csv and its photos
OUT       the folder to write: general/, food/, clothes/, train.csv (what is trained on) and food.csv (to choose by)
"""

import csv
import os
import random
import shutil
import subprocess
import sys

SOURCE = "https://github.com/seshuad/IMagenet"
FOOD = ("n0757", "n0758", "n076", "n077", "n078", "n079")
PER_KIND = 220
FOOD_PER_KIND = 100


def git(repository, *arguments):
    return subprocess.run(["git", "-C", repository, *arguments], check=True, capture_output=True, text=True).stdout


def blobs(repository, paths):
    """The bytes of each path, in order."""
    process = subprocess.Popen(
        ["git", "-C", repository, "cat-file", "--batch"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    for path in paths:
        process.stdin.write(f"HEAD:{path}\n".encode())
        process.stdin.flush()
        size = int(process.stdout.readline().split()[2])
        yield process.stdout.read(size)
        process.stdout.read(1)
    process.stdin.close()
    process.wait()


def kinds(repository):
    """WordNet id -> word; a word that two kinds share gets its id."""
    words = {}
    for line in git(repository, "show", "HEAD:tiny-imagenet-200/words.txt").splitlines():
        wordnet, names = line.split("\t")
        words[wordnet] = names.split(",")[0].strip()
    return words


def main(clothing, out, repository):
    if not os.path.isdir(repository):
        subprocess.run(["git", "clone", "--quiet", "--bare", "--depth", "1", SOURCE, repository], check=True)
    names = git(repository, "ls-tree", "-r", "--name-only", "HEAD").splitlines()
    of_kind = {}
    for name in names:
        if "/train/" in name and name.endswith(".JPEG"):
            of_kind.setdefault(name.split("/")[2], []).append(name)
    words = kinds(repository)
    used = [words[kind] for kind in of_kind]
    rng = random.Random(1)
    wanted = []
    for kind in sorted(of_kind):
        label = words[kind] if used.count(words[kind]) == 1 else f"{words[kind]} {kind}"
        pictures = sorted(of_kind[kind])
        rng.shuffle(pictures)
        food = kind.startswith(FOOD)
        for name in pictures[: FOOD_PER_KIND if food else PER_KIND]:
            wanted.append((name, label, "food" if food else "general"))
    for folder in ("general", "food"):
        os.makedirs(os.path.join(out, folder), exist_ok=True)
    rows = {"general": [], "food": []}
    for (name, label, folder), data in zip(wanted, blobs(repository, [name for name, *_ in wanted])):
        file = os.path.basename(name)
        with open(os.path.join(out, folder, file), "wb") as picture:
            picture.write(data)
        rows[folder].append((file[: -len(".JPEG")], f"{folder}/{file}", label))
    with open(os.path.join(clothing, "all.csv"), newline="") as table:
        for row in csv.DictReader(table):
            if row["split"] == "train":
                copy = f"clothes/{os.path.basename(row['image'])}"
                os.makedirs(os.path.join(out, "clothes"), exist_ok=True)
                shutil.copy(os.path.join(clothing, row["image"]), os.path.join(out, copy))
                rows["general"].append((row["id"], copy, row["label"]))
    for name, some in (("train.csv", rows["general"]), ("food.csv", rows["food"])):
        with open(os.path.join(out, name), "w", newline="") as table:
            writer = csv.writer(table)
            writer.writerow(["id", "image", "label", "split"])
            for index, row in enumerate(some):
                test = name == "food.csv" and index % 10 < 3
                writer.writerow([*row, "test" if test else "train"])
        print(f"{out}/{name}: {len(some)} pictures")


if __name__ == "__main__":
    if len(sys.argv) not in (3, 4):
        sys.exit(__doc__)
    main(sys.argv[1], sys.argv[2], sys.argv[3] if len(sys.argv) == 4 else "target/general.git")
