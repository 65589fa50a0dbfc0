// Classifies pictures with transformers.js from local files and prints one JSON list.
//
//   node classify.mjs REQUEST.json
//
// REQUEST.json: {"root": folder of bundles, "runs": [run, ...]}; a run is {"model": name, "dtype": "fp32" | "q8" | "q4",
//   "pictures": [path], "presize": [width, height] or absent}. With presize sharp scales the picture beforehand.
// Answer: for each run and picture {"model", "dtype", "picture", "logits": [...], "scores": {label: probability}}.

import { readFileSync } from "node:fs";
import { AutoModelForImageClassification, AutoProcessor, RawImage, env, pipeline } from "@huggingface/transformers";
import sharp from "sharp";

const request = JSON.parse(readFileSync(process.argv[2], "utf-8"));
env.localModelPath = request.root;
env.allowLocalModels = true;
env.allowRemoteModels = false; // nothing is downloaded: a file that is missing is an error

async function read(picture, presize) {
  if (!presize) return RawImage.read(picture);
  const [width, height] = presize;
  const scaled = sharp(picture).removeAlpha().resize(width, height, { fit: "fill", kernel: "linear" });
  return new RawImage(new Uint8ClampedArray(await scaled.raw().toBuffer()), width, height, 3);
}

const session_options = { intraOpNumThreads: 1, interOpNumThreads: 1, logSeverityLevel: 3 };
const answers = [];
for (const { model: name, dtype, pictures, presize } of request.runs) {
  const model = await AutoModelForImageClassification.from_pretrained(name, { dtype, device: "cpu", session_options });
  const processor = await AutoProcessor.from_pretrained(name);
  const classify = await pipeline("image-classification", name, { dtype, device: "cpu", session_options });
  for (const picture of pictures) {
    const image = await read(picture, presize);
    const { logits } = await model(await processor(image));
    const scores = await classify(image, { top_k: null });
    answers.push({
      model: name,
      dtype,
      presize: presize ?? null,
      picture,
      logits: Array.from(logits.data),
      scores: Object.fromEntries(scores.map(({ label, score }) => [label, score])),
    });
  }
  await classify.dispose();
  await model.dispose();
}
console.log(JSON.stringify({ version: env.version, node: process.version, answers }));
