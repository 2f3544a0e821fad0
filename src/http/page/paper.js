// What the paper measured: Liu, Mahjoubfar, Prusinski and Stevens, Neuromorphic Computing for Content-based Image
// Retrieval, Tables 4 and 5. A test holds it to `docs/paper`.

/** Network, batch, hardware, static and dynamic power in W, energy a picture in mJ. */
export const BOARDS = [
  ["ANN", 1, "Intel Xeon CPU (Gold 6148)", 196, 19.1, 46.787],
  ["ANN", 262144, "Intel Xeon CPU (Gold 6148)", 196, 44.189, 1.753],
  ["ANN", 1, "Intel CPU (i7-8750H)", 22, 1.805, 9.522],
  ["ANN", 128, "Intel CPU (i7-8750H)", 22, 5.633, 0.316],
  ["ANN", 1, "Nvidia GPU (V100)", 24, 16.441, 52.399],
  ["ANN", 4096, "Nvidia GPU (V100)", 24, 20.511, 0.337],
  ["ANN", 1, "Nvidia GPU (T4)", 17, 14.049, 37.399],
  ["ANN", 4096, "Nvidia GPU (T4)", 17, 18.228, 0.366],
  ["SNN (16)", 1, "Loihi chip (neuromorphic cores)", 0.946, 0.044, 2.996],
  ["SNN (128)", 1, "Loihi chip (neuromorphic cores)", 0.952, 0.064, 12.17],
];
