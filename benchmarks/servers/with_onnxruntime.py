"""The same network in onnxruntime behind FastAPI; `benchmarks/serving.py` asks it.

    python with_onnxruntime.py MODEL PORT WORKERS

Handlers run in threads, as many as WORKERS, each computing one picture with one thread; the
preprocessing is Pillow's and numpy's, for without torch there is no torchvision.
"""

import sys

import anyio.to_thread
import numpy as np
import onnxruntime
import uvicorn
from fastapi import FastAPI, UploadFile
from PIL import Image

MODEL, PORT, WORKERS = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
CLASSES = [str(index) for index in range(1000)]
MEAN = np.float32([0.485, 0.456, 0.406])
STD = np.float32([0.229, 0.224, 0.225])

options = onnxruntime.SessionOptions()
options.intra_op_num_threads = 1
session = onnxruntime.InferenceSession(MODEL, options, providers=["CPUExecutionProvider"])
name = session.get_inputs()[0].name
app = FastAPI()


def preprocess(picture: Image.Image) -> np.ndarray:
    """Float32 [1, 3, 224, 224]: what torchvision's Resize(256), CenterCrop(224) and so on give."""
    width, height = picture.size
    short = min(width, height)
    picture = picture.resize(
        (256 * width // short, 256 * height // short), Image.Resampling.BILINEAR
    )
    left, top = (round((side - 224) / 2) for side in picture.size)
    pixels = np.asarray(picture.crop((left, top, left + 224, top + 224)), np.float32) / 255
    return ((pixels - MEAN) / STD).transpose(2, 0, 1)[None]


@app.get("/limit")
async def limit() -> None:
    """Set the number of threads, which only the event loop can."""
    anyio.to_thread.current_default_thread_limiter().total_tokens = WORKERS


@app.post("/predict")
def predict(file: UploadFile) -> dict:
    """The five most probable classes."""
    (logits,) = session.run(None, {name: preprocess(Image.open(file.file).convert("RGB"))})
    powers = np.exp(logits[0] - logits[0].max())
    probabilities = powers / powers.sum()
    best = np.argsort(-probabilities)[:5]
    return {
        "predictions": [
            {"label": CLASSES[i], "index": int(i), "probability": float(probabilities[i])}
            for i in best
        ]
    }


uvicorn.run(app, host="127.0.0.1", port=PORT, log_level="warning")
