#!/bin/sh
# Trains, converts and tunes the built-in networks: scripts/model.sh DATASET [fashion-mnist | paper | clothing | photos]...
# (all four if none is named). DATASET is the directory of Fashion-MNIST. Photos of clothes are those of SPIKELENS_CLOTHING,
# a folder with photos.csv and photos/, by default ../shared/data/clothing, or from clones (scripts/clothing.py).
set -eu
dataset=$1
shift
[ $# -gt 0 ] || set -- fashion-mnist paper clothing photos
spikelens=target/release/spikelens

fashion_mnist() {
  "$spikelens" train --recipe metric --dataset "$dataset" --epochs 20 --seed 1 --out models/fashion-mnist.ann.safetensors
  "$spikelens" convert models/fashion-mnist.ann.safetensors --calibration "$dataset" --bias-bits 13 \
    --input-initial-membrane 190 --default-probe spike_count --default-time-steps 8 --out target/converted.snn.safetensors
  "$spikelens" tune target/converted.snn.safetensors --dataset "$dataset" --time-steps 8 --epochs 2 --thrift 0.05 \
    --out models/fashion-mnist.snn.safetensors
}

paper() {
  "$spikelens" train --architecture 32-64-10 --dataset "$dataset" --epochs 15 --seed 3 --learning-rate 2e-3 --dropout 0.5 \
    --out models/paper-32-64-10.ann.safetensors
  "$spikelens" convert models/paper-32-64-10.ann.safetensors --calibration "$dataset" \
    --default-probe spike_count --default-time-steps 16 --out models/paper-32-64-10.snn.safetensors
}

# The photos with labels, where their copies do not lie there yet.
clothes() {
  [ -f target/clothing/all.csv ] || python3 scripts/clothing.py target/clothing "${SPIKELENS_CLOTHING:-../shared/data/clothing}"
}

# Conversion and tuning of models/$1, on the data set $2; further arguments are those of `tune`.
spiking() {
  name=$1
  photos=$2
  shift 2
  "$spikelens" convert "models/$name.ann.safetensors" --calibration "$photos" --bias-bits 13 --input-initial-membrane 190 \
    --default-probe spike_count --default-time-steps 12 --out "target/$name.converted.safetensors"
  "$spikelens" tune "target/$name.converted.safetensors" --dataset "$photos" --time-steps 12 "$@"
}

clothing() {
  clothes
  photos=target/clothing/all.csv
  # A deeper network, which no chip holds, teaches the one that is shipped.
  tutor=target/clothing.tutor.safetensors
  "$spikelens" train --recipe photos --dataset "$photos" --seed 1 --epochs 60 --learning-rate 4e-3 --out "$tutor" \
    --architecture 48k3s2p1-48k3s1p1-96k3s2p1-96k3s1p1-192k3s2p1-192k3s1p1-288k3s2p1-128
  "$spikelens" train --recipe photos --dataset "$photos" --tutor "$tutor" --seed 1 --out models/clothing.ann.safetensors
  spiking clothing "$photos" --tutor "$tutor" --epochs 12 --thrift 0.07 --out models/clothing.snn.safetensors
}

photos() {
  clothes
  folder=target/photos
  [ -f "$folder/train.csv" ] || python3 scripts/general.py target/clothing "$folder"
  if [ ! -f "$folder/again.npy" ]; then
    scripts/baselines.sh "$folder/train.csv" --teacher "$folder/embeddings.npy" --histograms "$folder/histograms.npy"
    target/tools/baselines/bin/python scripts/photos_teacher.py "$folder"
  fi
  "$spikelens" train --recipe photos --dataset "$folder/train.csv" --teacher "$folder/teacher.npy" --epochs 18 --seed 1 \
    --out "$folder/first.safetensors"
  "$spikelens" train --recipe photos --dataset "$folder/often.csv" --teacher "$folder/often.npy" --contrast 1 \
    --init "$folder/first.safetensors" --learning-rate 2e-3 --epochs 6 --seed 2 --out "$folder/second.safetensors"
  # Views that keep their colours: colour must count.
  "$spikelens" train --recipe photos --dataset "$folder/often.csv" --teacher "$folder/often.npy" --contrast 1 \
    --colour 0.08 --tint 0.02 --init "$folder/second.safetensors" --learning-rate 2e-3 --epochs 5 --seed 3 \
    --out models/photos.ann.safetensors
  spiking photos "$folder/tune.csv" --teacher "$folder/tune.npy" --epochs 3 --thrift 0.05 --contrast 1 --colour 0.08 \
    --tint 0.02 --out target/photos.tuned.safetensors
  "$spikelens" tune target/photos.tuned.safetensors --dataset "$folder/again.csv" --teacher "$folder/again.npy" \
    --time-steps 12 --epochs 2 --thrift 0.07 --contrast 1 --colour 0.08 --tint 0.02 --seed 4 \
    --out models/photos.snn.safetensors
}

for name; do
  case $name in
    fashion-mnist) fashion_mnist ;;
    paper | clothing | photos) "$name" ;;
    *)
      echo "model: $name is not a built-in network; expected fashion-mnist, paper, clothing or photos" >&2
      exit 1
      ;;
  esac
done
