#!/bin/sh
# Puts real photos of clothes (CC0) into the directory $1, as train/CLASS/PHOTO, validation/CLASS/PHOTO and test/CLASS/PHOTO,
# and beside them the manifest train.csv, which `spikelens import` reads: the other photos are left to be searched with.
# They are from SPIKELENS_PHOTOS, a directory that looks like this, else from ../shared/data/clothing if it exists, else
# from a clone of the public data set. Does nothing if the manifest exists.
set -eu
folder=$1
[ ! -f "$folder/train.csv" ] || exit 0

repository=https://github.com/alexeygrigorev/clothing-dataset-small
beside=../shared/data/clothing
mkdir -p "$folder"
work=$(mktemp -d "$folder/new.XXXXXX")
trap 'rm -rf "$work"' EXIT
source=${SPIKELENS_PHOTOS:-}
if [ -n "$source" ]; then
  if [ ! -d "$source/train" ]; then
    echo "photos: SPIKELENS_PHOTOS is $source, which has no directory train; expected train/CLASS/PHOTO, as in $repository" >&2
    exit 1
  fi
elif [ -f "$beside/photos.csv" ]; then
  # id,label,sender,kids,split,class, with CR LF: only the photos of the public subset have a split and a class.
  echo "copying the photos of $beside to $folder" >&2
  source=$work/copied
  tr -d '\r' <"$beside/photos.csv" >"$work/photos.csv"
  awk -F, 'NR > 1 && $5 != "" && $6 != "" { print $5 "/" $6 }' "$work/photos.csv" | sort -u | while read -r class; do
    mkdir -p "$source/$class"
    awk -F, -v class="$class" -v photos="$beside/photos" '$5 "/" $6 == class { print photos "/" $1 ".jpg" }' \
      "$work/photos.csv" | xargs sh -c 'cp "$@" "$0"' "$source/$class"
  done
elif command -v git >/dev/null; then
  echo "cloning $repository into $folder" >&2
  source=$work/cloned
  if ! git clone --quiet --depth 1 "$repository" "$source"; then
    echo "photos: $repository cannot be cloned; clone it elsewhere and set SPIKELENS_PHOTOS to its directory" >&2
    exit 1
  fi
else
  echo "photos: git is needed to clone $repository; or set SPIKELENS_PHOTOS to a directory with a clone of it" >&2
  exit 1
fi

for split in train validation test; do
  [ -d "$source/$split" ] || continue
  rm -rf "${folder:?}/$split"
  case $source in
    "$work"/*) mv "$source/$split" "$folder/$split" ;;
    *) cp -R "$source/$split" "$folder/$split" ;;
  esac
done
(
  cd "$folder"
  echo "id,title,image,category,split"
  find train -mindepth 2 -maxdepth 2 -name '*.jpg' | sort | awk -F/ '{
    id = $3; sub(/\.jpg$/, "", id)
    print id "," toupper(substr($2, 1, 1)) substr($2, 2) "," $0 "," $2 ",train"
  }'
) >"$work/train.csv"
if [ "$(wc -l <"$work/train.csv")" -lt 2 ]; then
  echo "photos: $source/train has no photos; expected train/CLASS/PHOTO.jpg, as in $repository" >&2
  exit 1
fi
mv "$work/train.csv" "$folder/train.csv"
