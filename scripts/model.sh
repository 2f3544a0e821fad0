#!/bin/sh
# Trains the shipped network and converts it: the commands that made models/.
set -eu
dataset=$1
spikelens=target/release/spikelens
"$spikelens" train --architecture 32-64-10 --dataset "$dataset" --epochs 15 --seed 3 --learning-rate 2e-3 --dropout 0.5 \
  --out models/fashion-mnist-32-64-10.ann.safetensors
"$spikelens" convert models/fashion-mnist-32-64-10.ann.safetensors --calibration "$dataset" \
  --default-probe spike_count --default-time-steps 16 --out models/fashion-mnist-32-64-10.snn.safetensors
