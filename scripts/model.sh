#!/bin/sh
# Trains, converts and tunes the built-in network (models/fashion-mnist.*), then trains and converts the paper's best one
# (models/paper-32-64-10.*). $1 is the directory of the data set.
set -eu
dataset=$1
spikelens=target/release/spikelens
"$spikelens" train --recipe metric --dataset "$dataset" --epochs 20 --seed 1 --out models/fashion-mnist.ann.safetensors
"$spikelens" convert models/fashion-mnist.ann.safetensors --calibration "$dataset" --bias-bits 13 \
  --input-initial-membrane 190 --default-probe spike_count --default-time-steps 8 --out target/converted.snn.safetensors
"$spikelens" tune target/converted.snn.safetensors --dataset "$dataset" --time-steps 8 --epochs 2 --thrift 0.05 \
  --out models/fashion-mnist.snn.safetensors
"$spikelens" train --architecture 32-64-10 --dataset "$dataset" --epochs 15 --seed 3 --learning-rate 2e-3 --dropout 0.5 \
  --out models/paper-32-64-10.ann.safetensors
"$spikelens" convert models/paper-32-64-10.ann.safetensors --calibration "$dataset" \
  --default-probe spike_count --default-time-steps 16 --out models/paper-32-64-10.snn.safetensors
